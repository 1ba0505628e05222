//! How an answer gets to the client: published at once or together with others, committed. What finds no room is kept in the
//! [`outbox`](super::outbox).
//!
//! The order for each final answer is: reply bytes, reply tail, the request's state, the head, what is said of that beside the
//! reply tail; then one fence, then a look at the client's sleep words.

use super::core::Core;
use crate::request::{ReplyForm, ReplyHeader, Status};
use crate::ring::cursor::Refused;
use crate::ring::record::{self, Header};
use crate::session::Broken;
use crate::session::layout::REPLY_RECORD;

impl Core {
    /// Whether an answer can be published at once, if there is room.
    #[inline(always)]
    pub(super) fn is_clear(&self) -> bool {
        !self.ended && self.outbox.is_empty()
    }

    /// Publishes an answer, or only puts it into the ring for [`show`](Self::show), where there is room for it now; `false`, and
    /// it is not answered, where there is none. What is to be shown `later` is put off only while the server's thread is sure to come
    /// again.
    #[inline(always)]
    pub(super) fn answer(
        &mut self,
        ticket: u64,
        header: ReplyHeader,
        payload: &[u8],
        later: bool,
    ) -> bool {
        if !matches!(self.put(header, payload), Ok(true)) {
            return false;
        }
        if later && self.comes_again {
            self.unshown.push(ticket);
            return true;
        }
        self.publish();
        self.commit(ticket);
        self.wake();
        true
    }

    /// Shows the client the answers that were only put into the ring.
    #[inline(always)]
    pub(super) fn show(&mut self) {
        if !self.unshown.is_empty() {
            self.show_all();
        }
    }

    /// The server's thread does not come again before others have had their turns: what was put off is shown, and nothing is put off.
    #[inline]
    pub(super) fn turn_away(&mut self) {
        self.comes_again = false;
        self.show();
    }

    #[inline(never)]
    fn show_all(&mut self) {
        if self.ended {
            // Nobody sees them any more, and they are out of everybody's hands.
            for ticket in std::mem::take(&mut self.unshown) {
                self.let_go(ticket);
            }
            return;
        }
        self.publish();
        self.wake();
    }

    #[inline(always)]
    pub(super) fn header(
        &self,
        id: u64,
        status: Status,
        code: u32,
        form: ReplyForm,
    ) -> ReplyHeader {
        ReplyHeader {
            id,
            status,
            code,
            epoch: self.epoch,
            form,
        }
    }

    /// Publishes a reply; `false` if there is no room.
    pub(super) fn push(&mut self, header: ReplyHeader, payload: &[u8]) -> Result<bool, Broken> {
        let has_room = self.put(header, payload)?;
        if has_room {
            self.publish();
        }
        Ok(has_room)
    }

    /// Puts a reply into the ring; `false` if there is no room.
    #[inline(always)]
    fn put(&mut self, header: ReplyHeader, payload: &[u8]) -> Result<bool, Broken> {
        let record = Header {
            length: 0,
            kind: REPLY_RECORD,
            flags: 0,
            generation: self.generation,
        };
        if self.taken.len() == 1 && self.requests.known() == 0 {
            // The client waits for this alone, and has probably freed all before it.
            self.replies.rewind(self.requests.acknowledged());
        }
        match self.replies.push(record, header.words(), payload) {
            Ok(_) => Ok(true),
            Err(Refused::Full) => {
                // The client frees only what it sees.
                self.show();
                Ok(false)
            }
            Err(Refused::Corrupt(corrupt)) => Err(corrupt.into()),
        }
    }

    /// Shows all replies in the ring, and commits those that were put off.
    #[inline(always)]
    fn publish(&mut self) {
        self.replies.publish();
        if !self.unshown.is_empty() {
            self.commit_unshown();
        }
    }

    #[inline(never)]
    fn commit_unshown(&mut self) {
        let mut unshown = std::mem::take(&mut self.unshown);
        let mut free = None;
        for ticket in unshown.drain(..) {
            free = self.mark(ticket).or(free);
        }
        self.unshown = unshown;
        self.release(free);
    }

    /// Marks a request as answered, and frees all that are answered and have none before them that is not.
    #[inline(always)]
    pub(super) fn commit(&mut self, ticket: u64) {
        let free = self.mark(ticket);
        self.release(free);
    }

    /// Marks a request as answered: up to where all may be freed now, if that has moved.
    #[inline(always)]
    fn mark(&mut self, ticket: u64) -> Option<u64> {
        record::answer(self.memory.requests.state(ticket));
        self.let_go(ticket);
        self.taken.finish(ticket)
    }

    #[inline(always)]
    fn release(&mut self, free: Option<u64>) {
        if let Some(end) = free {
            self.free(end);
        }
        if self.draining.is_some() {
            self.tell_quiet();
        }
    }

    /// Goes past a message that has no answer, from index `at` to `end`, of which a copy was taken: nobody finds it again. The
    /// client is given its room together with that of others.
    #[inline(always)]
    pub(super) fn pass_one_way(&mut self, at: u64, end: u64) {
        if self.taken.len() > 0 {
            self.taken.begin(at, end);
            return self.commit(at);
        }
        // Nothing is written to the lines that the client has written, or looks at while it finds no room: their way back and
        // forth would be most of the time that a stream of these takes.
        self.let_go(at);
        self.requests.pass(end);
        if self.requests.unreleased() >= self.one_way_room {
            self.give_room();
        }
    }

    /// Frees what one-way messages have left, and rings a client that waits for it.
    #[inline(never)]
    pub(super) fn give_room(&mut self) {
        let held = self.taken.oldest().unwrap_or(self.requests.next());
        if self.requests.head() != held {
            self.free(held);
            self.wake();
        }
    }

    /// Lets the client write over all requests before this index. If it knows of no others, it hears of it where it looks anyway.
    #[inline]
    fn free(&mut self, upto: u64) {
        self.requests.release(upto);
        if self.requests.unreleased() == 0 && self.requests.known() == 0 {
            self.replies.acknowledge(upto);
        }
    }

    /// Rings the door, if all that was asked before draining began is answered.
    #[cold]
    fn tell_quiet(&mut self) {
        if self.is_quiet()
            && let Some(draining) = &self.draining
        {
            draining.door.ring_self();
        }
    }
}
