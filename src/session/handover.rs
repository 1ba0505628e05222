//! Large payloads: one segment each, in the session's directory, named by number in the message.
//!
//! A message that does not fit into a quarter of its ring travels as a [`Lease`]: its sender takes a segment from
//! its [`Pool`], writes the bytes there and sends the number. The segment stays the sender's; a pool takes it back
//! when nobody uses it any more, so that its pages are faulted in once.
//!
//! * A *request's* segment is in use until the final answer has come and its record says so too: the client holds it. Of a
//!   server that dies between the two, the next one reads the payload again.
//! * A *reply's* segment is in use until the client has dropped the payload, which it says in the segment's
//!   own control line. The file is in the client's session directory, so that an answer outlives its server.

mod mapped;

use std::ffi::CStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) use self::mapped::Mapped;
use super::lease::Lease;
use crate::directory::Directory;
use crate::error::{Error, Result};
use crate::segment::{SegmentOptions, SharedSegment};
use crate::sys::biased::{Biased, Guard};
use crate::sys::file;
use crate::sys::map::{Region, View, shared_words};

const FINGERPRINT: u64 = u64::from_le_bytes(*b"handover");

/// Bytes of a hand-over segment before its data.
const CONTROL_LEN: usize = 128;

/// Capacities are multiples of this, so that payloads of about one size share a segment.
const GRAIN: u64 = 64 << 10;

/// The most segments that a pool has at a time: a peer that gives none back gets no more.
const MOST: usize = 1024;

/// How many segments that nobody uses a pool keeps, and how many of its peer's a side keeps mapped.
const KEPT: usize = 4;

shared_words! {
    /// The first line of a hand-over segment.
    #[derive(Debug)]
    struct Control {
        /// What has become of a reply: [`FREE`], [`SENT`] or [`RECEIVED`].
        in_use: AtomicU64,
    }
}

/// The sender may use it again.
const FREE: u64 = 0;
/// Its number is in the ring, or about to be.
const SENT: u64 = 1;
/// Its receiver reads it.
const RECEIVED: u64 = 2;

/// A mapped hand-over segment.
#[derive(Debug)]
pub(crate) struct Segment {
    number: u64,
    control: View<Control>,
    data: Region,
}

