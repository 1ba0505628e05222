//! How long a waiter spins before it sleeps.

mod habit;

use self::habit::{Habit, SPIN_NS};
use crate::sys::clock::{self, Deadline, Timeout};
use crate::sys::thread;

/// How a [`Server`](crate::Server) or [`Client`](crate::Client) waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wait {
    /// Spins for a moment, gives way to others, then sleeps: fast while messages come quickly, and no CPU time when
    /// none come. It learns from wait to wait how long to spin, and whether the peer shares its core.
    #[default]
    Adaptive,
    /// Never sleeps: the shortest times, for a core of its own.
    Spin,
    /// Sleeps at once: the least CPU time.
    Park,
}

/// Looks in a row without a pause: an answer of a peer that is awake comes within these.
const EAGER_TURNS: u32 = 128;
/// Looks before the clock is read for the first time.
const FREE_TURNS: u32 = 160;
/// The clock is then read once in so many turns.
const TURNS_A_LOOK: u32 = 16;
/// Who never sleeps checks on its peer once in so many turns, a fraction of a millisecond.
const TURNS_A_CHECK: u32 = 4096;
/// How often the core is offered to others before sleeping, and before a spin becomes a long one.
const YIELDS: u32 = 2;

/// What a waiter that found nothing does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Look again.
    Again,
    /// Look at what is looked at seldom: whether the peer still lives.
    Check,
    /// Sleep.
    Sleep,
    /// The deadline has passed.
    TimedOut,
}

/// How one side waits, time after time.
#[derive(Debug)]
pub(crate) struct Patience {
    wait: Wait,
    habit: Habit,
    turns: u32,
    yields: u32,
    /// When this wait began, as far as a clock was looked at.
    since: u64,
    /// When to offer the core next.
    until: u64,
    /// Whether the core was lent to somebody since the last look at the clock.
    was_lent: bool,
    /// Whether the spin has become a long one.
    is_long: bool,
    /// Until when a sleep lasts that nothing ends, in a wait that sleeps.
    sleeps_until: Option<u64>,
}

impl Patience {
    pub(crate) fn new(wait: Wait) -> Patience {
        Patience {
            wait,
            habit: Habit::default(),
            turns: 0,
            yields: 0,
            since: 0,
            until: 0,
            was_lent: false,
            is_long: false,
            sleeps_until: None,
        }
    }

    pub(crate) fn wait(&self) -> Wait {
        self.wait
    }

    /// Whether looks still follow one another without a pause.
    #[inline]
    pub(crate) fn is_eager(&self) -> bool {
        self.turns < EAGER_TURNS
    }

    /// The next wait begins: something was found, or a sleep has ended.
    #[inline]
    pub(crate) fn begin(&mut self) {
        // What the eager turns brought teaches nothing.
        if self.turns > EAGER_TURNS {
            self.learn();
        }
        self.turns = 0;
    }

    fn learn(&mut self) {
        let is_long = std::mem::take(&mut self.is_long);
        if let (Some(until), Wait::Adaptive) = (self.sleeps_until.take(), self.wait) {
            let now = clock::monotonic_ns();
            // One that its deadline has ended says nothing of when something comes.
            if now < until {
                self.habit.slept(now.saturating_sub(self.since));
            }
        } else if self.turns > FREE_TURNS {
            self.habit.found(self.was_lent, is_long);
        }
        self.yields = 0;
        self.was_lent = false;
    }

    /// Passes a moment, and says what to do then. Spinning, it looks at the clock now and then; sleeping is to
    /// be done until the timeout's deadline.
    #[inline]
    pub(crate) fn step(&mut self, timeout: &mut Timeout) -> Step {
        if self.turns < EAGER_TURNS && self.wait != Wait::Park && !timeout.is_zero() {
            self.turns += 1;
            return Step::Again;
        }
        self.slow_step(timeout)
    }

