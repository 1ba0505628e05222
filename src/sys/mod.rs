//! The only door to the operating system: every call of rustix and libc stands under this module.

pub(crate) mod biased;
pub(crate) mod clock;
pub(crate) mod copy;
pub(crate) mod fifo;
pub(crate) mod file;
pub(crate) mod fork;
mod fork_state;
pub(crate) mod inherit;
pub(crate) mod limits;
pub(crate) mod lock;
pub(crate) mod map;
pub(crate) mod pages;
pub(crate) mod pidfd;
pub(crate) mod poll;
pub(crate) mod prefetch;
pub(crate) mod process;
pub(crate) mod ring_bytes;
pub(crate) mod segment_file;
pub(crate) mod shutdown;
pub(crate) mod signal;
pub(crate) mod thread;
pub(crate) mod thread_facts;
mod time_namespace;
pub(crate) mod timer;
pub(crate) mod watch;

#[cfg(test)]
pub(crate) mod testing;
