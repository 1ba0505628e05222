//! What comes back: replies taken out of the ring, checked, and matched with what is waited for.

use std::sync::Arc;

use super::Link;
use crate::client::reply::Reply;
use crate::error::Result;
use crate::request::{DecodeError, HandOver, ReplyBody, ReplyForm, ReplyHeader, ReplyView, Status};
use crate::ring::raw::{self, Found, Whole};
use crate::ring::record::{OF_SESSION, record_len};
use crate::session::Broken;
use crate::session::handover::Segment;
use crate::sys::copy;
use crate::sys::map::WORD;

/// How many replies that nobody wants are passed over in one look.
const UNWANTED: usize = 256;

impl Link {
    /// The shortest way of an answer: one that was done, in the ring or in a segment that was mapped lately, that is
    /// wanted; only that of the request `only`, if that is given. `None`, and nothing has happened, if there is none or it must go the
    /// long way, which also tells what is wrong.
    #[inline(always)]
    pub(in crate::client) fn receive_now(&mut self, only: Option<u64>) -> Option<Reply> {
        match self.replies.has_any() {
            true => self.receive_found(only),
            false => None,
        }
    }

    #[inline(never)]
    fn receive_found(&mut self, only: Option<u64>) -> Option<Reply> {
        let mut is_another = false;
        let taken = self.replies.take_now(|found: Whole<'_, OF_SESSION, _>| {
            self.mapped.prefetch();
            let len = found.len.checked_sub(ReplyHeader::LENGTH)?;
            let header = ReplyHeader::of_done(found.lead(), u32::try_from(len).ok()?);
            let Some(header) = header.filter(|_| len <= found.row.len() * WORD) else {
                is_another = true;
                return None;
            };
            let is_asked = only.is_none_or(|only| only == header.id);
            if !is_asked || !self.pending.answer_wanted(header.id) {
                return None;
            }
            let mut reply = Reply::of(header);
            copy::load(found.row, reply.payload_mut().refill(len));
            Some(reply)
        });
        match taken {
            None if is_another => self.receive_handed_over(only),
            None => None,
            taken => {
                self.make_room_in_time();
                taken
            }
        }
    }

    /// As [`receive_now`](Self::receive_now), of an answer that lies in a segment that was mapped lately.
    #[inline(never)]
    fn receive_handed_over(&mut self, only: Option<u64>) -> Option<Reply> {
        let reply = self.replies.take_now(|found: Whole<'_, OF_SESSION, _>| {
            let header = ReplyHeader::of(found.lead()).ok()?;
            let is_good = header.form == ReplyForm::HandOver
                && header.status == Status::Done
                && found.len == ReplyHeader::LENGTH + HandOver::LENGTH
                && HandOver::LENGTH <= found.row.len() * WORD
                && only.is_none_or(|only| only == header.id)
                && self.pending.is_wanted(header.id);
            if !is_good {
                return None;
            }
            let mut place = [0; HandOver::LENGTH];
            copy::load(found.row, &mut place);
            let place = HandOver::decode(&place).ok()?;
            let segment = self.mapped.near(place.number, place.end())?;
            segment.mark_received();
            let mut reply = Reply::of(header);
            let payload = reply.payload_mut();
            payload.refer(segment, place.offset, place.length, Some(self.stamp));
            self.pending.answer(header.id);
            Some(reply)
        })?;
        self.make_room_in_time();
        Some(reply)
    }

    /// Whether there is a reply that was seen and not taken.
    #[inline]
    pub(in crate::client) fn has_seen_reply(&self) -> bool {
        self.replies.known() > 0
    }

    /// The next reply that somebody wants, if there is one.
    #[inline(always)]
    pub(in crate::client) fn receive(&mut self) -> Result<Option<Reply>> {
        // Bounded, so that a flood of what nobody wants does not outlast a deadline.
        for _ in 0..UNWANTED {
            let found = match self.replies.peek() {
                Ok(None) => return Ok(None),
                Ok(Some(found)) => found,
                Err(corrupt) => return Err(self.broken(corrupt.into())),
            };
            let reply = self.read(&found)?;
            let wanted = match reply.status().is_final() {
                true => self.pending.answer(reply.id().0),
                false => self.pending.get(reply.id().0).map(|pending| pending.wanted),
            };
            self.pass(&found);
            match wanted {
                Some(true) => return Ok(Some(reply)),
                Some(false) | None => self.unwanted += 1,
            }
        }
        Ok(None)
    }

    /// Goes past a reply that was read.
    #[inline(always)]
    fn pass(&mut self, found: &Found) {
        self.replies.advance(found);
        self.make_room_in_time();
    }

    /// A server that waits for room needs no more than a quarter of the ring.
    #[inline(always)]
    fn make_room_in_time(&mut self) {
        if self.replies.unreleased() >= self.geometry.reply_capacity / 4 {
            self.make_room();
        }
    }

    /// How many replies the ring holds at most.
    pub(in crate::client) fn most_replies(&self) -> u64 {
        self.geometry.reply_capacity / record_len::<2>(0)
    }

    /// Copies a reply out and checks the copy.
    #[inline(always)]
    fn read(&mut self, found: &Found) -> Result<Reply> {
        self.copy(found).map_err(|broken| match broken {
            Broken::HandOver(problem) if problem.is_shortage() => problem,
            broken => self.broken(broken),
        })
    }

    #[inline(always)]
    fn copy(&mut self, found: &Found) -> Result<Reply, Broken> {
        const WORDS: usize = ReplyHeader::WORDS;
        let lead = self.replies.lead::<WORDS>(found);
        let words = lead.ok_or(DecodeError::Truncated {
            needed: ReplyHeader::LENGTH,
            found: found.len(),
        })?;
        let header = ReplyHeader::of(words)?;
        let mut reply = Reply::of(header);
        let payload = reply
            .payload_mut()
            .refill(found.len() - ReplyHeader::LENGTH);
        self.replies.read_behind::<WORDS>(found, payload);
        if let ReplyBody::HandOver(place) = ReplyView::of(header, payload)?.body() {
            let segment = self.map(place)?;
            let payload = reply.payload_mut();
            payload.refer(segment, place.offset, place.length, Some(self.stamp));
        }
        Ok(reply)
    }

    #[cold]
    fn map(&mut self, place: HandOver) -> Result<Arc<Segment>, Broken> {
        let directory = || self.place.directory().try_clone();
        let segment = self.mapped.open(directory, place.number, place.end());
        let segment = segment.map_err(Broken::HandOver)?;
        segment.mark_received();
        Ok(segment)
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
