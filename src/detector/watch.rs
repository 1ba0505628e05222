//! The watcher's view of itself: was it in time, was it stopped, was the machine asleep?
//!
//! A silence is measured on the *watched clock*. It is the monotonic clock without the time in which the
//! watcher was not watching: a look that comes late adds only the time after which it was planned, so that
//! a watcher which was stopped (perhaps together with the process that it watches) does not blame others
//! for the time that it missed. Each late look also makes the watcher trust itself less, as in Lifeguard:
//! its health score rises by one, and every allowance is stretched by the score plus one; each look in time
//! takes one off again.

/// The greatest factor by which an allowance is stretched (a score of 7, plus one).
pub(crate) const MOST_STRETCH: u32 = 8;

/// The difference of the two clocks jitters by the time between reading the one and the other; a suspension
/// is longer.
const SUSPENSION: u64 = 50_000_000;

/// How a look stands to the time for which it was planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timing {
    /// Nothing had been planned: the first look of all, or one that was not needed.
    Unplanned,
    /// Before its time: something else woke the watcher.
    Early,
    /// As planned, or so little later that it makes no difference.
    InTime,
    /// Later than can be overlooked.
    Late,
    /// The machine was suspended since the look before.
    Resumed,
}

/// A look, seen as a step of the watched clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) timing: Timing,
    /// By how much the watched clock goes on, in nanoseconds.
    pub(crate) credit: u64,
    /// How late the look was, in nanoseconds.
    pub(crate) late_by: u64,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Watch {
    last: Option<u64>,
    planned: Option<u64>,
    suspended: Option<u64>,
    score: u32,
}

impl Watch {
    /// Takes note of a look.
    pub(crate) fn step(&mut self, now: u64, suspended: u64, tolerance: u64) -> Step {
        let last = self.last;
        self.last = Some(last.map_or(now, |last| last.max(now)));
        let before = self.suspended.replace(suspended).unwrap_or(suspended);
        if suspended.saturating_sub(before) >= SUSPENSION {
            self.planned = None;
            return Step {
                timing: Timing::Resumed,
                credit: 0,
                late_by: 0,
            };
        }
        let (Some(last), Some(planned)) = (last, self.planned) else {
            return Step {
                timing: Timing::Unplanned,
                credit: 0,
                late_by: 0,
            };
        };
        let late_by = now.saturating_sub(planned);
        if now < planned {
            return Step {
                timing: Timing::Early,
                credit: now.saturating_sub(last),
                late_by,
            };
        }
        self.planned = None;
        if late_by <= tolerance {
            self.score = self.score.saturating_sub(1);
            Step {
                timing: Timing::InTime,
                credit: now.saturating_sub(last),
                late_by,
            }
        } else {
            self.score = (self.score + 1).min(MOST_STRETCH - 1);
            Step {
                timing: Timing::Late,
                credit: planned.saturating_sub(last),
                late_by,
            }
        }
    }

    /// Plans the next look. A look that is already planned for an earlier time stays: a watcher that is
    /// often woken early would otherwise never come to a look of its own.
    pub(crate) fn plan(&mut self, next: Option<u64>) {
        self.planned = match (self.planned, next) {
            (Some(old), Some(new)) => Some(old.min(new)),
            (_, new) => new,
        };
    }

    /// Begins to count anew at `now`.
    pub(crate) fn restart(&mut self, now: u64) {
        self.last = Some(now);
        self.planned = None;
    }

    /// When the next look is due.
    pub(crate) fn planned(&self) -> Option<u64> {
        self.planned
    }

    /// The factor by which allowances are stretched now: 1 to [`MOST_STRETCH`].
    pub(crate) fn stretch(&self) -> u32 {
        self.score + 1
    }
}
