//! What a watchdog tells: lines of a time, a word and what belongs to it, on its standard output.

use std::fmt;
use std::io::Write;

use rustix::time::{ClockId, clock_gettime};

/// The monotonic clock, which is the same for all processes of the machine, in nanoseconds.
pub(crate) fn now() -> u64 {
    read(ClockId::Monotonic)
}

/// The CPU time of this thread in nanoseconds.
pub(crate) fn cpu_time() -> u64 {
    read(ClockId::ThreadCPUTime)
}

fn read(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    u64::try_from(time.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap()
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Started(u32),
    Ready,
    Alive,
    Suspect,
    /// It hangs, for this cause, and has been silent for so long by the watchdog's own account, in nanoseconds.
    Hung(u64, String),
    Dead,
    /// It is gone, and was killed for a hang or not.
    Ended,
}

#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) at: u64,
    pub(crate) told: Told,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.at)?;
        match &self.told {
            Told::Started(pid) => write!(f, "started {pid}"),
            Told::Ready => f.write_str("ready"),
            Told::Alive => f.write_str("alive"),
            Told::Suspect => f.write_str("suspect"),
            Told::Hung(silent, cause) => write!(f, "hung {silent} {cause}"),
            Told::Dead => f.write_str("dead"),
            Told::Ended => f.write_str("ended"),
        }
    }
}

impl Line {
    pub(crate) fn parse(line: &str) -> Option<Line> {
        let (at, rest) = line.split_once(' ')?;
        let (word, more) = rest.split_once(' ').unwrap_or((rest, ""));
        let told = match word {
            "started" => Told::Started(more.parse().ok()?),
            "ready" => Told::Ready,
            "alive" => Told::Alive,
            "suspect" => Told::Suspect,
            "hung" => {
                let (silent, cause) = more.split_once(' ')?;
                Told::Hung(silent.parse().ok()?, cause.to_owned())
            }
            "dead" => Told::Dead,
            "ended" => Told::Ended,
            _ => return None,
        };
        Some(Line {
            at: at.parse().ok()?,
            told,
        })
    }
}

/// Tells what was known at this time.
pub(crate) fn tell(at: u64, told: Told) {
    let mut line = Line { at, told }.to_string();
    line.push('\n');
    // Whoever listened has gone: this process goes, too.
    if std::io::stdout().write_all(line.as_bytes()).is_err() {
        std::process::exit(1);
    }
}
