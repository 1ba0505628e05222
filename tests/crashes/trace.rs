//! A tracer of one thread: it runs from stop to stop, and can be ended at any of them.
//!
//! The kernel shows a traced thread before and after each system call, and after each instruction if it is asked to.
//! While it is shown it does nothing, so that a signal sent then meets it just there.
//!
//! Unsafe is needed as no crate here has ptrace.

#![allow(unsafe_code)]

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::ptr;

use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};

/// Where the thread stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// About to make a system call.
    Entry { number: i64, argument: u64 },
    /// Just after it; the next instruction has this address.
    Exit { number: i64, next: u64 },
    /// Between two instructions, of which the next one has this address.
    Step { next: u64 },
    /// The thread has ended.
    Ended,
}

/// A thread of a child process, traced by the thread that made this.
#[derive(Debug)]
pub(crate) struct Tracee {
    process: Pid,
    thread: i32,
    number: i64,
    is_over: bool,
    status: Option<ExitStatus>,
}

/// What `PTRACE_GET_SYSCALL_INFO` writes: the stop's sort in the first byte, then, each eight bytes long, the
/// instruction's and the stack's address, and at an entry the call's number and arguments.
const INFO_WORDS: usize = 11;
const ENTRY: u64 = 1;
const EXIT: u64 = 2;

impl Tracee {
    /// Attaches to a thread, and stops it wherever it is. It dies with its tracer.
    pub(crate) fn attach(process: Pid, thread: i32) -> Tracee {
        let tracee = Tracee {
            process,
            thread,
            number: -1,
            is_over: false,
            status: None,
        };
        let options = libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_EXITKILL;
        let seized = tracee.request(libc::PTRACE_SEIZE, options as usize);
        assert!(seized, "ptrace is not allowed here");
        assert!(tracee.request(libc::PTRACE_INTERRUPT, 0));
        // The stop that was asked for.
        let _ = tracee.wait();
        tracee
    }

    /// The thread's number.
    pub(crate) fn thread(&self) -> i32 {
        self.thread
    }

    /// Keeps the thread and its tracer on one core, where passing from one to the other costs least, for as long as what
    /// this gives lives.
    pub(crate) fn share_core(&self) -> OneCore {
        let all = sched_getaffinity(None).unwrap();
        let mut here = CpuSet::new();
        here.set(sched_getcpu());
        // Only a matter of speed.
        let _ = sched_setaffinity(None, &here);
        let _ = sched_setaffinity(Pid::from_raw(self.thread), &here);
        OneCore(all)
    }

    /// Runs one instruction; a system call is one.
    pub(crate) fn step(&mut self) -> Stop {
        self.run(libc::PTRACE_SINGLESTEP)
    }

    /// Runs to the next system call, or out of the one that it is in.
    pub(crate) fn next_system_call(&mut self) -> Stop {
        self.run(libc::PTRACE_SYSCALL)
    }

    /// Ends the process as a crash would, where it stands.
    pub(crate) fn kill(mut self) -> Option<ExitStatus> {
        let _ = kill_process(self.process, Signal::KILL);
        while !self.is_over {
            let _ = self.wait_for_stop();
        }
        self.status
    }

    /// How the process has ended, if this was its first thread: then nobody else is told.
    pub(crate) fn status(&self) -> Option<ExitStatus> {
        self.status
    }

    /// Stops the process with SIGSTOP where it stands, and lets go of it.
    pub(crate) fn stop(self) {
        kill_process(self.process, Signal::STOP).unwrap();
        self.let_go();
    }

    /// Lets it run on by itself.
    pub(crate) fn let_go(self) {
        self.request(libc::PTRACE_DETACH, 0);
    }

    fn run(&mut self, how: libc::c_uint) -> Stop {
        let mut signal = 0;
        loop {
            if !self.request(how, signal) {
                // Killed by somebody else.
                while !self.is_over {
                    let _ = self.wait_for_stop();
                }
            }
            if self.is_over {
                return Stop::Ended;
            }
            let status = self.wait_for_stop();
            if self.is_over {
                return Stop::Ended;
            }
            let stopped_by = libc::WSTOPSIG(status);
            let event = status >> 16;
            if stopped_by == libc::SIGTRAP | 0x80 || (stopped_by == libc::SIGTRAP && event == 0) {
                return self.look();
            }
            // A signal is passed on; a stop with an event of its own is none.
            signal = if event == 0 { stopped_by as usize } else { 0 };
        }
    }

    fn look(&mut self) -> Stop {
        let mut info = [0_u64; INFO_WORDS];
        let size = size_of_val(&info);
        // SAFETY: the kernel writes at most `size` bytes to `info`, which is as long and lives on.
        let written = unsafe {
            libc::ptrace(
                libc::PTRACE_GET_SYSCALL_INFO,
                self.thread,
                size,
                info.as_mut_ptr(),
            )
        };
        assert!(written >= 24, "no PTRACE_GET_SYSCALL_INFO: Linux 5.3");
        match info[0] & 0xff {
            ENTRY => {
                self.number = info[3].cast_signed();
                Stop::Entry {
                    number: self.number,
                    argument: info[4],
                }
            }
            EXIT => Stop::Exit {
                number: self.number,
                next: info[1],
            },
            _ => Stop::Step { next: info[1] },
        }
    }

    /// The status of the next stop.
    fn wait(&self) -> i32 {
        let mut status = 0;
        loop {
            // SAFETY: `status` is where the kernel writes an int.
            let found = unsafe { libc::waitpid(self.thread, &mut status, libc::__WALL) };
            if found == self.thread {
                return status;
            }
            let error = std::io::Error::last_os_error();
            assert_eq!(error.kind(), std::io::ErrorKind::Interrupted, "{error}");
        }
    }

    fn wait_for_stop(&mut self) -> i32 {
        let status = self.wait();
        self.is_over = libc::WIFEXITED(status) || libc::WIFSIGNALED(status);
        if self.is_over && self.thread == self.process.as_raw_nonzero().get() {
            self.status = Some(ExitStatus::from_raw(status));
        }
        status
    }

    fn request(&self, request: libc::c_uint, data: usize) -> bool {
        // SAFETY: none of the requests that are made through this touches the memory of this process.
        unsafe { libc::ptrace(request, self.thread, ptr::null_mut::<u8>(), data) == 0 }
    }
}

/// A tracer that is kept on one core.
#[derive(Debug)]
pub(crate) struct OneCore(CpuSet);

impl Drop for OneCore {
    fn drop(&mut self) {
        let _ = sched_setaffinity(None, &self.0);
    }
}
