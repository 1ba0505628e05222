//! What a session's lock guards: both rings, and what is on its way between them.
//!
//! A record is freed when it and all before it are answered, or copied and want no answer, so that a successor finds whatever was
//! not; one that wants none is passed at once, and freed with others. How answers go is in [`answers`](super::answers), how the
//! session comes to its end in [`ending`](super::ending).

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::again::{Inherited, Suspects};
use super::outbox::Outgoing;
use crate::directory::Directory;
use crate::error::Result;
use crate::fifo::{BellReader, BellWriter};
use crate::request::LastHeader;
use crate::ring::ledger::Ledger;
use crate::ring::raw::{self, RawConsumer, RawProducer};
use crate::session::Broken;
use crate::session::handover::{Mapped, Side};
use crate::session::layout::{Geometry, Memory};

/// One-way messages leave this share of the ring, or so many bytes, before it is freed, if there are more of them.
const ONE_WAY_SHARE: u64 = 8;
const ONE_WAY_ROOM: u64 = 32 << 10;

/// What a seat is made of.
#[derive(Debug)]
pub(in crate::server) struct Opening {
    pub(in crate::server) memory: Memory,
    pub(in crate::server) geometry: Geometry,
    pub(in crate::server) generation: u64,
    pub(in crate::server) epoch: u64,
    pub(in crate::server) same_clock: bool,
    pub(in crate::server) home: Home,
    pub(in crate::server) bell: BellWriter,
    pub(in crate::server) up: Arc<BellReader>,
    pub(in crate::server) inherited: Inherited,
}

/// Where a session's directory is. It is opened only when a segment is made or mapped, so that a session costs no
/// descriptor for it.
#[derive(Debug)]
pub(in crate::server) struct Home {
    pub(in crate::server) slots: Arc<Directory>,
    pub(in crate::server) slot: u32,
}

impl Home {
    pub(super) fn open(&self) -> Result<Directory> {
        self.slots.open_at(&self.slot.to_string())
    }
}

#[derive(Debug)]
pub(super) struct Core {
    pub(super) memory: Memory,
    pub(super) geometry: Geometry,
    pub(super) generation: u64,
    pub(super) epoch: u64,
    /// Whether the client's deadlines can be compared with our clock.
    pub(super) same_clock: bool,
    /// For hand-over segments.
    pub(super) home: Home,
    pub(super) requests: RawConsumer<3>,
    /// Of the request that was read last.
    pub(super) last: LastHeader,
    pub(super) replies: RawProducer<2>,
    /// To the client, until the session ends.
    pub(super) bell: Option<BellWriter>,
    /// From the client, and from threads that answer: what they did is for the server's thread to look at.
    pub(super) up: Arc<BellReader>,
    /// Requests that were taken and not freed; where a record begins is the request's ticket.
    pub(super) taken: Ledger,
    /// So many bytes are left by one-way messages before they are freed, if there are more of them.
    pub(super) one_way_room: u64,
    /// Of answers that were put into the ring and not shown, the requests' tickets.
    pub(super) unshown: Vec<u64>,
    /// Whether the server's thread has taken a request and is to look for the next one: then it shows what was put off.
    pub(super) comes_again: bool,
    /// Answers that found no room. While there are any, nothing is taken.
    pub(super) outbox: VecDeque<(Option<u64>, Outgoing<'static>)>,
    /// Whether the server's thread found no room for what is in the outbox, and looks again by itself: the client need not ring.
    pub(super) looks_for_room: bool,
    /// Whether it has turned away while there was something in the outbox.
    pub(super) stuck: bool,
    pub(super) mapped: Mapped,
    pub(super) suspects: Suspects,
    pub(super) draining: Option<Draining>,
    pub(super) ended: bool,
    /// What a thread that answers has found, for the server's thread to end the session.
    pub(super) broken: Option<Broken>,
}

/// A session that is being drained.
#[derive(Debug)]
pub(super) struct Draining {
    /// Records from this index on are left alone.
    pub(super) until: u64,
    /// Rung when all before it are answered.
    pub(super) door: Arc<BellReader>,
}

impl Core {
    pub(super) fn new(opening: Opening) -> Result<Core, Broken> {
        let Opening {
            memory,
            geometry,
            generation,
            epoch,
            same_clock,
            home,
            bell,
            up,
            inherited,
        } = opening;
        let accept = geometry.requests_of(generation);
        let requests = RawConsumer::resume(memory.requests.clone(), accept)?;
        Ok(Core {
            suspects: Suspects::new(inherited, requests.seen()),
            requests,
            last: LastHeader::default(),
            replies: RawProducer::resume(memory.replies.clone())?,
            memory,
            geometry,
            generation,
            epoch,
            same_clock,
            home,
            bell: Some(bell),
            up,
            taken: Ledger::default(),
            one_way_room: ONE_WAY_ROOM.min(geometry.request_capacity / ONE_WAY_SHARE),
            unshown: Vec::new(),
            comes_again: false,
            outbox: VecDeque::new(),
            looks_for_room: false,
            stuck: false,
            mapped: Mapped::new(Side::Request),
            draining: None,
            ended: false,
            broken: None,
        })
    }

    /// Rings the client if it sleeps and waits for what has just been done.
    #[inline]
    pub(super) fn wake(&mut self) {
        raw::fence();
        // Both are asked: each remembers what it has rung for.
        let for_replies = self.replies.must_ring();
        let for_room = self.requests.must_ring();
        if for_replies || for_room {
            self.ring();
        }
    }

    /// A client that is dead is found by its lock.
    pub(super) fn ring(&self) {
        if let Some(bell) = &self.bell {
            let _ = bell.ring();
        }
    }

    /// Whether it was stuck.
    pub(super) fn watch(&mut self) -> bool {
        self.requests.wake();
        std::mem::take(&mut self.stuck)
    }

    /// `false` if there is something to do, which may be to find out what is wrong.
    pub(super) fn watch_no_longer(&mut self) -> bool {
        self.turn_away();
        self.give_room();
        self.looks_for_room = false;
        let Ok(is_flushed) = self.flush() else {
            return false;
        };
        self.stuck = !is_flushed;
        let is_asleep = matches!(self.requests.sleep(), Ok(true));
        // What is left alone does not keep the server awake.
        self.stuck || is_asleep || self.is_late() || self.is_quiet()
    }

    pub(super) fn has_left(&self) -> bool {
        self.memory.client.leaving.load(Ordering::Relaxed) != 0
    }
}
