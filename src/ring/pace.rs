//! Which of two ways to copy a long record out is the faster one, found out while copying.
//!
//! It depends on the processor, on how far apart the two cores are, and on where the lines are when the writer comes back to
//! them. Between near cores of a Zen 4 (2026-11-29) 64 KiB through 4 MiB of memory take 1.7 µs by the vector registers, and by the
//! string instruction now as much, now 5 µs for seconds on end; between distant ones 23 and 12 µs.

use crate::sys::copy::Way;

/// Records that are copied in one way before it is judged.
const ROUND: usize = 1024;
/// Of these only the last ones count, in groups: it takes several laps until the lines are where this way leaves them.
const GROUPS: usize = 8;
const GROUP: usize = 8;
const JUDGED: usize = GROUPS * GROUP;
/// Rounds between two trials at most.
const SELDOM: u32 = 64;

/// Tries the other way now and then, ever more seldom while it is no faster.
#[derive(Debug)]
pub(super) struct Pace {
    way: Way,
    on_trial: bool,
    /// What the way that was chosen took in its last round.
    known: Times,
    /// Rounds until the next trial, and between two of them.
    rest: u32,
    pause: u32,
    /// Records of this round.
    count: usize,
    groups: [u64; GROUPS],
    /// When the last one was copied.
    last: u64,
}

/// What the groups of a round took, in nanoseconds for each mebibyte. Some may have been interrupted.
#[derive(Clone, Copy, Debug)]
struct Times {
    fastest: u64,
    middle: u64,
}

impl Pace {
    pub(super) const fn new() -> Pace {
        Pace {
            way: Way::Vector,
            on_trial: false,
            known: Times {
                fastest: u64::MAX,
                middle: u64::MAX,
            },
            rest: 1,
            pause: 1,
            count: 0,
            groups: [0; GROUPS],
            last: 0,
        }
    }

    /// How the next one is to be copied.
    pub(super) fn way(&self) -> Way {
        self.way
    }

    /// So many bytes (not 0) were copied by the time `now`, in nanoseconds. What counts is the time since the last ones: one way can
    /// be the slower one because the writer then waits for its lines.
    pub(super) fn copied(&mut self, now: u64, len: usize) {
        let nanos = now.saturating_sub(std::mem::replace(&mut self.last, now));
        let judged = (self.count + JUDGED).checked_sub(ROUND);
        if let Some(group) = judged.and_then(|n| self.groups.get_mut(n / GROUP)) {
            *group = group.saturating_add(nanos.saturating_mul(1 << 20) / len as u64);
        }
        self.count += 1;
        if self.count == ROUND {
            self.count = 0;
            let mut groups = std::mem::take(&mut self.groups);
            groups.sort_unstable();
            let took = Times {
                fastest: groups[0],
                middle: groups[GROUPS / 2],
            };
            match std::mem::take(&mut self.on_trial) {
                true => self.judge(took),
                false => self.go_on(took),
            }
        }
    }

    /// Keeps the way that was on trial if it was mostly faster, by an eighth, than the other one ever was: where records come
    /// now and then, what each way takes is chance.
    fn judge(&mut self, took: Times) {
        let fastest = self.known.fastest;
        if took.middle < fastest - fastest / 8 {
            self.known = took;
            self.pause = 1;
        } else {
            self.way = self.way.other();
            self.pause = (self.pause * 2).min(SELDOM);
        }
        self.rest = self.pause;
    }

    /// Begins a trial when it is time, or when something has changed: the cores were moved apart, perhaps.
    fn go_on(&mut self, took: Times) {
        let known = self.known.middle;
        let is_slower = took.fastest > known.saturating_add(known / 2);
        self.known = took;
        if is_slower {
            (self.pause, self.rest) = (1, 1);
        }
        self.rest = self.rest.saturating_sub(1);
        if self.rest == 0 {
            self.on_trial = true;
            self.way = self.way.other();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LEN: usize = 64 << 10;

    /// Copies so many rounds where the two ways take so long; how many of them by vectors.
    fn copy(pace: &mut Pace, rounds: usize, vector: u64, string: u64) -> usize {
        let (mut count, mut now) = (0, pace.last);
        for n in 0..rounds * ROUND {
            let nanos = match pace.way() {
                Way::Vector => vector,
                Way::String => string,
            };
            count += usize::from(pace.way() == Way::Vector);
            // Now and then one is interrupted.
            now += nanos + u64::from(n % 97 == 0) * 1_000_000;
            pace.copied(now, LEN);
        }
        count / ROUND
    }

    #[test]
    fn the_faster_way_is_found_and_the_other_tried_ever_more_seldom() {
        let mut near = Pace::new();
        let count = copy(&mut near, 200, 1700, 5000);
        assert!((190..200).contains(&count), "{count} rounds by vectors");
        let mut far = Pace::new();
        let count = copy(&mut far, 200, 23_000, 12_000);
        assert!((2..10).contains(&count), "{count} rounds by vectors");
    }

    #[test]
    fn a_change_is_noticed_at_once() {
        let mut pace = Pace::new();
        copy(&mut pace, 100, 1700, 5000);
        let count = copy(&mut pace, 20, 23_000, 12_000);
        assert!((1..6).contains(&count), "{count} rounds by vectors");
        let count = copy(&mut pace, 20, 1700, 20_000);
        assert!(count >= 14, "{count} rounds by vectors");
    }

    #[test]
    fn records_that_come_now_and_then_are_seldom_a_reason_to_change() {
        let mut random = 1_u64;
        // Exponential, with this mean: the inverse of its distribution function.
        let mut gap = |mean: f64| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let share = ((random >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
            Duration::from_nanos(1).mul_f64(-share.ln() * mean)
        };
        for mean in [10_000.0, 50_000.0, 500_000.0] {
            let (mut pace, mut changes, mut trials) = (Pace::new(), 0, 0);
            let mut sent = Duration::ZERO;
            for n in 1..=400 * ROUND {
                let (way, on_trial) = (pace.way, pace.on_trial);
                let took = match way {
                    Way::Vector => 2000,
                    Way::String => 5000,
                };
                sent += gap(mean);
                let begun = u64::try_from(sent.as_nanos()).unwrap().max(pace.last);
                pace.copied(begun + took, LEN);
                if n.is_multiple_of(ROUND) && on_trial {
                    trials += 1;
                    changes += u32::from(pace.way == way);
                }
            }
            assert!(trials < 30 && changes < 4, "{mean} ns: {trials}, {changes}");
        }
    }

    #[test]
    fn what_is_hardly_faster_is_not_worth_a_change() {
        let mut pace = Pace::new();
        let count = copy(&mut pace, 50, 1700, 1600);
        assert!((40..50).contains(&count), "{count} rounds by vectors");
    }
}
