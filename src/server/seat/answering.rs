//! How whoever holds a request answers it, from any thread.

use super::Seat;
use super::core::Core;
use crate::error::{Error, Result};
use crate::request::{ReplyForm, Status};
use crate::session::{Body, BodyKind, Broken};

impl Seat {
    /// Answers the request of this ticket by the shortest way: what fits into the ring and finds room there; [`show`](Self::show) shows
    /// it if that is to come `later`. `false`, and it is not answered, if it must go the long way, which also tells what is wrong.
    #[inline(always)]
    pub(in crate::server) fn answer_now(
        &self,
        ticket: u64,
        id: u64,
        status: Status,
        code: u32,
        body: &Body<'_>,
        later: bool,
    ) -> bool {
        if !self.stamp.is_current() {
            return false;
        }
        let header = (id, status, code, later);
        let alone = self
            .core
            .alone(|core| self.answer_in(core, ticket, header, body));
        alone.unwrap_or_else(|| self.answer_shared(ticket, header, body))
    }

    #[inline(never)]
    fn answer_shared(
        &self,
        ticket: u64,
        header: (u64, Status, u32, bool),
        body: &Body<'_>,
    ) -> bool {
        self.answer_in(&mut self.core.lock(), ticket, header, body)
    }

    #[inline(always)]
    fn answer_in(
        &self,
        core: &mut Option<Core>,
        ticket: u64,
        (id, status, code, later): (u64, Status, u32, bool),
        body: &Body<'_>,
    ) -> bool {
        let Some(core) = core.as_mut().filter(|core| core.is_clear()) else {
            return false;
        };
        let place;
        let (form, payload) = match &body.0 {
            BodyKind::Bytes(bytes) if self.takes(bytes) => {
                let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                (ReplyForm::Inline(len), *bytes)
            }
            BodyKind::Lease(lease) if self.owns(lease) => {
                place = lease.send();
                (ReplyForm::HandOver, &place[..])
            }
            _ => return false,
        };
        let header = core.header(id, status, code, form);
        core.answer(ticket, header, payload, later)
    }

    /// Others have their turns now.
    pub(in crate::server) fn turn_away(&self) {
        self.with((), Core::turn_away);
    }

    /// Shows the client the answers that were put off.
    pub(in crate::server) fn show(&self) {
        if self.stamp.is_current() {
            self.with((), Core::show);
        }
    }

    /// Answers the request of this ticket. Where the answer itself cannot be sent, says so to the client too.
    #[inline(never)]
    pub(in crate::server) fn answer_long(
        &self,
        ticket: u64,
        id: u64,
        status: Status,
        code: u32,
        body: Body<'_>,
    ) -> Result<()> {
        let ready = self.ready(body);
        let answered = self.open(|core| {
            let (outgoing, problem) = match ready {
                Ok(body) => (core.prepare(id, status, code, body), None),
                Err(problem) => {
                    let reason = format!("the answer could not be sent: {problem}");
                    (core.failure(id, &reason), Some(problem))
                }
            };
            let sent = core.send(Some(ticket), outgoing);
            self.sent(sent, core)?;
            problem.map_or(Ok(()), Err)
        });
        answered.inspect_err(|_| self.let_go(ticket))
    }

    /// Sends a reply that is not final, if there is room for it.
    pub(in crate::server) fn interim(&self, id: u64, status: Status) -> Result<()> {
        self.open(|core| {
            let outgoing = core.prepare(id, status, 0, BodyKind::Bytes(&[]));
            let sent = core.send(None, outgoing);
            self.sent(sent, core)
        })
    }

    /// Ends the session of a client that turned out to be broken when it was to be answered.
    #[inline]
    fn sent(&self, sent: Result<(), Broken>, core: &mut Core) -> Result<()> {
        sent.map_err(|broken| {
            let what = broken.to_string();
            core.fail(broken);
            Error::Corrupt {
                at: format!("session {} of {}", self.peer.session(), self.service),
                what,
            }
        })
    }

    /// For who answers: an error in a forked child, and when the session is over.
    pub(super) fn open<T>(&self, act: impl FnOnce(&mut Core) -> Result<T>) -> Result<T> {
        if !self.stamp.is_current() {
            return Err(Error::Forked { what: "request" });
        }
        match &mut *self.core.lock() {
            Some(core) if !core.has_ended() => act(core),
            _ => Err(Error::Closed {
                service: self.service.clone(),
                reason: "the session is over: its client has gone, or the server".to_owned(),
            }),
        }
    }

    /// A request that could not be answered is out of everybody's hands.
    #[cold]
    fn let_go(&self, ticket: u64) {
        if self.stamp.is_current() {
            self.with((), |core| core.let_go(ticket));
            self.clear();
        }
    }
}
