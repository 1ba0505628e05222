//! How to end a process: ask, wait, kill, and believe only its pidfd.

use std::time::Duration;

use crate::detector::nanos;

/// Walks one process down to its confirmed end.
///
/// Pure: the caller sends the signals (through a pidfd) and tells what it sees. Call [`StopLadder::step`]
/// first, and again whenever the time it names has come or the pidfd is readable.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use osps_ipc::restart::{Rung, Seen, StopLadder};
///
/// let mut ladder = StopLadder::ask(Duration::from_secs(5));
/// assert_eq!(ladder.step(0, Seen::Running), Rung::Terminate);
/// assert_eq!(ladder.step(0, Seen::Running), Rung::Wait { until: Some(5_000_000_000) });
/// assert_eq!(ladder.step(5_000_000_000, Seen::Running), Rung::Kill);
/// assert_eq!(ladder.step(5_000_000_001, Seen::Running), Rung::Wait { until: None });
/// assert_eq!(ladder.step(5_000_000_002, Seen::Gone), Rung::Gone);
/// ```
#[derive(Clone, Debug)]
pub struct StopLadder {
    grace: u64,
    stage: Stage,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    Asking,
    Asked { at: u64 },
    Killing,
    Killed { at: u64 },
    Gone,
}

/// What the caller sees of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Seen {
    /// It lives.
    Running,
    /// It lives, but a signal has stopped it, or its control group is frozen: it would not see SIGTERM.
    Held,
    /// Its pidfd is readable. Say so for nothing less.
    Gone,
}

/// What the caller is to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rung {
    /// Send SIGTERM, then call again.
    Terminate,
    /// Send SIGKILL, then call again.
    Kill,
    /// Wait for the pidfd, but no longer than this (monotonic, in nanoseconds). Without a time nothing is
    /// left to do but to wait; see [`StopLadder::killed_for`].
    Wait {
        /// When to call again at the latest.
        until: Option<u64>,
    },
    /// It is gone: now, and not before, another one may be started.
    Gone,
}

impl StopLadder {
    /// SIGTERM first, SIGKILL after `grace`; SIGKILL at once for a process that is held.
    pub fn ask(grace: Duration) -> Self {
        Self {
            grace: nanos(grace),
            stage: Stage::Asking,
        }
    }

    /// SIGKILL at once.
    pub fn kill() -> Self {
        Self {
            grace: 0,
            stage: Stage::Killing,
        }
    }

    /// What to do at `now`. A signal is asked for once; that it was sent is taken for granted.
    pub fn step(&mut self, now: u64, seen: Seen) -> Rung {
        let (stage, rung) = match (self.stage, seen) {
            (_, Seen::Gone) | (Stage::Gone, _) => (Stage::Gone, Rung::Gone),
            (Stage::Killed { at }, _) => (Stage::Killed { at }, Rung::Wait { until: None }),
            (Stage::Killing, _) | (Stage::Asking | Stage::Asked { .. }, Seen::Held) => {
                (Stage::Killed { at: now }, Rung::Kill)
            }
            (Stage::Asking, Seen::Running) => (Stage::Asked { at: now }, Rung::Terminate),
            (Stage::Asked { at }, Seen::Running) => match at.saturating_add(self.grace) {
                end if now >= end => (Stage::Killed { at: now }, Rung::Kill),
                end => (Stage::Asked { at }, Rung::Wait { until: Some(end) }),
            },
        };
        self.stage = stage;
        rung
    }

    /// No grace any more: the next step asks for SIGKILL, unless it was asked for already.
    pub fn hurry(&mut self) {
        if let Stage::Asking | Stage::Asked { .. } = self.stage {
            self.stage = Stage::Killing;
        }
    }

    /// For how long the process has outlived its SIGKILL. It does so while it sits in an uninterruptible
    /// wait (a dead network file system, say): worth a report after some seconds, but no reason to start
    /// another one.
    pub fn killed_for(&self, now: u64) -> Option<Duration> {
        match self.stage {
            Stage::Killed { at } => Some(Duration::from_nanos(now.saturating_sub(at))),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_nanos(100);

    #[test]
    fn a_process_that_obeys_sees_no_sigkill() {
        let mut ladder = StopLadder::ask(GRACE);
        assert_eq!(ladder.step(7, Seen::Running), Rung::Terminate);
        assert_eq!(
            ladder.step(8, Seen::Running),
            Rung::Wait { until: Some(107) }
        );
        assert_eq!(
            ladder.step(106, Seen::Running),
            Rung::Wait { until: Some(107) }
        );
        assert_eq!(ladder.step(106, Seen::Gone), Rung::Gone);
        assert_eq!(ladder.killed_for(200), None);
    }

    #[test]
    fn a_process_that_does_not_obey_is_killed_when_the_grace_time_is_over() {
        let mut ladder = StopLadder::ask(GRACE);
        assert_eq!(ladder.step(7, Seen::Running), Rung::Terminate);
        assert_eq!(ladder.step(107, Seen::Running), Rung::Kill);
    }

    #[test]
    fn a_stopped_process_is_killed_at_once_also_when_it_stops_during_the_grace_time() {
        assert_eq!(StopLadder::ask(GRACE).step(0, Seen::Held), Rung::Kill);
        let mut ladder = StopLadder::ask(GRACE);
        assert_eq!(ladder.step(0, Seen::Running), Rung::Terminate);
        assert_eq!(ladder.step(1, Seen::Held), Rung::Kill);
        assert_eq!(ladder.step(2, Seen::Held), Rung::Wait { until: None });
    }

    #[test]
    fn sigkill_is_asked_for_once_and_only_the_pidfd_confirms_the_end() {
        let mut ladder = StopLadder::kill();
        assert_eq!(ladder.step(10, Seen::Running), Rung::Kill);
        for now in [11, 1_000_000, u64::MAX] {
            assert_eq!(ladder.step(now, Seen::Running), Rung::Wait { until: None });
        }
        assert_eq!(ladder.killed_for(15), Some(Duration::from_nanos(5)));
        assert_eq!(ladder.step(u64::MAX, Seen::Gone), Rung::Gone);
    }

    #[test]
    fn an_end_is_never_taken_back() {
        let mut ladder = StopLadder::ask(GRACE);
        assert_eq!(ladder.step(0, Seen::Gone), Rung::Gone);
        assert_eq!(ladder.step(1, Seen::Running), Rung::Gone);
        ladder.hurry();
        assert_eq!(ladder.step(2, Seen::Held), Rung::Gone);
    }

    #[test]
    fn a_second_order_to_stop_cuts_the_grace_time_short() {
        let mut ladder = StopLadder::ask(Duration::MAX);
        assert_eq!(ladder.step(0, Seen::Running), Rung::Terminate);
        ladder.hurry();
        assert_eq!(ladder.step(1, Seen::Running), Rung::Kill);
        ladder.hurry();
        assert_eq!(ladder.step(2, Seen::Running), Rung::Wait { until: None });
    }

    #[test]
    fn an_endless_grace_and_a_clock_at_its_end_do_not_overflow() {
        let mut ladder = StopLadder::ask(Duration::MAX);
        assert_eq!(ladder.step(u64::MAX - 1, Seen::Running), Rung::Terminate);
        assert_eq!(
            ladder.step(0, Seen::Running),
            Rung::Wait {
                until: Some(u64::MAX)
            }
        );
    }
}
