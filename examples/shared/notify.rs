//! What a service manager such as systemd wants to be told, in its own few words.

use std::env;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// For how long a manager that is behind is waited for; its queue has room for a few messages only.
const PATIENCE: Duration = Duration::from_millis(100);
/// When no sign of life is wanted.
const LONG: Duration = Duration::from_secs(3600);

/// A socket to the service manager, if there is one.
pub(crate) struct Notify {
    to: Option<(UnixDatagram, SocketAddr)>,
    /// How often a sign of life is wanted.
    interval: Option<Duration>,
}

impl Notify {
    /// As `NOTIFY_SOCKET` and `WATCHDOG_USEC` say.
    pub(crate) fn from_environment() -> Notify {
        let number = |name| env::var(name).ok()?.parse().ok();
        let here = u64::from(std::process::id());
        // One that is meant for another process was inherited from it.
        let is_meant = number("WATCHDOG_PID").is_none_or(|pid: u64| pid == here);
        let micros = number("WATCHDOG_USEC").filter(|micros| is_meant && *micros > 0);
        Notify {
            to: connect(),
            // Twice as often as is asked for.
            interval: micros.map(|micros| Duration::from_micros(micros.div_ceil(2))),
        }
    }

    /// After how long at most a sign of life is due.
    pub(crate) fn interval(&self) -> Duration {
        self.interval.unwrap_or(LONG)
    }

    /// A sign of life, where one is wanted.
    pub(crate) fn beat(&self) {
        if self.interval.is_some() {
            self.send("WATCHDOG=1");
        }
    }

    /// Tells something; a manager that does not listen is its own affair.
    pub(crate) fn send(&self, state: &str) {
        if let Some((socket, to)) = &self.to {
            let _ = socket.send_to_addr(state.as_bytes(), to);
        }
    }
}

fn connect() -> Option<(UnixDatagram, SocketAddr)> {
    let name = env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty())?;
    let to = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&name),
    };
    let socket = UnixDatagram::unbound().ok()?;
    socket.set_write_timeout(Some(PATIENCE)).ok()?;
    Some((socket, to.ok()?))
}
