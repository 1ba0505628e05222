//! The failure detector: is the process alive, suspect, hung or dead, and how do we know?
//!
//! Pure: it reads no clock and no file. A watcher looks at the process, hands in what it saw ([`Look`]),
//! and gets a [`Judgement`]; then it sleeps until [`Detector::next_look`], or until something else wakes it
//! (the pidfd, say).
//!
//! * **Dead** is what the kernel proves. It needs no time and is never taken back.
//! * **Hung** is inferred from silence: the heartbeat's count has not changed for the time allowed in its
//!   phase, several looks in time have seen that, and the watcher's own lateness, stops and suspensions are
//!   not part of that time (`watch.rs`). One beat takes it back.
//! * **Suspect** is a silence that is unusual for this process (`phi.rs`, `window.rs`). It is for display
//!   and for looking closer.
//!
//! The beats are judged as a counter, by the watcher's clock: what the beater thinks about the time does
//! not matter.
//!
//! Reading order: `observation` (what goes in), `verdict` (what comes out), `config`, `watch` and `silence`
//! (how time is counted), `window` and `phi` (what is usual), `witness` (why it is silent), `judge` (the
//! verdict), then [`Detector`] here.
//!
//! # How soon
//!
//! While looks come in time, a hang in [`Phase::Working`] is told no later than the budget plus one and a
//! half [`Config::period`] after it began: the last beat is seen up to one period late, and the two looks
//! that count, the one that saw it and the one that convicts, may each be a quarter late without being
//! called so. That holds for one that has just begun to work as well: an idle process is looked at as often.
//! One that hangs while idle is told after at most [`Config::challenge_every`] + [`Config::challenge_within`] and one
//! and three quarters of a period, as the look that challenges may be a quarter late too.
//!
//! # Examples
//!
//! ```
//! use std::time::Duration;
//! use osps_ipc::detector::{Config, Detector, Look, Phase, Process, Pulse, Sample, Thread, Verdict};
//!
//! let config = Config::new(Duration::from_millis(10), Duration::from_millis(250));
//! let mut detector = Detector::new(&config);
//! let mut now = 0;
//! let verdict = loop {
//!     let beat = Sample { count: 1, phase: Phase::from_word(3), progress: 0, farewell: false };
//!     let process = Process::Running(Thread::Gone); // the thread that should beat has ended
//!     let judgement = detector.look(&Look { now, suspended: 0, process, pulse: Pulse::Read(beat) });
//!     if judgement.actionable {
//!         println!("{}: {}", judgement.verdict, judgement.reason);
//!         break judgement.verdict;
//!     }
//!     now = detector.next_look(now).expect("a beat is owed");
//! };
//! assert!(matches!(verdict, Verdict::Hung { .. }));
//! assert_eq!(now, 250_000_000);
//! ```

mod config;
mod judge;
mod observation;
mod phi;
mod silence;
mod softplus;
#[cfg(test)]
mod tests;
mod verdict;
mod watch;
mod window;
mod witness;

use std::time::Duration;

use config::Limits;
use silence::Silence;
use watch::Watch;
use window::Intervals;

pub use config::Config;
pub(crate) use config::nanos;
pub use observation::{
    Death, Look, Phase, Process, Pulse, Sample, Thread, ThreadFacts, ThreadState,
};
pub use verdict::{Cause, Evidence, Judgement, Owed, Reason, Verdict, Wait};

/// As long as fewer intervals are known, the allowance says what is usual.
const FEW: usize = 10;

/// Watches one process, from before its start to its end. Make another one for its successor.
#[derive(Clone, Debug)]
pub struct Detector {
    limits: Limits,
    watch: Watch,
    silence: Silence,
    intervals: Intervals,
    farewell: bool,
    dumping: Option<u64>,
    ended: Option<Death>,
    /// What the last look left: the allowance that runs, if a beat is owed.
    allowed: Option<u64>,
    /// And whether none is because the process is idle.
    idle: bool,
}

