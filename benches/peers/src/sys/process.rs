#![allow(unsafe_code)]
//! Signals and limits of a process.
//!
//! `unsafe` because signal masks and `signalfd` have no safe wrapper in rustix. Every call below
//! gets pointers to live locals of the right type, and none of them keeps a pointer.

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};

fn ending_signals() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset initializes the set that it is given.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        // SAFETY: the set was initialized above.
        unsafe { libc::sigaddset(set.as_mut_ptr(), signal) };
    }
    // SAFETY: initialized above.
    unsafe { set.assume_init() }
}

/// SIGINT, SIGTERM and SIGHUP as a readable descriptor: the run unwinds, and what it made is removed.
pub(crate) struct Stop(File);

impl Stop {
    /// Blocks the signals for this process.
    pub(crate) fn watch() -> io::Result<Stop> {
        let set = ending_signals();
        // SAFETY: a live, initialized set; the old mask is not asked for.
        unsafe { libc::sigprocmask(libc::SIG_BLOCK, &raw const set, ptr::null_mut()) };
        // SAFETY: a live, initialized set; -1 asks for a new descriptor.
        let fd = unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a new descriptor that nothing else owns.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Stop(File::from(fd)))
    }

    /// Whether one has come.
    pub(crate) fn raised(&self) -> io::Result<bool> {
        let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
        Ok(poll(&mut fds, Some(&Timespec::default()))? > 0)
    }
}

impl AsFd for Stop {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// What a child does first: it gets the signals that its parent blocked, except Ctrl-C, which its
/// parent answers for both, and it dies with its parent.
pub(crate) fn become_child() -> io::Result<()> {
    let set = ending_signals();
    // SAFETY: a live, initialized set; the old mask is not asked for.
    unsafe { libc::sigprocmask(libc::SIG_UNBLOCK, &raw const set, ptr::null_mut()) };
    // SAFETY: SIG_IGN installs no handler.
    unsafe { libc::signal(libc::SIGINT, libc::SIG_IGN) };
    Ok(rustix::process::set_parent_process_death_signal(Some(
        Signal::KILL,
    ))?)
}

/// Lifts the soft limit of open files to the hard one.
pub(crate) fn lift_file_limit() -> io::Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    Ok(setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    )?)
}
