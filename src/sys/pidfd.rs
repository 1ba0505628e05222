//! A process by its descriptor: proof of its end, signals that cannot reach another one, and how it ended.
//!
//! Unsafe is needed for one ioctl that rustix does not wrap.
#![allow(unsafe_code)]

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::PollFlags;
use rustix::io::{Errno, Result};
use rustix::ioctl::{self, Opcode, Updater, opcode};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid,
};

use crate::detector::Death;
use crate::sys::clock::Deadline;
use crate::sys::file::retry;
use crate::sys::poll::poll_one;

/// One process, also after its end.
#[derive(Debug)]
pub(crate) struct Pidfd {
    fd: OwnedFd,
    pid: u32,
}

/// What ends a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Terminate,
    Kill,
}

/// What is known of a process's end by asking as its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Child {
    /// It has not ended.
    Running,
    /// It has ended so.
    Ended(Death),
    /// It is no child of this process, or was reaped already.
    NotOurs,
}

impl Pidfd {
    /// The process that has this number now. The caller knows that it is the one that it means, or checks it
    /// afterwards: this descriptor will not come to mean another one.
    pub(crate) fn open(pid: u32) -> Result<Pidfd> {
        let number = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let fd = pidfd_open(number.ok_or(Errno::SRCH)?, PidfdFlags::empty())?;
        Ok(Pidfd { fd, pid })
    }

    /// Its number in this process's pid namespace. It may be another's once this one has ended.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether it has ended, all its threads: proven.
    pub(crate) fn has_ended(&self) -> bool {
        poll_one(&self.fd, PollFlags::IN, Deadline::passed())
            .is_ok_and(|shown| shown.contains(PollFlags::IN))
    }

    /// Sends it a signal. One that has ended gets none, and that is no error.
    pub(crate) fn end(&self, how: End) -> Result<()> {
        let signal = match how {
            End::Terminate => Signal::TERM,
            End::Kill => Signal::KILL,
        };
        match pidfd_send_signal(&self.fd, signal) {
            Err(Errno::SRCH) => Ok(()),
            sent => sent,
        }
    }

    /// How this child has ended; it stays to be reaped.
    pub(crate) fn peek(&self) -> Result<Child> {
        self.wait(WaitIdOptions::NOWAIT)
    }

    /// Reaps this child if it has ended.
    pub(crate) fn reap(&self) -> Result<Child> {
        self.wait(WaitIdOptions::empty())
    }

    fn wait(&self, more: WaitIdOptions) -> Result<Child> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | more;
        let status = match retry(|| waitid(WaitId::PidFd(self.fd.as_fd()), options)) {
            Ok(Some(status)) => status,
            Ok(None) => return Ok(Child::Running),
            Err(Errno::CHILD) => return Ok(Child::NotOurs),
            Err(errno) => return Err(errno),
        };
        Ok(Child::Ended(
            match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => Death::Exited(code),
                (None, Some(signal)) => Death::Killed {
                    signal,
                    dumped: status.dumped(),
                },
                (None, None) => Death::Unknown,
            },
        ))
    }

    /// How a process has ended that is no child of this one. `None`: the kernel does not say, as it is not reaped yet, or
    /// is too old (before 6.15).
    pub(crate) fn death(&self) -> Option<Death> {
        let mut info = Info {
            mask: INFO_EXIT,
            ..Info::default()
        };
        // SAFETY: the opcode was made from the type: version 0 of the kernel's `struct pidfd_info`.
        let get = unsafe { Updater::<GET_INFO, Info>::new(&mut info) };
        // SAFETY: the kernel writes into the struct that the opcode gives the size of, which is borrowed till then.
        unsafe { ioctl::ioctl(&self.fd, get) }.ok()?;
        if info.mask & INFO_EXIT == 0 {
            return None;
        }
        let status = info.exit_code;
        Some(match status & 0x7f {
            0 => Death::Exited(status >> 8 & 0xff),
            signal => Death::Killed {
                signal,
                dumped: status & 0x80 != 0,
            },
        })
    }
}

impl AsFd for Pidfd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Version 0 of `struct pidfd_info`.
#[derive(Debug, Default)]
#[repr(C)]
struct Info {
    mask: u64,
    cgroup: u64,
    pid: u32,
    tgid: u32,
    ppid: u32,
    ids: [u32; 8],
    exit_code: i32,
}

static_assertions::const_assert_eq!(size_of::<Info>(), 64);

const GET_INFO: Opcode = opcode::read_write::<Info>(0xff, 11);
const INFO_EXIT: u64 = 1 << 3;

/// Makes this process the parent of every process under it whose own parent dies.
pub(crate) fn become_subreaper() -> Result<()> {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
}

/// Some child of this process that has ended and is not reaped; it stays so.
pub(crate) fn peek_any() -> Option<u32> {
    // rustix does not tell the pid.
    // SAFETY: all zeros is a valid `siginfo_t`.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: `info` is writable for the answer.
    if unsafe { libc::waitid(libc::P_ALL, 0, &raw mut info, options) } != 0 {
        return None;
    }
    // SAFETY: the call fills this field in, or leaves it 0 where no child has ended.
    let pid = unsafe { info.si_pid() };
    u32::try_from(pid).ok().filter(|pid| *pid != 0)
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::Duration;

    use super::*;
    use crate::sys::testing::Killed;

    fn wait(pidfd: &Pidfd) {
        let soon = Deadline::after(Duration::from_secs(10));
        assert!(!poll_one(pidfd, PollFlags::IN, soon).unwrap().is_empty());
        assert!(pidfd.has_ended());
    }

    #[test]
    fn a_child_tells_how_it_ended_and_is_reaped_once() {
        let child = Killed(Command::new("sh").args(["-c", "exit 7"]).spawn().unwrap());
        let pidfd = Pidfd::open(child.0.id()).unwrap();
        wait(&pidfd);
        for _ in 0..2 {
            assert_eq!(pidfd.peek(), Ok(Child::Ended(Death::Exited(7))));
        }
        assert_eq!(pidfd.reap(), Ok(Child::Ended(Death::Exited(7))));
        assert_eq!(pidfd.reap(), Ok(Child::NotOurs));
        assert!(pidfd.has_ended());
        // What ended is reached by no signal.
        assert_eq!(pidfd.end(End::Kill), Ok(()));
        // A kernel before 6.15 does not say.
        assert!(matches!(pidfd.death(), None | Some(Death::Exited(7))));
    }

    #[test]
    fn a_signal_goes_to_the_process_and_its_number_is_told() {
        for (end, signal) in [(End::Terminate, 15), (End::Kill, 9)] {
            let child = Killed(Command::new("sleep").arg("60").spawn().unwrap());
            let pidfd = Pidfd::open(child.0.id()).unwrap();
            assert!(!pidfd.has_ended());
            assert_eq!(pidfd.peek(), Ok(Child::Running));
            assert_eq!(pidfd.death(), None);
            pidfd.end(end).unwrap();
            wait(&pidfd);
            let killed = Death::Killed {
                signal,
                dumped: false,
            };
            assert_eq!(pidfd.reap(), Ok(Child::Ended(killed)));
            assert!([None, Some(killed)].contains(&pidfd.death()));
        }
    }

    #[test]
    fn nobody_has_the_number_zero() {
        assert_eq!(Pidfd::open(0).map(|_| ()), Err(Errno::SRCH));
        assert_eq!(Pidfd::open(u32::MAX).map(|_| ()), Err(Errno::SRCH));
    }
}
