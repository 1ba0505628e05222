//! The server's end of one session.
//!
//! The server's thread takes requests; whoever holds an [`Incoming`] answers, from any thread. Both do it under
//! the session's own lock, which nobody holds while waiting for anything. What the lock guards is in [`core`].

mod again;
mod answers;
mod core;
mod ending;
mod large;
mod reading;
mod taking;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_utils::CachePadded;

use self::core::Core;
use self::large::Large;
use super::delivery::{Delivery, Held};
use super::event::{Event, Peer, SessionId};
use crate::error::{Error, Result};
use crate::fifo::BellReader;
use crate::request::{ReplyForm, Status};
use crate::session::handover::Pool;
use crate::session::{Block, Body, BodyKind, Broken, layout};
use crate::sys::biased::Biased;
use crate::sys::fork::{self, Stamp};
use crate::sys::poll::Epoll;

pub(super) use self::again::{Call, Inherited};
pub(super) use self::core::{Home, Opening};
pub(super) use self::taking::{Next, Quiet};

/// The server's end of a session, shared with the requests that are being handled.
#[derive(Debug)]
pub(super) struct Seat {
    peer: Peer,
    /// The name of the service, for messages.
    service: String,
    /// `None` once the session is over and nothing of it is being run.
    core: CachePadded<Biased<Option<Core>>>,
    /// For large answers, made ready before the lock above is taken.
    large: Large,
    /// Of the process that serves: a forked child must not touch the rings, nor the lock.
    stamp: Stamp,
    /// Whether the session is over.
    over: AtomicBool,
}

impl Seat {
    pub(super) fn new(
        peer: Peer,
        service: String,
        opening: Opening,
        pool: Pool,
    ) -> Result<Seat, Broken> {
        let large = Large::new(&opening, pool);
        Ok(Seat {
            peer,
            service,
            core: CachePadded::new(Biased::new(Some(Core::new(opening)?))),
            large,
            stamp: fork::stamp(),
            over: AtomicBool::new(false),
        })
    }

    pub(super) fn session(&self) -> SessionId {
        self.peer.session()
    }

    pub(super) fn peer(&self) -> Peer {
        self.peer.clone()
    }

    /// Does something with the core; gives `over` where there is none any more. A thread that panics between two steps of
    /// an answer leaves what a crash would leave, and every step is made to survive that.
    #[inline(always)]
    fn with<T>(&self, over: T, act: impl FnOnce(&mut Core) -> T) -> T {
        match &mut *self.core.lock() {
            Some(core) => act(core),
            None => over,
        }
    }

    /// Takes the next request, if there is one.
    #[inline]
    pub(super) fn take(&self) -> Result<Block<Delivery>, Next> {
        self.with(Err(Next::Nothing(Quiet::default())), |core| {
            match core.next_now(&self.large) {
                Some(delivery) => Ok(delivery),
                None => core.next(&self.large),
            }
        })
    }

    /// Answers the request of this ticket. Where the answer itself cannot be sent, says so to the client too.
    #[inline]
    pub(super) fn answer(
        &self,
        ticket: u64,
        id: u64,
        status: Status,
        code: u32,
        body: Body<'_>,
    ) -> Result<()> {
        if self.stamp.is_current() && self.answer_now(ticket, id, status, code, &body) {
            return Ok(());
        }
        self.answer_long(ticket, id, status, code, body)
    }

