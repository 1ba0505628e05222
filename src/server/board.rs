//! The status page of a service: a segment that the server alone writes, and anybody may read.
//!
//! Nothing is ever decided by what a client could have written there; the stored epoch is the one thing that a
//! successor reads, to go on from, and a wrong one does no harm.
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

use std::sync::atomic::{AtomicU64, Ordering};

use crate::directory::Directory;
use crate::error::{Error, Result};
use crate::segment::SegmentOptions;
use crate::sys::clock;
use crate::sys::map::{Region, View, shared_words};

/// The board's file name.
pub(super) const BOARD: &str = "board";

const FINGERPRINT: u64 = u64::from_le_bytes(*b"board--1");

/// Room for what later versions show.
const LEN: usize = 3968;

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
        let board = Board { page, epoch };
        board.set_state(State::Starting);
        for counter in board.counters() {
            counter.store(0, Ordering::Relaxed);
        }
        board.page.epoch.store(epoch, Ordering::Relaxed);
        Ok(board)
    }

    fn counters(&self) -> [&AtomicU64; 6] {
        let page = &*self.page;
        [
            &page.sessions,
            &page.connects,
            &page.requests,
            &page.redelivered,
            &page.corrupt,
            &page.busy,
        ]
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
