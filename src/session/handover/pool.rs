//! This side's segments.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{CONTROL_LEN, FINGERPRINT, FREE, KEPT, Segment, Side, index, unusable};
use crate::directory::Directory;
use crate::error::{Error, Result};
use crate::segment::{SegmentOptions, SharedSegment};
use crate::session::lease::Lease;
use crate::sys::biased::{Biased, Guard};
use crate::sys::file;
use crate::sys::fork::{self, Stamp};

/// Capacities are multiples of this, so that payloads of about one size share a segment.
const GRAIN: u64 = 64 << 10;

/// The most segments that a pool has at a time: a peer that gives none back gets no more.
const MOST: usize = 1024;

/// Segments that this side of a session made.
///
/// Its lock is never held while pages are reserved or bytes copied, which for a large payload takes long.
#[derive(Debug)]
pub(crate) struct Pool {
    side: Side,
    /// Of the process whose session this is.
    stamp: Stamp,
    kept: Biased<Kept>,
    /// Whether there may be segments.
    used: AtomicBool,
}

#[derive(Debug)]
struct Kept {
    /// The one used last mostly stands last.
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
            stamp: fork::stamp(),
            kept: Biased::new(kept),
            used: AtomicBool::new(false),
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
            pool.keep(segment.map(Arc::new));
        }
        pool
    }

    /// No step leaves anything half done, should a thread panic.
    #[inline]
    fn kept(&self) -> Guard<'_, Kept> {
        self.kept.lock()
    }

    fn keep(&self, segment: Option<Arc<Segment>>) {
        self.kept().segments.extend(segment);
        self.used.store(true, Ordering::Relaxed);
    }

    /// A segment of at least `len` bytes that nobody else uses: one of the pool's, else a new one in `directory`.
    /// `owner` is the session's generation.
    pub(crate) fn lease(
        &self,
        directory: impl FnOnce() -> Result<Directory>,
        len: u64,
        owner: u64,
    ) -> Result<Lease> {
        let lease = |segment| Lease::of(segment, len, (owner, self.side), self.stamp);
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
        self.keep(Some(Arc::clone(&segment)));
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
            Some(segment) => Ok(Lease::of(segment, len, (owner, self.side), self.stamp)),
            None => self.lease(directory, len, owner),
        }
    }

    /// Has the processor fetch what the next [`lease`](Pool::lease) will look at, where that can be done without waiting.
    #[inline]
    pub(crate) fn prefetch(&self) {
        if self.used.load(Ordering::Relaxed)
            && self.kept.is_owned()
            && let Some(last) = self.kept().segments.last()
        {
            last.prefetch();
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
    #[inline]
    fn fitting(&mut self, len: u64) -> Option<Arc<Segment>> {
        // Mostly the one used last: none that holds so much is smaller.
        if let Some(last) = self.segments.last()
            && last.capacity() >= len
            && last.capacity() - len < GRAIN
            && is_free(last)
        {
            return Some(Arc::clone(last));
        }
        self.smallest_fitting(len)
    }

    fn smallest_fitting(&mut self, len: u64) -> Option<Arc<Segment>> {
        // Of equal ones the last, so that one is used again and again.
        let segments = self.segments.iter().enumerate().rev();
        let (index, _) = segments
            .filter(|(_, segment)| is_free(segment) && segment.capacity() >= len)
            .min_by_key(|(_, segment)| segment.capacity())?;
        let last = self.segments.len() - 1;
        self.segments.swap(index, last);
        self.segments.last().map(Arc::clone)
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
        // Of equal ones the one used last is kept.
        free.reverse();
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
