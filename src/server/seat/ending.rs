//! How a session comes to its end, as far as its memory is concerned.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::core::{Core, Draining};
use crate::fifo::BellReader;
use crate::ring::raw::Found;
use crate::ring::record::{self, Start};
use crate::server::block::Block;
use crate::session::{Broken, layout};
use crate::sys::clock::Deadline;
use crate::sys::poll::{self, Epoll, Interest};

impl Core {
    pub(super) fn is_deaf(&self) -> bool {
        let Some(bell) = &self.bell else { return true };
        let shown = poll::wait_one(bell, Interest::DEATH, Deadline::passed());
        matches!(shown, Ok(Some(ready)) if ready.is_dead())
    }

    /// What was told and not taken yet by a client that is gone.
    pub(super) fn last_words(&mut self) -> Vec<Block> {
        self.ended = true;
        self.outbox.clear();
        let mut words = Vec::new();
        // Not more than was there at this look: one that only seems to be gone may go on writing.
        let mut left = match self.requests.look() {
            Ok(true) => self.requests.known(),
            Ok(false) | Err(_) => 0,
        };
        while left > 0
            && let Ok(Some(found)) = self.requests.peek()
        {
            let header = self.header_of(&found);
            let start = record::start(self.memory.requests.state(found.at));
            left = left.saturating_sub(self.requests.advance(&found).wrapping_sub(found.at));
            let attempts = match start {
                Ok(Start::Started) => 1,
                Ok(Start::Found { attempts }) => attempts.saturating_add(1),
                _ => continue,
            };
            let Ok(header) = header else { continue };
            let Ok((delivery, None)) = self.read(&found, header, attempts) else {
                continue;
            };
            if delivery.ticket.is_none() {
                words.push(delivery);
            }
        }
        words
    }

    /// Whether a record came too late, after draining began.
    pub(super) fn is_left_alone(&self, found: &Found) -> bool {
        self.draining.as_ref().is_some_and(|draining| {
            // A liar's records need not meet the index at which draining began.
            let before = draining.until.wrapping_sub(found.at);
            before == 0 || before > self.geometry.request_capacity
        })
    }

    /// Whether the next record came too late.
    pub(super) fn is_late(&mut self) -> bool {
        matches!(self.requests.peek(), Ok(Some(found)) if self.is_left_alone(&found))
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether it has ended, the client was told, and no suspect is being run, for whose end the server waits.
    pub(super) fn is_over(&self) -> bool {
        self.ended && self.bell.is_none() && self.suspects.are_gone()
    }

    /// Whether all that was asked before draining began is answered.
    pub(super) fn is_quiet(&mut self) -> bool {
        if self.draining.is_none() {
            return false;
        }
        let is_read = match self.requests.peek() {
            Ok(Some(found)) => self.is_left_alone(&found),
            // What is corrupt ends with its session.
            Ok(None) | Err(_) => true,
        };
        self.ended || (is_read && self.taken.len() == 0 && self.outbox.is_empty())
    }

    /// Leaves alone what is asked from now on, and has `door` rung when all before it is answered.
    pub(super) fn drain(&mut self, door: Arc<BellReader>) {
        // A corrupt index is found by the next look.
        let _ = self.requests.look();
        let until = self.requests.seen();
        self.draining = Some(Draining { until, door });
    }

    /// Rings in any case: a predecessor may have died between publishing and ringing.
    pub(super) fn open(&mut self) {
        self.set_status(layout::Status::Open);
    }

    fn set_status(&mut self, status: layout::Status) {
        // SYNC(status): pairs with the client's look at the status.
        self.memory
            .server
            .status
            .store(status.pack(), Ordering::Release);
        self.ring();
    }

    /// Ends the session of a client that a thread which answers has found to be broken.
    pub(super) fn fail(&mut self, broken: Broken) {
        self.ended = true;
        self.set_status(layout::Status::Corrupt {
            code: broken.code(),
        });
        self.broken = Some(broken);
        self.up.ring_self();
    }

    pub(super) fn end(&mut self, status: layout::Status, epoll: &Epoll) {
        self.turn_away();
        self.ended = true;
        self.outbox.clear();
        self.decline();
        let Some(bell) = self.bell.take() else { return };
        // SYNC(status): pairs with the client's look at the status.
        self.memory
            .server
            .status
            .store(status.pack(), Ordering::Release);
        if !self.has_left() {
            let _ = bell.ring();
        }
        // By hand, as a child made by a raw clone may have the descriptor too.
        let _ = epoll.remove(&bell);
    }

    /// Publishes nothing from now on, and changes nothing.
    pub(super) fn abandon(&mut self) {
        self.ended = true;
        self.turn_away();
        self.outbox.clear();
        self.decline();
        self.bell = None;
    }
}
