//! What the bench asks of the operating system, in one place.

pub(crate) mod clock;
pub(crate) mod cpu;
pub(crate) mod fifo;
pub(crate) mod map;
pub(crate) mod pass;
pub(crate) mod process;
pub(crate) mod scratch;
