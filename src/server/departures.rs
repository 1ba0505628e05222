//! How sessions go: good-byes, deaths, the end of the server.

use std::sync::Arc;
use std::time::Duration;

use super::board::State;
use super::event::{End, Event};
use super::seat::Took;
use super::sessions::tell;
use super::{Doubt, Server};
use crate::error::Result;
use crate::session::layout::Status;
use crate::sys::clock::Deadline;

/// How long a doubtful client is left alone before the second look; doubled at each look up to the longest.
const FIRST_DOUBT: Duration = Duration::from_millis(1);
const LONGEST_DOUBT: Duration = Duration::from_millis(250);

impl Server {
    /// Ends a session: tells the client, removes its directory, frees its slot.
    pub(super) fn end(&mut self, slot: u32, end: End, status: Status) -> Result<()> {
        let Some(seated) = self.seats.get_mut(slot as usize).and_then(Option::take) else {
            return Ok(());
        };
        seated.seat.end(status);
        if matches!(end, End::Corrupt(_)) {
            self.board.count(|page| &page.corrupt);
        }
        self.board.set_sessions(self.sessions());
        self.hot.retain(|hot| *hot != slot);
        self.ready
            .push_back(Event::Disconnected(seated.seat.peer(), end));
        drop(seated);
        self.vacate(slot)
    }

    /// The reader of a client's bell is gone: it is dead, or dying. The lock decides.
    pub(super) fn doubt(&mut self, slot: u32, version: u32) {
        let again = Deadline::passed();
        self.doubtful.push(Doubt {
            slot,
            version,
            pause: FIRST_DOUBT,
            again,
        });
    }

    /// Looks again at the clients whose bell broke while their lock was held.
    pub(super) fn settle_doubts(&mut self) -> Result<()> {
        for doubt in std::mem::take(&mut self.doubtful) {
            let Some(seated) = self
                .seated(doubt.slot)
                .filter(|seated| seated.version == doubt.version)
            else {
                continue;
            };
            if !doubt.again.has_passed() {
                self.doubtful.push(doubt);
                continue;
            }
            let left = seated.seat.has_left();
            if self.place.is_owner_alive(doubt.slot)? {
                let pause = (doubt.pause * 2).min(LONGEST_DOUBT);
                self.doubtful.push(Doubt {
                    pause,
                    again: Deadline::after(doubt.pause),
                    ..doubt
                });
            } else {
                // What it had asked is dropped; what it told before its end is not.
                self.last_words(doubt.slot);
                let end = if left { End::Left } else { End::Died };
                self.end(doubt.slot, end, Status::Closed)?;
            }
        }
        Ok(())
    }

    /// When the next doubtful client is to be looked at.
    pub(super) fn next_doubt(&self) -> Deadline {
        self.doubtful
            .iter()
            .fold(Deadline::never(), |first, doubt| first.min(doubt.again))
    }

    /// What a client told before its end, when there will be no more of it. What it asked is dropped.
    fn last_words(&mut self, slot: u32) {
        let Some(seat) = self.seated(slot).map(|seated| Arc::clone(&seated.seat)) else {
            return;
        };
        loop {
            match seat.take() {
                Ok(Took::Notify(notification)) => self.ready.push_back(Event::Notify(notification)),
                Ok(Took::Request(_) | Took::Question(_) | Took::Skipped) => {}
                Ok(Took::Nothing | Took::Blocked) | Err(_) => return,
            }
        }
    }

    /// Ends all in good order: every client is told, and the service's names are removed.
    pub(super) fn close(&mut self) {
        self.board.set_state(State::Ended);
        for seated in self.seats.iter_mut().filter_map(Option::take) {
            seated.seat.end(Status::Closed);
        }
        self.farewell();
        // There is nobody to report an error to; what is left then, a successor removes.
        let Ok(retired) = self.place.retire() else {
            return;
        };
        for new in retired.service().new_sessions().unwrap_or_default() {
            if let Ok(Some(directory)) = retired.service().open_new(&new) {
                tell(&directory, Status::Closed);
            }
        }
        let _ = retired.delete();
    }
}
