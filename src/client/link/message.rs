//! What a client sends, made to fit the ring.

use std::sync::Arc;

use super::Link;
use crate::error::{Error, Result};
use crate::request::{RequestForm, RequestHeader, RequestKind};
use crate::ring::cursor::Refused;
use crate::ring::raw;
use crate::ring::record::Header;
use crate::session::handover::{Segment, Side};
use crate::session::layout::REQUEST_RECORD;
use crate::session::{Body, BodyKind, Lease};

/// What a record carries.
#[derive(Clone, Copy, Debug)]
pub(in crate::client) enum Content<'a> {
    /// A question where requests of the kind go.
    Question,
    /// Bytes that fit into the ring.
    Bytes(&'a [u8]),
    /// The name of a segment of the session.
    Segment(&'a Lease),
}

impl<'a> Content<'a> {
    /// Of a body that [`Link::fit`] has passed.
    #[inline]
    pub(in crate::client) fn of(body: &'a Body<'_>) -> Content<'a> {
        match &body.0 {
            BodyKind::Bytes(bytes) => Content::Bytes(bytes),
            BodyKind::Lease(lease) => Content::Segment(lease),
        }
    }
}

/// The form of bytes that fit into the ring.
#[inline]
pub(super) fn inline(bytes: &[u8]) -> RequestForm {
    RequestForm::Inline(u32::try_from(bytes.len()).unwrap_or(u32::MAX))
}

#[inline(always)]
fn header_of(id: u64, kind: RequestKind, deadline: u64, form: RequestForm) -> RequestHeader {
    RequestHeader {
        id,
        kind,
        deadline,
        form,
    }
}

impl Link {
    /// Publishes a message; `false` if the ring is full. An id of 0 wants no answer.
    #[inline(always)]
    pub(in crate::client) fn send(
        &mut self,
        id: u64,
        kind: RequestKind,
        deadline: u64,
        content: Content<'_>,
    ) -> Result<bool> {
        let sent = match content {
            Content::Bytes(bytes) => self.send_bytes(id, kind, deadline, bytes),
            Content::Question => self.send_beside(id, kind, deadline, None),
            Content::Segment(lease) => self.send_beside(id, kind, deadline, Some(lease)),
        };
        match sent {
            Ok(()) => Ok(true),
            Err(Refused::Full) => Ok(false),
            Err(Refused::Corrupt(corrupt)) => Err(self.broken(corrupt.into())),
        }
    }

    /// As [`send`](Self::send) of bytes that fit into the ring.
    #[inline(always)]
    pub(in crate::client) fn send_bytes(
        &mut self,
        id: u64,
        kind: RequestKind,
        deadline: u64,
        bytes: &[u8],
    ) -> Result<(), Refused> {
        let header = header_of(id, kind, deadline, inline(bytes));
        self.publish(&header, bytes, None)
    }

    /// As [`send`](Self::send) of what brings no bytes: the name of a segment of the session, or a question.
    #[inline(never)]
    pub(in crate::client) fn send_beside(
        &mut self,
        id: u64,
        kind: RequestKind,
        deadline: u64,
        lease: Option<&Lease>,
    ) -> Result<(), Refused> {
        let Some(lease) = lease else {
            let header = header_of(id, kind, deadline, RequestForm::Ask);
            return self.publish(&header, &[], None);
        };
        let header = header_of(id, kind, deadline, RequestForm::HandOver);
        let segment = Arc::clone(lease.segment());
        self.publish(&header, &lease.place(), Some(segment))
    }

    #[inline(always)]
    fn publish(
        &mut self,
        header: &RequestHeader,
        payload: &[u8],
        segment: Option<Arc<Segment>>,
    ) -> Result<(), Refused> {
        let (at, freed) = self.put(header, payload)?;
        self.requests.publish();
        if header.id != 0 {
            self.pending.add(header.id, at, segment);
        }
        self.wake_server(freed);
        Ok(())
    }

    /// Rings the server if it sleeps and waits for what was published, or for the room of the replies that were `freed`.
    #[inline(always)]
    fn wake_server(&mut self, freed: bool) {
        raw::fence();
        // Both are asked: each remembers what it has rung for.
        let for_room = freed && self.replies.must_ring();
        if self.requests.must_ring() || for_room {
            self.ring();
        }
    }