impl Segment {
    fn new(number: u64, payload: &Region) -> Option<Segment> {
        Some(Segment {
            number,
            control: payload.words(0)?,
            data: payload.region(CONTROL_LEN, payload.len().checked_sub(CONTROL_LEN)?)?,
        })
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    fn capacity(&self) -> u64 {
        self.data.len() as u64
    }

    fn holds(&self, len: u64) -> Result<()> {
        if len <= self.capacity() {
            return Ok(());
        }
        Err(Error::OutOfBounds {
            offset: 0,
            len,
            limit: self.capacity(),
        })
    }

    /// Says that the segment is on its way to a receiver, who frees it.
    pub(crate) fn mark_in_use(&self) {
        self.control.in_use.store(SENT, Ordering::Relaxed);
    }

    /// Says that the receiver has it: before it lets go of the record that names it.
    // SYNC(hand-over-received): the release of the record comes after. A successor looks at the ring, and then here.
    pub(crate) fn mark_received(&self) {
        self.control.in_use.store(RECEIVED, Ordering::Release);
    }

    /// Frees what nobody will receive: it was made ready, and never sent.
    fn reclaim(&self) {
        let in_use = &self.control.in_use;
        // A receiver that comes after all keeps it.
        let _ = in_use.compare_exchange(SENT, FREE, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Gives the segment back to its sender.
    // SYNC(hand-over-free): pairs with `Pool::lease`: what the receiver read was read before.
    pub(crate) fn mark_free(&self) {
        self.control.in_use.store(FREE, Ordering::Release);
    }

    pub(crate) fn read(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        Ok(self.data.read(index(offset), into)?)
    }

    pub(super) fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        Ok(self.data.write(index(offset), bytes)?)
    }
}

/// 64-bit targets only, so that nothing is lost; what is out of bounds stays so.
fn index(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

/// Which side's segments: the first letter of their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Request,
    Reply,
}

impl Side {
    fn name(self, number: u64) -> String {
        match self {
            Side::Request => format!("q{number:x}"),
            Side::Reply => format!("r{number:x}"),
        }
    }

    /// The number of the segment of this side with this name.
    fn number(self, name: &CStr) -> Option<u64> {
        let text = name.to_str().ok()?;
        let number = u64::from_str_radix(text.get(1..)?, 16).ok()?;
        (self.name(number) == text).then_some(number)
    }
}

/// Segments that this side of a session made.
///
/// Its lock is never held while pages are reserved or bytes copied, which for a large payload takes long.
#[derive(Debug)]
pub(crate) struct Pool {
    side: Side,
    kept: Biased<Kept>,
}

#[derive(Debug)]
struct Kept {
    segments: Vec<Arc<Segment>>,
    next: u64,
}

impl Pool {
    /// Numbers are given out from `first` on and never again in the session.
    pub(crate) fn new(side: Side, first: u64) -> Pool {
        let kept = Kept {
            segments: Vec::new(),
            next: first,
        };
        Pool {
            side,
            kept: Biased::new(kept),
        }
    }

    /// A [`new`](Pool::new) pool with what a predecessor has left in `directory`, which its peer may still read. What was
    /// made ready for an answer and is not among those that are `named` in the ring was never sent, and is free.
    pub(crate) fn resume(side: Side, first: u64, directory: &Directory, named: &[u64]) -> Pool {
        let pool = Pool::new(side, first);
        let names = file::names_in(directory).unwrap_or_default();
        for number in names.iter().filter_map(|name| side.number(name)).take(MOST) {
            let opened = SegmentOptions::raw(FINGERPRINT, CONTROL_LEN)
                .open_at(directory, &side.name(number));
            // What cannot be used is removed with the session.
            let segment = opened.ok().and_then(|it| Segment::new(number, it.region()));
            if let Some(unsent) = segment.as_ref().filter(|_| !named.contains(&number)) {
                unsent.reclaim();
            }
            pool.kept().segments.extend(segment.map(Arc::new));
        }
        pool
    }

    /// No step leaves anything half done, should a thread panic.
    #[inline]
    fn kept(&self) -> Guard<'_, Kept> {
        self.kept.lock()
    }

    /// A segment of at least `len` bytes that nobody else uses: one of the pool's, else a new one in `directory`.
    /// `owner` is the session's generation.
    pub(crate) fn lease(
        &self,
        directory: impl FnOnce() -> Result<Directory>,
        len: u64,
        owner: u64,
    ) -> Result<Lease> {
        let lease = |segment| Lease::of(segment, len, (owner, self.side));
        let mut kept = self.kept();
        if let Some(segment) = kept.fitting(len) {
            return Ok(lease(segment));
        }
        kept.check_number()?;
        let number = kept.next;
        kept.next = number.wrapping_add(1);
        let surplus = kept.take_surplus(KEPT - 1);
        drop(kept);
        let directory = directory()?;
        for segment in surplus {
            SharedSegment::<[u8]>::unlink_at(&directory, &self.side.name(segment.number))?;
        }
        let segment = Arc::new(self.make(&directory, number, len)?);
        self.kept().segments.push(Arc::clone(&segment));
        Ok(lease(segment))
    }

    /// As [`lease`](Pool::lease), for who has the pool alone: what is at hand costs no lock.
    pub(crate) fn lease_alone(
        &mut self,
        directory: impl FnOnce() -> Result<Directory>,
        len: u64,
        owner: u64,
    ) -> Result<Lease> {
        let kept = self.kept.get_mut();
        match kept.fitting(len) {
            Some(segment) => Ok(Lease::of(segment, len, (owner, self.side))),
            None => self.lease(directory, len, owner),
        }
    }

    /// Lets go of all that is not in somebody's hands.
    pub(crate) fn clear(&self) {
        let segments = std::mem::take(&mut self.kept().segments);
        drop(segments);
    }

    fn make(&self, directory: &Directory, number: u64, len: u64) -> Result<Segment> {
        let capacity = len
            .max(1)
            .checked_next_multiple_of(GRAIN)
            .and_then(|capacity| capacity.checked_add(CONTROL_LEN as u64))
            .ok_or(Error::TooLong {
                what: "payload",
                len,
                max: u64::MAX - GRAIN,
            })?;
        let made = SegmentOptions::raw(FINGERPRINT, index(capacity))
            .create_at(directory, &self.side.name(number))?;
        Segment::new(number, made.region()).ok_or_else(|| unusable(directory, number))
    }
}

impl Kept {
    /// The smallest free segment that holds `len` bytes.
    fn fitting(&self, len: u64) -> Option<Arc<Segment>> {
        self.segments
            .iter()
            .filter(|segment| is_free(segment) && segment.capacity() >= len)
            .min_by_key(|segment| segment.capacity())
            .map(Arc::clone)
    }

    fn check_number(&self) -> Result<()> {
        if self.segments.len() < MOST {
            return Ok(());
        }
        Err(Error::TooLong {
            what: "list of large payloads that were not given back",
            len: self.segments.len() as u64,
            max: MOST as u64,
        })
    }

    /// Takes out segments that nobody uses, the smallest first, until at most `left` of those are left.
    fn take_surplus(&mut self, left: usize) -> Vec<Arc<Segment>> {
        let (mut free, used): (Vec<_>, Vec<_>) = std::mem::take(&mut self.segments)
            .into_iter()
            .partition(is_free);
        free.sort_by_key(|segment| std::cmp::Reverse(segment.capacity()));
        let surplus = free.split_off(left.min(free.len()));
        self.segments = used;
        self.segments.append(&mut free);
        surplus
    }
}

/// Only the pool holds it, and no receiver reads it.
// SYNC(hand-over-free): pairs with `Segment::mark_free`.
fn is_free(segment: &Arc<Segment>) -> bool {
    Arc::strong_count(segment) == 1 && segment.control.in_use.load(Ordering::Acquire) == FREE
}

fn unusable(directory: &Directory, number: u64) -> Error {
    Error::Corrupt {
        at: directory.path().display().to_string(),
        what: format!("hand-over segment {number:x} is too small for its control line"),
    }
}
