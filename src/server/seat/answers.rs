//! How an answer gets to the client: made ready, published or kept, committed.
//!
//! The order for each final answer is: reply bytes, reply tail, the request's state, the head, what is said of that beside the
//! reply tail; then one fence, then a look at the client's sleep words.

use std::borrow::Cow;

use super::core::Core;
use crate::request::{HandOver, ReplyForm, ReplyHeader, Status};
use crate::ring::cursor::Refused;
use crate::ring::record::{self, Header};
use crate::session::layout::{Geometry, REPLY_RECORD};
use crate::session::{BodyKind, Broken};

/// A reply, ready to be published.
#[derive(Debug)]
pub(super) struct Outgoing<'a> {
    header: ReplyHeader,
    payload: Carried<'a>,
}

/// What stands behind a reply's header.
#[derive(Debug)]
enum Carried<'a> {
    Bytes(Cow<'a, [u8]>),
    /// Where the bytes lie.
    Place([u8; HandOver::LENGTH]),
}

impl Carried<'_> {
    #[inline]
    fn as_slice(&self) -> &[u8] {
        match self {
            Carried::Bytes(bytes) => bytes,
            Carried::Place(place) => place,
        }
    }

    fn into_owned(self) -> Carried<'static> {
        match self {
            Carried::Bytes(bytes) => Carried::Bytes(bytes.into_owned().into()),
            Carried::Place(place) => Carried::Place(place),
        }
    }
}

impl Core {
    /// Whether an answer can be published at once, if there is room.
    #[inline(always)]
    pub(super) fn is_clear(&self) -> bool {
        !self.ended && self.outbox.is_empty()
    }

    /// Publishes an answer, where there is room for it now; `false`, and nothing has happened, where there is none.
    #[inline(always)]
    pub(super) fn answer(
        &mut self,
        ticket: u64,
        id: u64,
        status: Status,
        code: u32,
        form: ReplyForm,
        payload: &[u8],
    ) -> bool {
        let header = self.header(id, status, code, form);
        if !matches!(self.push(header, payload), Ok(true)) {
            return false;
        }
        self.commit(ticket);
        self.wake();
        true
    }

