//! What a service manager such as systemd wants to be told, in its own few words.

use std::env;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// When nothing is to be told regularly.
const LONG: Duration = Duration::from_secs(3600);

/// A socket to the service manager, if there is one.
pub(crate) struct Notify {
    to: Option<(UnixDatagram, SocketAddr)>,
    interval: Duration,
}

impl Notify {
    /// As `NOTIFY_SOCKET` and `WATCHDOG_USEC` say.
    pub(crate) fn from_environment() -> Notify {
        let micros = env::var("WATCHDOG_USEC").ok();
        let micros = micros.and_then(|micros| micros.parse().ok());
        Notify {
            to: connect(),
            // Twice as often as is asked for.
            interval: micros.map_or(LONG, |micros: u64| Duration::from_micros(micros / 2)),
        }
    }

    /// How often something is to be told at least.
    pub(crate) fn interval(&self) -> Duration {
        self.interval
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
    socket.set_nonblocking(true).ok()?;
    Some((socket, to.ok()?))
}
