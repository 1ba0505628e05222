//! Which sessions the server looks at: the hot ones by turns, the cold ones when they ring.
//!
//! A session is hot while its ring is watched: its client need not ring. One that had nothing for a while goes cold, so
//! that idle sessions cost nothing: its client rings, and the kernel keeps the list of those that did. Before a
//! session goes cold, and before the server sleeps, its sleep word is set, a fence follows, and its ring is looked
//! at once more (`ring::sleep`).
//!
//! One that rings has its turn as soon as the current one is over, so that whoever asks seldom waits for no more than
//! one turn of those that ask without end, and of others that rang before.

use std::sync::atomic::Ordering;

use super::delivery::Held;
use super::event::End;
use super::seat::{Next, Quiet};
use super::source::Source;
use super::{LOOKS_A_COLLECT, Seated, Server};
use crate::error::{Error, Result};
use crate::session::layout::Status;
use crate::sys::clock::Deadline;

/// Requests that one session is given before it is the next one's turn.
const TURN: u32 = 32;
/// Requests of others that are served, while a session has none, before it goes cold.
const PATIENCE: u64 = 256;

impl Server {
    /// One look at the session whose turn it is.
    #[inline(never)]
    pub(super) fn serve_first(&mut self) -> Option<Held> {
        if self.turn == 0
            && let Some(slot) = self.rang.pop_front()
        {
            self.hot.push_front(slot);
        }
        let slot = self.hot.front().copied()?;
        let served = self.served;
        let Some(seated) = self.seated(slot) else {
            self.hot.pop_front();
            return None;
        };
        if let Some(quiet) = seated.quiet {
            if seated.requests.control().tail.load(Ordering::Relaxed) == quiet.tail {
                // So that a request is fetched together with the tail that tells of it, and not after it.
                seated.requests.records().prefetch(quiet.next);
                self.rest(slot, quiet);
                return None;
            }
            seated.quiet = None;
        }
        let Some(delivery) = seated.seat.take_now() else {
            return self.serve_longer(slot);
        };
        seated.busy_at = served;
        let held = Held::of(&seated.seat, delivery);
        self.count_turn();
        Some(held)
    }

    /// The same look, where the shortest way has given nothing.
    #[inline(never)]
    fn serve_longer(&mut self, slot: u32) -> Option<Held> {
        let served = self.served;
        let seated = self.seated(slot)?;
        match seated.seat.take() {
            Ok(delivery) => {
                seated.busy_at = served;
                let held = Held::of(&seated.seat, delivery);
                self.count_turn();
                Some(held)
            }
            Err(other) => self.had_none(slot, other),
        }
    }

    /// What comes of a look that gave nothing to handle.
    fn had_none(&mut self, slot: u32, next: Next) -> Option<Held> {
        match next {
            Next::Nothing(quiet) => self.rest(slot, quiet),
            Next::Blocked => {
                // Other suspects need not wait for the client to make room.
                if let Some(seated) = self.seated(slot) {
                    seated.seat.decline();
                }
                self.pass(slot);
            }
            Next::Broken(broken) => self.end_broken(slot, &broken),
            Next::Suspect(deaths) => self.put_aside(slot, deaths),
            Next::Skipped => self.had_work(slot),
            Next::Expired => {
                self.board.count(|page| &page.expired);
                self.had_work(slot);
            }
            Next::Poisoned => {
                self.board.count(|page| &page.poisoned);
                self.had_work(slot);
            }
        }
        None
    }

    /// A look that gave nothing to handle cost as much as one that did.
    fn had_work(&mut self, slot: u32) {
        let served = self.served;
        if let Some(seated) = self.seated(slot) {
            seated.busy_at = served;
        }
        self.count_turn();
    }

    /// Notes that there was nothing to do.
    #[inline]
    fn rest(&mut self, slot: u32, quiet: Quiet) {
        if let Some(seated) = self.seated(slot) {
            seated.quiet = Some(quiet);
            self.pass(slot);
        }
    }

    /// Ends the turn of the first session, for which nothing can be done now: it stays hot, or goes cold.
    #[inline]
    fn pass(&mut self, slot: u32) {
        self.turn = 0;
        let served = self.served;
        let is_patient = |seated: &mut Seated| served.wrapping_sub(seated.busy_at) < PATIENCE;
        if self.seated(slot).is_some_and(is_patient) {
            if self.hot.len() > 1 {
                self.hot.rotate_left(1);
            }
        } else {
            self.hot.pop_front();
            self.cool(slot);
        }
    }

