//! What stands next in the request ring: a message for a handler, or what else there is to do.

use std::borrow::Cow;
use std::sync::atomic::AtomicU64;

use super::core::Core;
use super::large::Large;
use crate::error::Error;
use crate::request::{HandOver, RequestForm, RequestHeader, Status};
use crate::ring::raw::{Found, Whole};
use crate::ring::record::{self, STATE, Start, WITH_STATE};
use crate::server::block::Block;
use crate::session::Broken;
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

/// A deadline by our clock, 0 for none; `None` if it has passed.
#[inline(always)]
fn deadline_ahead(header: &RequestHeader, same_clock: bool) -> Option<u64> {
    let deadline = if same_clock { header.deadline } else { 0 };
    (deadline == 0 || clock::coarse_ns() < deadline).then_some(deadline)
}

/// Starts a message that no server has started before, if it is that.
#[inline(always)]
fn start(header: &[AtomicU64; WITH_STATE], id: u64) -> Option<()> {
    let state = &header[STATE];
    let start = match id {
        0 => record::start_one_way(state),
        _ => record::start(state),
    };
    matches!(start, Ok(Start::Started)).then_some(())
}

impl Core {
    /// The shortest way of a message: one that no server has begun, whose time is not up, and whose bytes stand in the ring
    /// in one piece or in the segment that was used last. `None`, and nothing has happened, if there is none or it must go the
    /// long way, which also tells what is wrong.
    #[inline(never)]
    pub(super) fn next_now(&mut self, large: &Large) -> Option<Block> {
        if !self.is_clear() || self.draining.is_some() {
            return None;
        }
        let mut is_handed_over = false;
        let taken = self.requests.take_now(|found: Whole<'_, WITH_STATE, _>| {
            large.prefetch();
            let mut delivery = Block::take();
            let header = self.last.check(found.lead()).ok()?;
            let len = found.len.checked_sub(RequestHeader::LENGTH)?;
            let is_inline =
                matches!(header.form, RequestForm::Inline(told) if told as usize == len);
            if !is_inline || len > found.row.len() * WORD {
                is_handed_over = header.form == RequestForm::HandOver;
                return None;
            }
            delivery.deadline = match header.id {
                0 => 0,
                _ => deadline_ahead(&header, self.same_clock)?,
            };
            start(found.header, header.id)?;
            if header.id != 0 {
                self.taken.begin(found.at, found.end);
                self.comes_again = true;
            }
            delivery.begin(header, found.at, 1);
            copy::load(found.row, delivery.payload.refill(len));
            Some((delivery, found.at))
        });
        let Some((delivery, at)) = taken else {
            return is_handed_over.then(|| self.next_handed_over()).flatten();
        };
        if delivery.header.id == 0 {
            self.pass_one_way(at, self.requests.next());
        }
        Some(delivery)
    }

    /// As [`next_now`](Self::next_now), of a request that lies in the segment that was used last.
    #[inline(never)]
    fn next_handed_over(&mut self) -> Option<Block> {
        self.requests.take_now(|found: Whole<'_, WITH_STATE, _>| {
            let header = self.last.check(found.lead()).ok()?;
            let is_good = header.form == RequestForm::HandOver
                && header.id != 0
                && found.len == RequestHeader::LENGTH + HandOver::LENGTH
                && HandOver::LENGTH <= found.row.len() * WORD;
            if !is_good {
                return None;
            }
            let mut place = [0; HandOver::LENGTH];
            copy::load(found.row, &mut place);
            let place = HandOver::decode(&place).ok()?;
            let deadline = deadline_ahead(&header, self.same_clock)?;
            let segment = self.mapped.near(place.number, place.end())?;
            start(found.header, header.id)?;
            self.taken.begin(found.at, found.end);
            self.comes_again = true;
            let mut delivery = Block::take();
            delivery.begin(header, found.at, 1);
            delivery.deadline = deadline;
            let payload = &mut delivery.payload;
            payload.refer(segment, place.offset, place.length, None);
            Some(delivery)
        })
    }

    /// Takes the next record, if there is one that can be taken.
    #[inline(never)]
    pub(super) fn next(&mut self, large: &Large) -> Result<Block, Next> {
        if self.ended {
            return Err(self.broken.take().map_or(self.nothing(), Next::from));
        }
        self.turn_away();
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
        self.comes_again = true;
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
