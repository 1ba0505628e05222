//! What is left of sessions that are over, and when it is removed: not before those that wait are seen to.

use std::collections::VecDeque;

use crate::directory::holder::LOCK;
use crate::directory::service::ServiceDir;
use crate::directory::session::Tombstone;
use crate::error::Result;
use crate::session::layout::{DOWN, SEGMENT, UP};

/// More than these are not kept for later.
const MOST: usize = 32;

/// What is to be removed. A server that dies leaves it to its successor.
#[derive(Debug, Default)]
pub(super) struct Remains {
    tombstones: VecDeque<Tombstone>,
    /// Whether clients have been at work, of which one may have died over it.
    has_makers: bool,
}

impl Remains {
    /// Keeps what was taken out for later. What cannot be removed then is left to whoever cleans up next.
    pub(super) fn add(&mut self, place: &ServiceDir, cleared: Result<Option<Tombstone>>) {
        if self.tombstones.len() >= MOST {
            self.remove_one(place);
        }
        self.tombstones.extend(cleared.ok().flatten());
        self.has_makers = true;
    }

    /// Has it looked for what clients left that died while they built a session, when there is time. One that builds
    /// just then keeps it from that: whoever comes or goes next has it looked again.
    pub(super) fn expect_dead_makers(&mut self) {
        self.has_makers = true;
    }

    /// Whether nothing is left to do.
    pub(super) fn is_empty(&self) -> bool {
        self.tombstones.is_empty() && !self.has_makers
    }

    /// Removes all of it.
    pub(super) fn remove_all(&mut self, place: &ServiceDir) {
        while !self.is_empty() {
            self.remove_one(place);
        }
    }

    /// Removes something. Called often enough, it comes to an end.
    pub(super) fn remove_one(&mut self, place: &ServiceDir) {
        if let Some(tombstone) = self.tombstones.pop_front() {
            // The lock is no client's any more, so that nothing says that somebody is at it.
            let _ = place.remove_tombstone(&tombstone, &[DOWN, UP, SEGMENT, LOCK]);
        } else if std::mem::take(&mut self.has_makers) {
            let _ = place.clean();
        }
    }
}