impl Detector {
    /// A detector that has seen nothing yet.
    pub fn new(config: &Config) -> Self {
        let limits = Limits::new(config);
        Self {
            intervals: Intervals::new(limits.window),
            limits,
            watch: Watch::default(),
            silence: Silence::default(),
            farewell: false,
            dumping: None,
            ended: None,
            allowed: None,
            idle: false,
        }
    }

    /// Judges the process by one more look. Any values may go in.
    pub fn look(&mut self, look: &Look) -> Judgement {
        let step = self
            .watch
            .step(look.now, look.suspended, self.limits.tolerance);
        self.idle = false;
        let mut judgement = self.judge(look, step);
        judgement.late_by = Duration::from_nanos(step.late_by);
        let rest = self.rest(look.process, judgement.challenge);
        self.watch
            .plan(rest.map(|rest| look.now.saturating_add(rest)));
        judgement
    }

    /// When the next look is due, on the watcher's monotonic clock; never before `now`. `None`: no look is
    /// needed unless something happens (the pidfd becomes readable, a heartbeat appears).
    pub fn next_look(&self, now: u64) -> Option<u64> {
        self.watch.planned().map(|planned| planned.max(now))
    }

    /// Whether the next look should read the thread's facts too: the silence will be long enough by then
    /// that its cause may come to matter. [`Thread::Unread`] does until then, and saves reading `/proc`.
    pub fn wants_thread(&self) -> bool {
        self.allowed.is_some_and(|allowed| {
            self.silence.silent.saturating_add(self.limits.gap(allowed)) >= allowed / 8
        })
    }

    /// The bell was rung at `now`, as [`Judgement::challenge`] asked: from now on a beat is owed.
    ///
    /// Without effect for a process that is not idle, or was challenged already.
    pub fn challenged(&mut self, now: u64) {
        if self.idle {
            self.idle = false;
            self.silence.challenge();
            self.watch.restart(now);
            self.allowed = Some(self.limits.challenge_within);
            let gap = self.limits.gap(self.limits.challenge_within);
            self.watch.plan(Some(now.saturating_add(gap)));
        }
    }

    /// Mean and standard deviation of the intervals between beats, as this watcher saw them, and how many
    /// it knows.
    pub fn intervals(&self) -> (Duration, Duration, usize) {
        let (mean, deviation) = self.intervals.mean_and_deviation();
        (
            Duration::from_secs_f64(mean / 1e9),
            Duration::from_secs_f64(deviation / 1e9),
            self.intervals.len(),
        )
    }

    /// The suspicion now: see [`Verdict::Suspect`]. It is 0 where no beat is owed.
    pub fn phi(&self) -> f64 {
        let Some(allowed) = self.allowed else {
            return 0.0;
        };
        let (mean, deviation) = if self.silence.challenged || self.intervals.len() < FEW {
            (allowed as f64 / 2.0, allowed as f64 / 16.0)
        } else {
            self.intervals.mean_and_deviation()
        };
        phi::phi(
            self.silence.silent,
            mean,
            deviation.max(self.limits.deviation_floor),
        )
    }

    /// How long the watcher may rest after this look.
    fn rest(&self, process: Process, challenge: bool) -> Option<u64> {
        let silent = self.silence.silent;
        if self.ended.is_some() {
            return None;
        }
        match (process, self.allowed) {
            (Process::Absent | Process::Ended(_), _) => None,
            (Process::Dumping, _) => {
                let left = self
                    .limits
                    .dump_within
                    .saturating_sub(self.dumping.unwrap_or(0));
                (left > 0).then_some(left)
            }
            (Process::Running(_), Some(allowed)) => {
                let gap = self.limits.gap(allowed);
                // The look that convicts comes just when the time is over.
                let left = allowed
                    .saturating_mul(u64::from(self.watch.stretch()))
                    .saturating_sub(silent);
                Some(if left == 0 { gap } else { gap.min(left) })
            }
            // Who rests can begin to work, and hang, at any time.
            (Process::Running(_), None) => {
                let left = match self.limits.challenge_every {
                    Some(every) if !challenge => every.saturating_sub(silent),
                    _ => u64::MAX,
                };
                Some(self.limits.period.min(left).max(1))
            }
        }
    }
}
