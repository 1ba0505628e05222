//! How a client finds out that a session is over, or will not go on.

use super::Client;
use crate::error::{Error, Result};
use crate::sys::clock::{Deadline, Timeout};

impl Client {
    /// An error if the session is over, or its server dead and this client is not to wait for another.
    #[inline]
    pub(super) fn check_link(&mut self, index: usize) -> Result<()> {
        let fail_fast = self.options.fail_fast;
        let link = self.link(index)?;
        if link.is_open() && !(fail_fast && link.server_gone()) {
            return Ok(());
        }
        self.complain(index)
    }

    #[cold]
    fn complain(&mut self, index: usize) -> Result<()> {
        if let Err(over) = self.link(index)?.check() {
            // What was answered before the end is an answer. A broken server may go on, so it is one ring's worth.
            for _ in 0..self.link(index)?.most_replies() {
                let Ok(Some(reply)) = self.link(index)?.receive() else {
                    break;
                };
                self.keep(reply);
            }
            self.taken_back = self.link(index)?.take_back();
            self.forget(index);
            return Err(over);
        }
        if !(self.options.fail_fast && self.link(index)?.server_gone()) {
            return Ok(());
        }
        Err(Error::ServerGone {
            service: self.link(index)?.service().to_string(),
            reason: "it ended without a farewell".to_owned(),
        })
    }

    /// [`check_link`](Client::check_link) of every session in which something is waited for.
    pub(super) fn check_waiting_links(&mut self) -> Result<()> {
        for index in 0..self.links.len() {
            let waits = self.links.get(index).and_then(Option::as_ref);
            if waits.is_some_and(|link| !link.pending().is_empty())
                && let Err(error) = self.check_link(index)
            {
                if self.stash.is_empty() {
                    return Err(error);
                }
                // Told after what was answered before.
                self.over = Some(error);
            }
        }
        Ok(())
    }

    pub(super) fn timed_out(&mut self, index: usize, what: &str, timeout: &mut Timeout) -> Error {
        // Who had no core all the time has not seen yet that the server is dead.
        let _ = self.take_bells(Deadline::passed());
        let state = match self.link(index) {
            Ok(link) => {
                let state = if link.server_gone() {
                    " (its server is dead)"
                } else {
                    ""
                };
                format!("{:?}{state}", link.service().as_str())
            }
            Err(_) => format!("{:?}", self.service.as_str()),
        };
        timeout
            .deadline()
            .timed_out(format!("{what} service {state}"))
    }
}
