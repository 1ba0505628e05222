//! Both ends of a ring, over memory: what queues and sessions are made of.
//!
//! `WORDS` is the number of header words of a record (see [`record`](super::record)). An end keeps the geometry
//! and its own index privately; the other side's index and headers are read once and checked. After a
//! [`Corrupt`] an end must not be used any more: it would go on to say the same.

use super::corrupt::Corrupt;
use super::cursor::{ConsumerCursor, ProducerCursor, Refused, Word};
use super::memory::RingMemory;
use super::record::{Accept, Cancel, Header, cancel, header_len, record_len};
use super::sleep::{Sleeper, Waker};

use std::sync::atomic::AtomicU64;

/// The one fence between the stores of a batch and the looks at the other side's sleep words
/// ([`RawProducer::must_ring`], [`RawConsumer::must_ring`]).
#[inline]
pub(crate) fn fence() {
    <AtomicU64 as Word>::fence();
}

/// The end that puts records in.
#[derive(Debug)]
pub(crate) struct RawProducer<const WORDS: usize> {
    memory: RingMemory,
    cursor: ProducerCursor,
    sleeper: Sleeper,
    waker: Waker,
}

impl<const WORDS: usize> RawProducer<WORDS> {
    /// Takes up the producing end where a predecessor left it; in zeroed memory that is the beginning.
    ///
    /// # Errors
    ///
    /// [`Corrupt`] if the indices cannot be.
    pub(crate) fn resume(memory: RingMemory) -> Result<Self, Corrupt> {
        const { assert!(WORDS >= 1 && WORDS <= 3) };
        let control = memory.control();
        let (tail, head) = (control.tail.load_acquire(), control.head.load_acquire());
        Ok(Self {
            cursor: ProducerCursor::resume(memory.capacity(), tail, head)?,
            sleeper: Sleeper::resume(&control.producer_sleep),
            waker: Waker::default(),
            memory,
        })
    }

    /// The memory, for other threads of this side.
    pub(crate) fn memory(&self) -> &RingMemory {
        &self.memory
    }

    /// The longest payload that fits when the ring is empty.
    pub(crate) fn longest(&self) -> u32 {
        u32::try_from(self.memory.capacity() - header_len::<WORDS>()).unwrap_or(u32::MAX - 7)
    }

    /// Writes a record with the payload `first` + `second` behind those that are there, and gives its index. The
    /// consumer sees it after the next [`publish`](Self::publish). The length is taken from the two parts.
    ///
    /// # Errors
    ///
    /// [`Refused::Full`] if there is no room, which is for ever if the payload is longer than
    /// [`longest`](Self::longest).
    #[inline(always)]
    pub(crate) fn push(
        &mut self,
        header: Header,
        first: &[u8],
        second: &[u8],
    ) -> Result<u64, Refused> {
        let Ok(length) = u32::try_from(first.len() + second.len()) else {
            return Err(Refused::Full);
        };
        let at = self
            .cursor
            .reserve(record_len::<WORDS>(length), &self.memory.control().head)?;
        let words = Header { length, ..header }.pack();
        let mut to = at;
        for word in &words[..WORDS] {
            self.memory.records().word(to).store_relaxed(*word);
            to = to.wrapping_add(8);
        }
        if second.is_empty() {
            self.memory.records().write(to, first);
        } else {
            self.write_parts(to, first, second);
        }
        Ok(at)
    }

    /// Writes two parts as one, of which the first need not end with a word.
    #[inline]
    fn write_parts(&self, mut to: u64, first: &[u8], second: &[u8]) {
        let records = self.memory.records();
        let (whole, rest) = first.split_at(first.len() & !7);
        records.write(to, whole);
        to = to.wrapping_add(whole.len() as u64);
        let mut second = second;
        if !rest.is_empty() {
            let (joined, later) = second.split_at(second.len().min(8 - rest.len()));
            let mut word = [0; 8];
            word[..rest.len()].copy_from_slice(rest);
            word[rest.len()..rest.len() + joined.len()].copy_from_slice(joined);
            records.write(to, &word);
            to = to.wrapping_add(8);
            second = later;
        }
        records.write(to, second);
    }

