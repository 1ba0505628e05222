//! The door: where clients put sessions, whether a server runs or not.
//!
//! Whatever a client has published is looked at where it stands, and moved to a slot only when it can be served.
//! What this process lacks (descriptors) leaves the session where it is, for another look after a pause.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::pause::Pause;
use super::sessions::{Unfit, tell};
use super::{Seated, Server};
use crate::directory::Directory;
use crate::directory::session::NewSession;
use crate::error::Result;
use crate::segment::SegmentOptions;
use crate::session::layout::{self, Memory, PROBE, SEGMENT, Status};

/// When a client that found no free slot is told to come back.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// How many sessions are looked at in one go before it is the turn of those that are open.
const ARRIVALS: usize = 16;

impl Server {
    /// Lets in the sessions that are at the door.
    pub(super) fn open_door(&mut self) -> Result<()> {
        self.door.drain();
        self.knocks = None;
        let waiting = match self.place.new_sessions() {
            Ok(waiting) => waiting,
            Err(error) if error.is_shortage() => {
                self.look_again();
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        for new in waiting.iter().take(ARRIVALS) {
            if !self.let_in(new) {
                self.look_again();
                return Ok(());
            }
        }
        if waiting.len() > ARRIVALS {
            self.door.ring_self();
        }
        self.shortage = Pause::new();
        self.remains.expect_dead_makers();
        Ok(())
    }

    /// Looks at the door again after a pause, which grows for as long as nothing gets better.
    fn look_again(&mut self) {
        self.knocks = Some(self.shortage.next());
    }

    /// Gives a session that is at the door a slot, or says to its client why not. `false`: nothing can be done with it
    /// now, as this process lacks something.
    fn let_in(&mut self, new: &NewSession) -> bool {
        let directory = match self.place.open_new(new) {
            Ok(Some(directory)) => directory,
            Ok(None) => return true,
            Err(error) if error.is_shortage() => return false,
            Err(error) => {
                self.turn_away(new);
                self.report(error);
                return true;
            }
        };
        let slot = match self.slot_for(&directory) {
            Ok(slot) => slot,
            Err(refusal) => {
                if tell(&directory, refusal).is_err() {
                    return false;
                }
                if refusal != Status::Closed {
                    self.board.count(|page| &page.busy);
                }
                self.turn_away(new);
                return true;
            }
        };
        match self.try_seat(slot, &directory) {
            Ok(seated) => return self.move_in(new, slot, seated),
            Err(Unfit::Abandoned) => self.turn_away(new),
            Err(Unfit::Broken(broken)) => {
                if self.refuse(&directory, broken).is_err() {
                    return false;
                }
                self.turn_away(new);
            }
            Err(Unfit::Failed(_)) => return false,
        }
        true
    }

    /// The slot for a new session, which stays free until it is moved there; else what to tell it.
    fn slot_for(&mut self, directory: &Directory) -> Result<u32, Status> {
        if self.draining.is_some() {
            return Err(Status::Closed);
        }
        if self.free.len() <= self.kept_for_probes() {
            self.vacate_again();
        }
        match self.free.last() {
            Some(slot) if self.free.len() > self.kept_for_probes() || is_probe(directory) => {
                Ok(*slot)
            }
            _ => Err(Status::Busy {
                retry_after: RETRY_AFTER,
            }),
        }
    }

    /// Slots that only supervisors' probes get; of one slot, none.
    fn kept_for_probes(&self) -> usize {
        self.slots.saturating_sub(1).min(2) as usize
    }

    /// Moves a new session to the first free slot; `false` as for [`let_in`](Server::let_in).
    fn move_in(&mut self, new: &NewSession, slot: u32, seated: Seated) -> bool {
        match self.place.take_up(new, slot) {
            Ok(true) => {
                self.free.pop();
                self.settle_in(slot, seated);
                // It may have asked already.
                self.heat(slot);
                true
            }
            // Its client has taken it back.
            Ok(false) => true,
            Err(_) => {
                // Perhaps something stands there that no server of this service has put there.
                self.free.pop();
                self.vacate(slot);
                false
            }
        }
    }

    /// Removes what stands at the door.
    fn turn_away(&mut self, new: &NewSession) {
        let cleared = self.place.clear_new(new);
        self.remains.add(&self.place, cleared);
    }
}

/// Whether a session says that it is a supervisor's probe.
fn is_probe(directory: &Directory) -> bool {
    let opened =
        SegmentOptions::raw(layout::FINGERPRINT, layout::LEN_MIN).open_at(directory, SEGMENT);
    let client = opened
        .ok()
        .and_then(|segment| Memory::client_line(segment.region()));
    client.is_some_and(|client| client.flags.load(Ordering::Relaxed) & PROBE != 0)
}
