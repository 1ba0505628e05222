//! The end of a ring that puts records in.

use super::check_mark;
use crate::ring::corrupt::Corrupt;
use crate::ring::cursor::{ProducerCursor, Refused};
use crate::ring::memory::RingMemory;
use crate::ring::record::{
    Cancel, Header, OF_SESSION, State, WITH_STATE, cancel, header_len, record_len,
};
use crate::ring::sleep::{Sleeper, Waker};
use crate::ring::word::Word;

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
        check_mark::<WORDS>(tail, head, &memory)?;
        Ok(Self {
            cursor: ProducerCursor::resume(memory.capacity() as u64, tail, head)?,
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
        u32::try_from(self.memory.capacity() as u64 - header_len::<WORDS>()).unwrap_or(u32::MAX - 7)
    }

    /// Writes a record behind those that are there, whose payload is some words, little endian, and then
    /// `bytes`; gives its index. The consumer sees it after the next [`publish`](Self::publish). The length is taken
    /// from the payload.
    ///
    /// # Errors
    ///
    /// [`Refused::Full`] if there is no room, which is for ever if the payload is longer than
    /// [`longest`](Self::longest).
    #[inline(always)]
    pub(crate) fn push<const LEAD: usize>(
        &mut self,
        header: Header,
        lead: [u64; LEAD],
        bytes: &[u8],
    ) -> Result<u64, Refused> {
        let (at, head) = self.begin(header, LEAD * 8 + bytes.len())?;
        let lead = lead.map(u64::to_le);
        self.memory.records().put(at, head, lead, bytes);
        Ok(at)
    }

    /// As [`push`](Self::push), with a payload of two parts.
    ///
    /// # Errors
    ///
    /// As [`push`](Self::push).
    #[inline]
    pub(crate) fn push_parts(
        &mut self,
        header: Header,
        first: &[u8],
        second: &[u8],
    ) -> Result<u64, Refused> {
        let (at, head) = self.begin(header, first.len() + second.len())?;
        self.memory.records().put(at, head, [], &[]);
        self.write_parts(at.wrapping_add(header_len::<WORDS>()), first, second);
        Ok(at)
    }

    /// Takes room for a record: gives its index, and the words of its header.
    #[inline(always)]
    fn begin(&mut self, header: Header, len: usize) -> Result<(u64, [u64; WORDS]), Refused> {
        let Ok(length) = u32::try_from(len) else {
            return Err(Refused::Full);
        };
        let at = self
            .cursor
            .reserve(record_len::<WORDS>(length), &self.memory.control().head)?;
        let words = Header { length, ..header }.pack();
        Ok((at, std::array::from_fn(|n| words[n])))
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

    /// Goes on where the memory begins, if the consumer has freed everything, as far as it has [acknowledged] that with this index:
    /// for who expects that. The same cache lines are used again and again then, which takes up to a third less time between two
    /// cores. Does nothing where something is pushed and not published.
    ///
    /// [acknowledged]: super::RawConsumer::acknowledged
    #[inline]
    pub(crate) fn rewind(&mut self, acknowledged: u64) {
        const { assert!(WORDS >= OF_SESSION) };
        if !self.has_unpublished() {
            self.cursor.hear(acknowledged);
            self.cursor.rewind();
        }
    }

    /// Says up to where this side has freed the ring that leads back: it has stored that index, or gone there as the ring was rewound.
    /// It stands beside the tail, in a line that the other side looks at anyway. Just before that is stored, or just after: what
    /// is stored there at other times is one more way of the line back and forth.
    #[inline]
    pub(crate) fn acknowledge(&self, upto: u64) {
        const { assert!(WORDS >= OF_SESSION) };
        // SYNC(ack): pairs with RawConsumer::acknowledged.
        self.memory.control().ack.store_release(upto);
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
        if self.cursor.has_freed(at) {
            return Ok(Cancel::Answered);
        }
        cancel(self.memory.state(at))
    }

    /// Whether no server will look again at the record at index `at` of a ring with states, which one has begun; it has
    /// [acknowledged](super::RawConsumer::acknowledged) this index.
    #[inline]
    pub(crate) fn is_over(&mut self, at: u64, acknowledged: u64) -> bool {
        const { assert!(WORDS == WITH_STATE) };
        // Mostly that says so, or the index; the record's line would be fetched just for this. An index that cannot be is told by who
        // sends.
        self.cursor.hear(acknowledged);
        if !self.cursor.has_freed(at) {
            let _ = self.cursor.look(&self.memory.control().head);
        }
        let is_started = || {
            let state = State::unpack(self.memory.state(at).load_acquire());
            matches!(state, Ok(State::Started { .. }))
        };
        self.cursor.has_freed(at) || !is_started()
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
