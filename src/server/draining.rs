//! How a server comes to its end in good order: it answers what was asked before.

use std::sync::Arc;
use std::time::Duration;

use super::board::State;
use super::{Event, Server};
use crate::sys::clock::Deadline;

impl Server {
    /// Begins to end in good order: connects are refused, what has been asked by now goes on being served, what is
    /// asked later is left alone, and [`Event::Drained`] comes when all is answered or the time is up. Then drop the
    /// server, which tells every client that it is closed.
    ///
    /// In a forked child this does nothing.
    pub fn drain(&mut self, timeout: Duration) {
        if !self.stamp.is_current() {
            return;
        }
        self.draining = Some(Deadline::after(timeout));
        self.board.set_state(State::Draining);
        self.beat_stopping();
        for seated in self.seats.iter().flatten() {
            seated.seat.drain(Arc::clone(&self.door));
        }
        // Each is looked at once more: one that is quiet already rings no more.
        self.door.ring_self();
    }

    /// The end of draining, told once.
    pub(super) fn drained(&mut self) -> Option<Event> {
        let is_drained = self.is_drained();
        self.told_drained |= is_drained;
        is_drained.then_some(Event::Drained)
    }

    /// Whether the end of draining is to be told though not all is answered.
    pub(super) fn is_overdue(&self) -> bool {
        !self.told_drained && self.draining.is_some_and(Deadline::has_passed)
    }

    /// Whether the end of draining is to be told.
    pub(super) fn is_drained(&self) -> bool {
        let is_quiet = || {
            self.seats
                .iter()
                .flatten()
                .all(|seated| seated.seat.is_quiet())
        };
        self.is_overdue() || (!self.told_drained && self.draining.is_some() && is_quiet())
    }
}
