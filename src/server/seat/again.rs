//! Requests that a server which died had in hand: found, run again when they are called, or given up.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::core::Core;
use super::taking::Next;
use crate::fifo::BellReader;
use crate::request::{RequestHeader, Status};
use crate::ring::Corrupt;
use crate::ring::raw::Found;
use crate::ring::record::{self, State};
use crate::session::Broken;

/// What a successor knows of the requests of a session that it has found.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct Inherited {
    /// Whether the server before ended without a farewell: what it had in hand is suspect.
    pub(in crate::server) crashed: bool,
    /// The most deaths that a request may be charged with and still be run again.
    pub(in crate::server) deaths: u32,
}

/// With the suspect that was called. Dropped, from whatever thread, when it is out of everybody's hands: then the
/// server's thread is rung.
#[derive(Debug)]
pub(in crate::server) struct Call {
    over: Arc<AtomicBool>,
    door: Arc<BellReader>,
}

impl Call {
    pub(in crate::server) fn new(over: Arc<AtomicBool>, door: Arc<BellReader>) -> Call {
        Call { over, door }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        self.door.ring_self();
    }
}

/// What a session has to do with the suspects of its server.
#[derive(Debug)]
pub(super) struct Suspects {
    inherited: Inherited,
    /// Records from here on were not there when the session was taken over.
    until: u64,
    /// The next one may be run.
    called: Option<Call>,
    /// Those that are being run, by their tickets; the one that was called last stands last.
    running: Vec<(u64, Call)>,
}

impl Suspects {
    pub(super) fn new(inherited: Inherited, until: u64) -> Suspects {
        Suspects {
            inherited,
            until,
            called: None,
            running: Vec::new(),
        }
    }

    /// Whether none is called or being run.
    pub(super) fn are_gone(&self) -> bool {
        self.called.is_none() && self.running.is_empty()
    }
}

impl Core {
    /// Goes over what is done with, up to the first record that is not: if that is a suspect, the deaths that it is
    /// charged with.
    pub(super) fn first_suspect(&mut self) -> Result<Option<u32>, Broken> {
        if !self.suspects.inherited.crashed {
            return Ok(None);
        }
        while let Some(found) = self.requests.peek()?
            && self.was_there(&found)
        {
            let state = self.memory.requests.state(found.at).load(Ordering::Acquire);
            match State::unpack(state)? {
                State::New => break,
                State::Started { attempts } => return Ok(Some(attempts)),
                State::Answered | State::Cancelled => self.pass_over(&found),
            }
        }
        Ok(None)
    }

    /// Whether a record was there when the session was taken over. A client can put in others without end meanwhile.
    fn was_there(&self, found: &Found) -> bool {
        let left = self.suspects.until.wrapping_sub(found.at);
        left != 0 && left <= self.geometry.request_capacity
    }

    /// Goes past a record that needs nothing any more.
    pub(super) fn pass_over(&mut self, found: &Found) {
        let end = self.requests.advance(found);
        self.taken.begin(found.at, end);
        self.commit(found.at);
    }

    /// What to do with a request that is charged with so many deaths: how often it is begun with this
    /// time; or, if it is not to be begun now, what came of it.
    #[cold]
    pub(super) fn begin_again(&mut self, found: &Found, deaths: u32) -> Result<u32, Next> {
        let state = self.memory.requests.state(found.at);
        if !self.was_there(found) {
            // No server can have begun it.
            let word = State::Started { attempts: deaths }.pack();
            return Err(Corrupt::State(word).into());
        }
        // At least the second time, whatever it is charged with.
        let begun = deaths.saturating_add(1).max(2);
        if !self.suspects.inherited.crashed {
            return Ok(begun);
        }
        if deaths > self.suspects.inherited.deaths {
            return Err(self.poison(found, deaths)?);
        }
        let Some(call) = self.suspects.called.take() else {
            return Err(Next::Suspect(deaths));
        };
        record::again(state, deaths, deaths.saturating_add(1))?;
        self.suspects.running.push((found.at, call));
        Ok(begun)
    }

    fn poison(&mut self, found: &Found, deaths: u32) -> Result<Next, Broken> {
        let mut header = [0; RequestHeader::LENGTH];
        self.requests.read(found, &mut header);
        let id = RequestHeader::decode(&header)?.id;
        let end = self.requests.advance(found);
        self.taken.begin(found.at, end);
        let poisoned = self.reply(id, Status::Poisoned, deaths, Cow::Borrowed(&[]));
        self.send(Some(found.at), poisoned)?;
        Ok(Next::Poisoned)
    }

    /// Lets the next suspect be run.
    pub(super) fn admit(&mut self, call: Call) {
        self.suspects.called = Some(call);
    }

    /// The session cannot run its suspect now.
    pub(super) fn decline(&mut self) {
        self.suspects.called = None;
    }

    /// The one that was called last is not charged with what comes.
    pub(super) fn acquit(&mut self) {
        if let (None, Some((ticket, _))) = (&self.suspects.called, self.suspects.running.last())
            && !self.ended
        {
            record::acquit(self.memory.requests.state(*ticket));
        }
    }

    /// A request is out of everybody's hands.
    #[inline]
    pub(super) fn let_go(&mut self, ticket: u64) {
        if !self.suspects.running.is_empty() {
            self.suspects
                .running
                .retain(|(running, _)| *running != ticket);
        }
    }
}
