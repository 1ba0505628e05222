//! What a waiter has learnt from its waits: how long to spin, and whether to offer its core.

use std::ops::Range;

/// For how long spinning beats sleeping: waking a core that sleeps takes some 40 µs on a virtual machine, so half
/// of that is well spent (measured: 20 µs gives a hundred times the round trips of 2 µs).
pub(super) const SPIN_NS: u64 = 20_000;
/// For how long it does where that was seen to pay: twice what a sleep costs both sides, and as long as the other side copies
/// a megabyte out and another one in (100 to 150 µs between distant cores; with 100 µs each such call slept, for 1.4 times the time).
const LONG_SPIN_NS: u64 = 200_000;
/// A wait of this length, the time to wake included, would have ended within a long spin, or nearly.
const SHORT_WAIT_NS: u64 = 300_000;
/// Who offers its core and has it back after this time was alone in wanting it.
const ALONE_NS: u64 = 10_000;
/// Who has it back after such a time has lent it to somebody who needed it for as little as a message takes.
const LENT_NS: Range<u64> = 1_000..100_000;
/// Where it was away for so long, others compute on it, and who sleeps is back sooner than who offers it: on one core with eight
/// busy processes a call takes 90 µs instead of 9 ms.
const AWAY_NS: u64 = 1_000_000;
/// So it is not offered again for so many times as long.
const KEPT_FOR: u64 = 100;
/// The most times that something is not done before it is tried again.
const MOST_SKIPPED: u32 = 64;

/// Something that may pay: it is done until it is in vain, and then not for a while, each time twice as long.
#[derive(Debug, Default)]
struct Trial {
    /// How many times not, until it is tried again.
    skip: u32,
    /// How many they are after the next failure.
    penalty: u32,
}

impl Trial {
    /// Whether it is to be done this time.
    fn is_due(&mut self) -> bool {
        let is_due = self.skip == 0;
        self.skip = self.skip.saturating_sub(1);
        is_due
    }

    fn paid(&mut self) {
        *self = Trial::default();
    }

    fn failed(&mut self) {
        self.penalty = (self.penalty * 2).clamp(1, MOST_SKIPPED);
        self.skip = self.penalty;
    }
}

/// How the next wait is to be spent.
///
/// * A *short spin* comes before sleep, as long as that pays.
/// * A *long spin* follows it after a sleep that turned out short, as long as that pays.
/// * Where a wait ended just after the core was lent to somebody, the peer shares it: it is offered at once.
/// * Where the core did not come back for long when it was offered, it is not offered.
#[derive(Debug, Default)]
pub(super) struct Habit {
    short: Trial,
    long: Trial,
    spins_long: bool,
    gives_way: bool,
    keeps_until: u64,
}

impl Habit {
    /// For how long to spin in the wait that begins.
    pub(super) fn budget(&mut self) -> u64 {
        match self.spins_long {
            true => LONG_SPIN_NS,
            false if self.short.is_due() => SPIN_NS,
            false => 0,
        }
    }

    /// How much of that is spent before the core is offered.
    pub(super) fn before_offer(&self, budget: u64) -> u64 {
        match self.gives_way {
            true => 0,
            false => budget.min(SPIN_NS),
        }
    }

    /// Whether the wait may become a long spin.
    pub(super) fn spins_long(&self) -> bool {
        self.spins_long
    }

    /// Whether the core is kept until sleep.
    pub(super) fn keeps(&self, now: u64) -> bool {
        now < self.keeps_until
    }

    /// The core was offered, and was back after so many nanoseconds. Whether it was lent to a peer, perhaps.
    pub(super) fn offered(&mut self, now: u64, away: u64) -> bool {
        if away >= AWAY_NS {
            self.keeps_until = now.saturating_add(away.saturating_mul(KEPT_FOR));
        }
        LENT_NS.contains(&away)
    }

    /// Whether nobody else wanted a core that was away for so many nanoseconds.
    pub(super) fn was_alone(away: u64) -> bool {
        away <= ALONE_NS
    }

    /// A spin, or the core that was lent, has brought something.
    pub(super) fn found(&mut self, was_lent: bool, is_long: bool) {
        self.gives_way = was_lent;
        if is_long {
            self.long.paid();
        }
        if !was_lent {
            self.short.paid();
        }
    }

