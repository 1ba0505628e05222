//! Memory for one large payload, lent by a session's pool.

use std::fmt;
use std::sync::Arc;

use super::handover::{Room, Segment, Side};
use crate::error::{Error, Result};
use crate::request::HandOver;
use crate::sys::fork::Stamp;

/// Memory that a large payload is written into, and then sent without a copy.
///
/// A lease comes from [`Client::lease`](crate::Client::lease) or [`Incoming::lease`](crate::Incoming::lease) and
/// belongs to that session. Dropped unsent, it goes back to the session's pool. Its first content is whatever
/// the payload before it left there.
pub struct Lease {
    room: Room,
    len: u64,
    /// The generation of the session that it belongs to, and whose end of it.
    owner: (u64, Side),
    stamp: Stamp,
}

impl Lease {
    #[inline]
    pub(super) fn of(room: Room, len: u64, owner: (u64, Side), stamp: Stamp) -> Lease {
        Lease {
            room,
            len,
            owner,
            stamp,
        }
    }

    /// This lease, or, where it belongs to another session or the other end, a copy in one that `lease` makes there.
    pub(crate) fn moved_to(
        self,
        owner: (u64, Side),
        lease: impl FnOnce(u64) -> Result<Lease>,
    ) -> Result<Lease> {
        if self.belongs_to(owner) {
            return Ok(self);
        }
        let mut copy = lease(self.len)?;
        let mut piece = vec![0; 64 << 10];
        let mut offset = 0;
        while offset < self.len {
            let len = usize::try_from(self.len - offset)
                .unwrap_or(usize::MAX)
                .min(piece.len());
            let Some(piece) = piece.get_mut(..len) else {
                break;
            };
            self.room.segment.read(self.room.offset + offset, piece)?;
            copy.write_at(offset, piece)?;
            offset += len as u64;
        }
        Ok(copy)
    }

    /// A copy of the payload, to be made of a short one.
    pub(crate) fn to_vec(&self) -> Result<Vec<u8>> {
        let mut copy = vec![0; usize::try_from(self.len).unwrap_or(usize::MAX)];
        self.room.segment.read(self.room.offset, &mut copy)?;
        Ok(copy)
    }

    /// Where it lies: held as long as the payload may be read.
    #[inline]
    pub(crate) fn segment(&self) -> &Arc<Segment> {
        &self.room.segment
    }

    /// How a message names it.
    #[inline]
    pub(crate) fn place(&self) -> [u8; HandOver::LENGTH] {
        let place = HandOver {
            number: self.room.segment.number(),
            length: self.len,
            offset: self.room.offset,
        };
        place.encode()
    }

    /// As [`place`](Lease::place), of an answer, whose receiver frees it.
    #[inline]
    pub(crate) fn send(&self) -> [u8; HandOver::LENGTH] {
        self.room.segment.mark_in_use();
        self.place()
    }

    /// Whether it is of this end of the session with this generation.
    #[inline]
    pub(crate) fn belongs_to(&self, owner: (u64, Side)) -> bool {
        self.owner == owner
    }

    /// The length of the payload in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether the payload has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Copies `bytes` into the payload.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfBounds`] where they would not all be inside it, [`Error::Forked`] in a forked child; nothing is
    /// written then.
    pub fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        if !self.stamp.is_current() {
            return Err(Error::Forked { what: "lease" });
        }
        let len = bytes.len() as u64;
        match offset.checked_add(len) {
            Some(end) if end <= self.len => {
                self.room.segment.write(self.room.offset + offset, bytes)
            }
            _ => Err(Error::OutOfBounds {
                offset,
                len,
                limit: self.len,
            }),
        }
    }

    /// Makes the payload shorter; a greater `len` than it has changes nothing.
    pub fn truncate(&mut self, len: u64) {
        self.len = self.len.min(len);
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("number", &self.room.segment.number())
            .field("len", &self.len)
            .finish()
    }
}
