//! How sessions go: good-byes, deaths, the end of the server.

use std::time::Duration;

use super::board::State;
use super::event::{End, Event};
use super::pause::Pause;
use super::sessions::tell_new;
use super::{Doubt, Server};
use crate::session::Broken;
use crate::session::layout::Status;
use crate::sys::clock::Deadline;

/// How long the lock of a client whose bell is dead may outlast it. The kernel frees the two one after the other: beyond
/// this, a child has inherited the lock, or the client has closed its bell, which it must not.
const GRACE: Duration = Duration::from_millis(250);

impl Server {
    /// Ends a session: tells the client, removes its directory, frees its slot.
    pub(super) fn end(&mut self, slot: u32, end: End, status: Status) {
        let Some(seated) = self.seats.get_mut(slot as usize).and_then(Option::take) else {
            return;
        };
        // By hand: a child made by a raw clone may keep the descriptors open, and they would go on ringing.
        let _ = self.epoll.remove(&seated.up);
        seated.seat.end(status, &self.epoll);
        if matches!(end, End::Corrupt(_)) {
            self.board.count(|page| &page.corrupt);
        }
        self.board.set_sessions(self.sessions());
        self.stirred = true;
        if self.hot.front() == Some(&slot) {
            self.turn = 0;
        }
        self.hot.retain(|hot| *hot != slot);
        self.rang.retain(|rang| *rang != slot);
        self.suspects.quarantine.take_out(slot);
        self.ready
            .push_back(Event::Disconnected(seated.seat.peer(), end));
        drop(seated);
        self.vacate(slot);
    }

    /// Ends the session of a client that broke the protocol.
    pub(super) fn end_broken(&mut self, slot: u32, broken: &Broken) {
        let code = broken.code();
        self.end(
            slot,
            End::Corrupt(broken.to_string()),
            Status::Corrupt { code },
        );
    }

    /// The reader of a client's bell is gone: it is dead, or dying. The lock decides.
    pub(super) fn doubt(&mut self, slot: u32, version: u32) {
        // One that opens and closes its end in turns is one doubt.
        let is_known = |doubt: &Doubt| (doubt.slot, doubt.version) == (slot, version);
        if !self.doubtful.iter().any(is_known) {
            self.doubtful.push(Doubt {
                slot,
                version,
                pause: Pause::new(),
                again: Deadline::passed(),
            });
        }
    }

    /// Looks again at the clients whose bell broke while their lock was held.
    pub(super) fn settle_doubts(&mut self) {
        for mut doubt in std::mem::take(&mut self.doubtful) {
            if !doubt.again.has_passed() {
                self.doubtful.push(doubt);
            } else if self.is_still_in_doubt(&doubt) {
                doubt.again = doubt.pause.next();
                self.doubtful.push(doubt);
            }
        }
    }

    /// Ends the session of a client that is dead.
    fn is_still_in_doubt(&mut self, doubt: &Doubt) -> bool {
        let slot = doubt.slot;
        let Some(seated) = self
            .seated(slot)
            .filter(|seated| seated.version == doubt.version)
        else {
            return false;
        };
        if !seated.seat.is_deaf() {
            // Opened anew.
            return false;
        }
        let left = seated.seat.has_left();
        let identity = seated.seat.peer().identity();
        let held = self.place.is_owner_alive(slot);
        if left || matches!(held, Ok(false)) {
            // What it had asked is dropped; what it told before its end is not.
            self.last_words(slot);
            let end = if left { End::Left } else { End::Died };
            self.end(slot, end, Status::Closed);
        } else if doubt.pause.passed() < GRACE {
            return true;
        } else if identity.is_some_and(|identity| identity.is_dead()) {
            self.last_words(slot);
            self.end(slot, End::Died, Status::Closed);
        } else {
            match held {
                // What this process lacks is no client's fault.
                Err(error) if error.is_shortage() => return true,
                Err(error) => self.end_broken(slot, &Broken::Lock(error)),
                Ok(_) => self.end_broken(slot, &Broken::Deaf),
            }
        }
        false
    }

    /// What a client told before its end, when there will be no more of it. What it asked is dropped.
    pub(super) fn last_words(&mut self, slot: u32) {
        if let Some(seated) = self.seats.get(slot as usize).and_then(Option::as_ref) {
            let words = seated.seat.last_words();
            self.ready.extend(words);
        }
    }

    /// Ends all, and tells every client that nobody will serve again.
    pub(crate) fn give_up(mut self) {
        self.close(Status::GaveUp);
    }

    /// Ends all in good order: every client is told, and the service's names are removed.
    pub(super) fn close(&mut self, status: Status) {
        self.board.set_state(State::Ended);
        for seated in self.seats.iter_mut().filter_map(Option::take) {
            seated.seat.end(status, &self.epoll);
        }
        self.farewell();
        // There is nobody to report an error to; what is left then, a successor removes.
        let Ok(retired) = self.place.retire() else {
            return;
        };
        tell_new(retired.service(), status);
        let _ = retired.delete();
    }

    /// Leaves everything as a crash would: sessions, requests and names are for a successor, and no thread of this
    /// process answers any more.
    pub(super) fn abandon(&mut self) {
        for seated in self.seats.iter_mut().filter_map(Option::take) {
            seated.seat.abandon();
        }
    }
}
