//! Replies that are made ready, and kept while there is no room for them.

use std::borrow::Cow;

use super::core::Core;
use crate::request::{HandOver, ReplyForm, ReplyHeader, Status};
use crate::ring::record;
use crate::session::layout::Geometry;
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
        } else if let Some(ticket) = ticket {
            self.let_go(ticket);
            // What happens until there is room is not the request's fault.
            record::acquit(self.memory.requests.state(ticket));
            let header = outgoing.header;
            let payload = outgoing.payload.into_owned();
            self.outbox
                .push_back((Some(ticket), Outgoing { header, payload }));
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
}
