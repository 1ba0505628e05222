//! Descriptors that are handed to a child process on purpose.
//!
//! Every descriptor of this crate is close-on-exec. One that a child shall have is kept open by an act in the
//! child alone, between `fork` and `exec`, so that no other child that is started meanwhile gets it too.
//!
//! This file may use `unsafe` for that hook, and for naming a descriptor by the number that a parent told.
#![allow(unsafe_code)]

use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::io::{Errno, FdFlags, Result};

/// Numbers below this are standard streams, which `Command` replaces in the child.
const FIRST: RawFd = 3;

/// Lets each child that `command` starts inherit `fd`, which the command keeps open from now on.
pub(crate) fn keep_open(command: &mut Command, fd: OwnedFd) {
    let hook = move || rustix::io::fcntl_setfd(&fd, FdFlags::empty()).map_err(Into::into);
    // SAFETY: the hook is one system call on a descriptor that it owns; it allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(hook);
    }
}

/// A second descriptor that [`keep_open`] can be given.
pub(crate) fn duplicate(fd: BorrowedFd<'_>) -> Result<OwnedFd> {
    rustix::io::fcntl_dupfd_cloexec(fd, FIRST)
}

/// A second descriptor for the file that is open under `number`, if any is. The first one stays.
pub(crate) fn receive(number: RawFd) -> Result<OwnedFd> {
    if number < FIRST {
        return Err(Errno::BADF);
    }
    // SAFETY: the number is not -1, and is named for the time of one call that does nothing to the descriptor,
    // and fails if there is none.
    duplicate(unsafe { BorrowedFd::borrow_raw(number) })
}

/// Keeps the descriptor under `number` from this process's own children. The caller has seen that it is the one
/// that its parent handed over.
pub(crate) fn keep_from_children(number: RawFd) -> Result<()> {
    if number < FIRST {
        return Err(Errno::BADF);
    }
    // SAFETY: as in `receive`; the call sets the flag that all other descriptors of a Rust program have.
    let fd = unsafe { BorrowedFd::borrow_raw(number) };
    rustix::io::fcntl_setfd(fd, FdFlags::CLOEXEC)
}
