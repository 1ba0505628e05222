//! A request in a handler's hands, and the ways to answer it.

use std::time::Duration;

use super::batch::ReplyBatch;
use super::delivery::Held;
use super::event::Peer;
use crate::directory::Name;
use crate::error::Result;
use crate::request::{RequestKind, Status};
use crate::session::{Body, Lease, Payload};
use crate::sys::clock;

/// Names one request for good: the same on every delivery, over restarts of the server, and never used again.
///
/// A handler with side effects remembers the tokens that it has carried out, because a request can be delivered
/// once more if the server died before its answer was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token {
    /// The session's number.
    pub session: u64,
    /// The request's number in the session.
    pub request: u64,
}

/// A request that a client waits for an answer to.
///
/// It can be answered from any thread and in any order, once: the calls that answer take it by value. Dropped
/// without an answer, as by a panic of the handler, it is answered with [`Status::Failed`].
///
/// No answer blocks: one that finds the client's ring full is kept here, and sent when the client has made room. The
/// session's next requests wait till then.
#[derive(Debug)]
pub struct Incoming(pub(super) Held);

impl Incoming {
    /// What the client wants done.
    #[inline]
    pub fn kind(&self) -> RequestKind {
        self.0.delivery.header.kind
    }

    /// What came with the request.
    #[inline]
    pub fn payload(&self) -> &Payload {
        &self.0.delivery.payload
    }

    /// Takes the payload out; an empty one is left.
    ///
    /// A large one lies in memory of the client's, who uses it again once the request is answered: read it before.
    pub fn take_payload(&mut self) -> Payload {
        std::mem::take(&mut self.0.delivery.payload)
    }

    /// Who asks.
    pub fn peer(&self) -> Peer {
        self.0.seat().peer()
    }

    /// The request's name for good.
    pub fn token(&self) -> Token {
        Token {
            session: self.0.seat().session().0,
            request: self.0.delivery.header.id,
        }
    }

    /// Whether a server had begun this request before, and ended: its side effects may have happened. A handler that has
    /// any looks whether this [`token`](Incoming::token) was carried out.
    pub fn is_redelivered(&self) -> bool {
        self.0.delivery.attempts > 1
    }

    /// How often it was begun, this time included, as far as it was counted: a begin that it is not charged with
    /// ([`ServerOptions::max_deaths`](crate::ServerOptions::max_deaths)) counts once at most.
    pub fn attempts(&self) -> u32 {
        self.0.delivery.attempts
    }

    /// How long the client still waits; `None` if it did not say, or its clock is not comparable with ours.
    pub fn time_left(&self) -> Option<Duration> {
        let deadline = Some(self.0.delivery.deadline).filter(|deadline| *deadline != 0)?;
        Some(Duration::from_nanos(
            deadline.saturating_sub(clock::monotonic_ns()),
        ))
    }

    /// Memory of the session for an answer of `len` bytes, so that a large one needs no copy.
    ///
    /// # Errors
    ///
    /// [`Error::NoSpace`](crate::Error::NoSpace), [`Error::TooMany`](crate::Error::TooMany) while the client holds 1024 of the
    /// session's, [`Error::TooLong`](crate::Error::TooLong). [`Error::Closed`](crate::Error::Closed) if the client is gone, which may be
    /// told only when it is answered.
    pub fn lease(&self, len: u64) -> Result<Lease> {
        self.0.seat().lease(len)
    }

    /// Tells the client that the work has begun; it goes on waiting. Lost if the client's ring is full.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`](crate::Error::Closed) if the client is gone.
    pub fn started(&self) -> Result<()> {
        self.0
            .seat()
            .interim(self.0.delivery.header.id, Status::Started)
    }

    /// Answers. `body` is bytes, text, or a [`Lease`] of this session.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`](crate::Error::Closed) if the client is gone. Where the answer itself cannot be sent
    /// ([`Error::NoSpace`](crate::Error::NoSpace) for a large one), the client gets [`Status::Failed`] with that reason.
    #[inline]
    pub fn reply<'a>(self, body: impl Into<Body<'a>>) -> Result<()> {
        self.0.answer(Status::Done, 0, body.into())
    }

    /// As [`reply`](Incoming::reply), but the client is shown the answer together with others: see [`ReplyBatch`].
    ///
    /// # Errors
    ///
    /// As for [`reply`](Incoming::reply).
    #[inline]
    pub fn reply_in<'a>(self, batch: &mut ReplyBatch, body: impl Into<Body<'a>>) -> Result<()> {
        self.0.answer_in(batch, body.into())
    }

    /// Says that it could not be done: `code` is the program's own number, `reason` is for people.
    ///
    /// # Errors
    ///
    /// As for [`reply`](Incoming::reply).
    pub fn fail(self, code: u32, reason: &str) -> Result<()> {
        self.0.answer(Status::Failed, code, Body::from(reason))
    }

    /// Says that there is no handler for this kind, and for which there are.
    ///
    /// # Errors
    ///
    /// As for [`reply`](Incoming::reply).
    pub fn unknown_kind(self, known: &[RequestKind]) -> Result<()> {
        unknown_kind(self.0, known)
    }

    /// Sends the client to another service with this and all later requests of the kind.
    ///
    /// # Errors
    ///
    /// As for [`reply`](Incoming::reply).
    pub fn redirect(self, service: &Name) -> Result<()> {
        self.0
            .answer(Status::Redirect, 0, Body::from(service.as_str()))
    }
}

// A handler can be guarded by `catch_unwind`, and run in another thread.
static_assertions::assert_impl_all!(Incoming: Send, Sync, std::panic::UnwindSafe, std::panic::RefUnwindSafe);

/// A client's question where requests of a kind go, put before the first one.
///
/// Dropped without an answer, it is answered with [`Status::Failed`].
#[derive(Debug)]
pub struct Question(pub(super) Held);

impl Question {
    /// The kind that the client is about to send.
    #[inline]
    pub fn kind(&self) -> RequestKind {
        self.0.delivery.header.kind
    }

    /// Who asks.
    pub fn peer(&self) -> Peer {
        self.0.seat().peer()
    }

    /// "Send them to me."
    ///
    /// # Errors
    ///
    /// [`Error::Closed`](crate::Error::Closed) if the client is gone.
    pub fn here(self) -> Result<()> {
        self.0.answer(Status::Done, 0, Body::from(""))
    }

    /// "Send them to that service."
    ///
    /// # Errors
    ///
    /// As for [`here`](Question::here).
    pub fn redirect(self, service: &Name) -> Result<()> {
        self.0
            .answer(Status::Redirect, 0, Body::from(service.as_str()))
    }

    /// "Nobody here does such requests."
    ///
    /// # Errors
    ///
    /// As for [`here`](Question::here).
    pub fn unknown_kind(self, known: &[RequestKind]) -> Result<()> {
        unknown_kind(self.0, known)
    }

    /// "That cannot be done now": `code` is the program's own number, `reason` is for people.
    ///
    /// # Errors
    ///
    /// As for [`here`](Question::here).
    pub fn fail(self, code: u32, reason: &str) -> Result<()> {
        self.0.answer(Status::Failed, code, Body::from(reason))
    }
}

fn unknown_kind(held: Held, known: &[RequestKind]) -> Result<()> {
    let list: Vec<u8> = known.iter().flat_map(|kind| *kind.as_bytes()).collect();
    held.answer(Status::UnknownKind, 0, Body::from(&list))
}
