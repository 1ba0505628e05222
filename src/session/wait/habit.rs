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
/// The most short waits that are slept through before a long spin is tried again.
const MOST_SKIPPED: u32 = 64;

/// How the next wait is to be spent.
///
/// * A long spin is tried after a sleep that turned out short, and given up when it was in vain, each time for
///   twice as many short waits as the time before.
/// * Where a wait ended just after the core was lent to somebody, the peer shares it: it is offered at once.
#[derive(Debug, Default)]
pub(super) struct Habit {
    spins_long: bool,
    /// Short waits to sleep through before the next long spin.
    skip: u32,
    /// How many they are after the next one in vain.
    penalty: u32,
    gives_way: bool,
}

impl Habit {
    /// For how long to spin before sleep.
    pub(super) fn budget(&self) -> u64 {
        match self.spins_long {
            true => LONG_SPIN_NS,
            false => SPIN_NS,
        }
    }

    /// For how long to spin before the core is offered.
    pub(super) fn before_offer(&self) -> u64 {
        match self.gives_way {
            true => 0,
            false => SPIN_NS,
        }
    }

    /// Whether the wait may become a long spin.
    pub(super) fn spins_long(&self) -> bool {
        self.spins_long
    }

    /// Whether a core that was away for so many nanoseconds was lent to a peer, perhaps.
    pub(super) fn was_lent(away: u64) -> bool {
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
            self.penalty = 0;
        }
    }

    /// A long spin was in vain, or kept others from the core.
    pub(super) fn give_up(&mut self) {
        self.spins_long = false;
        self.penalty = (self.penalty * 2).clamp(1, MOST_SKIPPED);
        self.skip = self.penalty;
    }

    /// A sleep has ended, after so many nanoseconds of waiting.
    pub(super) fn slept(&mut self, waited: u64) {
        self.gives_way = false;
        if waited <= SHORT_WAIT_NS {
            self.spins_long = self.skip == 0;
            self.skip = self.skip.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_spins_are_tried_after_short_waits_and_ever_more_seldom_when_they_are_in_vain() {
        let mut habit = Habit::default();
        habit.slept(SHORT_WAIT_NS + 1);
        assert_eq!(habit.budget(), SPIN_NS, "a long wait teaches nothing");
        let mut skipped = Vec::new();
        for _ in 0..9 {
            let mut count = 0;
            habit.slept(SHORT_WAIT_NS);
            while !habit.spins_long() {
                habit.slept(SHORT_WAIT_NS);
                count += 1;
            }
            assert_eq!(habit.budget(), LONG_SPIN_NS);
            skipped.push(count);
            habit.give_up();
            assert_eq!(habit.budget(), SPIN_NS);
        }
        assert_eq!(skipped, [0, 1, 2, 4, 8, 16, 32, 64, 64]);
        habit.found(false, true);
        habit.give_up();
        assert_eq!(habit.skip, 1, "it has paid meanwhile");
    }

    #[test]
    fn a_core_that_was_lent_for_an_answer_is_offered_at_once_the_next_time() {
        let mut habit = Habit::default();
        assert_eq!(habit.before_offer(), SPIN_NS);
        for (away, is_lent) in [(300, false), (5_000, true), (200_000, false)] {
            assert_eq!(Habit::was_lent(away), is_lent);
            habit.found(is_lent, false);
            let before = if is_lent { 0 } else { SPIN_NS };
            assert_eq!(habit.before_offer(), before, "away for {away}");
        }
        habit.found(true, false);
        habit.slept(0);
        assert_eq!(habit.before_offer(), SPIN_NS, "it was offered in vain");
    }
}
