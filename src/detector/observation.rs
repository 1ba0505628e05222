//! What a watcher sees when it looks: the heartbeat's words and the kernel's facts, as they are.

use std::fmt;
use std::time::Duration;

/// One look at the watched process, at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// When: the watcher's own monotonic clock, in nanoseconds.
    pub now: u64,
    /// How long the machine has been suspended since it was booted: `CLOCK_BOOTTIME` minus
    /// `CLOCK_MONOTONIC`, in nanoseconds.
    pub suspended: u64,
    /// What the kernel says of the process.
    pub process: Process,
    /// What stands in its heartbeat.
    pub pulse: Pulse,
}

/// What the kernel says of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Process {
    /// There is none to watch.
    Absent,
    /// It lives, and this is what is known of the thread that beats.
    Running(Thread),
    /// It is writing its core dump (`CoreDumping: 1`).
    Dumping,
    /// Its pidfd is readable. Nothing less proves a death: not state Z of a thread, not a pid that is not
    /// found.
    Ended(Death),
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Death {
    /// It exited with this code.
    Exited(i32),
    /// A signal ended it.
    Killed {
        /// The signal's number.
        signal: i32,
        /// Whether it left a core dump.
        dumped: bool,
    },
    /// The kernel does not tell (it was not our child), but its heartbeat says farewell: a clean end.
    Farewell,
    /// Nobody tells.
    Unknown,
}

/// What is known of the thread that beats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thread {
    /// It was not looked at, or could not be.
    Unread,
    /// It has ended, though the process lives.
    Gone,
    /// This is how it was found.
    Seen(ThreadFacts),
}

/// The facts from `/proc/PID/task/TID` that tell the cause of a silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadFacts {
    /// The thread's id. Where it changes, the clocks below are another thread's.
    pub tid: u32,
    /// The letter in `stat`.
    pub state: ThreadState,
    /// `TracerPid` of `status`; 0 for none.
    pub tracer: u32,
    /// Whether its control group is frozen.
    pub frozen: bool,
    /// The time that it has had on a CPU: the first field of `schedstat`, in nanoseconds.
    pub cpu: u64,
    /// The time that it has waited for a CPU: the second field of `schedstat`, in nanoseconds. It grows
    /// only when the wait ends.
    pub waited: u64,
}

/// A thread's state, from its letter in `/proc/PID/task/TID/stat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ThreadState {
    /// `R`: it runs, or could.
    Runnable,
    /// `S` (and `I`, `P`): it waits for something that a signal may interrupt.
    Sleeping,
    /// `D`: it waits for something that nothing may interrupt.
    DiskSleep,
    /// `T`: a signal stopped it.
    Stopped,
    /// `t`: its tracer stopped it.
    TracingStop,
    /// `Z` or `X`: it has ended.
    Ended,
    /// Another letter.
    Other(u8),
}

impl ThreadState {
    /// The state for a letter; any byte is good.
    pub fn from_letter(letter: u8) -> Self {
        match letter {
            b'R' => Self::Runnable,
            b'S' | b'I' | b'P' => Self::Sleeping,
            b'D' => Self::DiskSleep,
            b'T' => Self::Stopped,
            b't' => Self::TracingStop,
            b'Z' | b'X' | b'x' => Self::Ended,
            other => Self::Other(other),
        }
    }
}

/// What stands in the heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pulse {
    /// There is no heartbeat (yet).
    Missing,
    /// It reads so.
    Read(Sample),
    /// It reads so through the old mapping, but its name has been removed.
    Unlinked(Sample),
}

/// The words of a heartbeat. They are the beater's own: any value is possible and none is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The beats so far. Only whether it *changed* matters.
    pub count: u64,
    /// What the program says that it does.
    pub phase: Phase,
    /// A number that the program chooses; passed on in reports.
    pub progress: u64,
    /// Whether it has said that it ends in good order.
    pub farewell: bool,
}

/// What a program says that it does, and so whether it owes a beat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// It gets ready.
    Starting,
    /// It waits for work and owes no beat, but must answer a challenge with one.
    Idle,
    /// It works, and will beat again within the budget (zero: the watcher's own default).
    ///
    /// The budget should be more than twice the time between two beats on an idle machine: then no load of
    /// the machine, however high, makes it look hung for a fault of its own.
    Working {
        /// The longest time to the next beat.
        budget: Duration,
    },
    /// It ends.
    Stopping,
}

impl Phase {
    /// The phase as one word, so that it is read and written whole: the kind in the lowest byte, the budget in
    /// microseconds (rounded up) above it.
    pub fn to_word(self) -> u64 {
        match self {
            Self::Starting => 1,
            Self::Idle => 2,
            Self::Working { budget } => {
                let micros = budget
                    .as_nanos()
                    .div_ceil(1000)
                    .min(u128::from(u64::MAX >> 8));
                3 | u64::try_from(micros).unwrap_or(u64::MAX) << 8
            }
            Self::Stopping => 4,
        }
    }

    /// The phase that a word stands for. One that stands for nothing owes a beat as a working program
    /// without a budget does: nonsense must not buy patience.
    pub fn from_word(word: u64) -> Self {
        match word & 0xff {
            1 => Self::Starting,
            2 => Self::Idle,
            3 => Self::Working {
                budget: Duration::from_micros(word >> 8),
            },
            4 => Self::Stopping,
            _ => Self::Working {
                budget: Duration::ZERO,
            },
        }
    }
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exited with code {code}"),
            Self::Killed {
                signal,
                dumped: false,
            } => write!(f, "killed by signal {signal}"),
            Self::Killed {
                signal,
                dumped: true,
            } => write!(f, "killed by signal {signal}, core dumped"),
            Self::Farewell => f.write_str("ended after its farewell"),
            Self::Unknown => f.write_str("ended, nobody knows how"),
        }
    }
}

impl fmt::Display for ThreadState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Runnable => f.write_str("runnable"),
            Self::Sleeping => f.write_str("asleep"),
            Self::DiskSleep => f.write_str("in uninterruptible sleep"),
            Self::Stopped => f.write_str("stopped"),
            Self::TracingStop => f.write_str("stopped by its tracer"),
            Self::Ended => f.write_str("ended"),
            Self::Other(letter) => write!(f, "in state {:?}", char::from(*letter)),
        }
    }
}
