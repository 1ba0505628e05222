//! What comes back: replies taken out of the ring, checked, and matched with what is waited for.

use super::Link;
use crate::client::reply::{Reply, RequestId};
use crate::error::Result;
use crate::request::{HandOver, ReplyBody, ReplyHeader, ReplyView};
use crate::ring::raw::{self, Found};
use crate::session::{Broken, Buffer, Payload};

/// How many replies that nobody wants are passed over in one look.
const UNWANTED: usize = 256;

impl Link {
    /// The next reply that somebody wants, if there is one.
    #[inline]
    pub(in crate::client) fn receive(&mut self) -> Result<Option<Reply>> {
        // Bounded, so that a flood of what nobody wants does not outlast a deadline.
        for _ in 0..UNWANTED {
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
            // A server that waits for room needs no more than a quarter of the ring.
            if self.replies.unreleased() >= self.geometry.reply_capacity / 4 {
                self.make_room();
            }
            match wanted {
                Some(true) => return Ok(Some(reply)),
                Some(false) | None => self.unwanted += 1,
            }
        }
        Ok(None)
    }

    /// Copies a reply out and checks the copy.
    #[inline]
    fn read(&mut self, found: &Found) -> Result<Reply> {
        let mut buffer = Buffer::of(found.len());
        self.replies.read(found, buffer.as_mut_slice());
        let view =
            ReplyView::decode(buffer.as_slice()).map_err(|error| self.broken(error.into()))?;
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
            ReplyBody::Inline(_) => Payload::inline(buffer, ReplyHeader::LENGTH),
        };
        Ok(Reply {
            id: RequestId(id),
            status,
            code,
            epoch,
            payload,
        })
    }

    /// Lets the server write over the replies that were read, and rings it if it waits for that.
    pub(super) fn make_room(&mut self) {
        self.replies.release_read();
        raw::fence();
        if self.replies.must_ring() {
            self.ring();
        }
    }
}
