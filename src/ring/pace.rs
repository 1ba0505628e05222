//! Which of two ways to copy a long record out is the faster one, found out while copying.
//!
//! It depends on the processor, on how far apart the two cores are, and on where the lines are when the writer comes back to
//! them. Between near cores of a Zen 4 (2026-11-29) 64 KiB through 4 MiB of memory take 1.7 µs by the vector registers, and by the
//! string instruction now as much, now 5 µs for seconds on end; between distant ones 23 and 12 µs.

use crate::sys::copy::Way;

/// Records that are copied in one way before it is judged.
const ROUND: u32 = 1024;
/// Of these only the last ones count: it takes several laps until the lines are where this way leaves them.
const JUDGED: u32 = 64;
/// The fastest group of so many of them: some may have been interrupted.
const GROUP: u32 = 8;
/// Rounds between two trials at most.
const SELDOM: u32 = 64;

/// Tries the other way now and then, ever more seldom while it is no faster.
#[derive(Debug)]
pub(super) struct Pace {
    way: Way,
    on_trial: bool,
    /// What the way that was chosen took in its last round.
    known: u64,
    /// Rounds until the next trial, and between two of them.
    rest: u32,
    pause: u32,
    /// Records of this round.
    count: u32,
    group: u64,
    fastest: u64,
    /// When the last one was copied.
    last: u64,
}

impl Pace {
    pub(super) const fn new() -> Pace {
        Pace {
            way: Way::Vector,
            on_trial: false,
            known: u64::MAX,
            rest: 1,
            pause: 1,
            count: 0,
            group: 0,
            fastest: u64::MAX,
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
        self.count += 1;
        if self.count > ROUND - JUDGED {
            self.group = self
                .group
                .saturating_add(nanos.saturating_mul(1 << 20) / len as u64);
            if self.count.is_multiple_of(GROUP) {
                self.fastest = self.fastest.min(std::mem::take(&mut self.group));
            }
        }
        if self.count == ROUND {
            self.count = 0;
            let took = std::mem::replace(&mut self.fastest, u64::MAX);
            match std::mem::take(&mut self.on_trial) {
                true => self.judge(took),
                false => self.go_on(took),
            }
        }
    }

    /// Keeps the way that was on trial if it was faster by an eighth.
    fn judge(&mut self, took: u64) {
        if took < self.known - self.known / 8 {
            self.known = took;
            self.pause = 1;
        } else {
            self.way = self.way.other();
            self.pause = (self.pause * 2).min(SELDOM);
        }
        self.rest = self.pause;
    }

    /// Begins a trial when it is time, or when something has changed: the cores were moved apart, perhaps.
    fn go_on(&mut self, took: u64) {
        let is_slower = took > self.known.saturating_add(self.known / 2);
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
    use super::*;

    const LEN: usize = 64 << 10;

    /// Copies so many rounds where the two ways take so long; how many of them by vectors.
    fn copy(pace: &mut Pace, rounds: u32, vector: u64, string: u64) -> u32 {
        let (mut count, mut now) = (0, pace.last);
        for n in 0..rounds * ROUND {
            let nanos = match pace.way() {
                Way::Vector => vector,
                Way::String => string,
            };
            count += u32::from(pace.way() == Way::Vector);
            // Now and then one is interrupted.
            now += nanos + u64::from(n % 17 == 0) * 1_000_000;
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
    fn what_is_hardly_faster_is_not_worth_a_change() {
        let mut pace = Pace::new();
        let count = copy(&mut pace, 50, 1700, 1600);
        assert!((40..50).contains(&count), "{count} rounds by vectors");
    }
}
