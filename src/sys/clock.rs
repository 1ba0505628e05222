//! The clocks, and the one type for "not later than".
//!
//! Everything above `sys` is given times as arguments; only here are clocks read.

use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::error::Error;

const NANOS_PER_SEC: u64 = 1_000_000_000;

/// By how much the coarse clock may be behind: a tick of the slowest kernels (CONFIG_HZ=100).
const TICK: u64 = 10_000_000;

/// A timeout of so many seconds, a century, is for ever to a peer. Added to the clock it is far from the end of its range.
const FAR: u64 = 100 * 365 * 24 * 3600;

/// `CLOCK_MONOTONIC` in nanoseconds.
#[inline]
pub(crate) fn monotonic_ns() -> u64 {
    read(ClockId::Monotonic)
}

/// `CLOCK_MONOTONIC` as of the last tick: up to some milliseconds behind, and several times cheaper.
#[inline]
pub(crate) fn coarse_ns() -> u64 {
    read(ClockId::MonotonicCoarse)
}

/// `CLOCK_BOOTTIME` in nanoseconds: `CLOCK_MONOTONIC` with the time of suspends.
#[inline]
pub(crate) fn boottime_ns() -> u64 {
    read(ClockId::Boottime)
}

/// `CLOCK_REALTIME` in nanoseconds since 1970; 0 for times before.
#[inline]
pub(crate) fn realtime_ns() -> u64 {
    read(ClockId::Realtime)
}

#[inline]
fn read(clock: ClockId) -> u64 {
    let now = clock_gettime(clock);
    if now.tv_sec < 0 {
        return 0;
    }
    // The kernel's own times are 64 bits of nanoseconds.
    now.tv_sec
        .cast_unsigned()
        .wrapping_mul(NANOS_PER_SEC)
        .wrapping_add(now.tv_nsec.cast_unsigned())
}

/// The point in time (on `CLOCK_MONOTONIC`) at which a wait ends, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Deadline {
    at: Option<u64>,
    allowed: Duration,
}

impl Deadline {
    /// The deadline `timeout` from now; a sum beyond the clock's range never comes.
    pub(crate) fn after(timeout: Duration) -> Deadline {
        let at = u64::try_from(timeout.as_nanos())
            .ok()
            .and_then(|nanos| monotonic_ns().checked_add(nanos));
        Deadline {
            at,
            allowed: timeout,
        }
    }

    /// The deadline that never comes.
    pub(crate) const fn never() -> Deadline {
        Deadline {
            at: None,
            allowed: Duration::MAX,
        }
    }

    /// The deadline that has passed: look, but do not wait.
    pub(crate) const fn passed() -> Deadline {
        Deadline {
            at: Some(0),
            allowed: Duration::ZERO,
        }
    }

    /// The deadline at this value of [`monotonic_ns`].
    pub(crate) fn at_ns(at: u64) -> Deadline {
        Deadline {
            at: Some(at),
            allowed: Duration::from_nanos(at.saturating_sub(monotonic_ns())),
        }
    }

    /// This deadline as a value of [`monotonic_ns`]; `None` if it never comes.
    pub(crate) const fn as_ns(self) -> Option<u64> {
        self.at
    }

    /// The time left: zero once it has passed, `None` if it never comes.
    pub(crate) fn remaining(self) -> Option<Duration> {
        self.at
            .map(|at| Duration::from_nanos(at.saturating_sub(monotonic_ns())))
    }

    /// Whether it has passed.
    pub(crate) fn has_passed(self) -> bool {
        self.at.is_some_and(|at| monotonic_ns() >= at)
    }

    /// The earlier of the two.
    pub(crate) fn min(self, other: Deadline) -> Deadline {
        match (self.at, other.at) {
            (_, None) => self,
            (None, Some(_)) => other,
            (Some(a), Some(b)) => {
                if a <= b {
                    self
                } else {
                    other
                }
            }
        }
    }

    /// The error to return when it has passed.
    pub(crate) fn timed_out(self, waiting_for: impl Into<String>) -> Error {
        Error::TimedOut {
            waiting_for: waiting_for.into(),
            after: self.allowed,
        }
    }
}

/// Waits between looks at what no descriptor tells of: from 0.1 ms, doubling up to 10 ms.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    next: Duration,
}

impl Backoff {
    const FIRST: Duration = Duration::from_micros(100);
    const LONGEST: Duration = Duration::from_millis(10);

    /// The first wait will be the shortest.
    pub(crate) const fn new() -> Backoff {
        Backoff {
            next: Backoff::FIRST,
        }
    }

