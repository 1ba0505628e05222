//! How a client waits: for a reply, or for room to send.

use super::{Client, reply::Reply};
use crate::error::{Error, Result};
use crate::session::wait::{Patience, Step};
use crate::sys::clock::{Deadline, Timeout};

use super::link::Message;

impl Client {
    /// Publishes a message, waiting for room; gives its id.
    #[inline]
    pub(super) fn send_until(
        &mut self,
        index: usize,
        message: &Message<'_>,
        timeout: &mut Timeout,
    ) -> Result<u64> {
        let id = self.next_id;
        self.next_id += 1;
        let expires = timeout.expires();
        let mut patience = Patience::new(self.options.wait);
        loop {
            self.check_link(index)?;
            if self.link(index)?.send(id, expires, message)? {
                return Ok(id);
            }
            while let Some(reply) = self.receive_any()? {
                self.stash.push_back(reply);
                patience.reset();
            }
            match patience.step(timeout) {
                Step::Again => {}
                Step::Sleep => {
                    if self.sleep(Some(index))? {
                        self.take_bells(timeout.deadline())?;
                    }
                    self.wake();
                }
                Step::TimedOut => {
                    return Err(self.timed_out(index, "room for a request to", timeout));
                }
            }
        }
    }

    /// Waits for the final reply to one request; others are stashed.
    #[inline]
    pub(super) fn wait_for(
        &mut self,
        index: usize,
        id: u64,
        timeout: &mut Timeout,
    ) -> Result<Reply> {
        let mut patience = Patience::new(self.options.wait);
        loop {
            // One more look after the time is up: the answer may have come while this thread had no core.
            let step = patience.step(timeout);
            while let Some(reply) = self.link(index)?.receive()? {
                if reply.id().0 == id {
                    if reply.status().is_final() {
                        return Ok(reply);
                    }
                } else {
                    self.stash.push_back(reply);
                }
            }
            match step {
                Step::Again => {}
                Step::Sleep => {
                    self.check_link(index)?;
                    if self.sleep(None)? {
                        self.take_bells(timeout.deadline())?;
                    }
                    self.wake();
                    patience.reset();
                }
                Step::TimedOut => {
                    self.check_link(index)?;
                    self.link(index)?.cancel(id)?;
                    return Err(self.timed_out(index, "the answer of", timeout));
                }
            }
        }
    }

    /// Waits for a reply to any request.
    pub(super) fn wait_for_any(&mut self, timeout: &mut Timeout) -> Result<Option<Reply>> {
        let mut patience = Patience::new(self.options.wait);
        while self.outstanding() > 0 {
            let step = patience.step(timeout);
            if let Some(reply) = self.receive_any()? {
                return Ok(Some(reply));
            }
            match step {
                Step::Again => {}
                Step::Sleep => {
                    self.check_waiting_links()?;
                    if self.sleep(None)? {
                        self.take_bells(timeout.deadline())?;
                    }
                    self.wake();
                    patience.reset();
                }
                Step::TimedOut => break,
            }
        }
        Ok(None)
    }

    /// The next reply in any session.
    #[inline]
    pub(super) fn receive_any(&mut self) -> Result<Option<Reply>> {
        for link in self.links.iter_mut().flatten() {
            if let Some(reply) = link.receive()? {
                return Ok(Some(reply));
            }
        }
        Ok(None)
    }

    /// Says in every session that this side sleeps: `false`, and it does not, if there is something to do. `room`
    /// is the link in which room is waited for.
    pub(super) fn sleep(&mut self, room: Option<usize>) -> Result<bool> {
        let mut nothing = true;
        for (index, link) in self.links.iter_mut().enumerate() {
            if let Some(link) = link {
                nothing &= link.sleep(room == Some(index))?;
            }
        }
        Ok(nothing)
    }

    pub(super) fn wake(&mut self) {
        for link in self.links.iter_mut().flatten() {
            link.wake();
        }
    }

    /// Waits for bells until the deadline, and takes off those that rang.
    pub(super) fn take_bells(&mut self, deadline: Deadline) -> Result<()> {
        self.epoll
            .wait(&mut self.events, deadline)
            .map_err(Error::os("wait for the bells of", self.runtime.path()))?;
        for ready in self.events.iter() {
            let index = usize::try_from(ready.token >> 1).unwrap_or(usize::MAX);
            let Some(link) = self.links.get_mut(index).and_then(Option::as_mut) else {
                continue;
            };
            if ready.token & 1 == 0 {
                link.drain();
                link.open_bell(&self.epoll, index as u64)?;
            } else {
                link.note_death();
            }
        }
        Ok(())
    }

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
        let link = self.link(index)?;
        if let Err(over) = link.check() {
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
            if waits.is_some_and(|link| !link.pending().is_empty()) {
                self.check_link(index)?;
            }
        }
        Ok(())
    }

    pub(super) fn timed_out(&mut self, index: usize, what: &str, timeout: &mut Timeout) -> Error {
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
