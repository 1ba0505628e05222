//! How long a waiter spins before it sleeps.

use crate::sys::clock::{self, Deadline, Timeout};
use crate::sys::thread;

/// How a [`Server`](crate::Server) or [`Client`](crate::Client) waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wait {
    /// Spins for a moment, gives way to others, then sleeps: fast while messages come quickly, and no CPU time when
    /// none come.
    #[default]
    Adaptive,
    /// Never sleeps: the shortest times, for a core of its own.
    Spin,
    /// Sleeps at once: the least CPU time.
    Park,
}

/// For how long spinning beats sleeping: waking a core that sleeps takes some 40 µs on a virtual machine, so half
/// of that is well spent (measured: 20 µs gives a hundred times the round trips of 2 µs).
const SPIN_NS: u64 = 20_000;
/// Looks in a row without a pause: an answer of a peer that is awake comes within these.
const EAGER_TURNS: u32 = 128;
/// Looks before the clock is read for the first time.
const FREE_TURNS: u32 = 160;
/// The clock is then read once in so many turns.
const TURNS_A_LOOK: u32 = 16;
/// Who never sleeps checks on its peer once in so many turns, a fraction of a millisecond.
const TURNS_A_CHECK: u32 = 4096;
/// How often the core is offered to others before sleeping.
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

/// One wait: counts its turns. Made anew, or [`reset`](Patience::reset), whenever something was found.
#[derive(Debug)]
pub(crate) struct Patience {
    wait: Wait,
    turns: u32,
    yields: u32,
    until: u64,
}

impl Patience {
    #[inline]
    pub(crate) fn new(wait: Wait) -> Patience {
        Patience {
            wait,
            turns: 0,
            yields: 0,
            until: 0,
        }
    }

    /// Something was found, or a sleep has ended: the next wait begins.
    #[inline]
    pub(crate) fn reset(&mut self) {
        self.turns = 0;
        self.yields = 0;
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

    fn slow_step(&mut self, timeout: &mut Timeout) -> Step {
        let spins = self.wait != Wait::Park && !timeout.is_zero();
        if !spins || (self.turns >= FREE_TURNS && self.turns.is_multiple_of(TURNS_A_LOOK)) {
            let step = self.look_at_the_clock(timeout.deadline());
            if step != Step::Again {
                return step;
            }
        }
        // Not back to the eager turns when it wraps.
        self.turns = self.turns.wrapping_add(1).max(EAGER_TURNS);
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
            return Step::TimedOut;
        }
        match self.wait {
            Wait::Park => return Step::Sleep,
            Wait::Spin if self.turns.is_multiple_of(TURNS_A_CHECK) => return self.check(),
            Wait::Spin => return Step::Again,
            Wait::Adaptive => {}
        }
        if self.turns == FREE_TURNS {
            self.until = now.saturating_add(SPIN_NS);
        } else if now >= self.until {
            if self.yields == YIELDS {
                return Step::Sleep;
            }
            self.yields += 1;
            thread::give_way();
        }
        Step::Again
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
            patience.reset();
        }
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