    /// The shortest way of an answer, which fits into the ring and finds room there. `false`, and nothing has happened, if
    /// it must go the long way, which also tells what is wrong.
    #[inline(always)]
    fn answer_now(&self, ticket: u64, id: u64, status: Status, code: u32, body: &Body<'_>) -> bool {
        self.with(false, |core| match &body.0 {
            _ if !core.is_clear() => false,
            BodyKind::Bytes(bytes) if self.takes(bytes) => {
                let form = ReplyForm::Inline(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
                core.answer(ticket, id, status, code, form, bytes)
            }
            BodyKind::Lease(lease) if self.owns(lease) => {
                core.answer(ticket, id, status, code, ReplyForm::HandOver, &lease.send())
            }
            _ => false,
        })
    }

    fn answer_long(
        &self,
        ticket: u64,
        id: u64,
        status: Status,
        code: u32,
        body: Body<'_>,
    ) -> Result<()> {
        let ready = self.ready(body);
        let answered = self.open(|core| {
            let (outgoing, problem) = match ready {
                Ok(body) => (core.prepare(id, status, code, body), None),
                Err(problem) => {
                    let reason = format!("the answer could not be sent: {problem}");
                    (core.failure(id, &reason), Some(problem))
                }
            };
            let sent = core.send(Some(ticket), outgoing);
            self.sent(sent, core)?;
            problem.map_or(Ok(()), Err)
        });
        answered.inspect_err(|_| self.let_go(ticket))
    }

    /// Sends a reply that is not final, if there is room for it.
    pub(super) fn interim(&self, id: u64, status: Status) -> Result<()> {
        self.open(|core| {
            let outgoing = core.prepare(id, status, 0, BodyKind::Bytes(&[]));
            let sent = core.send(None, outgoing);
            self.sent(sent, core)
        })
    }

    /// Ends the session of a client that turned out to be broken when it was to be answered.
    #[inline]
    fn sent(&self, sent: Result<(), Broken>, core: &mut Core) -> Result<()> {
        sent.map_err(|broken| {
            let what = broken.to_string();
            core.fail(broken);
            Error::Corrupt {
                at: format!("session {} of {}", self.peer.session(), self.service),
                what,
            }
        })
    }

    /// For who answers: an error in a forked child, and when the session is over.
    fn open<T>(&self, act: impl FnOnce(&mut Core) -> Result<T>) -> Result<T> {
        if !self.stamp.is_current() {
            return Err(Error::Forked { what: "request" });
        }
        match &mut *self.core.lock() {
            Some(core) if !core.has_ended() => act(core),
            _ => Err(Error::Closed {
                service: self.service.clone(),
                reason: "the client has gone".to_owned(),
            }),
        }
    }

    /// A request that could not be answered is out of everybody's hands.
    #[cold]
    fn let_go(&self, ticket: u64) {
        if self.stamp.is_current() {
            self.with((), |core| core.let_go(ticket));
            self.clear();
        }
    }

    /// The deaths that the next request is charged with, if it is a suspect.
    pub(super) fn first_suspect(&self) -> Result<Option<u32>, Broken> {
        self.with(Ok(None), Core::first_suspect)
    }

    /// Lets the next suspect be run.
    pub(super) fn admit(&self, call: Call) {
        self.with((), |core| core.admit(call));
    }

    /// The session cannot run the suspect that was called.
    pub(super) fn decline(&self) {
        self.with((), Core::decline);
    }

    /// The suspect that was called last is not charged with what comes.
    pub(super) fn acquit(&self) {
        self.with((), Core::acquit);
    }

    /// Watches the ring: the client need not ring.
    pub(super) fn watch(&self) {
        self.with((), Core::watch);
    }

    /// Has the client ring from now on: `true`, or `false` if there is something to do already.
    pub(super) fn watch_no_longer(&self) -> bool {
        self.with(true, Core::watch_no_longer)
    }

    /// Whether the client has said good-bye.
    pub(super) fn has_left(&self) -> bool {
        self.with(true, |core| core.has_left())
    }

    /// Whether all that was asked before draining began is answered.
    pub(super) fn is_quiet(&self) -> bool {
        self.with(true, Core::is_quiet)
    }

    /// Leaves alone what is asked from now on, and has `door` rung when all before it is answered.
    pub(super) fn drain(&self, door: Arc<BellReader>) {
        self.with((), |core| core.drain(door));
    }

    /// Tells the client that it is served.
    pub(super) fn greet(&self) {
        self.with((), Core::open);
    }

    /// Whether the server's thread has turned away from it for want of room for answers.
    pub(super) fn is_stuck(&self) -> bool {
        self.with(false, |core| core.stuck)
    }

    /// Whether nobody answers the client's bell.
    pub(super) fn is_deaf(&self) -> bool {
        self.with(true, |core| core.is_deaf())
    }

    /// What a client that is gone told before its end. Nothing is served after this.
    pub(super) fn last_words(self: &Arc<Seat>) -> Vec<Event> {
        let words = self.with(Vec::new(), Core::last_words);
        words
            .into_iter()
            .map(|delivery| Event::of(Held::of(self, delivery)))
            .collect()
    }

    /// Tells the client what became of the session, and lets go of its bell. After this nothing is published, and
    /// answers are refused.
    pub(super) fn end(&self, status: layout::Status, epoll: &Epoll) {
        self.with((), |core| core.end(status, epoll));
        self.close();
    }

    /// As [`end`](Seat::end), but leaves the session to a successor.
    pub(super) fn abandon(&self) {
        self.with((), Core::abandon);
        self.close();
    }

    fn close(&self) {
        self.over.store(true, Ordering::Relaxed);
        self.clear();
        Held::forget();
    }

    /// Lets go of memory and descriptors, once the session is over and nothing of it is being run: who still holds the
    /// seat has no use for them.
    fn clear(&self) {
        let core = self.core.lock().take_if(|core| core.is_over());
        if core.is_some() {
            self.large.clear();
        }
    }

    /// Whether a message that was dropped in this thread may keep its hold for the next one, which costs nothing then:
    /// in the thread that serves, until the session is over.
    #[inline]
    pub(super) fn keeps_hold(&self) -> bool {
        self.core.is_owned() && !self.over.load(Ordering::Relaxed) && self.stamp.is_current()
    }
}
