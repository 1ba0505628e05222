//! What a user may set, and the same in checked nanoseconds.

use std::time::Duration;

use super::observation::Phase;
use super::watch::MOST_STRETCH;

/// How patient a [`Detector`](super::Detector) is.
///
/// Begin with [`Config::default`] or [`Config::new`] and change what should differ; a value that makes no
/// sense (a period of nothing, a threshold that is no number) is moved to the nearest one that does, as
/// each field says.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use osps_ipc::detector::Config;
///
/// let mut config = Config::new(Duration::from_millis(10), Duration::from_millis(250));
/// config.challenge_every = None; // an idle process is left alone
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// The time between two looks: 100 ms. A hang is told at most one and a half of it after the time
    /// allowed. At least 100 µs. A look that comes more than a quarter of it late counts as late.
    ///
    /// An idle process is looked at as often: it can begin to work, and hang, at any time. It costs the watcher
    /// some microseconds, and the process nothing.
    pub period: Duration,

    /// The looks in time, since the last late one, that must all have seen no beat before a process is
    /// called hung: 3, as the pings of the course's own watchdog. From 1 to 1000.
    pub looks: u32,

    /// The silence allowed to a working process that names no budget of its own: 5 s, the course's timeout.
    /// At least one `period`, as is every budget that a process names. Not limited by `longest_budget`.
    pub hang_after: Duration,

    /// The longest budget that a process may name; a longer one is taken for this: 10 minutes.
    pub longest_budget: Duration,

    /// The silence allowed while starting, also before there is a heartbeat at all: 90 s, systemd's
    /// `DefaultTimeoutStartSec`.
    pub start_within: Duration,

    /// The silence allowed while stopping: 90 s, systemd's `DefaultTimeoutStopSec`.
    pub stop_within: Duration,

    /// How long an idle process is left alone before it is challenged to beat: 2 s. With `None` an idle
    /// process is never woken, and one that hangs while idle is not found.
    pub challenge_every: Option<Duration>,

    /// The time in which a challenged process must beat: 1 s.
    pub challenge_within: Duration,

    /// From this silence on a process that gets no CPU time may be killed like any other that hangs: 60 s,
    /// the time after which a reset of the restart policy is due as well. The same holds where nothing is
    /// known of the thread.
    pub starved_cap: Duration,

    /// The time that a core dump may take before the process may be killed in the middle of it: 30 s, good
    /// for about 10 GB (300 MB were measured to take 0.7 s).
    pub dump_within: Duration,

    /// Whether a traced process that hangs may be killed: no; somebody has it in a debugger.
    pub act_on_traced: bool,

    /// The suspicion from which a process is called suspect: 8, as in Akka and Pekko; a healthy process
    /// whose beats are spread normally reaches it once in 10⁸ intervals. From 0.1 to 300.
    pub threshold: f64,

    /// The smallest standard deviation that intervals are credited with: half of `period`, because that is
    /// how finely looks can tell them apart (Pekko has 100 ms for beats of 1 s). At least 1 µs.
    pub deviation_floor: Duration,

    /// How many intervals are remembered: 1000, as in Hayashibara's paper and in Pekko. From 2 to 4096.
    pub window: usize,
}

impl Config {
    /// The defaults, at another pace: looks every `period`, hung after `hang_after` without a beat.
    pub fn new(period: Duration, hang_after: Duration) -> Self {
        Self {
            period,
            looks: 3,
            hang_after,
            longest_budget: Duration::from_secs(600),
            start_within: Duration::from_secs(90),
            stop_within: Duration::from_secs(90),
            challenge_every: Some(Duration::from_secs(2)),
            challenge_within: Duration::from_secs(1),
            starved_cap: Duration::from_secs(60),
            dump_within: Duration::from_secs(30),
            act_on_traced: false,
            threshold: 8.0,
            deviation_floor: period / 2,
            window: 1000,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::new(Duration::from_millis(100), Duration::from_secs(5))
    }
}

/// A [`Config`] whose values were checked, in nanoseconds.
///
/// Invariants: `period > 0`, `looks > 0`, every allowance is at least `period` and at most [`LONGEST`],
/// `threshold` and `deviation_floor` are positive and finite.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub(crate) period: u64,
    pub(crate) tolerance: u64,
    pub(crate) looks: u32,
    pub(crate) hang_after: u64,
    pub(crate) longest_budget: u64,
    pub(crate) start_within: u64,
    pub(crate) stop_within: u64,
    pub(crate) challenge_every: Option<u64>,
    pub(crate) challenge_within: u64,
    pub(crate) starved_cap: u64,
    pub(crate) dump_within: u64,
    pub(crate) act_on_traced: bool,
    pub(crate) threshold: f64,
    pub(crate) deviation_floor: f64,
    pub(crate) window: usize,
}

/// No allowance is longer: a century, stretched, must not overflow.
const LONGEST: u64 = u64::MAX / (4 * MOST_STRETCH as u64);

impl Limits {
    pub(crate) fn new(config: &Config) -> Self {
        let period = nanos(config.period).clamp(100_000, LONGEST);
        let allowance = |time: Duration| nanos(time).clamp(period, LONGEST);
        Self {
            period,
            tolerance: period / 4,
            looks: config.looks.clamp(1, 1000),
            hang_after: allowance(config.hang_after),
            longest_budget: allowance(config.longest_budget),
            start_within: allowance(config.start_within),
            stop_within: allowance(config.stop_within),
            challenge_every: config.challenge_every.map(allowance),
            challenge_within: allowance(config.challenge_within),
            starved_cap: allowance(config.starved_cap),
            dump_within: allowance(config.dump_within),
            act_on_traced: config.act_on_traced,
            threshold: if config.threshold.is_nan() {
                8.0
            } else {
                config.threshold.clamp(0.1, 300.0)
            },
            deviation_floor: nanos(config.deviation_floor).max(1000) as f64,
            window: config.window.clamp(2, 4096),
        }
    }

    /// The silence allowed in a phase, or `None` where no beat is owed.
    pub(crate) fn allowed(&self, phase: Phase, challenged: bool) -> Option<u64> {
        match phase {
            Phase::Starting => Some(self.start_within),
            Phase::Stopping => Some(self.stop_within),
            Phase::Idle => challenged.then_some(self.challenge_within),
            Phase::Working {
                budget: Duration::ZERO,
            } => Some(self.hang_after),
            Phase::Working { budget } => {
                Some(nanos(budget).clamp(self.period, self.longest_budget))
            }
        }
    }

    /// The time between two looks while `allowed` runs: short enough that the looks that are needed fit
    /// into it, and three at least, so that the thread is seen for over half of the time.
    pub(crate) fn gap(&self, allowed: u64) -> u64 {
        self.period
            .min(allowed / u64::from(self.looks.max(3)))
            .max(1)
    }
}

/// A duration in nanoseconds, saturating (after 584 years).
pub(crate) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