    /// Shows all that was pushed to the consumer.
    #[inline]
    pub(crate) fn publish(&mut self) {
        self.cursor.publish(&self.memory.control().tail);
    }

    /// Whether something was pushed and not published.
    #[inline]
    pub(crate) fn has_unpublished(&self) -> bool {
        self.cursor.unpublished() > 0
    }

    /// Drops what was pushed and not published.
    pub(crate) fn abandon(&mut self) {
        self.cursor.abandon();
    }

    /// Takes back the published record at index `at` of a ring with states, if no server has started it.
    ///
    /// # Errors
    ///
    /// [`Corrupt::State`].
    pub(crate) fn cancel(&self, at: u64) -> Result<Cancel, Corrupt> {
        const { assert!(WORDS == super::record::WITH_STATE) };
        if !self.cursor.still_holds(at, header_len::<WORDS>()) {
            return Ok(Cancel::Answered);
        }
        cancel(self.memory.state(at))
    }

    /// Whether the consumer must be rung for what was published. Between the publish and this there must be a
    /// [`fence`]. `true` comes once for each of the consumer's sleeps.
    #[inline]
    pub(crate) fn must_ring(&mut self) -> bool {
        self.waker
            .should_ring(&self.memory.control().consumer_sleep)
    }

    /// Forgets that the consumer was rung: after a bell that did not get through, or for a new consumer.
    pub(crate) fn forget_bell(&mut self) {
        self.waker.forget();
    }

    /// Says that this side sleeps until a payload of `len` bytes fits, and looks once more. `true`: it may block,
    /// and must call [`wake`](Self::wake) after, or this again; `false`: there is room, and it is awake.
    ///
    /// # Errors
    ///
    /// [`Corrupt::Head`].
    pub(crate) fn sleep(&mut self, len: u32) -> Result<bool, Corrupt> {
        let control = self.memory.control();
        let needed = record_len::<WORDS>(len);
        let mut room = Ok(0);
        self.sleeper.may_block(&control.producer_sleep, || {
            room = self.cursor.look(&control.head);
            !matches!(room, Ok(room) if room < needed)
        });
        Ok(room? < needed)
    }

    /// Says that this side is awake.
    #[inline]
    pub(crate) fn wake(&mut self) {
        self.sleeper.end(&self.memory.control().producer_sleep);
    }
}

/// A record that was found in a ring and checked, but is still there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    /// The index at which it begins: its name until it is released.
    pub(crate) at: u64,
    /// Its header.
    pub(crate) header: Header,
}

impl Found {
    /// The payload's length.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.header.length as usize
    }
}

/// The end that takes records out.
#[derive(Debug)]
pub(crate) struct RawConsumer<const WORDS: usize> {
    memory: RingMemory,
    cursor: ConsumerCursor,
    accept: Accept,
    sleeper: Sleeper,
    waker: Waker,
}

impl<const WORDS: usize> RawConsumer<WORDS> {
    /// Takes up the consuming end where a predecessor left it: at the first record that was not freed. In zeroed
    /// memory that is the beginning. Records that `accept` does not allow are corrupt.
    ///
    /// # Errors
    ///
    /// [`Corrupt`] if the indices cannot be.
    pub(crate) fn resume(memory: RingMemory, accept: Accept) -> Result<Self, Corrupt> {
        const { assert!(WORDS >= 1 && WORDS <= 3) };
        let control = memory.control();
        let (head, tail) = (control.head.load_acquire(), control.tail.load_acquire());
        Ok(Self {
            cursor: ConsumerCursor::resume(memory.capacity(), head, tail)?,
            sleeper: Sleeper::resume(&control.consumer_sleep),
            waker: Waker::default(),
            accept,
            memory,
        })
    }

    /// The memory, for other threads of this side.
    pub(crate) fn memory(&self) -> &RingMemory {
        &self.memory
    }