    /// As [`step`](Patience::step), where a look is a call of the kernel: fewer of them.
    pub(crate) fn dear_step(&mut self, timeout: &mut Timeout) -> Step {
        // The time begins to pass with the first look.
        timeout.deadline();
        self.turns = self.turns.max(EAGER_TURNS);
        self.slow_step(timeout)
    }

    fn slow_step(&mut self, timeout: &mut Timeout) -> Step {
        if self.wait == Wait::Park && timeout.begins() {
            return Step::Sleep;
        }
        let spins = self.wait != Wait::Park && !timeout.is_zero();
        if !spins || (self.turns >= FREE_TURNS && self.turns.is_multiple_of(TURNS_A_LOOK)) {
            let step = self.look_at_the_clock(timeout.deadline());
            if step != Step::Again {
                return step;
            }
        }
        // Not back to the eager turns when it wraps.
        self.turns = self.turns.wrapping_add(1).max(EAGER_TURNS + 1);
        std::hint::spin_loop();
        Step::Again
    }

    fn check(&mut self) -> Step {
        self.turns = self.turns.wrapping_add(1);
        Step::Check
    }

    fn look_at_the_clock(&mut self, deadline: Deadline) -> Step {
        let now = clock::monotonic_ns();
        if deadline.as_ns().is_some_and(|at| now >= at) {
            if std::mem::take(&mut self.is_long) {
                self.habit.give_up();
            }
            // Else it teaches nothing, as nothing has come.
            (self.turns, self.yields, self.was_lent) = (0, 0, false);
            self.sleeps_until = None;
            return Step::TimedOut;
        }
        match self.wait {
            Wait::Park => return Step::Sleep,
            Wait::Spin if self.turns.is_multiple_of(TURNS_A_CHECK) => return self.check(),
            Wait::Spin => return Step::Again,
            Wait::Adaptive => {}
        }
        self.was_lent = false;
        if self.turns == FREE_TURNS {
            self.since = now;
            self.until = now.saturating_add(self.habit.before_offer());
        }
        if now >= self.until {
            if self.yields >= YIELDS && now.saturating_sub(self.since) >= self.habit.budget() {
                return self.sleep(deadline);
            }
            self.offer(now);
        }
        Step::Again
    }

    fn sleep(&mut self, deadline: Deadline) -> Step {
        if std::mem::take(&mut self.is_long) {
            self.habit.give_up();
        }
        self.sleeps_until = Some(deadline.as_ns().unwrap_or(u64::MAX));
        Step::Sleep
    }

    /// Offers the core to others. Where one of them took it, a long spin is over.
    fn offer(&mut self, now: u64) {
        self.yields += 1;
        thread::give_way();
        self.came_back(now, clock::monotonic_ns());
    }

