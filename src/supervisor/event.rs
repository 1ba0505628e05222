//! What a supervisor tells.

use std::fmt;
use std::time::Duration;

use crate::monitor;
use crate::restart::{self, ExitCause};

/// What a supervisor tells. Each has a line for people: its `Display`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A process was started.
    Started {
        /// Its number.
        pid: u32,
    },
    /// A process that serves already is watched from now on.
    Adopted {
        /// Its number.
        pid: u32,
    },
    /// It serves.
    Ready {
        /// Its number.
        pid: u32,
        /// How long after its start, or its adoption.
        after: Duration,
    },
    /// The verdict on it has changed, or what the probes find.
    Verdict(monitor::Report),
    /// It was sent a signal.
    Ending {
        /// Its number.
        pid: u32,
        /// Which.
        rung: Rung,
        /// Why.
        cause: ExitCause,
    },
    /// It has ended, or could not be started; with what follows.
    Ended {
        /// Its number, if there was one.
        pid: Option<u32>,
        /// How it ended, and what will be done.
        report: restart::Report,
        /// What the operating system said, if it could not be started.
        error: Option<String>,
    },
    /// The service was given up: clients are told, and nothing more will be done.
    GaveUp,
    /// It was to be stopped while there was no process.
    Stopped,
}

/// A step of stopping a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rung {
    /// SIGTERM.
    Asked,
    /// SIGKILL.
    Killed,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Started { pid } => write!(f, "started process {pid}"),
            Event::Adopted { pid } => write!(f, "process {pid} serves already: watching it"),
            Event::Ready { pid, after } => write!(f, "process {pid} is ready after {after:.1?}"),
            Event::Verdict(report) => match report.pid {
                Some(pid) => write!(f, "process {pid} is {report}"),
                None => report.fmt(f),
            },
            Event::Ending { pid, rung, cause } => {
                let rung = match rung {
                    Rung::Asked => "SIGTERM",
                    Rung::Killed => "SIGKILL",
                };
                let why = match cause {
                    ExitCause::Stopped => "it is to stop".to_owned(),
                    ExitCause::KilledAsHung(cause) => format!("it hangs ({cause})"),
                    ExitCause::KilledInDump => "its core dump takes too long".to_owned(),
                    ExitCause::KilledAsOrphan => "its heartbeat was removed".to_owned(),
                    ExitCause::PathFailed => "probes of its path fail, though it beats".to_owned(),
                    ExitCause::NotReady => "it does not get ready".to_owned(),
                    other => other.to_string(),
                };
                write!(f, "sent {rung} to process {pid}: {why}")
            }
            Event::Ended { pid, report, error } => {
                if let Some(pid) = pid {
                    write!(f, "process {pid}: ")?;
                }
                report.fmt(f)?;
                match error {
                    Some(error) => write!(f, " ({error})"),
                    None => Ok(()),
                }
            }
            Event::GaveUp => f.write_str("given up: its clients are told"),
            Event::Stopped => f.write_str("stopped before it was started again"),
        }
    }
}
