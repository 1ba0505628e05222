//! The end of a queue that takes records out.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::atomic::Ordering;

use super::corrupt::Corrupt;
use super::memory::{CLOSED, RingMemory};
use super::named::Hold;
use super::pace::Pace;
use super::raw::{Found, RawConsumer};
use super::record::{Accept, PLAIN};
use crate::sys::{clock, copy};

/// At most so many bytes that were read are held back from the producer: what it writes next shall have been read long ago.
const HOLD: usize = 32 << 10;

/// Why no record was taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PopError {
    /// There is none now.
    #[error("the ring is empty")]
    Empty,
    /// There is none, and the producer has been dropped.
    #[error("the ring is empty and its producer has closed it")]
    Closed,
    /// The next record does not fit into the slice. It is still in the ring.
    #[error("the next record has {needed} bytes, more than there is room for")]
    TooSmall {
        /// The length of its payload.
        needed: usize,
    },
    /// The producer broke the protocol. Drop this end: what is in the ring is lost.
    #[error("the producer broke the protocol: {0}")]
    Corrupt(Corrupt),
}

/// What was taken out, beside the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// What the producer gave as its kind. A broken producer can have given anything.
    pub kind: u16,
    /// The payload's length.
    pub len: usize,
}

/// Takes records out of a ring. There is one for each ring, and it can be moved to another thread.
///
/// Payloads are copied out: nothing points into the shared memory, and a producer that goes on writing changes
/// nothing that was taken. Room is given back to the producer when all that was known to be in the ring has been
/// taken, or a quarter of it, or 32 KiB; so a consumer that stops in the middle holds back so much.
///
/// Dropping it closes the ring for the producer.
/// In a forked child it is the parent's: the child must not use it, and dropping it there does nothing.
#[derive(Debug)]
pub struct Consumer {
    raw: RawConsumer<PLAIN>,
    /// When so many bytes were read, they are freed.
    hold: u64,
    /// How long records are copied.
    pace: Pace,
    /// For [`drain`](Self::drain).
    buffer: Vec<u8>,
    /// Closes this end.
    _hold: Hold,
    /// One thread at a time, by type.
    _not_sync: PhantomData<Cell<()>>,
}

impl Consumer {
    pub(super) fn new(memory: RingMemory, hold: Hold) -> Result<Self, Corrupt> {
        let accept = Accept {
            generation: 0,
            kind_min: 0,
            kind_max: u16::MAX,
            flags: 0,
            max_len: u32::MAX,
        };
        Ok(Self {
            hold: HOLD.min(memory.capacity() / 4) as u64,
            raw: RawConsumer::resume(memory, accept)?,
            pace: Pace::new(),
            buffer: Vec::new(),
            _hold: hold,
            _not_sync: PhantomData,
        })
    }

    /// The bytes for records: each takes 8 and its payload, rounded up to a multiple of 8.
    pub fn capacity(&self) -> usize {
        self.raw.memory().capacity()
    }

    /// Takes out the next record and replaces what is in `into` by its payload.
    ///
    /// # Errors
    ///
    /// [`PopError`] says why there is none; `into` is as before.
    #[inline]
    pub fn try_pop(&mut self, into: &mut Vec<u8>) -> Result<Record, PopError> {
        let found = self.next()?;
        let len = found.len();
        // Without the zeros that would be overwritten at once, where it has been long enough before.
        if into.len() < len {
            into.resize(len, 0);
        } else {
            into.truncate(len);
        }
        self.read(&found, into);
        Ok(self.take(&found))
    }

    /// Takes out the next record and copies its payload to the beginning of `into`.
    ///
    /// # Errors
    ///
    /// [`PopError`] says why there is none; `into` is as before.
    #[inline]
    pub fn try_pop_slice(&mut self, into: &mut [u8]) -> Result<Record, PopError> {
        let found = self.next()?;
        if found.len() > into.len() {
            return Err(PopError::TooSmall {
                needed: found.len(),
            });
        }
        self.read(&found, into);
        Ok(self.take(&found))
    }

    /// Takes out what is there, at most `most` records, and gives each with its kind to `each`; tells how many. That
    /// costs less than as many calls of [`try_pop`](Self::try_pop).
    ///
    /// Records that come meanwhile are for the next call. If `each` panics, its record is lost.
    ///
    /// # Errors
    ///
    /// [`PopError`] if there is none at all. A corrupt record behind good ones is told by the next call.
    pub fn drain(&mut self, most: usize, each: impl FnMut(u16, &[u8])) -> Result<usize, PopError> {
        if most == 0 {
            return Ok(0);
        }
        let found = self.next()?;
        let taken = self
            .raw
            .take_run(found, most, self.hold, &mut self.buffer, each);
        if self.raw.unreleased() > 0 {
            self.raw.release_read();
        }
        Ok(taken)
    }

    /// Whether the producer has been dropped. There may still be records.
    pub fn is_closed(&self) -> bool {
        self.raw
            .memory()
            .control()
            .producer_end
            .load(Ordering::Acquire)
            == CLOSED
    }

    #[inline(always)]
    fn next(&mut self) -> Result<Found, PopError> {
        match self.raw.ready() {
            Some(found) => Ok(found),
            None => self.look_closer(),
        }
    }

    /// A record that has come meanwhile, or why there is none. An empty ring is closed only if it is still empty after its
    /// producer was seen to be gone.
    #[cold]
    fn look_closer(&mut self) -> Result<Found, PopError> {
        // Who was shown the last ones may have panicked.
        if self.raw.unreleased() > 0 {
            self.raw.release_read();
        }
        if let Some(found) = self.raw.peek().map_err(PopError::Corrupt)? {
            return Ok(found);
        }
        if !self.is_closed() {
            return Err(PopError::Empty);
        }
        let last = self.raw.peek().map_err(PopError::Corrupt)?;
        last.ok_or(PopError::Closed)
    }

    #[inline(always)]
    fn read(&mut self, found: &Found, into: &mut [u8]) {
        match found.len() {
            ..copy::LONG => self.raw.read(found, into),
            copy::LONG.. => self.read_long(found, into),
        }
    }

    #[cold]
    fn read_long(&mut self, found: &Found, into: &mut [u8]) {
        self.raw.read_long(found, into, self.pace.way());
        self.pace.copied(clock::monotonic_ns(), found.len());
    }

    #[inline]
    fn take(&mut self, found: &Found) -> Record {
        self.raw.advance(found);
        if self.raw.known() == 0 || self.raw.unreleased() >= self.hold {
            self.raw.release_read();
        }
        Record {
            kind: found.kind(),
            len: found.len(),
        }
    }
}