    /// A spin has ended in vain.
    pub(super) fn spun_in_vain(&mut self) {
        if self.spins_long {
            self.give_up();
        }
    }

    /// A long spin was in vain, or kept others from the core.
    pub(super) fn give_up(&mut self) {
        self.spins_long = false;
        self.long.failed();
    }

    /// A sleep has ended, after so many nanoseconds of waiting, of which some were spun or not.
    pub(super) fn slept(&mut self, waited: u64, has_spun: bool) {
        if waited <= SHORT_WAIT_NS {
            if has_spun {
                self.short.failed();
            }
            self.spins_long = self.long.is_due();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// How many waits, each as `wait` says, come before each of nine for which `is_it`.
    fn skipped(
        habit: &mut Habit,
        mut wait: impl FnMut(&mut Habit),
        mut is_it: impl FnMut(&mut Habit) -> bool,
    ) -> [u32; 9] {
        [(); 9].map(|()| {
            let mut count = 0;
            wait(habit);
            while !is_it(habit) {
                wait(habit);
                count += 1;
            }
            count
        })
    }

    const EVER_MORE: [u32; 9] = [0, 1, 2, 4, 8, 16, 32, 64, 64];

    #[test]
    fn long_spins_are_tried_after_short_waits_and_ever_more_seldom_when_they_are_in_vain() {
        let mut habit = Habit::default();
        habit.slept(SHORT_WAIT_NS + 1, true);
        assert_eq!(habit.budget(), SPIN_NS, "a long wait teaches nothing");
        let is_long = |habit: &mut Habit| {
            let is_long = habit.budget() == LONG_SPIN_NS;
            habit.spun_in_vain();
            assert!(!habit.spins_long());
            is_long
        };
        let wait = |habit: &mut Habit| habit.slept(SHORT_WAIT_NS, false);
        assert_eq!(skipped(&mut habit, wait, is_long), EVER_MORE);
        habit.found(false, true);
        assert_eq!(skipped(&mut habit, wait, is_long), EVER_MORE, "it has paid");
    }

    #[test]
    fn short_spins_that_are_in_vain_before_short_waits_are_left_out_ever_more_often() {
        let mut habit = Habit::default();
        // No long spin comes in between.
        habit.long.skip = u32::MAX;
        for _ in 0..9 {
            assert_eq!(habit.budget(), SPIN_NS);
            habit.slept(SHORT_WAIT_NS + 1, true);
        }
        let spins = |habit: &mut Habit| {
            let spins = habit.budget() > 0;
            habit.slept(SHORT_WAIT_NS, spins);
            spins
        };
        assert_eq!(skipped(&mut habit, |_| {}, spins), EVER_MORE);
        habit.found(true, false);
        assert_eq!(habit.budget(), 0, "that was no spin");
        habit.found(false, false);
        assert_eq!(skipped(&mut habit, |_| {}, spins), EVER_MORE, "it has paid");
    }

    #[test]
    fn a_core_that_was_lent_for_an_answer_is_offered_at_once_the_next_time() {
        let mut habit = Habit::default();
        assert_eq!(habit.before_offer(LONG_SPIN_NS), SPIN_NS);
        for (away, was_lent) in [
            (300, false),
            (5_000, true),
            (200_000, false),
            (5 * MS, false),
        ] {
            assert_eq!(habit.offered(MS, away), was_lent);
            habit.found(was_lent, false);
            let before = if was_lent { 0 } else { SPIN_NS };
            assert_eq!(habit.before_offer(SPIN_NS), before, "away for {away}");
        }
    }

    #[test]
    fn a_core_that_did_not_come_back_for_long_is_kept_for_a_hundred_times_as_long() {
        let mut habit = Habit::default();
        habit.offered(7 * MS, MS - 1);
        assert!(!habit.keeps(7 * MS));
        habit.offered(7 * MS, 10 * MS);
        assert!(habit.keeps(7 * MS) && habit.keeps(1007 * MS - 1));
        assert!(!habit.keeps(1007 * MS));
        habit.offered(u64::MAX - 1, u64::MAX);
        assert!(habit.keeps(u64::MAX - 1));
    }
}