    /// Puts a message into the ring; where, and whether replies were freed.
    #[inline(always)]
    fn put(&mut self, header: &RequestHeader, payload: &[u8]) -> Result<(u64, bool), Refused> {
        let record = Header {
            length: 0,
            kind: REQUEST_RECORD,
            flags: 0,
            generation: self.generation,
        };
        let is_alone = self.pending.is_empty();
        let freed = is_alone && self.free_replies();
        // A one-way message does not try: mostly they stream, and the server is at the one before.
        if is_alone && header.id != 0 {
            self.requests.rewind(self.replies.acknowledged());
        }
        let at = match self.requests.push(record, header.words(), payload) {
            Ok(at) => at,
            Err(refused) => {
                if freed {
                    self.make_room();
                }
                // The server frees only what it sees.
                self.show();
                return Err(refused);
            }
        };
        if is_alone {
            self.requests.acknowledge(self.replies.head());
        }
        Ok((at, freed))
    }

    /// Puts a message into the ring, which [`show`](Self::show) shows to the server.
    #[inline(always)]
    pub(in crate::client) fn put_bytes(
        &mut self,
        id: u64,
        kind: RequestKind,
        deadline: u64,
        bytes: &[u8],
    ) -> Result<(), Refused> {
        let header = header_of(id, kind, deadline, inline(bytes));
        let (at, _) = self.put(&header, bytes)?;
        if id != 0 {
            self.pending.add(id, at, None);
        }
        Ok(())
    }

    /// Shows the server what was only put into the ring.
    pub(in crate::client) fn show(&mut self) {
        if self.requests.has_unpublished() {
            self.requests.publish();
            // Replies may have been freed too.
            self.wake_server(true);
        }
    }

    /// Frees the replies that were read, so that the server can go on where the memory of its ring begins. Whether it may have
    /// waited for that room.
    #[inline]
    fn free_replies(&mut self) -> bool {
        let frees = self.replies.unreleased() > 0;
        if frees {
            self.replies.release_read();
        }
        frees
    }

    /// Memory for a large request.
    pub(in crate::client) fn lease(&mut self, len: u64) -> Result<Lease> {
        let (requests, acknowledged) = (&mut self.requests, self.replies.acknowledged());
        self.pending.let_go(|at| requests.is_over(at, acknowledged));
        self.pool
            .lease_alone(|| self.place.directory().try_clone(), len, self.generation)
    }

    /// Whether the ring takes so many bytes.
    #[inline]
    pub(in crate::client) fn takes(&self, body: &Body<'_>) -> bool {
        matches!(&body.0, BodyKind::Bytes(bytes) if bytes.len() <= self.inline)
    }

    /// Whether it can be sent over this link as it is.
    #[inline]
    pub(in crate::client) fn has_fit(&self, body: &Body<'_>) -> bool {
        match &body.0 {
            BodyKind::Bytes(_) => self.takes(body),
            BodyKind::Lease(lease) => lease.belongs_to((self.generation, Side::Request)),
        }
    }

    /// Puts what [has no fit](Link::has_fit) into a segment of the session.
    pub(in crate::client) fn fit<'a>(&mut self, body: Body<'a>) -> Result<Body<'a>> {
        let lease = match body.0 {
            BodyKind::Bytes(bytes) => {
                let mut lease = self.lease(bytes.len() as u64)?;
                lease.write_at(0, bytes)?;
                lease
            }
            BodyKind::Lease(lease) => {
                lease.moved_to((self.generation, Side::Request), |len| self.lease(len))?
            }
        };
        Ok(Body::from(lease))
    }

    /// Sends a one-way message that lies in a segment, if it fits into the ring; else refuses it: nobody would say when its
    /// segment is free.
    #[cold]
    pub(in crate::client) fn send_copy(
        &mut self,
        kind: RequestKind,
        body: &Body<'_>,
    ) -> Result<bool> {
        match &body.0 {
            BodyKind::Lease(lease) if lease.len() <= self.inline as u64 => {
                let copy = lease.to_vec()?;
                self.send(0, kind, 0, Content::Bytes(&copy))
            }
            _ => Err(Error::TooLong {
                what: "one-way message",
                len: body.len(),
                max: self.inline as u64,
            }),
        }
    }
}
