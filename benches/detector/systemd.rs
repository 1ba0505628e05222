//! A watchdog in systemd's manner: the server sends a message at half of a fixed time, and is killed when none has come for
//! the whole of it. Its end is told by the kernel, and it is started again after `RestartSec`.

use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::lines::{Told, now, tell};
use crate::machine::{Held, command, pause};

/// The socket's name in the runtime directory.
pub(crate) const SOCKET: &str = "notify";
/// `WATCHDOG_USEC`.
pub(crate) const WATCHDOG: Duration = Duration::from_millis(250);
/// `RestartSec`, as it is if nothing is said.
const RESTART: Duration = Duration::from_millis(100);
/// `DefaultTimeoutStartSec`.
const START: Duration = Duration::from_secs(90);

pub(crate) fn watch(place: &Path) -> ExitCode {
    let socket = UnixDatagram::bind(place.join(SOCKET)).unwrap();
    socket.set_nonblocking(true).unwrap();
    loop {
        let child = Held(command("serve systemd", place).spawn().unwrap());
        tell(now(), Told::Started(child.0.id()));
        let told = live(&socket, child.0.id());
        tell(now(), told);
        // systemd sends SIGABRT, for a core dump; that takes longer.
        drop(child);
        tell(now(), Told::Ended);
        pause(RESTART);
        let mut message = [0; 64];
        while socket.recv(&mut message).is_ok() {}
    }
}

/// Watches one process until it is to be killed, or has ended.
fn live(socket: &UnixDatagram, pid: u32) -> Told {
    let pid = Pid::from_raw(pid.try_into().unwrap()).unwrap();
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).unwrap();
    let mut due = Instant::now() + START;
    loop {
        let left = due.saturating_duration_since(Instant::now());
        let mut fds = [
            PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN),
        ];
        poll(&mut fds, Some(&Timespec::try_from(left).unwrap())).unwrap();
        // Messages first: one that has come in time counts, however late it is read.
        let mut message = [0; 64];
        while let Ok(len) = socket.recv(&mut message) {
            due = Instant::now() + WATCHDOG;
            if &message[..len] == b"READY=1" {
                tell(now(), Told::Ready);
            }
        }
        if !fds[1].revents().is_empty() {
            return Told::Dead;
        }
        if Instant::now() >= due {
            return Told::Hung(0, "by the clock".to_owned());
        }
    }
}
