//! What a look has found, and how that is known.

use std::fmt;

use super::probe::Probed;
use crate::detector::{Cause, Judgement, Verdict};

/// What a look has found.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Report {
    /// The detector's judgement, with its reason.
    pub judgement: Judgement,
    /// The process it is about.
    pub pid: Option<u32>,
    /// After an end: who told how it came.
    pub told_by: ToldBy,
    /// What the probes found.
    pub probed: Probed,
    /// How many probes have failed since the last that was answered, as far as this is not the monitor's own fault. One
    /// that stays without answer fails anew with each that was due.
    pub failed_probes: u32,
}

/// Who told how a process has ended. That it has ended, its pidfd says in every case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ToldBy {
    /// It has not ended, or nobody told: it was no child of this process, and did not say farewell.
    Nobody,
    /// `waitid`: it was a child of this process.
    Wait,
    /// The kernel, which keeps the status for a pidfd (`PIDFD_GET_INFO`, since Linux 6.15).
    Pidfd,
    /// Its heartbeat: it said farewell.
    Farewell,
}

/// What makes one report another's repetition.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Kind {
    verdict: std::mem::Discriminant<Verdict>,
    cause: Option<Cause>,
    pid: Option<u32>,
    probed: std::mem::Discriminant<Probed>,
}

impl Report {
    /// The verdict.
    pub fn verdict(&self) -> Verdict {
        self.judgement.verdict
    }

    pub(super) fn kind(&self) -> Kind {
        let verdict = self.verdict();
        Kind {
            verdict: std::mem::discriminant(&verdict),
            cause: match verdict {
                Verdict::Hung { cause } => Some(cause),
                _ => None,
            },
            pid: self.pid,
            probed: std::mem::discriminant(&self.probed),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.judgement.verdict, self.judgement.reason)?;
        match self.told_by {
            ToldBy::Nobody => {}
            ToldBy::Wait => f.write_str(" (told by waitid)")?,
            ToldBy::Pidfd => f.write_str(" (told by its pidfd)")?,
            ToldBy::Farewell => f.write_str(" (told by its heartbeat)")?,
        }
        match &self.probed {
            Probed::NotProbed => Ok(()),
            probed => write!(f, "; {probed}"),
        }
    }
}