    /// Makes a reply ready, whose bytes fit into the ring or whose lease is of this session.
    #[inline]
    pub(super) fn prepare<'a>(
        &self,
        id: u64,
        status: Status,
        code: u32,
        body: BodyKind<'a>,
    ) -> Outgoing<'a> {
        let lease = match body {
            BodyKind::Bytes(bytes) => return self.reply(id, status, code, Cow::Borrowed(bytes)),
            BodyKind::Lease(lease) => lease,
        };
        Outgoing {
            header: self.header(id, status, code, ReplyForm::HandOver),
            payload: Carried::Place(lease.send()),
        }
    }

    /// A reply that says why there is no other.
    pub(super) fn failure(&self, id: u64, reason: &str) -> Outgoing<'static> {
        let limit =
            Geometry::inline_limit(self.geometry.reply_capacity) as usize - ReplyHeader::LENGTH;
        let reason = reason.as_bytes();
        self.reply(
            id,
            Status::Failed,
            0,
            reason[..reason.len().min(limit)].to_vec().into(),
        )
    }

    #[inline]
    pub(super) fn reply<'a>(
        &self,
        id: u64,
        status: Status,
        code: u32,
        payload: Cow<'a, [u8]>,
    ) -> Outgoing<'a> {
        let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        Outgoing {
            header: self.header(id, status, code, ReplyForm::Inline(len)),
            payload: Carried::Bytes(payload),
        }
    }

    #[inline]
    fn header(&self, id: u64, status: Status, code: u32, form: ReplyForm) -> ReplyHeader {
        ReplyHeader {
            id,
            status,
            code,
            epoch: self.epoch,
            form,
        }
    }

    /// Publishes a reply, or keeps it until there is room. An interim one is dropped then.
    pub(super) fn send(
        &mut self,
        ticket: Option<u64>,
        outgoing: Outgoing<'_>,
    ) -> Result<(), Broken> {
        if self.outbox.is_empty() && self.push(outgoing.header, outgoing.payload.as_slice())? {
            if let Some(ticket) = ticket {
                self.commit(ticket);
            }
            self.wake();
        } else if ticket.is_some() {
            if let Some(ticket) = ticket {
                self.let_go(ticket);
                // What happens until there is room is not the request's fault.
                record::acquit(self.memory.requests.state(ticket));
            }
            let header = outgoing.header;
            let payload = outgoing.payload.into_owned();
            self.outbox
                .push_back((ticket, Outgoing { header, payload }));
            self.flush()?;
        }
        Ok(())
    }

    /// Publishes what was kept: `false` if some is left. The client rings when it has made room, unless the server's thread
    /// looks for it.
    #[inline]
    pub(super) fn flush(&mut self) -> Result<bool, Broken> {
        if self.outbox.is_empty() {
            Ok(true)
        } else {
            self.flush_outbox()
        }
    }

    #[cold]
    fn flush_outbox(&mut self) -> Result<bool, Broken> {
        while let Some((ticket, outgoing)) = self.outbox.pop_front() {
            let pushed = self.push(outgoing.header, outgoing.payload.as_slice());
            if matches!(pushed, Ok(true)) {
                if let Some(ticket) = ticket {
                    self.commit(ticket);
                }
                self.wake();
                continue;
            }
            let len = ReplyHeader::LENGTH + outgoing.payload.as_slice().len();
            self.outbox.push_front((ticket, outgoing));
            pushed?;
            if self.looks_for_room || self.replies.sleep(u32::try_from(len).unwrap_or(u32::MAX))? {
                return Ok(false);
            }
        }
        self.replies.wake();
        if std::mem::take(&mut self.stuck) {
            // The client may not ring any more: it has made room before it could see that it was waited for.
            self.up.ring_self();
        }
        Ok(true)
    }

    #[inline(always)]
    fn push(&mut self, header: ReplyHeader, payload: &[u8]) -> Result<bool, Broken> {
        let record = Header {
            length: 0,
            kind: REPLY_RECORD,
            flags: 0,
            generation: self.generation,
        };
        if self.taken.len() == 1 && self.requests.known() == 0 {
            // The client waits for this alone, and has probably freed all before it.
            self.replies.rewind(self.requests.acknowledged());
        }
        match self.replies.push(record, header.words(), payload) {
            Ok(_) => {
                self.replies.publish();
                Ok(true)
            }
            Err(Refused::Full) => Ok(false),
            Err(Refused::Corrupt(corrupt)) => Err(corrupt.into()),
        }
    }

    /// Marks a request as answered, and frees all that are answered and have none before them that is not.
    #[inline(always)]
    pub(super) fn commit(&mut self, ticket: u64) {
        record::answer(self.memory.requests.state(ticket));
        self.let_go(ticket);
        if let Some(end) = self.taken.finish(ticket) {
            self.free(end);
        }
        if self.draining.is_some() {
            self.tell_quiet();
        }
    }

    /// Goes past a message that has no answer, from index `at` to `end`, of which a copy was taken: nobody finds it again. The
    /// client is given its room together with that of others.
    #[inline(always)]
    pub(super) fn pass_one_way(&mut self, at: u64, end: u64) {
        if self.taken.len() > 0 {
            self.taken.begin(at, end);
            return self.commit(at);
        }
        // Nothing is written to the lines that the client has written, or looks at while it finds no room: their way back and
        // forth would be most of the time that a stream of these takes.
        self.let_go(at);
        self.requests.pass(end);
        if self.requests.unreleased() >= self.one_way_room {
            self.give_room();
        }
    }

    /// Frees what one-way messages have left, and rings a client that waits for it.
    #[inline(never)]
    pub(super) fn give_room(&mut self) {
        let held = self.taken.oldest().unwrap_or(self.requests.next());
        if self.requests.head() != held {
            self.free(held);
            self.wake();
        }
    }

    /// Lets the client write over all requests before this index. If it knows of no others, it hears of it where it looks anyway.
    #[inline]
    fn free(&mut self, upto: u64) {
        self.requests.release(upto);
        if self.requests.unreleased() == 0 && self.requests.known() == 0 {
            self.replies.acknowledge(upto);
        }
    }

    /// Rings the door, if all that was asked before draining began is answered.
    #[cold]
    fn tell_quiet(&mut self) {
        if self.is_quiet()
            && let Some(draining) = &self.draining
        {
            draining.door.ring_self();
        }
    }
}
