//! The suspects among the requests that a dead predecessor had in hand: who waits, and who is called.
//!
//! A session whose next request is a suspect is given no turns until it is called, as what stands behind it comes after
//! it. The rules of who is called when are in [`quarantine`](crate::quarantine).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Server;
use super::seat::{Call, Seat};
use crate::quarantine::{Quarantine, Step};
use crate::sys::clock::{self, Deadline};

/// The suspects of all sessions.
#[derive(Debug)]
pub(super) struct Suspects {
    pub(super) quarantine: Quarantine,
    alone: Option<InHand>,
    /// Those in hand whose trial is over.
    acquitted: Vec<InHand>,
}

#[derive(Debug)]
struct InHand {
    seat: Arc<Seat>,
    over: Arc<AtomicBool>,
}

impl InHand {
    fn is_over(&self) -> bool {
        // SYNC(suspect-over): pairs with the drop of the call. Nothing that was done before it is read here.
        self.over.load(Ordering::Acquire)
    }
}

impl Suspects {
    pub(super) fn new(quarantine: Quarantine) -> Suspects {
        Suspects {
            quarantine,
            alone: None,
            acquitted: Vec::new(),
        }
    }

    /// When to look at them though no bell has rung.
    pub(super) fn next_look(&self) -> Option<Deadline> {
        self.quarantine.next_look().map(Deadline::at_ns)
    }

    /// Notes which have been let go of.
    fn settle(&mut self) {
        if self.alone.take_if(|alone| alone.is_over()).is_some() {
            self.quarantine.alone_is_over();
        }
        let before = self.acquitted.len();
        self.acquitted.retain(|acquitted| !acquitted.is_over());
        self.quarantine
            .acquitted_are_over(before - self.acquitted.len());
    }
}

impl Server {
    /// The next request of the session whose turn it is is charged with so many deaths. Until it is called, it gets no
    /// turns, and its client need not ring.
    #[cold]
    pub(super) fn put_aside(&mut self, slot: u32, deaths: u32) {
        self.turn = 0;
        self.hot.pop_front();
        if let Some(seated) = self.seated(slot) {
            seated.hot = false;
        }
        self.suspects.quarantine.put_aside(slot, deaths);
        self.call_suspects();
    }

    /// Calls the suspect whose turn it is.
    pub(super) fn call_suspects(&mut self) {
        if self.suspects.quarantine.is_empty() {
            return;
        }
        self.suspects.settle();
        while let Some(step) = self.suspects.quarantine.step(clock::monotonic_ns()) {
            match step {
                Step::Call(slot) => self.call(slot),
                Step::Acquit => {
                    if let Some(alone) = self.suspects.alone.take() {
                        alone.seat.acquit();
                        self.suspects.acquitted.push(alone);
                    }
                }
            }
        }
    }

    fn call(&mut self, slot: u32) {
        let Some(seated) = self.seated(slot) else {
            return self.suspects.quarantine.alone_is_over();
        };
        let seat = Arc::clone(&seated.seat);
        let over = Arc::new(AtomicBool::new(false));
        seat.admit(Call::new(Arc::clone(&over), Arc::clone(&self.door)));
        self.suspects.alone = Some(InHand { seat, over });
        self.heat(slot);
    }
}
