//! The shortest way of a request: what fits into the ring, goes where its kind is known to go, and finds room. All else
//! takes the long way, which also tells what is wrong.

use super::Client;
use super::link::Content;
use crate::request::RequestKind;
use crate::session::{Body, BodyKind};
use crate::sys::clock::Timeout;

impl Client {
    /// Publishes a request: the link that it went over, and its id. `None`, and nothing has happened, if it
    /// must go the long way.
    #[inline(always)]
    pub(super) fn send_short(
        &mut self,
        kind: RequestKind,
        body: &Body<'_>,
        timeout: &Timeout,
    ) -> Option<(usize, u64)> {
        let BodyKind::Bytes(bytes) = &body.0 else {
            return None;
        };
        let known = self.known_route(kind);
        let index = known.unwrap_or(0);
        let link = self.links.get_mut(index)?.as_mut()?;
        let is_clear = link.is_open() && link.takes(body) && !self.options.fail_fast;
        if !is_clear || (known.is_none() && link.directs()) {
            return None;
        }
        let id = self.next_id;
        let sent = link.send(id, kind, timeout.expires(), Content::Bytes(bytes));
        if !matches!(sent, Ok(true)) {
            return None;
        }
        self.next_id += 1;
        Some((index, id))
    }
}
