//! The client's end of one session: puts requests into its ring, takes answers out of the other.

#[cfg(test)]
mod kills;
mod message;
mod replies;
#[cfg(test)]
mod roomless;
#[cfg(test)]
mod wronged;

use std::os::fd::AsFd;
use std::sync::atomic::Ordering;

use super::connect::Published;
use super::pending::Requests;
use crate::directory::Name;
use crate::directory::session::SessionDir;
use crate::error::{Error, Result};
use crate::fifo::{BellReader, BellWriter, Ring};
use crate::request::RequestHeader;
use crate::ring::raw::{self, RawConsumer, RawProducer};
use crate::ring::record::Cancel;
use crate::session::Broken;
use crate::session::handover::{Mapped, Pool, Side};
use crate::session::layout::{DIRECTS, Geometry, Memory, Status};
use crate::sys::clock::Deadline;
use crate::sys::fork::{self, Stamp};
use crate::sys::poll::{self, Epoll, Interest, Ready};

/// The client's end of a session.
#[derive(Debug)]
pub(super) struct Link {
    service: Name,
    memory: Memory,
    geometry: Geometry,
    /// The longest payload that goes through the ring.
    inline: usize,
    generation: u64,
    requests: RawProducer<3>,
    replies: RawConsumer<2>,
    down: BellReader,
    up: BellWriter,
    pending: Requests,
    pool: Pool,
    mapped: Mapped,
    /// Replies that nobody waited for any more.
    unwanted: u64,
    /// Whether our bell to the server was found to have no reader.
    gone: bool,
    /// Of the process whose session this is.
    stamp: Stamp,
    /// Dropped last: it lets go of the lock.
    place: SessionDir,
}

pub(super) use self::message::Content;

/// Adds a session's bells to `epoll`; `index` tells its link's events from another's.
pub(super) fn watch(
    (down, up): (&BellReader, &BellWriter),
    epoll: &Epoll,
    index: u64,
) -> rustix::io::Result<()> {
    epoll.add(down.as_fd(), index << 1, Interest::READ)?;
    epoll.add(up.as_fd(), index << 1 | 1, Interest::DEATH)
}

/// The word of [`Status::Open`].
const OPEN: u64 = 1;

/// An error if a session of `service` is over that has this status.
pub(super) fn check(status: Status, service: &Name) -> Result<()> {
    let service = || service.to_string();
    let closed = |reason: &str| Error::Closed {
        service: service(),
        reason: reason.to_owned(),
    };
    match status {
        Status::Pending | Status::Open => Ok(()),
        Status::Busy { retry_after } => Err(Error::Busy {
            service: service(),
            retry_after,
        }),
        Status::Closed => Err(closed("the server has ended in good order")),
        Status::GaveUp => Err(closed("its supervisor has given the service up")),
        Status::Corrupt { code } => Err(closed(Broken::meaning(code))),
        Status::Gone => Err(Error::ServerGone {
            service: service(),
            reason: "the server that came after it could not use what it left".to_owned(),
        }),
    }
}

impl Link {
    /// Over a session that has been published.
    pub(super) fn new(service: Name, published: Published, up: BellWriter) -> Link {
        let Published {
            memory,
            geometry,
            generation,
            requests,
            replies,
            down,
            place,
        } = published;
        Link {
            requests,
            replies,
            service,
            memory,
            inline: Geometry::inline_limit(geometry.request_capacity) as usize
                - RequestHeader::LENGTH,
            geometry,
            generation,
            down,
            up,
            pending: Requests::default(),
            pool: Pool::new(Side::Request, 0),
            mapped: Mapped::new(Side::Reply),
            unwanted: 0,
            gone: false,
            stamp: fork::stamp(),
            place,
        }
    }

    pub(super) fn service(&self) -> &Name {
        &self.service
    }

    #[inline]
    pub(super) fn pending(&self) -> &Requests {
        &self.pending
    }

    pub(super) fn unwanted(&self) -> u64 {
        self.unwanted
    }

    /// Whether the server wants to be asked where requests of a kind go.
    #[inline]
    pub(super) fn directs(&self) -> bool {
        self.memory.server.flags.load(Ordering::Relaxed) & DIRECTS != 0
    }

    /// What the server made of the session.
    pub(super) fn status(&self) -> Result<Status> {
        // SYNC(status): pairs with the server's store; what it wrote before is seen.
        let word = self.memory.server.status.load(Ordering::Acquire);
        Status::unpack(word).ok_or_else(|| Broken::Status(word).into_error(self.service.as_str()))
    }

