//! When to restart what has ended, and when to let it be.
//!
//! Pure: time is an argument, chance comes from a seed. A supervisor tells [`Restarts`] when the process is
//! healthy and how it came to its end, and does what the [`Report`] says. To end a process there is the
//! [`StopLadder`].
//!
//! | the end | what follows |
//! | --- | --- |
//! | a crash, a kill by somebody else, a hang, no start, not ready in time | a restart, within the budget |
//! | exit code 0, a farewell, death of SIGTERM, SIGINT or SIGHUP | nothing, unless the policy says so |
//! | an exit code that means "do not restart" | nothing |
//! | "another one serves already" | that one is adopted |
//! | its supervisor stopped it | nothing |
//!
//! The first restart is at once, the second after 100 ms, and each one after twice the delay before, up to
//! 30 s; a minute of health begins the row anew. More than 5 restarts in 60 s, and the service is given up.
//! All of that is [`Policy`].
//!
//! # Examples
//!
//! ```
//! use osps_ipc::detector::Death;
//! use osps_ipc::restart::{Decision, ExitCause, Policy, Restarts};
//!
//! let mut restarts = Restarts::new(Policy::default(), 42);
//! restarts.healthy(0);
//! let killed = ExitCause::Died(Death::Killed { signal: 9, dumped: false });
//! let report = restarts.ended(2_000_000_000, killed);
//! assert_eq!(report.decision, Decision::RestartNow);
//! assert_eq!(
//!     report.to_string(),
//!     "killed by signal 9, healthy for 2.0s: restart now, 4 of 5 restarts left in 60.0s"
//! );
//! ```

mod backoff;
mod ladder;
mod policy;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use crate::detector::nanos;
use policy::Meaning;

pub use ladder::{Rung, Seen, StopLadder};
pub use policy::{AfterCleanEnd, EXIT_ALREADY_RUNNING, EXIT_DO_NOT_RESTART, ExitCause, Policy};

/// What to do after an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Decision {
    /// Start it again at once.
    RestartNow,
    /// Start it again after this time.
    RestartAfter(Duration),
    /// Watch the process that serves already instead. If there is none, say [`ExitCause::NotAdopted`].
    Adopt,
    /// Leave it.
    DoNotRestart(Why),
    /// Give the service up: it ends too often. Only [`Restarts::forgive`] takes that back.
    GiveUp,
}

/// Why something is not restarted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// It has ended cleanly.
    Clean,
    /// Its exit code says so.
    Final,
    /// It was stopped by its supervisor.
    Stopped,
}

/// A decision and what it rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// What to do.
    pub decision: Decision,
    /// The end that led to it.
    pub end: End,
    /// How many crashes there have been in a row, this one included, without enough health between them.
    pub in_a_row: u32,
    /// How many restarts are left before the service is given up.
    pub left: u32,
    /// How many there may be at all in `window`.
    pub budget: u32,
    /// The time over which restarts are counted.
    pub window: Duration,
}

/// An end, as it is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// When it was reported, in nanoseconds of the monotonic clock.
    pub at: u64,
    /// How it came.
    pub cause: ExitCause,
    /// How long the process had been healthy; nothing if it never got that far.
    pub healthy_for: Option<Duration>,
}

/// Decides over the restarts of one service.
#[derive(Clone, Debug)]
pub struct Restarts {
    policy: Policy,
    chance: u64,
    healthy_since: Option<u64>,
    in_a_row: u32,
    /// When the latest restarts were due, oldest first; never more than the budget.
    restarts: VecDeque<u64>,
    history: VecDeque<End>,
    given_up: bool,
}

impl Restarts {
    /// Nothing has ended yet. The seed decides the jitter, and nothing else does.
    pub fn new(policy: Policy, seed: u64) -> Self {
        Self {
            policy,
            chance: seed,
            healthy_since: None,
            in_a_row: 0,
            restarts: VecDeque::new(),
            history: VecDeque::new(),
            given_up: false,
        }
    }

    /// The process is ready and serves, since `now`. Saying it again changes nothing.
    pub fn healthy(&mut self, now: u64) {
        self.healthy_since.get_or_insert(now);
    }

