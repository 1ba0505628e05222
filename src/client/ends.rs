//! How a client finds out that a session is over, or will not go on.

use super::Client;
use crate::error::{Error, Result};
use crate::sys::clock::{Deadline, Timeout};

impl Client {
    /// An error if the session is over, or its server dead and this client is not to wait for another. It is told to who waits for
    /// the request `own`; if there are others, to who asks for any reply too.
    #[inline]
    pub(super) fn check_link(&mut self, index: usize, own: Option<u64>) -> Result<()> {
        let fail_fast = self.options.fail_fast;
        let link = self.link(index)?;
        if link.is_open() && !(fail_fast && link.server_gone()) {
            return Ok(());
        }
        self.complain(index, own)
    }

    #[cold]
    fn complain(&mut self, index: usize, own: Option<u64>) -> Result<()> {
        if let Err(over) = self.link(index)?.check() {
            // What was answered before the end is an answer. A broken server may go on, so it is one ring's worth.
            for _ in 0..self.link(index)?.most_replies() {
                let Ok(Some(reply)) = self.link(index)?.receive() else {
                    break;
                };
                self.keep(reply);
            }
            let link = self.link(index)?;
            let has_others =
                own.is_some_and(|own| link.pending().ids().iter().any(|id| *id != own));
            if has_others && let Err(over) = link.check() {
                self.over.push_back(over);
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

    /// Whether [`check_waiting_links`](Client::check_waiting_links) would tell of an end.
    pub(super) fn has_end_to_tell(&mut self) -> bool {
        let fail_fast = self.options.fail_fast;
        let mut waiting = self
            .links
            .iter_mut()
            .flatten()
            .filter(|link| !link.pending().is_empty());
        waiting.any(|link| !link.is_open() || (fail_fast && link.server_gone()))
    }

    /// [`check_link`](Client::check_link) of every session in which something is waited for.
    pub(super) fn check_waiting_links(&mut self) -> Result<()> {
        for index in 0..self.links.len() {
            let waits = self.links.get(index).and_then(Option::as_ref);
            if waits.is_some_and(|link| !link.pending().is_empty())
                && let Err(error) = self.check_link(index, None)
            {
                if self.stash.is_empty() {
                    return Err(error);
                }
                // Told after what was answered before.
                self.over.push_back(error);
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
