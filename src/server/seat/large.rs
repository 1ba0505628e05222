//! Large answers: made ready without the session's lock, so that the server's thread does not wait while pages are
//! reserved and bytes copied.

use super::{Opening, Seat};
use crate::error::{Error, Result};
use crate::request::ReplyHeader;
use crate::session::handover::{Pool, Side};
use crate::session::layout::Geometry;
use crate::session::{Body, BodyKind, Lease};

/// What large answers are made of.
#[derive(Debug)]
pub(super) struct Large {
    pool: Pool,
    generation: u64,
    /// The longest answer that goes through the ring.
    inline: usize,
}

impl Large {
    pub(super) fn new(opening: &Opening, pool: Pool) -> Large {
        let limit = Geometry::inline_limit(opening.geometry.reply_capacity) as usize;
        Large {
            pool,
            generation: opening.generation,
            inline: limit.saturating_sub(ReplyHeader::LENGTH),
        }
    }
}

impl Large {
    /// Has the processor fetch what a large answer begins with.
    #[inline]
    pub(super) fn prefetch(&self) {
        self.pool.prefetch();
    }

    /// Lets go of the memory. What is in somebody's hands stays.
    pub(super) fn clear(&self) {
        self.pool.clear();
    }
}

impl Seat {
    /// A body as it can be sent: short bytes as they are, else a lease of this session.
    #[inline]
    pub(super) fn ready<'a>(&self, body: Body<'a>) -> Result<BodyKind<'a>> {
        match body.0 {
            BodyKind::Bytes(bytes) if self.takes(bytes) => Ok(BodyKind::Bytes(bytes)),
            BodyKind::Bytes(bytes) => {
                let mut lease = self.lease(bytes.len() as u64)?;
                lease.write_at(0, bytes)?;
                Ok(BodyKind::Lease(lease))
            }
            BodyKind::Lease(lease) => lease
                .moved_to((self.large.generation, Side::Reply), |len| self.lease(len))
                .map(BodyKind::Lease),
        }
    }

    /// Whether the ring takes so many bytes.
    #[inline]
    pub(super) fn takes(&self, bytes: &[u8]) -> bool {
        bytes.len() <= self.large.inline
    }

    /// Whether it is memory of this session.
    #[inline]
    pub(super) fn owns(&self, lease: &Lease) -> bool {
        lease.belongs_to((self.large.generation, Side::Reply))
    }

    /// Memory for a large answer.
    pub(in crate::server) fn lease(&self, len: u64) -> Result<Lease> {
        if !self.stamp.is_current() {
            return Err(Error::Forked { what: "request" });
        }
        // The directory is opened while the session is known to be in its slot. What is made there after its end
        // is removed with it, or finds that it is not there any more.
        let directory = || self.open(|core| core.home.open());
        self.large.pool.lease(directory, len, self.large.generation)
    }
}
