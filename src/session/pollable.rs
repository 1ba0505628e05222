//! Waiting for several things at once.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::sys::clock::Deadline;
use crate::sys::{poll, shutdown};

/// Something that can be waited for by its descriptor, in [`wait_any`] or in a reactor of the program's own.
///
/// The descriptor of a [`Server`](crate::Server) or [`Client`](crate::Client) tells of news only after
/// [`arm`](Pollable::arm): until then its peers do not ring, because it is awake.
pub trait Pollable: AsFd {
    /// Prepares to sleep: `false` if there is something to do already. After `true` the descriptor becomes readable
    /// when there is.
    ///
    /// # Errors
    ///
    /// If its peer broke the protocol, or the operating system failed.
    fn arm(&mut self) -> Result<bool>;
}

/// Waits until one of several has something to do, or the time is up: then `false`.
///
/// Each is then to be asked until it has nothing more.
///
/// # Errors
///
/// As [`Pollable::arm`] of any of them.
pub fn wait_any(of: &mut [&mut dyn Pollable], timeout: Duration) -> Result<bool> {
    let deadline = Deadline::after(timeout);
    for one in of.iter_mut() {
        if !one.arm()? {
            return Ok(true);
        }
    }
    let fds: Vec<BorrowedFd<'_>> = of.iter().map(|one| one.as_fd()).collect();
    poll::any_readable(&fds, deadline).map_err(Error::os("wait for", "several descriptors"))
}

/// The request of a person, or of a supervisor, to end: SIGINT or SIGTERM.
///
/// From its first [`install`](Shutdown::install) on, these signals do not end the process any more: the program
/// is to look, or to wait, and to end in good order.
///
/// # Examples
///
/// ```
/// let shutdown = osps_ipc::Shutdown::install()?;
/// assert!(!shutdown.is_requested());
/// # Ok::<(), osps_ipc::Error>(())
/// ```
#[derive(Debug)]
pub struct Shutdown {
    fd: BorrowedFd<'static>,
}

impl Shutdown {
    /// Catches both signals, for the rest of the process's life.
    ///
    /// # Errors
    ///
    /// [`Error::Os`] if no descriptor is left.
    pub fn install() -> Result<Shutdown> {
        let fd = shutdown::install().map_err(cannot_catch)?;
        Ok(Shutdown { fd })
    }

    /// Whether one of the signals has come.
    pub fn is_requested(&self) -> bool {
        shutdown::requested()
    }
}

fn cannot_catch(source: std::io::Error) -> Error {
    Error::Os {
        doing: "catch",
        path: "SIGINT and SIGTERM".into(),
        source,
    }
}

impl AsFd for Shutdown {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd
    }
}

impl Pollable for Shutdown {
    fn arm(&mut self) -> Result<bool> {
        shutdown::renew().map_err(cannot_catch)?;
        Ok(!self.is_requested())
    }
}
