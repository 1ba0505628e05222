//! The end of a ring that takes records out.

mod last;
mod now;
mod run;

use self::last::Last;
pub(crate) use self::now::Whole;
use super::check_mark;
use crate::ring::corrupt::Corrupt;
use crate::ring::cursor::ConsumerCursor;
use crate::ring::memory::RingMemory;
use crate::ring::record::{Accept, Header, OF_SESSION, PLAIN, WITH_STATE, header_len, record_len};
use crate::ring::sleep::{Sleeper, Waker};
use crate::ring::word::Word;
use crate::sys::copy;

/// A record that was found in a ring and checked, but is still there. Two words, which stay in registers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    /// The index at which it begins: its name until it is released.
    pub(crate) at: u64,
    /// The first word of its header.
    first: u64,
}

impl Found {
    fn header(&self) -> Header {
        Header::unpack([self.first, 0])
    }

    /// The payload's length.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.header().length as usize
    }

    /// The type.
    #[inline]
    pub(crate) fn kind(&self) -> u16 {
        self.header().kind
    }
}

/// The end that takes records out.
#[derive(Debug)]
pub(crate) struct RawConsumer<const WORDS: usize> {
    memory: RingMemory,
    cursor: ConsumerCursor,
    accept: Accept,
    last: Last<WORDS>,
    sleeper: Sleeper,
    waker: Waker,
}

impl<const WORDS: usize> RawConsumer<WORDS> {
    /// Takes up the consuming end where a predecessor left it: at the first record that was neither freed nor passed. In zeroed
    /// memory that is the beginning. Records that `accept` does not allow are corrupt.
    ///
    /// # Errors
    ///
    /// [`Corrupt`] if the indices cannot be.
    pub(crate) fn resume(memory: RingMemory, accept: Accept) -> Result<Self, Corrupt> {
        let mut end = Self::looking(memory, accept)?;
        let control = end.memory.control();
        if WORDS == WITH_STATE {
            end.cursor.go_on(&control.done, &control.head)?;
        }
        end.sleeper = Sleeper::resume(&control.consumer_sleep);
        Ok(end)
    }

