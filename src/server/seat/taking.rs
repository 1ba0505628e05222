//! What stands next in the request ring: a message for a handler, or what else there is to do.

use std::borrow::Cow;

use super::core::Core;
use super::large::Large;
use crate::error::Error;
use crate::request::{HandOver, RequestForm, RequestHeader, Status};
use crate::ring::raw::Found;
use crate::ring::record::{self, STATE, Start, WITH_STATE};
use crate::server::delivery::Delivery;
use crate::session::{Block, Broken};
use crate::sys::map::WORD;
use crate::sys::{clock, copy};

/// A ring without a record to read.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::server) struct Quiet {
    /// What stands in the word of its tail.
    pub(in crate::server) tail: u64,
    /// Where the next record is expected.
    pub(in crate::server) next: u64,
}

/// What stands next in the request ring, if not a message for a handler.
#[derive(Debug)]
pub(in crate::server) enum Next {
    /// No record.
    Nothing(Quiet),
    /// Answers wait for room; nothing is taken until the client has made some.
    Blocked,
    /// A record that needs no handler: cancelled, or answered by a predecessor.
    Skipped,
    /// Answered, as its time was up.
    Expired,
    /// Answered, as it is charged with too many deaths.
    Poisoned,
    /// A request that is charged with so many deaths, and waits until it is called.
    Suspect(u32),
    /// The client has broken the protocol.
    Broken(Box<Broken>),
}

impl<B: Into<Broken>> From<B> for Next {
    #[cold]
    fn from(broken: B) -> Next {
        Next::Broken(Box::new(broken.into()))
    }
}

impl Core {
    /// The shortest way of a message: one that no server has begun, whose time is not up, and whose bytes stand in the ring
    /// in one piece or in the segment that was used last. `None`, and nothing has happened, if there is none or it must go the
    /// long way, which also tells what is wrong.
    #[inline(never)]
    pub(super) fn next_now(&mut self, large: &Large) -> Option<Block<Delivery>> {
        if !self.is_clear() || self.draining.is_some() {
            return None;
        }
        let found = self.requests.ready()?;
        large.prefetch();
        let (head, words, row) = self.memory.requests.split::<WITH_STATE, _>(found.at)?;
        let header = self.last.check(words).ok()?;
        let len = found.len().checked_sub(RequestHeader::LENGTH)?;
        if len != header.payload_length() as usize || len > row.len() * WORD {
            return None;
        }
        let deadline = match header.id != 0 && self.same_clock {
            true => header.deadline,
            false => 0,
        };
        if deadline != 0 && clock::coarse_ns() >= deadline {
            return None;
        }
        let segment = match header.form {
            RequestForm::HandOver => {
                let mut place = [0; HandOver::LENGTH];
                copy::load(row, &mut place);
                let place = HandOver::decode(&place).ok()?;
                Some((self.mapped.near(place.number, place.end())?, place))
            }
            RequestForm::Inline(_) | RequestForm::Ask => None,
        };
        let state = &head[STATE];
        let start = match header.id {
            0 => record::start_one_way(state),
            _ => record::start(state),
        };
        if !matches!(start, Ok(Start::Started)) {
            return None;
        }
        let end = self.requests.advance(&found);
        if header.id != 0 {
            self.taken.begin(found.at, end);
        }
        let mut delivery = Delivery::of(header, found.at, 1);
        delivery.deadline = deadline;
        match segment {
            None => copy::load(row, delivery.payload.refill(len)),
            Some((segment, place)) => {
                let payload = &mut delivery.payload;
                payload.refer(segment, place.offset, place.length, None);
            }
        }
        if header.id == 0 {
            self.pass_one_way(found.at, end);
        }
        Some(delivery)
    }

    /// Takes the next record, if there is one that can be taken.
    #[inline(never)]
    pub(super) fn next(&mut self, large: &Large) -> Result<Block<Delivery>, Next> {
        if self.ended {
            return Err(self.broken.take().map_or(self.nothing(), Next::from));
        }
        self.looks_for_room = true;
        if !self.flush()? {
            return Err(Next::Blocked);
        }
        self.looks_for_room = false;
        let found = match self.requests.peek()? {
            Some(found) if !self.is_left_alone(&found) => found,
            _ => {
                self.give_room();
                return Err(self.nothing());
            }
        };
        large.prefetch();
        let header = self.header_of(&found)?;
        let id = header.id;
        let state = self.memory.requests.state(found.at);
        let start = match id {
            0 => record::start_one_way(state)?,
            _ => record::start(state)?,
        };
        let attempts = match start {
            Start::Started => 1,
            Start::Found { attempts } => self.begin_again(&found, attempts)?,
            Start::Cancelled | Start::Answered => return Err(self.skip(&found)),
        };
        let end = self.requests.advance(&found);
        let ticket = found.at;
        if id != 0 {
            self.taken.begin(ticket, end);
        }
        let (mut delivery, problem) = self.read(&found, header, attempts)?;
        match problem {
            None if id == 0 => {
                self.pass_one_way(ticket, end);
                return Ok(delivery);
            }
            None => {}
            Some(problem) => {
                if id == 0 {
                    self.taken.begin(ticket, end);
                }
                return Err(self.refuse(ticket, id, &problem)?);
            }
        }
        let deadline = header.deadline;
        if self.same_clock && deadline != 0 {
            delivery.deadline = deadline;
            if clock::coarse_ns() >= deadline {
                return Err(self.expire(ticket, id)?);
            }
        }
        Ok(delivery)
    }

    fn nothing(&self) -> Next {
        Next::Nothing(Quiet {
            tail: self.requests.tail_word(),
            next: self.requests.expected(),
        })
    }

    #[cold]
    fn skip(&mut self, found: &Found) -> Next {
        self.pass_over(found);
        self.wake();
        Next::Skipped
    }

    #[cold]
    fn refuse(&mut self, ticket: u64, id: u64, problem: &Error) -> Result<Next, Broken> {
        let reason = format!("the payload could not be mapped: {problem}");
        let failure = self.failure(id, &reason);
        self.send(Some(ticket), failure)?;
        Ok(Next::Skipped)
    }

    #[cold]
    fn expire(&mut self, ticket: u64, id: u64) -> Result<Next, Broken> {
        let late = self.reply(id, Status::Expired, 0, Cow::Borrowed(&[]));
        self.send(Some(ticket), late)?;
        Ok(Next::Expired)
    }
}
