//! The shortest ways: of a request that fits into the ring or lies in the session's memory already, goes where its kind is
//! known to go, and finds room; and of an answer that was done, where there is one session. All others take the long way,
//! which also tells what is wrong.

use std::time::Duration;

use super::Client;
use super::link::Link;
use super::reply::Reply;
use super::route::Route;
use crate::error::Result;
use crate::request::RequestKind;
use crate::session::wait::Wait;
use crate::session::{Body, BodyKind, Lease};
use crate::sys::clock::{self, Timeout};

/// Looks for what is nearly there.
const SOON: u32 = 128;

impl Client {
    /// The session to which requests of this kind go, if that is known and it is open.
    #[inline(always)]
    pub(super) fn link_short(&mut self, kind: RequestKind) -> Option<(usize, &mut Link)> {
        let known = self.known_route(kind);
        let index = known.unwrap_or(0);
        let link = self.links.get_mut(index)?.as_mut()?;
        // Of a service that was directed to and is dead, the first one is to be asked again.
        let is_deserted = index != 0 && link.server_gone();
        let is_clear = link.is_open() && !self.options.fail_fast;
        let is_short = is_clear && !is_deserted && (known.is_some() || !link.directs());
        is_short.then_some((index, link))
    }

    /// Memory for a request of this kind with `len` bytes of payload, so that a large one needs no copy. The content
    /// is whatever the payload before left there.
    ///
    /// To a server that directs a question may be put first, which is waited for.
    ///
    /// # Errors
    ///
    /// [`Error::NoSpace`](crate::Error::NoSpace); [`Error::TooMany`](crate::Error::TooMany) while 1024 are held or on their way,
    /// [`Error::TooLong`](crate::Error::TooLong); as for [`call`](Client::call).
    pub fn lease(&mut self, kind: RequestKind, len: u64, timeout: Duration) -> Result<Lease> {
        self.check_fork()?;
        if let Some((_, link)) = self.link_short(kind) {
            return link.lease(len);
        }
        let index = match self.route(kind, &mut Timeout::new(timeout))? {
            Route::To(index) => index,
            // The call will be refused like the question; until then any memory will do.
            Route::Refused(_) => 0,
        };
        self.link(index)?.lease(len)
    }

    /// Publishes a request: the link that it went over, and its id. `None`, and nothing has happened, if it
    /// must go the long way.
    #[inline(always)]
    pub(super) fn send_short(
        &mut self,
        kind: RequestKind,
        body: &Body<'_>,
        timeout: Duration,
    ) -> Option<(usize, u64)> {
        let id = self.next_id;
        let (index, link) = self.link_short(kind)?;
        if !link.has_fit(body) {
            return None;
        }
        let expires = clock::expires_in(timeout);
        let sent = match &body.0 {
            BodyKind::Bytes(bytes) => link.send_bytes(id, kind, expires, bytes),
            BodyKind::Lease(lease) => link.send_beside(id, kind, expires, Some(lease)),
        };
        sent.ok()?;
        self.next_id += 1;
        Some((index, id))
    }

    /// Whether there is a reply that the shortest way did not take.
    #[inline]
    pub(super) fn has_seen_reply(&self, index: usize) -> bool {
        let link = self.links.get(index).and_then(Option::as_ref);
        link.is_some_and(Link::has_seen_reply)
    }

    /// The session, if there is one alone and nothing else to tell.
    #[inline(always)]
    fn only_link(&mut self) -> Option<&mut Link> {
        match self.links.as_mut_slice() {
            [Some(link)] if self.stash.is_empty() && self.over.is_empty() => Some(link),
            _ => None,
        }
    }

    /// The next reply by the shortest way.
    #[inline(always)]
    pub(super) fn next_now(&mut self) -> Option<Reply> {
        self.only_link()?.receive_now(None)
    }

    /// As [`next_now`](Client::next_now), with some more looks while there is nothing at all.
    #[inline(always)]
    pub(super) fn next_soon(&mut self, timeout: Duration) -> Option<Reply> {
        let mut looks = match self.patience.wait() {
            _ if timeout.is_zero() || !self.stamp.is_current() => return None,
            Wait::Park => 1,
            Wait::Adaptive | Wait::Spin => SOON,
        };
        let link = self.only_link()?;
        loop {
            let reply = link.receive_now(None);
            looks -= 1;
            let nothing = reply.is_none() && !link.has_seen_reply();
            if !nothing || looks == 0 || link.pending().is_empty() {
                return reply;
            }
        }
    }
}
