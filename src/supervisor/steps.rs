//! What is done when: from start to end of a process, and on to the next.

use std::process::Stdio;
use std::time::Duration;

use super::event::{Event, Rung};
use super::{State, Supervisor};
use crate::detector::{Owed, Reason, Verdict};
use crate::error::{Error, Result};
use crate::monitor::{Report, Watched, is_started};
use crate::restart::{self, ExitCause, Seen, StopLadder};
use crate::sys::clock;
use crate::sys::pidfd::{self, End};

/// Between two looks at a process that is to end, whether it was stopped meanwhile and does not see the signal.
const HELD: u64 = 100_000_000;
/// After an error of this process's own, before it tries again.
const LULL: u64 = 100_000_000;

impl Supervisor {
    /// An error in a forked child: what is supervised is its parent's.
    pub(super) fn check_fork(&self) -> Result<()> {
        match self.stamp.is_current() {
            true => Ok(()),
            false => Err(Error::Forked { what: "supervisor" }),
        }
    }

    /// Does what is due.
    pub(super) fn work(&mut self) -> Result<()> {
        self.disarm()?;
        let now = clock::monotonic_ns();
        match self.state {
            State::Due(at) if now >= at => self.begin(now)?,
            State::Running => {
                if let Some(report) = self.monitor.try_next()? {
                    self.note(report);
                }
                self.judge(now)?;
            }
            State::Stopping(..) => {
                // Its end shows how it came; and what the probe's session shows is to be taken off.
                if let Some(report) = self.monitor.try_next()? {
                    self.events.push_back(Event::Verdict(report));
                }
                self.descend(now)?;
            }
            State::Due(_) | State::Over => {}
        }
        if self.is_subreaper {
            self.reap_orphans();
        }
        Ok(())
    }

    /// Adopts who serves already, else starts a process.
    fn begin(&mut self, now: u64) -> Result<()> {
        if self.adopt(now)? {
            return Ok(());
        }
        use std::os::unix::process::CommandExt;
        let spawned = self
            .command
            .process_group(0)
            .stdin(Stdio::null())
            .spawn()
            .map_err(|error| error.to_string());
        let followed = spawned.and_then(|child| {
            let pid = child.id();
            Watched::child(self.monitor.runtime(), self.monitor.service(), pid)
                .and_then(|watched| self.monitor.follow(watched))
                .map_err(|error| {
                    // Not to be watched means not to be left.
                    let mut child = child;
                    let _ = child.kill().and_then(|()| child.wait());
                    error.to_string()
                })
                .map(|()| pid)
        });
        match followed {
            Ok(pid) => self.run(now, Event::Started { pid }),
            Err(error) => self.decide(now, None, ExitCause::NotStarted, Some(error))?,
        }
        Ok(())
    }

    /// Watches the process that holds the service's lock, if there is one. After an error it is to be looked for again.
    pub(super) fn adopt(&mut self, now: u64) -> Result<bool> {
        let adopted = self.try_to_adopt(now);
        if adopted.is_err() {
            self.state = State::Due(now.saturating_add(LULL));
        }
        adopted
    }

    fn try_to_adopt(&mut self, now: u64) -> Result<bool> {
        let (runtime, service) = (self.monitor.runtime(), self.monitor.service());
        let Some(watched) = Watched::server_of(runtime, service)? else {
            return Ok(false);
        };
        let pid = watched.pid();
        self.monitor.follow(watched)?;
        self.run(now, Event::Adopted { pid });
        self.is_adopted = true;
        Ok(true)
    }

    fn run(&mut self, now: u64, event: Event) {
        self.state = State::Running;
        self.ready = false;
        self.is_adopted = false;
        self.since = now;
        self.events.push_back(event);
    }

    /// Tells of a change.
    fn note(&mut self, report: Report) {
        let serves = !matches!(
            report.verdict(),
            Verdict::Starting
                | Verdict::NoPeer
                | Verdict::Dead { .. }
                | Verdict::Dying
                | Verdict::Orphaned
        );
        // One that ends by itself is not ready, nor is one that is late with its start.
        let is_ready = match report.judgement.reason {
            Reason::Overdue(wait, _) | Reason::Waiting(wait) => {
                !matches!(wait.owed, Owed::Start | Owed::Stop)
            }
            _ => true,
        };
        if let Some(pid) = report.pid
            && serves
            && is_ready
            && !self.ready
        {
            let now = clock::monotonic_ns();
            self.ready = true;
            self.restarts.healthy(now);
            let after = Duration::from_nanos(now.saturating_sub(self.since));
            self.events.push_back(Event::Ready { pid, after });
        }
        self.events.push_back(Event::Verdict(report));
    }

