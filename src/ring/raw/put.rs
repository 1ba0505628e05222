//! The end of a ring that puts records in.

use crate::ring::corrupt::Corrupt;
use crate::ring::cursor::{ProducerCursor, Refused, Word};
use crate::ring::memory::RingMemory;
use crate::ring::record::{Cancel, Header, OF_SESSION, WITH_STATE, cancel, header_len, record_len};
use crate::ring::sleep::{Sleeper, Waker};

/// Bytes of the longest record that is written in one go.
const SHORT: usize = 128;

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
        if WORDS >= OF_SESSION && record_len::<WORDS>(length) <= SHORT as u64 {
            self.write_short(at, &words[..WORDS], first, second);
            return Ok(at);
        }
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

    /// Writes a short record in one go, so that its cache lines are taken from the other side once.
    #[inline(always)]
    fn write_short(&self, at: u64, words: &[u64], first: &[u8], second: &[u8]) {
        let mut record = [0; SHORT];
        let (header, rest) = record.split_at_mut(words.len() * 8);
        for (bytes, word) in header.as_chunks_mut().0.iter_mut().zip(words) {
            *bytes = word.to_ne_bytes();
        }
        let (to_first, rest) = rest.split_at_mut(first.len());
        to_first.copy_from_slice(first);
        rest[..second.len()].copy_from_slice(second);
        let len = words.len() * 8 + first.len() + second.len();
        self.memory.records().write(at, &record[..len]);
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
        const { assert!(WORDS == WITH_STATE) };
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
