//! The shortest way of a request: one that fits into the ring or lies in the session's memory already, goes where its
//! kind is known to go, and finds room. All others take the long way, which also tells what is wrong.

use super::Client;
use super::link::Content;
use crate::request::RequestKind;
use crate::session::Body;
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
        let known = self.known_route(kind);
        let index = known.unwrap_or(0);
        let link = self.links.get_mut(index)?.as_mut()?;
        // Of a service that was directed to and is dead, the first one is to be asked again.
        let is_deserted = index != 0 && link.server_gone();
        let is_clear = link.is_open() && link.has_fit(body) && !self.options.fail_fast;
        if !is_clear || is_deserted || (known.is_none() && link.directs()) {
            return None;
        }
        let id = self.next_id;
        let sent = link.send(id, kind, timeout.expires(), Content::of(body));
        if !matches!(sent, Ok(true)) {
            return None;
        }
        self.next_id += 1;
        Some((index, id))
    }
}
