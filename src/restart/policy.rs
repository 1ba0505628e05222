//! What a user may set of the restarts, and what the ways to end mean.

use std::fmt;
use std::time::Duration;

use crate::detector::{Cause, Death};

/// The exit code by which a program says that starting it again would not help: 125, as for s6.
pub const EXIT_DO_NOT_RESTART: i32 = 125;

/// The exit code by which a program says that another process already serves its service: 121, which no
/// convention that we know of claims.
pub const EXIT_ALREADY_RUNNING: i32 = 121;

/// When and how often to restart.
///
/// Begin with [`Policy::default`] and change what should differ.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Policy {
    /// The delay of the second restart in a row (the first is at once): 100 ms, systemd's `RestartSec`. It
    /// doubles with each one that follows.
    pub first_delay: Duration,

    /// The longest delay: 30 s. At least `first_delay`.
    pub longest_delay: Duration,

    /// How much of a delay is left to chance, so that services that fell together do not come back
    /// together: 25 %. At most 100.
    pub jitter_percent: u32,

    /// After this time of health a crash counts as the first again: 60 s.
    pub reset_after: Duration,

    /// How many restarts there may be in `window`; one more, and the service is given up: 5. With 0 nothing
    /// is ever restarted.
    pub budget: u32,

    /// The time over which restarts are counted: 60 s. With zero the service is never given up.
    pub window: Duration,

    /// Whether a clean end is followed by a restart: no.
    pub after_clean_end: AfterCleanEnd,

    /// The exit codes that mean "do not restart": [`EXIT_DO_NOT_RESTART`].
    pub final_codes: Vec<i32>,

    /// The exit codes that mean "another one serves already": [`EXIT_ALREADY_RUNNING`].
    pub adopt_codes: Vec<i32>,

    /// The signals by which a program is asked to end: one that dies of them (not asked by its supervisor)
    /// has ended cleanly, as for systemd. SIGHUP, SIGINT and SIGTERM.
    pub clean_signals: Vec<i32>,

    /// How many ends are remembered: 16. At least 1.
    pub history: usize,
}

/// What follows a clean end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AfterCleanEnd {
    /// Nothing: the work is done.
    Stay,
    /// A restart, as after a crash: delays and budget count.
    Restart,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            first_delay: Duration::from_millis(100),
            longest_delay: Duration::from_secs(30),
            jitter_percent: 25,
            reset_after: Duration::from_secs(60),
            budget: 5,
            window: Duration::from_secs(60),
            after_clean_end: AfterCleanEnd::Stay,
            final_codes: vec![EXIT_DO_NOT_RESTART],
            adopt_codes: vec![EXIT_ALREADY_RUNNING],
            clean_signals: vec![1, 2, 15],
            history: 16,
        }
    }
}

/// How a process came to its end, as its supervisor knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ExitCause {
    /// By itself, or by somebody else's signal.
    Died(Death),
    /// The supervisor stopped it because it was told to.
    Stopped,
    /// The supervisor killed it because it hung.
    KilledAsHung(Cause),
    /// The supervisor killed it because its core dump took too long.
    KilledInDump,
    /// The supervisor killed it because its heartbeat's name was gone.
    KilledAsOrphan,
    /// The supervisor stopped it because probes of the path to it failed, though it beat.
    PathFailed,
    /// It did not get ready in time, and was killed.
    NotReady,
    /// It could not even be started.
    NotStarted,
    /// It found that another process serves the service (where that is told by other means than an exit code).
    AlreadyRunning,
    /// The process that was to be adopted was not there, or was ending already.
    NotAdopted,
}

/// What an end means to the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    Crash,
    Clean,
    Final,
    Adopt,
    Stopped,
}

impl Policy {
    pub(crate) fn meaning(&self, cause: ExitCause) -> Meaning {
        match cause {
            ExitCause::Stopped => Meaning::Stopped,
            ExitCause::AlreadyRunning => Meaning::Adopt,
            ExitCause::Died(Death::Exited(code)) if self.final_codes.contains(&code) => {
                Meaning::Final
            }
            ExitCause::Died(Death::Exited(code)) if self.adopt_codes.contains(&code) => {
                Meaning::Adopt
            }
            ExitCause::Died(Death::Exited(0) | Death::Farewell) => Meaning::Clean,
            ExitCause::Died(Death::Killed {
                signal,
                dumped: false,
            }) if self.clean_signals.contains(&signal) => Meaning::Clean,
            ExitCause::Died(_)
            | ExitCause::KilledAsHung(_)
            | ExitCause::KilledInDump
            | ExitCause::KilledAsOrphan
            | ExitCause::PathFailed
            | ExitCause::NotReady
            | ExitCause::NotStarted
            | ExitCause::NotAdopted => Meaning::Crash,
        }
    }
}

impl fmt::Display for ExitCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Died(death) => death.fmt(f),
            Self::Stopped => f.write_str("stopped as asked"),
            Self::KilledAsHung(cause) => write!(f, "killed because it hung ({cause})"),
            Self::KilledInDump => f.write_str("killed because its core dump took too long"),
            Self::KilledAsOrphan => f.write_str("killed because its heartbeat was removed"),
            Self::PathFailed => f.write_str("stopped because probes of its path failed"),
            Self::NotReady => f.write_str("killed because it was not ready in time"),
            Self::NotStarted => f.write_str("could not be started"),
            Self::AlreadyRunning => f.write_str("found the service running already"),
            Self::NotAdopted => f.write_str("could not be adopted"),
        }
    }
}
