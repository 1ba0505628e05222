//! Which of a pool's segments the next payload gets, and where in it.

use std::cmp::Reverse;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use super::{FREE, Segment};
use crate::error::{Error, Result};

/// Capacities are multiples of this, so that payloads of about one size share a segment.
pub(super) const GRAIN: u64 = 64 << 10;

/// The memory in which shorter payloads move around, once they come often. A line that both cores had just now takes longer to
/// write and to read than one that has left their first caches, or on some processors their second ones: 64 KiB there and back
/// take 21.5 µs in the same memory each time and 15.8 in 128 KiB or more (Xeon, 2026); 19.4 and, in a mebibyte each way,
/// 10.2 (AMD Zen 4, 2026).
pub(super) const ROOM: u64 = 1 << 20;

/// So many payloads that found the smaller segment used last free again are often.
const OFTEN: u32 = 64;

/// Payloads begin at multiples of this.
const STEP: u64 = 4096;

/// How many segments that nobody uses a pool keeps when it makes another one, that one included.
const KEPT: usize = 4;

/// The most segments that a pool has at a time: a peer that gives none back gets no more.
pub(super) const MOST: usize = 1024;

/// The segments of a pool.
#[derive(Debug)]
pub(super) struct Kept {
    /// The one used last mostly stands last.
    segments: Vec<Own>,
    next: u64,
    /// How many payloads found a smaller segment that was used last free again, since the last look for a larger one.
    again: u32,
}

/// Room for one payload.
#[derive(Debug)]
pub(in crate::session) struct Room {
    pub(in crate::session) segment: Arc<Segment>,
    pub(in crate::session) offset: u64,
}

impl Kept {
    /// None yet; numbers begin with `first`.
    pub(super) const fn new(first: u64) -> Kept {
        Kept {
            segments: Vec::new(),
            next: first,
            again: 0,
        }
    }

    /// Adds a segment, and gives room for `len` bytes in it.
    pub(super) fn add(&mut self, segment: Segment, len: u64) -> Room {
        let segment = Arc::new(segment);
        let mut own = Own { segment, next: 0 };
        let room = own.take(len);
        self.segments.push(own);
        room
    }

    /// The one that will probably be used next.
    #[inline]
    pub(super) fn last(&self) -> Option<&Segment> {
        self.segments.last().map(|own| &*own.segment)
    }

    /// Room for `len` bytes in a segment that is free. `None` if there is none, or [a larger one is due](Kept::is_due).
    #[inline]
    pub(super) fn find(&mut self, len: u64) -> Option<Room> {
        // Mostly the one used last: none fits better.
        if let Some(last) = self.segments.last_mut()
            && last.suits(len)
            && last.is_free()
        {
            self.again += u32::from(last.capacity() < ROOM);
            if self.again < OFTEN {
                return Some(last.take(len));
            }
            if !self.segments.iter().any(|own| own.capacity() == ROOM) {
                return None;
            }
            self.again = 0;
        }
        self.find_best(len)
    }

    fn find_best(&mut self, len: u64) -> Option<Room> {
        // Of equal ones the last, so that one is used again and again.
        let segments = self.segments.iter().enumerate().rev();
        let (index, _) = segments
            .filter(|(_, own)| own.capacity() >= len && own.is_free())
            .min_by_key(|(_, own)| own.rank())?;
        let last = self.segments.len() - 1;
        self.segments.swap(index, last);
        self.segments.last_mut().map(|own| own.take(len))
    }

    /// Whether payloads come so often that they are to have [`ROOM`]: said once.
    pub(super) fn is_due(&mut self) -> bool {
        std::mem::take(&mut self.again) >= OFTEN
    }

    /// Makes way for a new segment: gives its number, and those of which there are enough, to be removed.
    pub(super) fn replace(&mut self) -> Result<(u64, Vec<Arc<Segment>>)> {
        if self.segments.len() >= MOST {
            return Err(Error::TooMany {
                what: "large payloads of one session that were not given back",
                max: MOST as u64,
            });
        }
        let number = self.next;
        self.next = number.wrapping_add(1);
        Ok((number, self.take_surplus(KEPT - 1)))
    }

    /// Takes out all, those in somebody's hands too.
    pub(super) fn take_all(&mut self) -> Vec<Arc<Segment>> {
        let all = std::mem::take(&mut self.segments);
        all.into_iter().map(|own| own.segment).collect()
    }

    /// Takes out segments that nobody uses, the smallest first, until at most `left` of those are left.
    fn take_surplus(&mut self, left: usize) -> Vec<Arc<Segment>> {
        let (mut free, used): (Vec<_>, Vec<_>) = std::mem::take(&mut self.segments)
            .into_iter()
            .partition(Own::is_free);
        // Of equal ones the one used last is kept.
        free.reverse();
        free.sort_by_key(|own| Reverse(own.capacity()));
        let surplus = free.split_off(left.min(free.len()));
        self.segments = used;
        self.segments.append(&mut free);
        surplus.into_iter().map(|own| own.segment).collect()
    }
}

/// A segment, and where in it the next payload begins.
#[derive(Debug)]
struct Own {
    segment: Arc<Segment>,
    next: u64,
}

impl Own {
    #[inline]
    fn capacity(&self) -> u64 {
        self.segment.capacity()
    }

    /// Only the pool holds it, and no receiver reads it.
    // SYNC(hand-over-free): pairs with `Segment::mark_free`.
    #[inline]
    fn is_free(&self) -> bool {
        if Arc::strong_count(&self.segment) != 1 {
            return false;
        }
        // What who held it wrote there last is seen, as its hold was let go of before it was counted.
        fence(Ordering::Acquire);
        self.segment.control.in_use.load(Ordering::Acquire) == FREE
    }

    /// Whether it holds `len` bytes, and is not much larger than those that would be made for them.
    #[inline]
    fn suits(&self, len: u64) -> bool {
        let capacity = self.capacity();
        capacity >= len && (capacity <= ROOM || capacity - len < GRAIN)
    }

    /// The less, the better: as large as possible up to [`ROOM`], and as small as possible beyond.
    fn rank(&self) -> (u64, Reverse<u64>) {
        (self.capacity().max(ROOM), Reverse(self.capacity()))
    }

    /// Room for `len` bytes, which it holds: behind the last payload, or where it begins.
    #[inline]
    fn take(&mut self, len: u64) -> Room {
        let fits = |end| end <= self.capacity();
        let offset = match self.next.checked_add(len).is_some_and(fits) {
            true => self.next,
            false => 0,
        };
        self.next = (offset + len).next_multiple_of(STEP);
        Room {
            segment: Arc::clone(&self.segment),
            offset,
        }
    }
}

#[cfg(test)]
mod tests;
