//! This side's segments.

use std::sync::atomic::{AtomicBool, Ordering};

use super::kept::{GRAIN, Kept, MOST, ROOM, Room};
use super::{CONTROL_LEN, FINGERPRINT, Segment, Side, index, unusable};
use crate::directory::Directory;
use crate::error::{Error, Result};
use crate::segment::{SegmentOptions, SharedSegment};
use crate::session::lease::Lease;
use crate::sys::biased::{Biased, Guard};
use crate::sys::file;
use crate::sys::fork::{self, Stamp};

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

impl Pool {
    /// Numbers are given out from `first` on and never again in the session.
    pub(crate) fn new(side: Side, first: u64) -> Pool {
        Pool {
            side,
            stamp: fork::stamp(),
            kept: Biased::new(Kept::new(first)),
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
            if let Some(segment) = segment {
                pool.add(segment, 0);
            }
        }
        pool
    }

    /// No step leaves anything half done, should a thread panic.
    #[inline]
    fn kept(&self) -> Guard<'_, Kept> {
        self.kept.lock()
    }

    fn add(&self, segment: Segment, len: u64) -> Room {
        self.used.store(true, Ordering::Relaxed);
        self.kept().add(segment, len)
    }

    /// Memory for `len` bytes that nobody else uses: in one of the pool's segments, else in a new one in `directory`.
    /// `owner` is the session's generation.
    pub(crate) fn lease(
        &self,
        directory: impl Fn() -> Result<Directory>,
        len: u64,
        owner: u64,
    ) -> Result<Lease> {
        let found = self.kept().find(len);
        self.lend(found, directory, len, owner)
    }

    /// As [`lease`](Pool::lease), for who has the pool alone: what is at hand costs no lock.
    pub(crate) fn lease_alone(
        &mut self,
        directory: impl Fn() -> Result<Directory>,
        len: u64,
        owner: u64,
    ) -> Result<Lease> {
        let found = self.kept.get_mut().find(len);
        self.lend(found, directory, len, owner)
    }

    #[inline]
    fn lend(
        &self,
        found: Option<Room>,
        directory: impl Fn() -> Result<Directory>,
        len: u64,
        owner: u64,
    ) -> Result<Lease> {
        let room = match found {
            Some(room) => room,
            None => self.make_room(directory, len)?,
        };
        Ok(Lease::of(room, len, (owner, self.side), self.stamp))
    }

    /// Room in a new segment. Where a larger one is due and cannot be had, the one that is at hand does.
    #[cold]
    fn make_room(&self, directory: impl Fn() -> Result<Directory>, len: u64) -> Result<Room> {
        let is_due = self.kept().is_due();
        if is_due && let Ok(room) = self.make(&directory, len, ROOM) {
            return Ok(room);
        }
        // Where it is not due any more, another thread makes it just now.
        let found = self.kept().find(len);
        match found {
            Some(room) => Ok(room),
            None => self.make(&directory, len, 0),
        }
    }

    /// Room for `len` bytes in a new segment of at least so many and `least`.
    fn make(
        &self,
        directory: impl Fn() -> Result<Directory>,
        len: u64,
        least: u64,
    ) -> Result<Room> {
        let directory = directory()?;
        let (number, surplus) = self.kept().replace()?;
        for segment in surplus {
            // What cannot be removed goes with the session.
            let _ = SharedSegment::<[u8]>::unlink_at(&directory, &self.side.name(segment.number));
            segment.mark_removed();
        }
        let capacity = len
            .max(least)
            .max(1)
            .checked_next_multiple_of(GRAIN)
            .and_then(|capacity| capacity.checked_add(CONTROL_LEN as u64))
            .ok_or(Error::TooLong {
                what: "payload",
                len,
                max: u64::MAX - GRAIN,
            })?;
        let made = SegmentOptions::raw(FINGERPRINT, index(capacity))
            .create_at(&directory, &self.side.name(number))?;
        let segment = Segment::new(number, made.region());
        let segment = segment.ok_or_else(|| unusable(&directory, number))?;
        Ok(self.add(segment, len))
    }

    /// Has the processor fetch what the next [`lease`](Pool::lease) will look at, where that can be done without waiting.
    #[inline(always)]
    pub(crate) fn prefetch(&self) {
        if self.used.load(Ordering::Relaxed) {
            self.prefetch_last();
        }
    }

    #[inline(never)]
    fn prefetch_last(&self) {
        if self.kept.is_owned()
            && let Some(last) = self.kept().last()
        {
            last.prefetch();
        }
    }

    /// Lets go of all that is not in somebody's hands.
    pub(crate) fn clear(&self) {
        let segments = self.kept().take_all();
        drop(segments);
    }
}
