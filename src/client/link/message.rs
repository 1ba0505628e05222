//! What a client sends, made ready for the ring.

use std::sync::Arc;

use super::Link;
use crate::error::{Error, Result};
use crate::request::{HandOver, RequestForm, RequestHeader, RequestKind};
use crate::session::handover::Segment;
use crate::session::layout::Geometry;
use crate::session::{Body, BodyKind, Lease};

/// A message to be sent, ready for the ring.
#[derive(Debug)]
pub(in crate::client) struct Message<'a> {
    pub(super) kind: RequestKind,
    pub(super) form: RequestForm,
    body: BodyKind<'a>,
    descriptor: [u8; HandOver::LENGTH],
}

impl<'a> Message<'a> {
    /// A question where requests of this kind go.
    pub(in crate::client) fn question(kind: RequestKind) -> Message<'static> {
        Message::inline(kind, RequestForm::Ask, &[])
    }

    #[inline]
    fn inline(kind: RequestKind, form: RequestForm, bytes: &'a [u8]) -> Message<'a> {
        Message {
            kind,
            form,
            body: BodyKind::Bytes(bytes),
            descriptor: [0; HandOver::LENGTH],
        }
    }

    fn hand_over(kind: RequestKind, lease: Lease) -> Message<'a> {
        let hand_over = HandOver {
            number: lease.segment.number(),
            length: lease.len(),
            offset: 0,
        };
        Message {
            kind,
            form: RequestForm::HandOver,
            body: BodyKind::Lease(lease),
            descriptor: hand_over.encode(),
        }
    }

    #[inline]
    pub(super) fn payload(&self) -> &[u8] {
        match &self.body {
            BodyKind::Bytes(bytes) => bytes,
            BodyKind::Lease(_) => &self.descriptor,
        }
    }

    #[inline]
    pub(super) fn segment(&self) -> Option<Arc<Segment>> {
        match &self.body {
            BodyKind::Bytes(_) => None,
            BodyKind::Lease(lease) => Some(Arc::clone(&lease.segment)),
        }
    }

    /// What it was made of, to be sent elsewhere.
    pub(in crate::client) fn into_body(self) -> Body<'a> {
        Body(self.body)
    }
}

impl Link {
    /// Memory for a large request.
    pub(in crate::client) fn lease(&mut self, len: u64) -> Result<Lease> {
        self.pool
            .lease(|| self.place.directory().try_clone(), len, self.generation)
    }

    /// Makes a request ready; what is too large for the ring goes into a segment.
    #[inline]
    pub(in crate::client) fn prepare<'a>(
        &mut self,
        kind: RequestKind,
        body: Body<'a>,
    ) -> Result<Message<'a>> {
        let lease = match body.0 {
            BodyKind::Bytes(bytes) if bytes.len() <= self.inline_limit() => {
                return Ok(inline(kind, bytes));
            }
            BodyKind::Bytes(bytes) => {
                let mut lease = self.lease(bytes.len() as u64)?;
                lease.write_at(0, bytes)?;
                lease
            }
            BodyKind::Lease(lease) => lease.moved_to(self.generation, |len| self.lease(len))?,
        };
        Ok(Message::hand_over(kind, lease))
    }

    /// Makes a one-way message ready, which must fit into the ring: nobody would say when its segment is free.
    pub(in crate::client) fn prepare_one_way<'a>(
        &self,
        kind: RequestKind,
        body: Body<'a>,
    ) -> Result<Message<'a>> {
        match body.0 {
            BodyKind::Bytes(bytes) if bytes.len() <= self.inline_limit() => Ok(inline(kind, bytes)),
            _ => Err(Error::TooLong {
                what: "one-way message",
                len: body.len(),
                max: self.inline_limit() as u64,
            }),
        }
    }

    fn inline_limit(&self) -> usize {
        Geometry::inline_limit(self.geometry.request_capacity) as usize - RequestHeader::LENGTH
    }
}

fn inline(kind: RequestKind, bytes: &[u8]) -> Message<'_> {
    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    Message::inline(kind, RequestForm::Inline(len), bytes)
}