    /// Acts on what the last look saw.
    fn judge(&mut self, now: u64) -> Result<()> {
        let Some(last) = self.monitor.last() else {
            return Ok(());
        };
        if last.pid != self.monitor.pid() {
            // Of the process before.
            return Ok(());
        }
        let actionable = last.judgement.actionable;
        match last.verdict() {
            // Told before anything is done about it, which takes longer than to find it out.
            Verdict::Dead { .. } if !self.events.is_empty() => {}
            Verdict::Dead { how } => self.end(now, self.cause_of(how))?,
            Verdict::Hung { cause } if actionable => {
                let is_start = matches!(
                    last.judgement.reason,
                    Reason::Overdue(wait, _) if wait.owed == Owed::Start
                );
                let cause = match is_start {
                    true => ExitCause::NotReady,
                    false => ExitCause::KilledAsHung(cause),
                };
                self.stop_for(StopLadder::kill(), cause);
            }
            Verdict::Dying if actionable => {
                self.stop_for(StopLadder::kill(), ExitCause::KilledInDump);
            }
            // Nobody can find it any more, itself included; but it can end in good order.
            Verdict::Orphaned => {
                self.stop_for(StopLadder::ask(self.grace), ExitCause::KilledAsOrphan);
            }
            Verdict::Alive
                if self
                    .failed_probes
                    .is_some_and(|n| last.failed_probes >= n.get()) =>
            {
                self.stop_for(StopLadder::ask(self.grace), ExitCause::PathFailed);
            }
            _ => {}
        }
        Ok(())
    }

    /// Begins to stop the process.
    pub(super) fn stop_for(&mut self, ladder: StopLadder, cause: ExitCause) {
        self.state = State::Stopping(ladder, cause);
    }

    /// One step of stopping it.
    pub(super) fn descend(&mut self, now: u64) -> Result<()> {
        let State::Stopping(ladder, cause) = &mut self.state else {
            return Ok(());
        };
        let Some(watched) = self.monitor.watched() else {
            return Ok(());
        };
        let pid = watched.pid();
        loop {
            let seen = match watched.has_ended() {
                true => Seen::Gone,
                false if watched.is_held() => Seen::Held,
                false => Seen::Running,
            };
            let rung = match ladder.step(now, seen) {
                restart::Rung::Terminate => Rung::Asked,
                restart::Rung::Kill => Rung::Killed,
                restart::Rung::Wait { .. } => return Ok(()),
                restart::Rung::Gone => break,
            };
            watched.end(match rung {
                Rung::Asked => End::Terminate,
                Rung::Killed => End::Kill,
            })?;
            self.events.push_back(Event::Ending {
                pid,
                rung,
                cause: *cause,
            });
        }
        let cause = *cause;
        self.end(now, cause)
    }

    /// When the next step of stopping is due at the latest.
    pub(super) fn rung_until(&self) -> Option<u64> {
        let State::Stopping(ladder, _) = &self.state else {
            return None;
        };
        let now = clock::monotonic_ns();
        match ladder.clone().step(now, Seen::Running) {
            restart::Rung::Wait { until: Some(until) } => Some(until.min(now.saturating_add(HELD))),
            restart::Rung::Wait { until: None } | restart::Rung::Gone => None,
            restart::Rung::Terminate | restart::Rung::Kill => Some(now),
        }
    }

    /// Reaps what this process has become the parent of.
    fn reap_orphans(&self) {
        // How one that is watched has ended is looked at first.
        let is_watched = |pid: u32| Some(pid) == self.monitor.pid() || is_started(pid);
        while let Some(pid) = pidfd::peek_any().filter(|pid| !is_watched(*pid)) {
            match pidfd::Pidfd::open(pid) {
                Ok(orphan) if orphan.reap().is_ok() => {}
                _ => return,
            }
        }
    }
}
