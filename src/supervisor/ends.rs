//! What comes of the end of a process.

use super::event::Event;
use super::{State, Supervisor};
use crate::detector::Death;
use crate::error::Result;
use crate::restart::{self, Decision, ExitCause};

impl Supervisor {
    /// What a death means. Who was ending already when it was adopted did so for somebody before, and is no end of what
    /// is wanted now.
    pub(super) fn cause_of(&self, how: Death) -> ExitCause {
        match ExitCause::Died(how) {
            cause if self.is_adopted && !self.ready && self.restarts.is_clean(cause) => {
                ExitCause::NotAdopted
            }
            cause => cause,
        }
    }

    /// It is gone: confirmed.
    pub(super) fn end(&mut self, now: u64, cause: ExitCause) -> Result<()> {
        let watched = self.monitor.forget();
        if let Some(watched) = &watched {
            watched.reap();
        }
        self.decide(now, watched.map(|watched| watched.pid()), cause, None)
    }

    pub(super) fn decide(
        &mut self,
        now: u64,
        pid: Option<u32>,
        cause: ExitCause,
        error: Option<String>,
    ) -> Result<()> {
        let mut report = self.restarts.ended(now, cause);
        self.tell(pid, report, error);
        if report.decision == Decision::Adopt && !self.adopt(now)? {
            report = self.restarts.ended(now, ExitCause::NotAdopted);
            self.tell(None, report, None);
        }
        match report.decision {
            Decision::RestartNow => self.state = State::Due(now),
            Decision::RestartAfter(delay) => {
                self.state = State::Due(now.saturating_add(crate::detector::nanos(delay)));
            }
            Decision::Adopt => {}
            Decision::DoNotRestart(_) => {
                self.state = State::Over;
                self.clear();
            }
            Decision::GiveUp => {
                self.state = State::Over;
                self.tell_clients();
                self.events.push_back(Event::GaveUp);
            }
        }
        Ok(())
    }

    fn tell(&mut self, pid: Option<u32>, report: restart::Report, error: Option<String>) {
        self.events.push_back(Event::Ended { pid, report, error });
    }
}