    /// The process has come to its end (confirmed), or could not be started or adopted.
    pub fn ended(&mut self, now: u64, cause: ExitCause) -> Report {
        let healthy_for = self
            .healthy_since
            .take()
            .map(|since| now.saturating_sub(since));
        let end = End {
            at: now,
            cause,
            healthy_for: healthy_for.map(Duration::from_nanos),
        };
        self.remember(end);
        if healthy_for.is_some_and(|time| time >= nanos(self.policy.reset_after)) {
            self.in_a_row = 0;
        }
        let decision = match self.policy.meaning(cause) {
            Meaning::Stopped => Decision::DoNotRestart(Why::Stopped),
            Meaning::Adopt if !self.given_up => Decision::Adopt,
            Meaning::Final => Decision::DoNotRestart(Why::Final),
            Meaning::Clean if self.policy.after_clean_end == AfterCleanEnd::Stay => {
                Decision::DoNotRestart(Why::Clean)
            }
            Meaning::Clean | Meaning::Crash | Meaning::Adopt => self.restart(now),
        };
        Report {
            decision,
            end,
            in_a_row: self.in_a_row,
            left: self.left(now),
            budget: self.policy.budget,
            window: self.policy.window,
        }
    }

    /// Whether that is a clean end.
    pub(crate) fn is_clean(&self, cause: ExitCause) -> bool {
        self.policy.meaning(cause) == Meaning::Clean
    }

    /// How many restarts are left at `now`.
    pub fn left(&self, now: u64) -> u32 {
        if self.given_up {
            return 0;
        }
        let used = self
            .restarts
            .iter()
            .filter(|at| self.counts(**at, now))
            .count();
        self.policy
            .budget
            .saturating_sub(u32::try_from(used).unwrap_or(u32::MAX))
    }

    /// The last ends, oldest first.
    pub fn history(&self) -> impl ExactSizeIterator<Item = &End> {
        self.history.iter()
    }

    /// Whether the service was given up.
    pub fn has_given_up(&self) -> bool {
        self.given_up
    }

    /// Begins anew, as if nothing had happened; the history stays. For an operator who has mended something.
    pub fn forgive(&mut self) {
        self.given_up = false;
        self.in_a_row = 0;
        self.restarts.clear();
    }

    fn restart(&mut self, now: u64) -> Decision {
        let chance = backoff::next_random(&mut self.chance);
        let delay = backoff::delay(&self.policy, self.in_a_row, chance);
        self.in_a_row = self.in_a_row.saturating_add(1);
        let due = now.saturating_add(delay);
        // Counted for the time at which it would take place.
        if self.left(due) == 0 {
            self.given_up = true;
            return Decision::GiveUp;
        }
        while self
            .restarts
            .front()
            .is_some_and(|at| !self.counts(*at, due))
        {
            self.restarts.pop_front();
        }
        self.restarts.push_back(due);
        match delay {
            0 => Decision::RestartNow,
            delay => Decision::RestartAfter(Duration::from_nanos(delay)),
        }
    }

    /// Whether a restart of that time counts at `now`. One that is still to come does.
    fn counts(&self, at: u64, now: u64) -> bool {
        now.saturating_sub(at) < nanos(self.policy.window)
    }

    fn remember(&mut self, end: End) {
        while self.history.len() >= self.policy.history.max(1) {
            self.history.pop_front();
        }
        self.history.push_back(end);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.end.cause)?;
        if let Some(time) = self.end.healthy_for {
            write!(f, ", healthy for {time:.1?}")?;
        }
        match self.decision {
            Decision::RestartNow => f.write_str(": restart now")?,
            Decision::RestartAfter(delay) => write!(f, ": restart after {delay:.1?}")?,
            Decision::Adopt => f.write_str(": adopt the process that serves")?,
            Decision::DoNotRestart(Why::Clean) => f.write_str(": a clean end, no restart")?,
            Decision::DoNotRestart(Why::Final) => {
                f.write_str(": its code says not to restart it")?
            }
            Decision::DoNotRestart(Why::Stopped) => f.write_str(": no restart")?,
            Decision::GiveUp => write!(f, ": given up after {} crashes in a row", self.in_a_row)?,
        }
        write!(
            f,
            ", {} of {} restarts left in {:.1?}",
            self.left, self.budget, self.window
        )
    }
}