    /// The next record that was not read, checked; `None` if there is none. It is the same one until
    /// [`advance`](Self::advance).
    ///
    /// # Errors
    ///
    /// [`Corrupt`] of any sort but `State`.
    #[inline(always)]
    pub(crate) fn peek(&mut self) -> Result<Option<Found>, Corrupt> {
        let available = self.cursor.readable(&self.memory.control().tail)?;
        if available == 0 {
            return Ok(None);
        }
        let at = self.cursor.next();
        let records = self.memory.records();
        let first = records.word(at).load_relaxed();
        let generation = match WORDS {
            super::record::PLAIN => self.accept.generation,
            _ => records.word(at.wrapping_add(8)).load_relaxed(),
        };
        let header = Header::unpack([first, generation]);
        self.accept.check::<WORDS>(header, available)?;
        Ok(Some(Found { at, header }))
    }

    /// Copies the payload of a record out, as much of it as `into` has room for.
    #[inline]
    pub(crate) fn read(&self, found: &Found, into: &mut [u8]) {
        let len = found.len().min(into.len());
        self.memory.records().read(
            found.at.wrapping_add(header_len::<WORDS>()),
            &mut into[..len],
        );
    }

    /// Replaces what is in `into` by the payload of a record.
    #[inline]
    pub(crate) fn read_to_vec(&self, found: &Found, into: &mut Vec<u8>) {
        let len = found.len();
        // Without the zeros that would be overwritten at once, where it has been long enough before.
        if into.len() < len {
            into.resize(len, 0);
        } else {
            into.truncate(len);
        }
        self.read(found, into);
    }

    /// Goes past a record that [`peek`](Self::peek) gave last, and gives the index where it ends. It stays in
    /// memory until [`release`](Self::release).
    #[inline]
    pub(crate) fn advance(&mut self, found: &Found) -> u64 {
        debug_assert_eq!(found.at, self.cursor.next());
        self.cursor
            .advance(record_len::<WORDS>(found.header.length));
        self.cursor.next()
    }

    /// Lets the producer write over all records before the index `upto`, all of which were read.
    #[inline]
    pub(crate) fn release(&mut self, upto: u64) {
        self.cursor.release(upto, &self.memory.control().head);
    }

    /// Lets the producer write over all records that were read.
    #[inline]
    pub(crate) fn release_read(&mut self) {
        self.release(self.cursor.next());
    }

    /// The bytes of records that were read and not released.
    #[inline]
    pub(crate) fn unreleased(&self) -> u64 {
        self.cursor.unreleased()
    }

    /// The bytes of unread records that this side knows of without looking.
    #[inline]
    pub(crate) fn known(&self) -> u64 {
        self.cursor.known()
    }

    /// The index up to which records are known of.
    pub(crate) fn seen(&self) -> u64 {
        self.cursor.next().wrapping_add(self.cursor.known())
    }

    /// Looks at the producer's index: whether there are records that were not read.
    ///
    /// # Errors
    ///
    /// [`Corrupt::Tail`].
    #[inline]
    pub(crate) fn look(&mut self) -> Result<bool, Corrupt> {
        Ok(self.cursor.look(&self.memory.control().tail)? > 0)
    }

    /// Whether the producer must be rung for the room that was made. Between the release and this there must be a
    /// [`fence`]. `true` comes once for each of the producer's sleeps.
    #[inline]
    pub(crate) fn must_ring(&mut self) -> bool {
        self.waker
            .should_ring(&self.memory.control().producer_sleep)
    }

    /// Forgets that the producer was rung: after a bell that did not get through, or for a new producer.
    pub(crate) fn forget_bell(&mut self) {
        self.waker.forget();
    }

    /// Says that this side sleeps (or goes cold), and looks once more. `true`: it may block, and must call
    /// [`wake`](Self::wake) after, or this again; `false`: there are records, and it is awake.
    ///
    /// # Errors
    ///
    /// [`Corrupt::Tail`].
    pub(crate) fn sleep(&mut self) -> Result<bool, Corrupt> {
        let control = self.memory.control();
        let mut found = Ok(0);
        self.sleeper.may_block(&control.consumer_sleep, || {
            found = self.cursor.look(&control.tail);
            found != Ok(0)
        });
        Ok(found? == 0)
    }

    /// Says that this side is awake (or hot).
    #[inline]
    pub(crate) fn wake(&mut self) {
        self.sleeper.end(&self.memory.control().consumer_sleep);
    }
}
