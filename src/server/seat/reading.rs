//! How a message is copied out of the ring, and checked.

use std::sync::Arc;

use super::core::Core;
use crate::error::Result;
use crate::request::{DecodeError, HandOver, RequestBody, RequestHeader, RequestView};
use crate::ring::raw::Found;
use crate::server::delivery::Delivery;
use crate::session::handover::Segment;
use crate::session::{Block, Broken};

impl Core {
    /// Copies a message out and checks the copy. The inner error is ours, not the client's fault.
    #[inline(always)]
    pub(super) fn read(
        &mut self,
        found: &Found,
        attempts: u32,
    ) -> Result<(Block<Delivery>, Result<()>), Broken> {
        const WORDS: usize = RequestHeader::WORDS;
        let lead = self.requests.lead::<WORDS>(found);
        let words = lead.ok_or(DecodeError::Truncated {
            needed: RequestHeader::LENGTH,
            found: found.len(),
        })?;
        let header = RequestHeader::of(words)?;
        let mut delivery = Delivery::of(header, found.at, attempts);
        let payload = delivery.payload.refill(found.len() - RequestHeader::LENGTH);
        self.requests.read_behind::<WORDS>(found, payload);
        let mapped = match RequestView::of(header, payload)?.body() {
            RequestBody::HandOver(place) => self.map(place)?.map(|segment| {
                delivery
                    .payload
                    .refer(segment, place.offset, place.length, false);
            }),
            RequestBody::Inline(_) | RequestBody::Ask => Ok(()),
        };
        Ok((delivery, mapped))
    }

    #[cold]
    fn map(&mut self, place: HandOver) -> Result<Result<Arc<Segment>>, Broken> {
        let end = place.offset.saturating_add(place.length);
        match self.mapped.open(|| self.home.open(), place.number, end) {
            Err(problem) if !problem.is_shortage() => Err(Broken::HandOver(problem)),
            mapped => Ok(mapped),
        }
    }
}
