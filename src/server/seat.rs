//! The server's end of one session.
//!
//! The server's thread takes requests; whoever holds an [`Incoming`] answers, from any thread. Both do it under
//! the session's own lock, which nobody holds while waiting for anything. What the lock guards is in [`core`].

mod again;
mod answering;
mod answers;
mod core;
mod ending;
mod large;
mod outbox;
mod reading;
mod taking;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_utils::CachePadded;

use self::core::Core;
use self::large::Large;
use super::block::Block;
use super::delivery::Held;
use super::event::{Event, Peer, SessionId};
use crate::error::Result;
use crate::fifo::BellReader;
use crate::session::handover::Pool;
use crate::session::{Broken, layout};
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

    /// Takes the next request by the shortest way, which is the server's thread's alone, as long as no other answers.
    #[inline(always)]
    pub(super) fn take_now(&self) -> Option<Block> {
        let taken = self.core.alone(|core| core.as_mut()?.next_now(&self.large));
        taken.flatten()
    }

    /// Takes the next request, if there is one, where [`take_now`](Self::take_now) has found none.
    pub(super) fn take(&self) -> Result<Block, Next> {
        self.with(Err(Next::Nothing(Quiet::default())), |core| {
            if !self.core.is_owned()
                && let Some(delivery) = core.next_now(&self.large)
            {
                return Ok(delivery);
            }
            core.next(&self.large)
        })
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

    /// Watches the ring: the client need not ring. Whether the server's thread had turned away for want of room for answers.
    pub(super) fn watch(&self) -> bool {
        self.with(false, Core::watch)
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

    /// Whether nobody need keep hold of it: the session is over, or it is the parent's of this process.
    #[inline(always)]
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed) || !self.stamp.is_current()
    }
}
