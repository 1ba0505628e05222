//! A point in time as a descriptor, for who waits in a reactor of another's.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::io::Result;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

use crate::sys::fork::Registered;

/// A timer on the monotonic clock. Its descriptor is readable from the time that was set until another is set.
#[derive(Debug)]
pub(crate) struct Timer {
    fd: Registered,
}

impl Timer {
    pub(crate) fn new() -> Result<Timer> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let fd = Registered::open(|| timerfd_create(TimerfdClockId::Monotonic, flags))?;
        Ok(Timer { fd })
    }

    /// Sets the time, in nanoseconds of the monotonic clock; one that has passed makes it readable at once. `None`:
    /// never.
    pub(crate) fn set(&self, at: Option<u64>) -> Result<()> {
        const NANOS: u64 = 1_000_000_000;
        // All zeros would switch it off.
        let at = at.map_or(0, |at| at.max(1));
        let spec = Itimerspec {
            it_interval: Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            },
            it_value: Timespec {
                tv_sec: i64::try_from(at / NANOS).unwrap_or(i64::MAX),
                tv_nsec: i64::try_from(at % NANOS).unwrap_or(0),
            },
        };
        timerfd_settime(&self.fd, TimerfdTimerFlags::ABSTIME, &spec).map(|_| ())
    }
}

impl AsFd for Timer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::sys::clock::{Deadline, monotonic_ns};
    use crate::sys::poll::any_readable;

    #[test]
    fn a_timer_shows_its_time_until_it_is_set_anew() {
        let timer = Timer::new().unwrap();
        let shows = |within: u64| {
            let deadline = Deadline::after(Duration::from_millis(within));
            any_readable(&[timer.as_fd()], deadline).unwrap()
        };
        assert!(!shows(0));
        timer.set(Some(monotonic_ns() + 5_000_000)).unwrap();
        assert!(shows(10_000) && shows(0));
        timer.set(None).unwrap();
        assert!(!shows(10));
        for passed in [0, 1, monotonic_ns()] {
            timer.set(Some(passed)).unwrap();
            assert!(shows(10_000), "{passed}");
        }
        timer.set(Some(u64::MAX)).unwrap();
        assert!(!shows(0));
    }
}
