//! A message that was taken out of a session's ring, on its way through a handler.

use std::sync::Arc;

use super::batch::ReplyBatch;
use super::block::Block;
use super::seat::Seat;
use crate::error::Result;
use crate::request::{RequestForm, RequestHeader, RequestKind, Status};
use crate::session::{Body, Payload};

/// A message, checked.
#[derive(Debug)]
pub(super) struct Delivery {
    /// Where its record stands, while it wants an answer.
    pub(super) ticket: Option<u64>,
    pub(super) header: RequestHeader,
    /// By our clock; 0 for none.
    pub(super) deadline: u64,
    pub(super) attempts: u32,
    pub(super) payload: Payload,
    /// What holds its seat, from when it is handed on.
    hold: Option<Arc<Seat>>,
}

impl Delivery {
    /// A new one.
    pub(super) fn empty() -> Delivery {
        Delivery {
            ticket: None,
            header: RequestHeader {
                id: 0,
                kind: RequestKind::new("-"),
                deadline: 0,
                form: RequestForm::Ask,
            },
            deadline: 0,
            attempts: 0,
            payload: Payload::default(),
            hold: None,
        }
    }

    /// Lets go of what is not worth keeping.
    #[inline(always)]
    pub(super) fn clear(&mut self) {
        self.payload.clear();
        // To count who holds a seat costs as much as to copy a short message.
        if self.hold.as_ref().is_some_and(|seat| seat.is_over()) {
            self.hold = None;
        }
    }

    /// Of a header whose payload is still to be read.
    #[inline(always)]
    pub(super) fn of(header: RequestHeader, ticket: u64, attempts: u32) -> Block {
        let mut delivery = Block::take();
        delivery.begin(header, ticket, attempts);
        delivery.deadline = 0;
        delivery
    }

    /// Makes it one with this header, whose payload is still to be read.
    #[inline(always)]
    pub(super) fn begin(&mut self, header: RequestHeader, ticket: u64, attempts: u32) {
        self.ticket = (header.id != 0).then_some(ticket);
        self.header = header;
        self.attempts = attempts;
    }
}

/// A delivery in somebody's hands, and whose it is. One that wants an answer and is dropped without is answered
/// with [`Status::Failed`].
#[derive(Debug)]
pub(super) struct Held {
    pub(super) delivery: Block,
}

impl Held {
    #[inline(always)]
    pub(super) fn of(seat: &Arc<Seat>, mut delivery: Block) -> Held {
        match &delivery.hold {
            Some(kept) if Arc::ptr_eq(kept, seat) => {}
            _ => delivery.hold = Some(Arc::clone(seat)),
        }
        Held { delivery }
    }

    /// Lets go of the seat that is kept for the next message.
    pub(super) fn forget() {
        Block::take().hold = None;
    }

    #[inline]
    pub(super) fn seat(&self) -> &Arc<Seat> {
        match &self.delivery.hold {
            Some(seat) => seat,
            None => unreachable!("it is handed on with its seat"),
        }
    }

    #[inline]
    pub(super) fn answer(mut self, status: Status, code: u32, body: Body<'_>) -> Result<()> {
        self.let_go(status, code, body)
    }

    /// Answers what was done, so that the client is shown it together with others of the batch.
    #[inline]
    pub(super) fn answer_in(mut self, batch: &mut ReplyBatch, body: Body<'_>) -> Result<()> {
        let Some(ticket) = self.delivery.ticket.take() else {
            return Ok(());
        };
        let (id, seat) = (self.delivery.header.id, self.seat());
        batch.enter(seat);
        match seat.answer_now(ticket, id, Status::Done, 0, &body, true) {
            true => Ok(()),
            false => seat.answer_long(ticket, id, Status::Done, 0, body),
        }
    }

    #[inline]
    fn let_go(&mut self, status: Status, code: u32, body: Body<'_>) -> Result<()> {
        let Some(ticket) = self.delivery.ticket.take() else {
            return Ok(());
        };
        let (id, seat) = (self.delivery.header.id, self.seat());
        match seat.answer_now(ticket, id, status, code, &body, false) {
            true => Ok(()),
            false => seat.answer_long(ticket, id, status, code, body),
        }
    }
}

impl Held {
    #[cold]
    fn fail(&mut self) {
        let reason = "the handler dropped the request without an answer";
        // A client that is gone needs none.
        let _ = self.let_go(Status::Failed, 0, Body::from(reason));
    }
}

impl Drop for Held {
    #[inline]
    fn drop(&mut self) {
        if self.delivery.ticket.is_some() {
            self.fail();
        }
    }
}