    /// Counts a request of the session whose turn it is, and ends its turn after the last one.
    #[inline(always)]
    fn count_turn(&mut self) {
        self.turn += 1;
        self.served = self.served.wrapping_add(1);
        if self.turn >= TURN {
            self.end_turn();
        }
    }

    #[inline(never)]
    fn end_turn(&mut self) {
        self.turn = 0;
        self.look_away();
        self.hot.rotate_left(1);
        // Before anybody has another turn, those that rang meanwhile have theirs. Where all are hot, none rings.
        if self.hot.len() < self.seats.len() {
            self.looks = LOOKS_A_COLLECT;
        }
    }

    /// Has the session whose turn it is show what it put off: what the program does for others may take long.
    pub(super) fn look_away(&mut self) {
        if let Some(slot) = self.hot.front().copied()
            && let Some(seated) = self.seated(slot)
        {
            seated.seat.turn_away();
        }
    }

    /// Waits until the deadline for bells, and heats the sessions that rang.
    pub(super) fn collect(&mut self, deadline: Deadline) -> Result<()> {
        self.looks = 0;
        self.board.set_requests(self.handed_out);
        let until = match self.remains.is_empty() {
            true => deadline.min(self.next_look()),
            false => Deadline::passed(),
        };
        self.epoll.wait(&mut self.events, until).map_err(Error::os(
            "wait for the bells of",
            self.place.directory().path(),
        ))?;
        if self.events.is_empty() && !self.remains.is_empty() {
            self.remains.remove_one(&self.place);
        }
        self.beat();
        self.sources
            .extend(self.events.iter().map(|ready| Source::unpack(ready.token)));
        while let Some(source) = self.sources.pop_front() {
            match source {
                Source::Door => self.open_door()?,
                Source::Alarm => self.quiet_alarm(),
                Source::Bell { slot, version } => self.answer_bell(slot, version),
                Source::Death { slot, version } => self.doubt(slot, version),
            }
        }
        self.settle_doubts();
        self.call_suspects();
        match self.knocks {
            Some(at) if at.has_passed() => self.open_door(),
            _ => Ok(()),
        }
    }

    fn answer_bell(&mut self, slot: u32, version: u32) {
        let Some(seated) = self.seated(slot).filter(|seated| seated.version == version) else {
            return;
        };
        seated.up.drain();
        if seated.seat.has_left() {
            return self.say_good_bye(slot);
        }
        match self.watch(slot) {
            Some(false) => self.rang.push_back(slot),
            // One that had no room for answers could come again and again.
            Some(true) => self.hot.push_back(slot),
            None => {}
        }
    }

    /// Gives a session turns.
    pub(super) fn heat(&mut self, slot: u32) {
        if self.watch(slot).is_some() {
            self.hot.push_back(slot);
        }
    }

    /// Watches a session. If it was not watched before, it is to be given turns; whether there was no room for answers then.
    fn watch(&mut self, slot: u32) -> Option<bool> {
        let served = self.served;
        let seated = self.seated(slot)?;
        seated.busy_at = served;
        seated.quiet = None;
        if seated.hot {
            return None;
        }
        seated.hot = true;
        Some(seated.seat.watch())
    }

    /// Lets a session that is not in the list of turns any more go cold, unless it has work after all.
    fn cool(&mut self, slot: u32) {
        let Some(seated) = self.seated(slot) else {
            return;
        };
        seated.hot = false;
        if seated.seat.has_left() {
            self.say_good_bye(slot);
        } else if !seated.seat.watch_no_longer() {
            self.heat(slot);
        }
    }

    /// Ends the session of a client that has left.
    fn say_good_bye(&mut self, slot: u32) {
        self.last_words(slot);
        self.end(slot, End::Left, Status::Closed);
    }

    /// Lets every session go cold: `true` if the server may sleep, `false` if there is work, or something to tell.
    pub(super) fn cool_all(&mut self) -> bool {
        self.turn = 0;
        // Some come back to the end of the list. What the lists hold is not given back: a server that is asked seldom sleeps after
        // each request.
        for _ in 0..self.rang.len() + self.hot.len() {
            let slot = self.rang.pop_front().or_else(|| self.hot.pop_front());
            if let Some(slot) = slot {
                self.cool(slot);
            }
        }
        !self.is_watching() && self.ready.is_empty()
    }

    /// Whether any session is to be given turns.
    #[inline]
    pub(super) fn is_watching(&self) -> bool {
        !(self.hot.is_empty() && self.rang.is_empty())
    }

    #[inline]
    pub(super) fn seated(&mut self, slot: u32) -> Option<&mut Seated> {
        self.seats.get_mut(slot as usize)?.as_mut()
    }
}