    /// Whether the server serves this session: the common case, in one load.
    #[inline]
    pub(super) fn is_open(&self) -> bool {
        // SYNC(status): pairs with the server's store.
        self.memory.server.status.load(Ordering::Acquire) == OPEN
    }

    /// An error if the session is over.
    pub(super) fn check(&self) -> Result<()> {
        check(self.status()?, &self.service)
    }

    fn path(&self) -> &std::path::Path {
        self.place.directory().path()
    }

    /// Adds both bells to `epoll`.
    pub(super) fn watch(&self, epoll: &Epoll, index: u64) -> Result<()> {
        watch((&self.down, &self.up), epoll, index)
            .map_err(Error::os("watch the bells of", self.path()))
    }

    /// Takes both bells out of `epoll`, by hand: a child made by a raw clone may keep the descriptors open.
    pub(super) fn watch_no_longer(&self, epoll: &Epoll) {
        let _ = epoll.remove(&self.down);
        let _ = epoll.remove(&self.up);
    }

    /// Takes the rings off our bell.
    pub(super) fn drain(&self) {
        self.down.drain();
    }

    /// Our bell to the server was found to have no reader.
    pub(super) fn note_death(&mut self) {
        self.gone = true;
        self.requests.forget_bell();
        self.replies.forget_bell();
    }

    /// Whether the server is known to be dead and no successor has taken the session up.
    pub(super) fn server_gone(&mut self) -> bool {
        // A successor opens the other end before it does anything else with a session.
        if self.gone && self.is_heard() {
            self.gone = false;
        }
        self.gone
    }

    /// Whether somebody has the other end of our bell.
    fn is_heard(&self) -> bool {
        let shown = poll::wait_one(&self.up, Interest::DEATH, Deadline::passed());
        matches!(shown, Ok(shown) if !shown.is_some_and(Ready::is_dead))
    }

    /// Takes a request back that no server has started; its answer is not wanted any more in any case.
    pub(super) fn cancel(&mut self, id: u64) -> Result<bool> {
        if let Some(pending) = self.pending.get(id) {
            pending.wanted = false;
        }
        self.withdraw(id)
    }

    /// Takes a request back that no server has started; else its answer is waited for as before.
    pub(super) fn withdraw(&mut self, id: u64) -> Result<bool> {
        let Some(pending) = self.pending.get(id) else {
            return Ok(false);
        };
        let cancelled = self.requests.cancel(pending.at);
        match cancelled.map_err(|corrupt| self.broken(corrupt.into()))? {
            Cancel::Cancelled => {
                self.pending.answer(id);
                Ok(true)
            }
            Cancel::Started | Cancel::Answered => Ok(false),
        }
    }

    /// Takes all back that no server has begun: which.
    pub(super) fn take_back(&mut self) -> Vec<u64> {
        let mut pending = self.pending.ids();
        pending.retain(|id| matches!(self.withdraw(*id), Ok(true)));
        pending
    }

    /// Says that this side sleeps until a reply comes, and, if `room`, until there is room for a request of the greatest
    /// length. `false`: there is something already, or the session is broken, which the next look there tells.
    pub(super) fn sleep(&mut self, room: bool) -> bool {
        // Of a batch that was forgotten.
        self.show();
        if self.replies.unreleased() > 0 {
            self.make_room();
        }
        let replies = self.replies.sleep();
        let room = match room {
            true => self
                .requests
                .sleep(Geometry::inline_limit(self.geometry.request_capacity)),
            false => Ok(true),
        };
        matches!((replies, room), (Ok(true), Ok(true)))
    }

    pub(super) fn wake(&mut self) {
        self.replies.wake();
        self.requests.wake();
    }

    fn ring(&mut self) {
        if self.up.ring() == Ring::NoReader {
            self.note_death();
        }
    }

    fn broken(&self, broken: Broken) -> Error {
        broken.into_error(self.service.as_str())
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // In a forked child it is the parent's session.
        if !self.stamp.is_current() {
            return;
        }
        // Of a batch that was forgotten.
        self.show();
        self.memory.client.leaving.store(1, Ordering::Relaxed);
        raw::fence();
        // A server that is dead will find the lock free.
        let _ = self.up.ring();
    }
}
