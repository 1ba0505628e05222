//! The end of a queue that puts records in.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::atomic::Ordering;

use super::corrupt::Corrupt;
use super::cursor::Refused;
use super::memory::{CLOSED, RingMemory};
use super::named::Hold;
use super::raw::RawProducer;
use super::record::{Header, PLAIN};

/// Why a record was not put into the ring. The ring is as before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PushError {
    /// There is no room now.
    #[error("the ring is full")]
    Full,
    /// The payload would not fit into the empty ring either.
    #[error("a payload of {len} bytes is too long for the ring: at most {max}")]
    TooLong {
        /// The payload's length.
        len: usize,
        /// The length of the longest payload that fits.
        max: usize,
    },
    /// The ring is full, and the consumer has been dropped.
    #[error("the consumer has closed its end of the ring")]
    Closed,
    /// The consumer broke the protocol. Drop this end: what is in the ring is lost.
    #[error("the consumer broke the protocol: {0}")]
    Corrupt(Corrupt),
}

/// Puts records into a ring. There is one for each ring, and it can be moved to another thread.
///
/// Dropping it closes the ring: the consumer takes what is left, and is then told. A process that is killed closes
/// nothing; to learn of that, keep a [`FifoPair`](crate::FifoPair) beside the ring.
/// In a forked child it is the parent's: the child must not use it, and dropping it there does nothing.
#[derive(Debug)]
pub struct Producer {
    raw: RawProducer<PLAIN>,
    /// Closes this end.
    _hold: Hold,
    /// One thread at a time, by type.
    _not_sync: PhantomData<Cell<()>>,
}

impl Producer {
    pub(super) fn new(memory: RingMemory, hold: Hold) -> Result<Self, Corrupt> {
        Ok(Self {
            raw: RawProducer::resume(memory)?,
            _hold: hold,
            _not_sync: PhantomData,
        })
    }

    /// The bytes for records: each takes 8 and its payload, rounded up to a multiple of 8.
    pub fn capacity(&self) -> usize {
        self.raw.memory().capacity()
    }

    /// The length of the longest payload that fits, when the ring is empty.
    pub fn longest(&self) -> usize {
        self.raw.longest() as usize
    }

    /// Puts in a record and shows it to the consumer at once.
    ///
    /// `kind` means what both sides agree on. A consumer that has been dropped is noticed only when the ring is full
    /// ([`is_closed`](Self::is_closed) looks).
    ///
    /// # Errors
    ///
    /// [`PushError`] says why the record is not in the ring.
    #[inline(always)]
    pub fn try_push(&mut self, kind: u16, payload: &[u8]) -> Result<(), PushError> {
        self.push(kind, payload)?;
        self.raw.publish();
        Ok(())
    }

    /// As [`try_push`](Self::try_push), with a payload in two parts, such as a header and a body. The consumer sees
    /// one payload.
    ///
    /// # Errors
    ///
    /// [`PushError`] says why the record is not in the ring.
    #[inline]
    pub fn try_push_parts(
        &mut self,
        kind: u16,
        first: &[u8],
        second: &[u8],
    ) -> Result<(), PushError> {
        self.push_parts(kind, first, second)?;
        self.raw.publish();
        Ok(())
    }

    /// Begins a batch: its records are shown to the consumer together, which costs less.
    pub fn batch(&mut self) -> Batch<'_> {
        Batch { producer: self }
    }

    /// Whether the consumer has been dropped.
    pub fn is_closed(&self) -> bool {
        self.raw
            .memory()
            .control()
            .consumer_end
            .load(Ordering::Acquire)
            == CLOSED
    }

    /// Always a part of the caller's loop: a core's stores take effect in their order, and wait in a short list while the line of
    /// the first is with another core. What a call of its own keeps on the stack fills half of that list, and two cores stream
    /// only half as much.
    #[inline(always)]
    fn push(&mut self, kind: u16, payload: &[u8]) -> Result<(), PushError> {
        match self.raw.push(header(kind), [], payload) {
            Ok(_) => Ok(()),
            Err(refused) => Err(self.complaint(refused, payload.len())),
        }
    }

    #[inline]
    fn push_parts(&mut self, kind: u16, first: &[u8], second: &[u8]) -> Result<(), PushError> {
        match self.raw.push_parts(header(kind), first, second) {
            Ok(_) => Ok(()),
            Err(refused) => Err(self.complaint(refused, first.len() + second.len())),
        }
    }

    #[cold]
    fn complaint(&self, refused: Refused, len: usize) -> PushError {
        match refused {
            Refused::Corrupt(why) => PushError::Corrupt(why),
            Refused::Full if len > self.longest() => PushError::TooLong {
                len,
                max: self.longest(),
            },
            Refused::Full if self.is_closed() => PushError::Closed,
            Refused::Full => PushError::Full,
        }
    }
}

/// A queue's header, without the length.
fn header(kind: u16) -> Header {
    Header {
        length: 0,
        kind,
        flags: 0,
        generation: 0,
    }
}

/// Records that become visible together, when it is dropped.
#[derive(Debug)]
pub struct Batch<'a> {
    producer: &'a mut Producer,
}

impl Batch<'_> {
    /// Puts in a record behind the others of the batch.
    ///
    /// When the ring is full, let go of the batch before waiting: the consumer cannot make room by taking what it
    /// does not see.
    ///
    /// # Errors
    ///
    /// [`PushError`] says why the record is not in the batch; those before it still are.
    #[inline]
    pub fn try_push(&mut self, kind: u16, payload: &[u8]) -> Result<(), PushError> {
        self.producer.push(kind, payload)
    }

    /// As [`try_push`](Self::try_push), with a payload in two parts.
    ///
    /// # Errors
    ///
    /// As [`try_push`](Self::try_push).
    #[inline]
    pub fn try_push_parts(
        &mut self,
        kind: u16,
        first: &[u8],
        second: &[u8],
    ) -> Result<(), PushError> {
        self.producer.push_parts(kind, first, second)
    }

    /// Shows the batch to the consumer, as dropping it does.
    pub fn publish(self) {}

    /// Takes back the whole batch.
    pub fn abandon(self) {
        self.producer.raw.abandon();
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        if self.producer.raw.has_unpublished() {
            self.producer.raw.publish();
        }
    }
}