    /// Waits, and not past the deadline. `false`: it has passed already, and nothing was waited for.
    pub(crate) fn wait(&mut self, deadline: Deadline) -> bool {
        let left = deadline.remaining().unwrap_or(Duration::MAX);
        if left.is_zero() {
            return false;
        }
        let wait = self.next.min(left);
        let request = Timespec {
            tv_sec: 0,
            tv_nsec: wait.subsec_nanos().into(),
        };
        // Ended early by a signal, it is only a shorter wait.
        let _ = rustix::thread::nanosleep(&request);
        self.next = (self.next * 2).min(Backoff::LONGEST);
        true
    }
}

/// A timeout whose deadline is computed when it first matters: reading the clock costs as much as a short message.
///
/// It counts from the first [`deadline`](Timeout::deadline), which callers ask for after a bounded number of looks, a few
/// microseconds after they were called.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeout {
    allowed: Duration,
    deadline: Option<Deadline>,
}

impl Timeout {
    #[inline]
    pub(crate) const fn new(allowed: Duration) -> Timeout {
        Timeout {
            allowed,
            deadline: None,
        }
    }

    /// Whether nothing is to be waited for at all.
    #[inline]
    pub(crate) const fn is_zero(&self) -> bool {
        self.allowed.is_zero()
    }

    /// The deadline, the same from the first call on.
    pub(crate) fn deadline(&mut self) -> Deadline {
        *self
            .deadline
            .get_or_insert_with(|| Deadline::after(self.allowed))
    }

    /// Computes the deadline; whether it did so just now and there is something to wait for, so that it cannot have passed.
    pub(crate) fn begins(&mut self) -> bool {
        let begins = self.deadline.is_none() && !self.is_zero();
        self.deadline();
        begins
    }

    /// The deadline for a peer's eyes, in nanoseconds, by the coarse clock, which is cheaper: at most a tick late and
    /// never early. 0 for none.
    #[inline(always)]
    pub(crate) fn expires(&self) -> u64 {
        match self.deadline {
            None => expires_in(self.allowed),
            Some(deadline) => deadline.as_ns().unwrap_or(0),
        }
    }
}

/// As [`Timeout::expires`], of one that begins now.
#[inline(always)]
pub(crate) fn expires_in(allowed: Duration) -> u64 {
    if allowed.as_secs() >= FAR {
        return 0;
    }
    let allowed = allowed.as_secs() * NANOS_PER_SEC + u64::from(allowed.subsec_nanos());
    coarse_ns() + allowed + TICK
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_begins_once_and_not_at_all_if_nothing_is_to_be_waited_for() {
        let mut timeout = Timeout::new(Duration::from_secs(1));
        assert!(timeout.begins());
        let deadline = timeout.deadline();
        assert!(!timeout.begins());
        assert_eq!(timeout.deadline(), deadline);
        assert!(!Timeout::new(Duration::ZERO).begins());
    }

    #[test]
    fn a_deadline_passes_and_says_what_was_allowed() {
        let passed = Deadline::after(Duration::ZERO);
        assert!(passed.has_passed());
        assert_eq!(passed.remaining(), Some(Duration::ZERO));
        let far = Deadline::after(Duration::from_secs(3600));
        assert!(!far.has_passed());
        assert!(far.remaining().unwrap() > Duration::from_secs(3500));
        assert!(far.timed_out("a test").is_timeout());
        assert_eq!(far.min(passed), passed);
        assert_eq!(passed.min(Deadline::never()), passed);
        assert_eq!(Deadline::never().min(passed), passed);
    }

    #[test]
    fn a_timeout_beyond_the_clock_never_comes() {
        let never = Deadline::after(Duration::MAX);
        assert_eq!(never.as_ns(), None);
        assert_eq!(never.remaining(), None);
        assert!(!never.has_passed());
        assert!(!Deadline::never().has_passed());
    }

    #[test]
    fn a_backoff_ends_with_its_deadline() {
        let deadline = Deadline::after(Duration::from_millis(5));
        let mut backoff = Backoff::new();
        let mut waits = 0;
        while backoff.wait(deadline) {
            waits += 1;
        }
        assert!(deadline.has_passed() && (1..=8).contains(&waits), "{waits}");
    }

    #[test]
    fn the_clocks_agree_on_their_order() {
        let coarse = coarse_ns();
        let fine = monotonic_ns();
        assert!(coarse <= fine);
        assert!(boottime_ns() >= fine);
        assert!(realtime_ns() > 1_600_000_000 * NANOS_PER_SEC);
    }
}
