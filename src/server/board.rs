//! The status page of a service: a segment that the server alone writes, and anybody may read.
//!
//! Nothing is ever decided by what a client could have written there. A successor reads two words: the epoch, to go on
//! from, and whether the server before has said farewell. Wrong ones do no harm to anybody but who is redelivered to.
//!
//! | word | what |
//! | --- | --- |
//! | 0 | state: 1 starting, 2 serving, 3 draining, 4 ended in good order |
//! | 1 | epoch: the number of the server |
//! | 2 | sessions that are open |
//! | 3 | sessions that were ever opened by this server |
//! | 4 | requests that were given to handlers by this server |
//! | 5 | requests that were begun by a server that died, and given out again |
//! | 6 | sessions that were closed for a broken protocol |
//! | 7 | sessions that found no free slot |
//! | 8 | requests that were answered as expired |
//! | 9 | requests that were answered as poisoned |
//! | 10 | servers before this one in a row that died within a minute of their beginning |

use std::sync::atomic::{AtomicU64, Ordering};

use crate::directory::Directory;
use crate::error::{Error, Result};
use crate::segment::SegmentOptions;
use crate::sys::clock;
use crate::sys::map::{Region, View, shared_words};

/// The board's file name.
pub(super) const BOARD: &str = "board";

pub(super) const FINGERPRINT: u64 = u64::from_le_bytes(*b"board--1");

/// A server that died within so many nanoseconds (of the wall clock, in which epochs are counted) died soon.
const SOON: u64 = 60_000_000_000;

/// Room for what later versions show.
pub(super) const LEN: usize = 3968;

shared_words! {
    #[derive(Debug)]
    #[repr(align(128))]
    pub(super) struct Page {
        state: AtomicU64,
        epoch: AtomicU64,
        sessions: AtomicU64,
        pub(super) connects: AtomicU64,
        requests: AtomicU64,
        pub(super) redelivered: AtomicU64,
        pub(super) corrupt: AtomicU64,
        pub(super) busy: AtomicU64,
        pub(super) expired: AtomicU64,
        pub(super) poisoned: AtomicU64,
        soon_dead: AtomicU64,
    }
}

/// What the server is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Starting = 1,
    Serving = 2,
    Draining = 3,
    Ended = 4,
}

/// The server's own view of its board.
#[derive(Debug)]
pub(super) struct Board {
    page: View<Page>,
    epoch: u64,
    after_crash: bool,
    soon_dead: u32,
}

impl Board {
    /// Makes an empty board.
    pub(super) fn create(directory: &Directory) -> Result<()> {
        SegmentOptions::raw(FINGERPRINT, LEN)
            .create_at(directory, BOARD)
            .map(drop)
    }

    /// Takes the board over and begins a new epoch, greater than all before.
    pub(super) fn take_over(directory: &Directory) -> Result<Board> {
        let segment = SegmentOptions::raw(FINGERPRINT, LEN).open_at(directory, BOARD)?;
        let page: View<Page> = page(segment.region()).ok_or_else(|| Error::BadFile {
            path: directory.path().join(BOARD),
            reason: "it is too small".to_owned(),
        })?;
        let before = page.epoch.load(Ordering::Relaxed);
        // A broken predecessor may have left any number: the clock alone is then good enough.
        let epoch = before.checked_add(1).unwrap_or(0).max(clock::realtime_ns());
        let after_crash = page.state.load(Ordering::Relaxed) != State::Ended as u64;
        let soon = after_crash && epoch.saturating_sub(before) < SOON;
        let counted = page.soon_dead.load(Ordering::Relaxed);
        let soon_dead = match soon {
            true => u32::try_from(counted).unwrap_or(u32::MAX).saturating_add(1),
            false => 0,
        };
        let board = Board {
            page,
            epoch,
            after_crash,
            soon_dead,
        };
        board.set_state(State::Starting);
        for counter in board.counters() {
            counter.store(0, Ordering::Relaxed);
        }
        board
            .page
            .soon_dead
            .store(soon_dead.into(), Ordering::Relaxed);
        board.page.epoch.store(epoch, Ordering::Relaxed);
        Ok(board)
    }

    fn counters(&self) -> [&AtomicU64; 8] {
        let page = &*self.page;
        [
            &page.sessions,
            &page.connects,
            &page.requests,
            &page.redelivered,
            &page.corrupt,
            &page.busy,
            &page.expired,
            &page.poisoned,
        ]
    }

    /// Whether the server before, if there was one, ended without a farewell.
    pub(super) fn is_after_crash(&self) -> bool {
        self.after_crash
    }

    /// How many servers before this one died in a row, each within a minute.
    pub(super) fn soon_dead(&self) -> u32 {
        self.soon_dead
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(super) fn set_state(&self, state: State) {
        self.page.state.store(state as u64, Ordering::Relaxed);
    }

    pub(super) fn set_requests(&self, count: u64) {
        self.page.requests.store(count, Ordering::Relaxed);
    }

    pub(super) fn set_sessions(&self, count: usize) {
        self.page.sessions.store(count as u64, Ordering::Relaxed);
    }

    /// Adds one to a counter of the page; the server's thread alone writes it.
    pub(super) fn count(&self, counter: impl FnOnce(&Page) -> &AtomicU64) {
        let counter = counter(&self.page);
        counter.store(
            counter.load(Ordering::Relaxed).wrapping_add(1),
            Ordering::Relaxed,
        );
    }
}

fn page(payload: &Region) -> Option<View<Page>> {
    payload.words(0)
}
