//! The one clock of the bench: `CLOCK_MONOTONIC`, which all processes share.

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds since the machine started.
pub(crate) fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned()
}

/// Nanoseconds in that many milliseconds.
pub(crate) const fn millis(count: u64) -> u64 {
    count * 1_000_000
}