    fn came_back(&mut self, from: u64, back: u64) {
        let away = back.saturating_sub(from);
        self.was_lent = Habit::was_lent(away);
        if self.yields < YIELDS || !self.habit.spins_long() {
            return;
        }
        self.is_long = Habit::was_alone(away);
        if self.is_long {
            self.until = back.saturating_add(SPIN_NS);
        } else {
            self.habit.give_up();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEVER: Timeout = Timeout::new(std::time::Duration::MAX);

    #[test]
    fn parking_sleeps_at_once_and_spinning_never() {
        assert_eq!(
            Patience::new(Wait::Park).step(&mut NEVER.clone()),
            Step::Sleep
        );
        let mut spinning = Patience::new(Wait::Spin);
        let mut never = NEVER;
        let steps: Vec<Step> = (0..100_000).map(|_| spinning.step(&mut never)).collect();
        assert!(!steps.contains(&Step::Sleep) && steps.contains(&Step::Check));
    }

    #[test]
    fn an_adaptive_wait_comes_to_an_end_and_begins_anew_after_a_find() {
        let mut patience = Patience::new(Wait::Adaptive);
        let mut never = NEVER;
        for _ in 0..2 {
            let mut turns = 0_u64;
            while patience.step(&mut never) == Step::Again {
                turns += 1;
                assert!(turns < 100_000_000, "it never sleeps");
            }
            assert!(turns > u64::from(FREE_TURNS));
            patience.begin();
        }
    }

    #[test]
    fn who_was_woken_soon_spins_for_longer_the_next_time() {
        let mut patience = Patience::new(Wait::Adaptive);
        let mut never = NEVER;
        let mut spin = |patience: &mut Patience| {
            let from = clock::monotonic_ns();
            while patience.step(&mut never) == Step::Again {}
            let spun = clock::monotonic_ns() - from;
            // As if it had been woken in no time.
            patience.since = u64::MAX;
            patience.begin();
            spun
        };
        let short = spin(&mut patience);
        assert!(patience.habit.spins_long());
        // Unless another thread took the core when it was offered.
        let long = spin(&mut patience);
        assert!(!patience.habit.spins_long());
        assert!(long > 2 * short || patience.yields < 3, "{short}, {long}");
    }

    #[test]
    fn the_core_is_offered_late_or_at_once() {
        let mut patience = Patience::new(Wait::Adaptive);
        let mut never = NEVER;
        let mut turns_to_offer = |patience: &mut Patience| {
            while patience.yields == 0 {
                assert_eq!(patience.step(&mut never), Step::Again);
            }
            patience.turns
        };
        let mut offered_after = |patience: &mut Patience, away: u64| {
            let turns = turns_to_offer(patience);
            patience.came_back(0, away);
            patience.begin();
            turns
        };
        assert!(offered_after(&mut patience, 5_000) > FREE_TURNS + 1);
        assert_eq!(offered_after(&mut patience, 300), FREE_TURNS + 1);
        assert!(offered_after(&mut patience, 5_000) > FREE_TURNS + 1);
        turns_to_offer(&mut patience);
        patience.came_back(0, 300);
        patience.came_back(0, 5_000);
        assert_eq!(
            patience.look_at_the_clock(Deadline::passed()),
            Step::TimedOut
        );
        patience.begin();
        assert_eq!(
            turns_to_offer(&mut patience),
            FREE_TURNS + 1,
            "that taught nothing"
        );
    }

    #[test]
    fn a_spin_becomes_a_long_one_where_nobody_else_wants_the_core() {
        for (away, is_long) in [(300, true), (50_000, false)] {
            let mut patience = Patience::new(Wait::Adaptive);
            patience.habit.slept(0);
            patience.came_back(0, away);
            assert!(!patience.is_long, "it was offered once");
            patience.yields = YIELDS;
            patience.came_back(0, away);
            assert_eq!(
                (patience.is_long, patience.habit.spins_long()),
                (is_long, is_long)
            );
        }
    }

    #[test]
    fn what_its_deadline_has_ended_teaches_not_to_spin() {
        let mut patience = Patience::new(Wait::Adaptive);
        patience.turns = FREE_TURNS;
        patience.since = clock::monotonic_ns();
        patience.sleeps_until = Some(patience.since);
        patience.begin();
        assert!(
            !patience.habit.spins_long(),
            "a sleep that nothing else ended"
        );
        patience.habit.slept(0);
        assert!(patience.habit.spins_long());
        patience.is_long = true;
        assert_eq!(
            patience.look_at_the_clock(Deadline::passed()),
            Step::TimedOut
        );
        assert!(!patience.habit.spins_long(), "a long spin in vain");
    }

    #[test]
    fn no_time_is_up_at_once_and_a_little_soon() {
        for wait in [Wait::Adaptive, Wait::Spin, Wait::Park] {
            let mut none = Timeout::new(std::time::Duration::ZERO);
            assert_eq!(Patience::new(wait).step(&mut none), Step::TimedOut);
        }
        let mut little = Timeout::new(std::time::Duration::from_micros(50));
        let mut spinning = Patience::new(Wait::Spin);
        while spinning.step(&mut little) != Step::TimedOut {}
    }
}
