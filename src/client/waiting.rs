//! How a client waits: for a reply, or for room to send.

use std::time::Duration;

use super::{Client, reply::Reply};
use crate::error::{Error, Result};
use crate::request::RequestKind;
use crate::session::wait::Step;
use crate::sys::clock::{Deadline, Timeout};

use super::link::{Content, Link};

/// How long who waits sleeps at a time while a reply of another session cannot be taken: that one's server rings no more.
const LULL: Duration = Duration::from_millis(10);
/// How many replies are taken off between two looks at the clock.
pub(super) const BATCH: usize = 256;

impl Client {
    /// Publishes a message, waiting for room; gives its id.
    #[inline]
    pub(super) fn send_until(
        &mut self,
        index: usize,
        kind: RequestKind,
        content: Content<'_>,
        timeout: &mut Timeout,
    ) -> Result<u64> {
        let id = self.next_id;
        self.next_id += 1;
        let expires = timeout.expires();
        let mut send = |client: &mut Client| {
            client.check_link(index, Some(id))?;
            client.on_link(index, |link| link.send(id, kind, expires, content))
        };
        if !send(self)? {
            self.wait_for_room(index, timeout, &mut send)?;
        }
        Ok(id)
    }

    /// Tries `send` until there was room for it.
    #[cold]
    fn wait_for_room(
        &mut self,
        index: usize,
        timeout: &mut Timeout,
        send: &mut dyn FnMut(&mut Client) -> Result<bool>,
    ) -> Result<()> {
        self.patience.begin();
        loop {
            for _ in 0..BATCH {
                match self.receive_any() {
                    Ok(None) => break,
                    Ok(Some(reply)) => {
                        self.keep(reply);
                        self.patience.begin();
                    }
                    // Another session's end, told to who asks for replies of any.
                    Err(error @ Error::Corrupt { .. }) if self.link(index).is_ok() => {
                        self.over.push_back(error);
                    }
                    Err(error) => return Err(error),
                }
            }
            match self.patience.step(timeout) {
                Step::Again => {}
                Step::Check => self.take_bells(Deadline::passed())?,
                Step::Sleep => {
                    if self.sleep(Some(index)) {
                        self.take_bells(timeout.deadline())?;
                    }
                    self.wake();
                }
                Step::TimedOut => {
                    return Err(self.timed_out(index, "room for a request to", timeout));
                }
            }
            if send(self)? {
                return Ok(());
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
        self.patience.begin();
        loop {
            // One more look after the time is up: the answer may have come while this thread had no core.
            let step = self.patience.step(timeout);
            if let Some(reply) = self.answer_now(index, id) {
                return Ok(reply);
            }
            if step == Step::Again && !self.has_seen_reply(index) {
                continue;
            }
            if let Some(reply) = self.answer_to(index, id)? {
                return Ok(reply);
            }
            if step == Step::Again {
                continue;
            }
            if let Err(error) = self.check_link(index, Some(id)) {
                return self.answer_before(index, id, error);
            }
            match step {
                Step::Again => {}
                Step::Check => {
                    self.take_bells(Deadline::passed())?;
                    self.leave_the_dead(index, id)?;
                }
                Step::Sleep => {
                    if self.sleep(None) {
                        self.take_bells(timeout.deadline())?;
                    } else if !self.keep_of_others(index) {
                        self.take_bells(timeout.deadline().min(Deadline::after(LULL)))?;
                    }
                    self.wake();
                    self.leave_the_dead(index, id)?;
                    self.patience.begin();
                    // Mostly it is what woke this thread, and then the clock need not be read.
                    if let Some(reply) = self.answer_now(index, id) {
                        return Ok(reply);
                    }
                }
                Step::TimedOut => {
                    self.on_link(index, |link| link.cancel(id))?;
                    return Err(self.timed_out(index, "the answer of", timeout));
                }
            }
        }
    }

    /// The final reply to one request by the shortest way.
    #[inline(always)]
    fn answer_now(&mut self, index: usize, id: u64) -> Option<Reply> {
        self.links.get_mut(index)?.as_mut()?.receive_now(Some(id))
    }

    /// The final reply to one request, if it is there; others are stashed.
    #[inline]
    fn answer_to(&mut self, index: usize, id: u64) -> Result<Option<Reply>> {
        // Bounded, so that a flood of others does not outlast the deadline.
        for _ in 0..BATCH {
            match self.on_link(index, Link::receive)? {
                None => break,
                Some(reply) if reply.id().0 != id => {
                    self.note_redirect(index, &reply);
                    self.keep(reply);
                }
                Some(reply) if reply.status().is_final() => return Ok(Some(reply)),
                Some(_) => {}
            }
        }
        Ok(None)
    }

    /// The answer that came before the end of its session; else the error.
    #[cold]
    fn answer_before(&mut self, index: usize, id: u64, error: Error) -> Result<Reply> {
        let is_it = |reply: &Reply| reply.id().0 == id && reply.status().is_final();
        let answer = self.stash.iter().position(is_it);
        if let Some(reply) = answer.and_then(|at| self.stash.remove(at)) {
            return Ok(reply);
        }
        if let Ok(link) = self.link(index) {
            link.cancel(id)?;
        }
        Err(error)
    }

    /// Does something in a session, which ends if the server turns out to be broken.
    #[inline]
    pub(super) fn on_link<T>(
        &mut self,
        index: usize,
        act: impl FnOnce(&mut Link) -> Result<T>,
    ) -> Result<T> {
        let done = act(self.link(index)?);
        if matches!(done, Err(Error::Corrupt { .. })) {
            self.forget(index);
        }
        done
    }

    /// Waits for a reply to any request.
    pub(super) fn wait_for_any(&mut self, timeout: &mut Timeout) -> Result<Option<Reply>> {
        self.patience.begin();
        while self.outstanding() > 0 {
            let step = self.patience.step(timeout);
            if let Some(reply) = self.next_now() {
                return Ok(Some(reply));
            }
            if let Some(reply) = self.receive_any()? {
                return Ok(Some(reply));
            }
            match step {
                Step::Again => continue,
                Step::Check => self.take_bells(Deadline::passed())?,
                Step::Sleep => {
                    if self.sleep(None) {
                        self.take_bells(timeout.deadline())?;
                    }
                    self.wake();
                    self.patience.begin();
                }
                Step::TimedOut => break,
            }
            if let Some(reply) = self.receive_any()? {
                return Ok(Some(reply));
            }
            self.check_waiting_links()?;
            if let Some(reply) = self.stash.pop_front() {
                return Ok(Some(reply));
            }
        }
        Ok(None)
    }

    /// The next reply in any session.
    #[inline]
    pub(super) fn receive_any(&mut self) -> Result<Option<Reply>> {
        for _ in 0..self.links.len() {
            let index = if self.first < self.links.len() {
                self.first
            } else {
                0
            };
            self.first = index + 1;
            if self.links.get(index).is_some_and(Option::is_some)
                && let Some(reply) = self.on_link(index, Link::receive)?
            {
                self.note_redirect(index, &reply);
                return Ok(Some(reply));
            }
        }
        Ok(None)
    }

    /// Says in every session that this side sleeps: `false`, and it does not, if there is something to do. `room`
    /// is the link in which room is waited for. A session that is broken is something to do: who looks there next ends it.
    pub(super) fn sleep(&mut self, room: Option<usize>) -> bool {
        let mut nothing = true;
        for (index, link) in self.links.iter_mut().enumerate() {
            if let Some(link) = link {
                nothing &= link.sleep(room == Some(index));
            }
        }
        nothing
    }

    pub(super) fn wake(&mut self) {
        for link in self.links.iter_mut().flatten() {
            link.wake();
        }
    }

    /// Waits for bells until the deadline, and takes off those that rang. Shows what stands in a batch that was forgotten.
    pub(super) fn take_bells(&mut self, deadline: Deadline) -> Result<()> {
        self.show();
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
            } else {
                link.note_death();
            }
        }
        Ok(())
    }
}
