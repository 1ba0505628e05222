//! A role in a process of its own: this very program, executed again. What lies beside it in the target directory
//! may be stale, or not there.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use osps_ipc::{Pollable, wait_any};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// How long a child may take to end in good order.
const GRACE: Duration = Duration::from_secs(8);

/// Whether this process was started by [`Child::start`] for this role.
pub(crate) fn is_role(role: &str) -> bool {
    std::env::args_os().next().is_some_and(|name| name == role)
}

/// A child in a role. Dropped, it is ended: asked to, and killed if that does not help.
pub(crate) struct Child {
    process: std::process::Child,
    /// Stands for this process even when another one has its number; readable when it has ended.
    pidfd: OwnedFd,
}

impl Child {
    /// Executes this program again, as `role`. Its process group is its own, so that a Ctrl-C at the terminal does
    /// not reach it: its parent is to end it.
    pub(crate) fn start(role: &str, arguments: &[&str]) -> io::Result<Child> {
        let mut process = Command::new("/proc/self/exe")
            .arg0(role)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .process_group(0)
            .spawn()?;
        match pidfd_open(Pid::from_child(&process), PidfdFlags::empty()) {
            Ok(pidfd) => Ok(Child { process, pidfd }),
            Err(errno) => {
                process.kill()?;
                process.wait()?;
                Err(errno.into())
            }
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Asks it to end.
    pub(crate) fn terminate(&self) {
        // One that has ended already needs no asking.
        let _ = pidfd_send_signal(&self.pidfd, Signal::TERM);
    }

    /// How it ended, if it does in this time.
    pub(crate) fn wait(&mut self, timeout: Duration) -> Option<ExitStatus> {
        match wait_any(&mut [self], timeout) {
            Ok(true) => self.process.wait().ok(),
            _ => None,
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.terminate();
        if self.wait(GRACE).is_none() {
            eprintln!("process {} does not end, and is killed", self.pid());
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
    }
}

impl AsFd for Child {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

impl Pollable for Child {
    fn arm(&mut self) -> osps_ipc::Result<bool> {
        Ok(true)
    }
}
