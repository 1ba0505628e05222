//! What comes back: replies taken out of the ring, checked, and matched with what is waited for.

use super::Link;
use crate::client::reply::{Reply, RequestId};
use crate::error::Result;
use crate::request::{HandOver, ReplyBody, ReplyHeader, ReplyView};
use crate::ring::raw::{self, Found};
use crate::session::{Broken, Payload};

impl Link {
    /// The next reply that somebody wants, if there is one.
    pub(in crate::client) fn receive(&mut self) -> Result<Option<Reply>> {
        loop {
            let found = match self.replies.peek() {
                Ok(None) => return Ok(None),
                Ok(Some(found)) => found,
                Err(corrupt) => return Err(self.broken(corrupt.into())),
            };
            let reply = self.read(&found)?;
            let wanted = match reply.status.is_final() {
                true => self.pending.answer(reply.id.0),
                false => self.pending.get(reply.id.0).map(|pending| pending.wanted),
            };
            self.replies.advance(&found);
            self.replies.release_read();
            raw::fence();
            if self.replies.must_ring() {
                self.ring();
            }
            match wanted {
                Some(true) => return Ok(Some(reply)),
                Some(false) | None => self.unwanted += 1,
            }
        }
    }

    /// Copies a reply out and checks the copy.
    fn read(&mut self, found: &Found) -> Result<Reply> {
        let mut bytes = vec![0; found.len()];
        self.replies.read(found, &mut bytes);
        let view = ReplyView::decode(&bytes).map_err(|error| self.broken(error.into()))?;
        let ReplyHeader {
            id,
            status,
            code,
            epoch,
            ..
        } = view.header();
        let payload = match view.body() {
            ReplyBody::HandOver(HandOver {
                number,
                length,
                offset,
            }) => {
                let end = offset.saturating_add(length);
                match self
                    .mapped
                    .open(|| self.place.directory().try_clone(), number, end)
                {
                    Ok(segment) => Payload::segment(segment, offset, length, true),
                    Err(problem) if problem.is_shortage() => return Err(problem),
                    Err(problem) => return Err(self.broken(Broken::HandOver(problem))),
                }
            }
            ReplyBody::Inline(_) => Payload::inline(bytes, ReplyHeader::LENGTH),
        };
        Ok(Reply {
            id: RequestId(id),
            status,
            code,
            epoch,
            payload,
        })
    }
}
