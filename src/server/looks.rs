//! Looks at all that can be the source of an event, and the short ones that mostly do.

use super::delivery::Held;
use super::event::Event;
use super::{DEAR_LOOK, LOOKS_A_COLLECT, Server};
use crate::error::Result;
use crate::request::RequestForm;
use crate::sys::clock::Deadline;

impl Server {
    /// A look at the session whose turn it is, where nothing else is due: the shortest way of a request. What that gives is a
    /// pointer, which the program's own code takes apart.
    #[inline(always)]
    pub(super) fn first_look(&mut self) -> Option<Held> {
        let is_due = !self.ready.is_empty() || self.looks >= LOOKS_A_COLLECT;
        if is_due || self.draining.is_some() || !self.stamp.is_current() {
            return None;
        }
        let held = self.serve_first()?;
        self.looks += DEAR_LOOK;
        self.delivered(&held);
        Some(held)
    }

    /// A look while waiting: mostly at one session alone, and then the next look soon follows.
    #[inline]
    pub(super) fn look_on(&mut self) -> Result<Option<Event>> {
        let is_one = self.hot.len() == 1 && self.rang.is_empty() && self.draining.is_none();
        if !is_one || self.looks >= LOOKS_A_COLLECT {
            return self.look();
        }
        self.looks += match self.patience.is_eager() {
            true => 1,
            false => DEAR_LOOK,
        };
        match self.first_look() {
            None if !self.ready.is_empty() => self.look(),
            held => Ok(held.map(Event::of)),
        }
    }

    /// As [`look`](Self::look), at the bells in any case: who never waits hears them here only.
    pub(super) fn look_everywhere(&mut self) -> Result<Option<Event>> {
        self.looks = LOOKS_A_COLLECT;
        self.look()
    }

    /// One look at all that can be the source of an event; at the bells now and then.
    pub(super) fn look(&mut self) -> Result<Option<Event>> {
        self.check_fork()?;
        // First of all: a session's connect is told before its requests, and what waits here stays bounded.
        if let Some(event) = self.ready.pop_front() {
            self.beat();
            return Ok(Some(event));
        }
        self.looks += DEAR_LOOK;
        if self.looks > LOOKS_A_COLLECT || !self.is_watching() {
            self.collect(Deadline::passed())?;
        }
        if self.ready.is_empty() && !self.is_overdue() {
            for _ in 0..self.hot.len() + self.rang.len() {
                if let Some(held) = self.serve_first() {
                    self.delivered(&held);
                    return Ok(Some(Event::of(held)));
                }
            }
        }
        let event = match self.ready.pop_front() {
            Some(event) => Some(event),
            None => self.drained(),
        };
        if event.is_some() {
            self.look_away();
            self.beat();
        }
        Ok(event)
    }

    /// A message is on its way to the program.
    #[inline(always)]
    fn delivered(&mut self, held: &Held) {
        let header = &held.delivery.header;
        self.handed_out += u64::from(header.id != 0 && header.form != RequestForm::Ask);
        if held.delivery.attempts > 1 {
            self.redelivered();
        }
        self.beat();
    }

    #[cold]
    fn redelivered(&self) {
        self.board.count(|page| &page.redelivered);
    }
}
