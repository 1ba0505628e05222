//! How a message is copied out of the ring, and checked.

use std::sync::Arc;

use super::core::Core;
use crate::error::{Error, Result};
use crate::request::{DecodeError, HandOver, RequestBody, RequestHeader, RequestView};
use crate::ring::raw::Found;
use crate::server::block::Block;
use crate::server::delivery::Delivery;
use crate::session::Broken;
use crate::session::handover::Segment;

impl Core {
    /// Copies a message's header out.
    #[inline(always)]
    pub(super) fn header_of(&mut self, found: &Found) -> Result<RequestHeader, Broken> {
        let lead = self.requests.lead::<{ RequestHeader::WORDS }>(found);
        let words = lead.ok_or(DecodeError::Truncated {
            needed: RequestHeader::LENGTH,
            found: found.len(),
        })?;
        Ok(self.last.check(words)?)
    }

    /// Copies the rest of a message out and checks the copy. What is ours, not the client's fault, is told beside it.
    #[inline(always)]
    pub(super) fn read(
        &mut self,
        found: &Found,
        header: RequestHeader,
        attempts: u32,
    ) -> Result<(Block, Option<Box<Error>>), Broken> {
        let mut delivery = Delivery::of(header, found.at, attempts);
        let payload = delivery.payload.refill(found.len() - RequestHeader::LENGTH);
        self.requests
            .read_behind::<{ RequestHeader::WORDS }>(found, payload);
        if let RequestBody::HandOver(place) = RequestView::of(header, payload)?.body() {
            match self.map(place)? {
                Ok(segment) => {
                    let payload = &mut delivery.payload;
                    payload.refer(segment, place.offset, place.length, None);
                }
                Err(problem) => return Ok((delivery, Some(Box::new(problem)))),
            }
        }
        Ok((delivery, None))
    }

    #[cold]
    fn map(&mut self, place: HandOver) -> Result<Result<Arc<Segment>>, Broken> {
        match self
            .mapped
            .open(|| self.home.open(), place.number, place.end())
        {
            Err(problem) if !problem.is_shortage() => Err(Broken::HandOver(problem)),
            mapped => Ok(mapped),
        }
    }
}
