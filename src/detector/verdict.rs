//! What a look leads to: a verdict, and how it is known.

use std::fmt;
use std::time::Duration;

use super::observation::{Death, ThreadState};

/// What a look leads to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// How it is known.
    pub reason: Reason,
    /// Whether the process may be killed for it: a hang whose cause allows it, a core dump that takes too
    /// long. A verdict alone, [`Verdict::Suspect`] above all, is no leave to free, steal or kill anything.
    pub actionable: bool,
    /// Whether the process should be challenged now: ring its bell, then say so with
    /// [`Detector::challenged`](super::Detector::challenged).
    pub challenge: bool,
    /// By how much this look came later than it was planned.
    pub late_by: Duration,
}

/// What the watcher thinks of the process.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Verdict {
    /// There is no process to watch.
    NoPeer,
    /// It gets ready.
    Starting,
    /// It beats, or owes no beat.
    Alive,
    /// It is later than it usually is. It may come back, and then it is alive.
    Suspect {
        /// How unusual the silence is: one over 10 to this power. From 0 to 999.
        phi: f64,
    },
    /// It has not beaten in the time that it had. Inferred, never proven.
    Hung {
        /// Why, as far as the kernel tells.
        cause: Cause,
    },
    /// It writes its core dump.
    Dying,
    /// It has ended: the kernel proves it.
    Dead {
        /// How.
        how: Death,
    },
    /// It lives, but the name of its heartbeat has been removed: nobody else can find it.
    Orphaned,
}

/// Why a process that lives does not beat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// Its thread waits for something that does not come.
    Blocked,
    /// Its thread runs, and does not come round.
    Spinning,
    /// A signal has stopped it, or its control group is frozen.
    Stopped,
    /// It wants to run and is given little or no CPU time: no fault of its own.
    Starved,
    /// Somebody has it in a debugger.
    Traced,
    /// The thread that beats has ended.
    Ended,
    /// Nothing is known of its thread.
    Unknown,
}

/// How a verdict is known.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Reason {
    /// No process was found.
    NotFound,
    /// The kernel says that the process has ended.
    Ended(Death),
    /// The kernel says that a core is being dumped.
    Dumping {
        /// For how long already.
        since: Duration,
        /// How long it may.
        allowed: Duration,
    },
    /// The name of the heartbeat is gone.
    Unlinked,
    /// It is idle and owes no beat.
    NothingOwed,
    /// A beat is owed, and the time for it runs.
    Waiting(Wait),
    /// A beat was owed, and the time for it has run out.
    Overdue(Wait, Evidence),
}

/// A beat that is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Why it is owed.
    pub owed: Owed,
    /// The silence so far, by the watched clock: without the time in which the watcher itself was late or
    /// stopped, or the machine suspended.
    pub silent: Duration,
    /// The silence that is allowed.
    pub allowed: Duration,
    /// The factor by which the watcher stretches that, because it has been late itself: 1 to 8.
    pub stretch: u32,
    /// The looks in time, since the last late one, that have seen the silence.
    pub looks: u32,
    /// The progress number of the heartbeat.
    pub progress: u64,
}

/// Why a beat is owed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Owed {
    /// The process starts.
    Start,
    /// It works.
    Work,
    /// It is idle, and was challenged.
    Challenge,
    /// It stops.
    Stop,
}

/// What the kernel told about the thread during a silence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// The thread's id; 0 if it was never seen.
    pub tid: u32,
    /// The thread's state at the last look, if it was seen.
    pub state: Option<ThreadState>,
    /// Its tracer; 0 for none.
    pub tracer: u32,
    /// Whether its control group is frozen.
    pub frozen: bool,
    /// The part of the silence over which the thread was observed.
    pub over: Duration,
    /// The CPU time that it got in that part.
    pub ran: Duration,
    /// The time that it waited for a CPU in that part, as far as such waits have ended.
    pub waited: Duration,
    /// The time for which it was seen stopped, frozen or held by a tracer in that part.
    pub held: Duration,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPeer => f.write_str("no peer"),
            Self::Starting => f.write_str("starting"),
            Self::Alive => f.write_str("alive"),
            Self::Suspect { phi } => write!(f, "suspect (phi {phi:.1})"),
            Self::Hung { cause } => write!(f, "hung ({cause})"),
            Self::Dying => f.write_str("dying"),
            Self::Dead { how } => write!(f, "dead ({how})"),
            Self::Orphaned => f.write_str("orphaned"),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Blocked => "blocked",
            Self::Spinning => "spinning",
            Self::Stopped => "stopped",
            Self::Starved => "starved",
            Self::Traced => "traced",
            Self::Ended => "its thread has ended",
            Self::Unknown => "cause unknown",
        })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("no process was found"),
            Self::Ended(death) => write!(f, "the kernel reports its end: {death}"),
            Self::Dumping { since, allowed } => {
                write!(
                    f,
                    "the kernel has dumped its core for {since:.1?}, of {allowed:.1?} allowed"
                )
            }
            Self::Unlinked => f.write_str("the name of its heartbeat has been removed"),
            Self::NothingOwed => f.write_str("idle, no beat is owed"),
            Self::Waiting(wait) => wait.fmt(f),
            Self::Overdue(wait, evidence) => write!(f, "{wait}; {evidence}"),
        }
    }
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let while_it = match self.owed {
            Owed::Start => "while it starts",
            Owed::Work => "while it works",
            Owed::Challenge => "since it was challenged",
            Owed::Stop => "while it stops",
        };
        write!(
            f,
            "no beat for {:.1?} {while_it}, {:.1?} allowed",
            self.silent, self.allowed
        )?;
        if self.stretch > 1 {
            write!(
                f,
                " times {} because the watcher was late itself",
                self.stretch
            )?;
        }
        write!(
            f,
            ", seen by {} looks in time, progress {}",
            self.looks, self.progress
        )
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(state) = self.state else {
            return f.write_str("its thread could not be looked at");
        };
        write!(f, "thread {} is {state}", self.tid)?;
        if self.tracer != 0 {
            write!(f, ", traced by {}", self.tracer)?;
        }
        if self.frozen {
            f.write_str(", its control group frozen")?;
        }
        write!(
            f,
            "; in {:.1?} it ran {:.1?} and waited {:.1?} for a CPU",
            self.over, self.ran, self.waited
        )?;
        if self.held > Duration::ZERO {
            write!(f, ", held for {:.1?}", self.held)?;
        }
        Ok(())
    }
}
