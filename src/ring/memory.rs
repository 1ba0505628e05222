//! Where a ring lies in shared memory: the table is in the documentation of [`ring`](super).

use std::sync::atomic::{AtomicU64, Ordering};

use crate::sys::copy;
use crate::sys::map::{Region, View, shared_words};
use crate::sys::ring_bytes::RingBytes;

shared_words! {
    /// The words that both sides share.
    #[derive(Debug)]
    #[repr(align(128))]
    pub(crate) struct Control {
        pub(crate) tail: AtomicU64,
        pub(crate) producer_end: AtomicU64,
        pub(crate) limit: AtomicU64,
        pub(crate) ack: AtomicU64,
        _reserved_0: [AtomicU64; 12],
        pub(crate) head: AtomicU64,
        pub(crate) consumer_end: AtomicU64,
        _reserved_1: [AtomicU64; 6],
        pub(crate) done: AtomicU64,
        _reserved_2: [AtomicU64; 7],
        pub(crate) producer_sleep: AtomicU64,
        _reserved_3: [AtomicU64; 15],
        pub(crate) consumer_sleep: AtomicU64,
        _reserved_4: [AtomicU64; 15],
    }
}

/// The bytes before the records.
pub(crate) const CONTROL_LEN: usize = 512;
static_assertions::const_assert_eq!(size_of::<Control>(), CONTROL_LEN);
static_assertions::const_assert_eq!(std::mem::offset_of!(Control, head), 128);
static_assertions::const_assert_eq!(std::mem::offset_of!(Control, done), 192);
static_assertions::const_assert_eq!(std::mem::offset_of!(Control, producer_sleep), 256);
static_assertions::const_assert_eq!(std::mem::offset_of!(Control, consumer_sleep), 384);

/// In an end's word: nobody has taken this end yet.
pub(crate) const VACANT: u64 = 0;
/// In an end's word: this end is in use.
pub(crate) const TAKEN: u64 = 1;
/// In an end's word: this end was dropped.
pub(crate) const CLOSED: u64 = 2;

/// The least capacity.
pub(crate) const CAPACITY_MIN: usize = 64;

/// Queues of at least this capacity get more memory than that, up to [`spread_to`], so that a line is not written again while it
/// is in the nearest cache of the core that has read it. On a Xeon 1 KiB at a time takes 60 ns instead of 195 through 64 or 128 KiB of
/// capacity; from 256 KiB of memory on more is no faster, and 128 KiB are not enough.
const SPREAD_FROM: usize = 64 << 10;
/// How much more.
const SPREAD: usize = 4;

/// AMD's cores take lines from one another's second caches slowly too: on a Zen 4, which has 1 MiB of these a core, 64 KiB at a time
/// move at 35 to 40 GB/s through 1 MiB of capacity in 4 MiB of memory, and at 11 to 14 in 1 MiB. On a Xeon with 2 MiB a core it is
/// the other way round: 19 GB/s in 1 MiB, 16 in 4 MiB, and records of 64 bytes in 6.1 ns instead of 6.5 to 11.
fn spread_to() -> usize {
    match copy::is_amd() {
        true => 4 << 20,
        false => 1 << 20,
    }
}

/// A ring's place in shared memory. A clone shows the same place, for other threads of the same side.
#[derive(Clone, Debug)]
pub(crate) struct RingMemory {
    control: View<Control>,
    records: RingBytes,
    /// How much of `records` may be in use at a time: a power of two.
    capacity: usize,
}

impl RingMemory {
    /// The bytes that a queue of this capacity, a power of two, takes.
    pub(crate) fn len_for(capacity: usize) -> usize {
        let spread = match capacity < SPREAD_FROM {
            true => capacity,
            false => capacity.max(spread_to().min(capacity.saturating_mul(SPREAD))),
        };
        CONTROL_LEN + spread
    }

    /// A new queue of this capacity that fills the region, as [`new`](Self::new), which nobody else has seen yet: the capacity is
    /// noted there. `None` too where that is no power of two of at least 64 bytes that fits.
    pub(crate) fn new_queue(region: &Region, capacity: usize) -> Option<Self> {
        let ring = Self::new(region)?.limited_to(capacity)?;
        ring.control.limit.store(capacity as u64, Ordering::Relaxed);
        Some(ring)
    }

    /// A queue that another process has made: its capacity is read once, and what stands there later is nothing to us.
    /// `None` as for [`new_queue`](Self::new_queue).
    pub(crate) fn of_queue(region: &Region) -> Option<Self> {
        let ring = Self::new(region)?;
        let noted = ring.control.limit.load(Ordering::Relaxed);
        ring.limited_to(usize::try_from(noted).ok()?)
    }

    fn limited_to(self, capacity: usize) -> Option<Self> {
        let fits = capacity.is_power_of_two() && (CAPACITY_MIN..=self.capacity).contains(&capacity);
        fits.then_some(Self { capacity, ..self })
    }

    /// A ring that fills the region, all of which may be in use. `None` unless the region is aligned to 128 bytes and what follows the control
    /// block is a power of two of at least 64 bytes.
    pub(crate) fn new(region: &Region) -> Option<Self> {
        let capacity = region.len().checked_sub(CONTROL_LEN)?;
        if capacity < CAPACITY_MIN {
            return None;
        }
        Some(Self {
            control: region.words::<Control>(0)?,
            records: RingBytes::new(region.region(CONTROL_LEN, capacity)?)?,
            capacity,
        })
    }

    /// The bytes for records that may be in use at a time.
    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// The shared words.
    #[inline]
    pub(crate) fn control(&self) -> &Control {
        &self.control
    }

    /// The records.
    #[inline]
    pub(crate) fn records(&self) -> &RingBytes {
        &self.records
    }

    /// The words of the record that begins at index `at` in front of the others: those of its header, and the first of its
    /// payload; and what follows them. `None` where they go around the end of the memory.
    #[inline(always)]
    #[allow(clippy::type_complexity, reason = "it is one row in three parts")]
    pub(crate) fn split<const WORDS: usize, const LEAD: usize>(
        &self,
        at: u64,
    ) -> Option<(&[AtomicU64; WORDS], &[AtomicU64; LEAD], &[AtomicU64])> {
        let (header, row) = self.records.row_from(at).split_first_chunk()?;
        let (lead, row) = row.split_first_chunk()?;
        Some((header, lead, row))
    }

    /// The state word of the record that begins at index `at`, in a ring whose records have one.
    #[inline]
    pub(crate) fn state(&self, at: u64) -> &AtomicU64 {
        self.records
            .word(at.wrapping_add(super::record::STATE_OFFSET))
    }
}
