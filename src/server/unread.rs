//! What a predecessor has published in a session's replies and its client has not let go of.

use crate::request::{HandOver, ReplyForm, ReplyHeader};
use crate::ring::raw::{Found, RawConsumer};
use crate::session::layout::{Geometry, Memory};

/// The numbers of the segments that unread replies name. The ring is only looked at. A broken client can have written
/// anything there: what does not decode names nothing, and ends the look.
pub(super) fn segments(memory: &Memory, geometry: Geometry, generation: u64) -> Vec<u64> {
    let accept = geometry.replies_of(generation);
    let mut numbers = Vec::new();
    let Ok(mut replies) = RawConsumer::<2>::looking(memory.replies.clone(), accept) else {
        return numbers;
    };
    // Not beyond what is there now: who goes on writing has no end.
    let mut left = match replies.look() {
        Ok(_) => replies.known(),
        Err(_) => 0,
    };
    while left > 0
        && let Ok(Some(found)) = replies.peek()
    {
        numbers.extend(named(&replies, &found));
        left = left.saturating_sub(replies.advance(&found).wrapping_sub(found.at));
    }
    numbers
}

fn named(replies: &RawConsumer<2>, found: &Found) -> Option<u64> {
    let header = ReplyHeader::of(replies.lead(found)?).ok()?;
    if header.form != ReplyForm::HandOver {
        return None;
    }
    let mut place = [0; HandOver::LENGTH];
    replies.read_behind::<{ ReplyHeader::WORDS }>(found, &mut place);
    Some(HandOver::decode(&place).ok()?.number)
}
