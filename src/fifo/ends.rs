//! The two ends of a FIFO pair: opened, looked at, waited for.

use rustix::io::Errno;

use super::PairState;
use super::pair::{FifoPair, WRITE_END};
use crate::error::{Error, Result};
use crate::sys::clock::Deadline;
use crate::sys::fifo;
use crate::sys::poll::{Interest, Ready, wait_one};

impl FifoPair {
    /// Opens the end to write to; `false` if nobody reads.
    pub(super) fn open_write_end(&mut self) -> Result<bool> {
        if self.write_end.is_some() {
            return Ok(true);
        }
        let outgoing = self.names.outgoing(self.side);
        let path = self.names.path_of(outgoing);
        let opened = fifo::open_write_end(self.names.directory(), outgoing.name.as_str())
            .map_err(|refusal| refusal.into_error(&path))?;
        let Some(write_end) = opened else {
            return Ok(false);
        };
        self.interest = Interest::DEATH;
        self.epoll
            .add(&write_end, WRITE_END, self.interest)
            .map_err(Error::os("watch", &path))?;
        self.write_end = Some(write_end);
        Ok(true)
    }

    /// Waits until the write end has room, or is dead.
    pub(super) fn wait_for_room(&self, deadline: Deadline) -> Result<()> {
        if let Some(write_end) = &self.write_end {
            wait_one(write_end, Interest::ROOM, deadline)
                .map_err(|errno| self.os_error("wait for", errno))?;
        }
        Ok(())
    }

    /// Waits until there is something to read.
    pub(super) fn wait_for_bytes(&self, deadline: Deadline) -> Result<()> {
        wait_one(&self.read_end, Interest::READ, deadline)
            .map(drop)
            .map_err(|errno| self.os_error("wait for", errno))
    }

    /// Whether nobody has the other end open to read.
    pub(super) fn is_write_end_dead(&self) -> Result<bool> {
        match &self.write_end {
            None => Ok(true),
            Some(write_end) => wait_one(write_end, Interest::DEATH, Deadline::passed())
                .map(|shown| shown.is_some_and(Ready::is_dead))
                .map_err(|errno| self.os_error("look at", errno)),
        }
    }

    /// Whether the former peer left frames that have not been received.
    pub(super) fn has_data(&self) -> bool {
        matches!(self.inbox.first(), Ok(Some(_)))
    }

    pub(super) fn check_process(&self) -> Result<()> {
        if self.stamp.is_current() {
            Ok(())
        } else {
            Err(Error::Forked { what: "FifoPair" })
        }
    }

    pub(super) fn os_error(&self, doing: &'static str, errno: Errno) -> Error {
        Error::os(doing, self.names.path())(errno)
    }

    /// The error for a deadline that has passed: without a peer, the cause may be that the names lead elsewhere.
    pub(super) fn timed_out(&self, what: &str, deadline: Deadline) -> Error {
        let path = self.names.path();
        match self.link.state() {
            PairState::Open => {
                deadline.timed_out(format!("{what} in FIFO pair {}", path.display()))
            }
            _ if !self.names.lead_here() => Error::BadFile {
                path,
                reason: "its FIFOs were removed or made again since; open the pair anew".to_owned(),
            },
            PairState::NoPeerYet => deadline.timed_out(format!(
                "a process to open the other end of FIFO pair {}",
                path.display()
            )),
            PairState::PeerGone => deadline.timed_out(format!(
                "a successor to open the other end of FIFO pair {}",
                path.display()
            )),
        }
    }
}
