//! The only door to the operating system: every call of rustix and libc stands under this module.

pub(crate) mod clock;
pub(crate) mod file;