    /// One that only looks at what the consuming end, which somebody else has, will find from its head on: it must neither free
    /// anything nor sleep.
    ///
    /// # Errors
    ///
    /// As for [`resume`](Self::resume).
    pub(crate) fn looking(memory: RingMemory, accept: Accept) -> Result<Self, Corrupt> {
        const { assert!(WORDS >= 1 && WORDS <= 3) };
        let control = memory.control();
        let (head, tail) = (control.head.load_acquire(), control.tail.load_acquire());
        check_mark::<WORDS>(tail, head, &memory)?;
        Ok(Self {
            cursor: ConsumerCursor::resume(memory.capacity() as u64, head, tail)?,
            sleeper: Sleeper::default(),
            waker: Waker::default(),
            last: Last::NONE,
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
        let available = match self.cursor.known() {
            0 => self.see()?,
            known => known,
        };
        if available == 0 {
            self.expect();
            return Ok(None);
        }
        let (at, words) = self.header();
        self.accept
            .check::<WORDS>(Header::unpack(words), available)?;
        self.last = Last::of(words[0]);
        let first = words[0];
        Ok(Some(Found { at, first }))
    }

    /// As [`peek`](Self::peek), but `None` as well where that would say that something is corrupt: what is given stays
    /// in registers.
    #[inline(always)]
    pub(crate) fn ready(&mut self) -> Option<Found> {
        let available = self.available()?;
        let (at, words) = self.header();
        let is_good = self.last.accepts(&self.accept, words, available);
        let first = words[0];
        is_good.then_some(Found { at, first })
    }

    /// Looks at the producer's index: the bytes that were not read.
    #[inline(always)]
    fn see(&mut self) -> Result<u64, Corrupt> {
        let control = self.memory.control();
        match WORDS {
            PLAIN => self.cursor.look(&control.tail),
            _ => self.cursor.look_on(&control.tail),
        }
    }

    /// Has the next record fetched together with the tail that tells of it, and not after it.
    #[inline(always)]
    fn expect(&self) {
        if WORDS >= OF_SESSION {
            self.memory.records().prefetch(self.expected());
        }
    }

    /// Where the next record will probably stand.
    #[inline]
    pub(crate) fn expected(&self) -> u64 {
        self.cursor.expected()
    }

    /// The next record's index, and the first words of its header.
    #[inline(always)]
    fn header(&self) -> (u64, [u64; 2]) {
        let at = self.cursor.next();
        let records = self.memory.records();
        let words = match WORDS {
            PLAIN => [records.word(at).load_relaxed(), self.accept.generation],
            _ => records.load(at),
        };
        (at, words)
    }

    /// Copies the payload of a record out, as much of it as `into` has room for.
    #[inline]
    pub(crate) fn read(&self, found: &Found, into: &mut [u8]) {
        self.read_behind::<0>(found, into);
    }

    /// The first words of a record's payload; `None` if it is shorter.
    #[inline(always)]
    pub(crate) fn lead<const LEAD: usize>(&self, found: &Found) -> Option<[u64; LEAD]> {
        let at = found.at.wrapping_add(header_len::<WORDS>());
        let lead = || self.memory.records().load(at).map(u64::from_le);
        (found.len() >= LEAD * 8).then(lead)
    }

    /// Copies what follows the first words of a record's payload out, as much of it as `into` has room for.
    #[inline]
    pub(crate) fn read_behind<const LEAD: usize>(&self, found: &Found, into: &mut [u8]) {
        let len = found.len().saturating_sub(LEAD * 8).min(into.len());
        let skipped = header_len::<WORDS>() + LEAD as u64 * 8;
        self.memory
            .records()
            .read(found.at.wrapping_add(skipped), &mut into[..len]);
    }

    /// Replaces what is in `into` by the payload of a record.
    #[cfg(test)]
    pub(crate) fn read_to_vec(&self, found: &Found, into: &mut Vec<u8>) {
        into.resize(found.len(), 0);
        self.read(found, into);
    }

    /// Copies the payload of a record of at least [`copy::LONG`] bytes out, all of which `into` has room for.
    pub(crate) fn read_long(&self, found: &Found, into: &mut [u8], way: copy::Way) {
        let at = found.at.wrapping_add(header_len::<WORDS>());
        let into = into.get_mut(..found.len()).unwrap_or_default();
        self.memory.records().read_long(at, into, way);
    }

    /// Goes past a record that [`peek`](Self::peek) gave last, and gives the index where it ends. It stays in
    /// memory until [`release`](Self::release).
    #[inline]
    pub(crate) fn advance(&mut self, found: &Found) -> u64 {
        debug_assert_eq!(found.at, self.cursor.next());
        // The processor guesses this branch, and so looks at a queue's next record before it has the length of this one.
        let whole = match found.first == self.last.first {
            true => self.last.whole,
            false => record_len::<WORDS>(found.header().length),
        };
        self.cursor.advance(whole);
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

    /// Has no successor find what is before the index `upto`, where the record that was read last ends. It is still to be
    /// [released](Self::release).
    #[inline]
    pub(crate) fn pass(&self, upto: u64) {
        const { assert!(WORDS == WITH_STATE) };
        self.cursor.pass(upto, &self.memory.control().done);
    }

    /// Up to where the producer has freed the ring that leads back to it, as it [said](super::RawProducer::acknowledge) last. Whatever
    /// it was, it may be wrong.
    #[inline]
    pub(crate) fn acknowledged(&self) -> u64 {
        const { assert!(WORDS >= OF_SESSION) };
        // SYNC(ack): pairs with RawProducer::acknowledge. What was read before it was freed is not read after this.
        self.memory.control().ack.load_acquire()
    }

    /// The index at which the next record begins that was not read.
    #[inline]
    pub(crate) fn next(&self) -> u64 {
        self.cursor.next()
    }

    /// The index up to which all is released.
    #[inline]
    pub(crate) fn head(&self) -> u64 {
        self.cursor.head()
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

    /// What stood in the tail's word when it was last looked at.
    #[inline]
    pub(crate) fn tail_word(&self) -> u64 {
        const { assert!(WORDS >= OF_SESSION) };
        self.cursor.word()
    }

    /// Looks at the producer's index: whether there are records that were not read.
    ///
    /// # Errors
    ///
    /// [`Corrupt::Tail`].
    #[inline]
    pub(crate) fn look(&mut self) -> Result<bool, Corrupt> {
        Ok(self.see()? > 0)
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
        self.sleeper.begin(&self.memory.control().consumer_sleep);
        let found = self.see();
        if found != Ok(0) {
            self.wake();
        }
        Ok(found? == 0)
    }

    /// Says that this side is awake (or hot).
    #[inline]
    pub(crate) fn wake(&mut self) {
        self.sleeper.end(&self.memory.control().consumer_sleep);
    }
}
