//! The other side's segments.

use std::sync::Arc;

use super::{CONTROL_LEN, FINGERPRINT, Segment, Side, unusable};
use crate::directory::Directory;
use crate::error::Result;
use crate::segment::SegmentOptions;

/// The most that are kept mapped: as many large payloads as can be on their way without mapping any of their segments twice.
const MOST: usize = 128;

/// The peer's segments that were mapped, as long as it keeps them.
#[derive(Debug)]
pub(crate) struct Mapped {
    side: Side,
    segments: Vec<Arc<Segment>>,
    /// Which was used last.
    last: usize,
}

impl Mapped {
    pub(crate) fn new(side: Side) -> Mapped {
        Mapped {
            side,
            segments: Vec::new(),
            last: 0,
        }
    }

    /// The peer's segment `number`, if it is the one that was used last, or the one behind that, and holds `len` bytes.
    #[inline]
    pub(crate) fn near(&mut self, number: u64, len: u64) -> Option<Arc<Segment>> {
        for index in [self.last, self.behind_last()] {
            let segment = self.segments.get(index)?;
            if segment.number == number && len <= segment.capacity() {
                self.last = index;
                return Some(Arc::clone(segment));
            }
        }
        None
    }

    #[inline]
    fn behind_last(&self) -> usize {
        match self.last + 1 {
            behind if behind < self.segments.len() => behind,
            _ => 0,
        }
    }

    /// Has the processor fetch what is written in the segment that was used last, probably the next one too.
    #[inline]
    pub(crate) fn prefetch(&self) {
        if let Some(last) = self.segments.get(self.last) {
            last.prefetch();
        }
    }

    /// The peer's segment `number`, which must hold `len` bytes.
    pub(crate) fn open(
        &mut self,
        directory: impl FnOnce() -> Result<Directory>,
        number: u64,
        len: u64,
    ) -> Result<Arc<Segment>> {
        let is_it = |segment: &Arc<Segment>| segment.number == number;
        self.last = match self.segments.iter().position(is_it) {
            Some(index) => index,
            None => self.map(&directory()?, number)?,
        };
        let segment = Arc::clone(&self.segments[self.last]);
        segment.holds(len).map(|()| segment)
    }

    /// Maps the segment `number`, and lets go of those that the peer has removed.
    fn map(&mut self, directory: &Directory, number: u64) -> Result<usize> {
        let opened = SegmentOptions::raw(FINGERPRINT, CONTROL_LEN)
            .open_at(directory, &self.side.name(number))?;
        let segment = Segment::new(number, opened.region());
        let segment = segment.ok_or_else(|| unusable(directory, number))?;
        self.segments.retain(|segment| !segment.is_removed());
        if self.segments.len() >= MOST {
            self.segments.remove(0);
        }
        self.segments.push(Arc::new(segment));
        Ok(self.segments.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::testing::Scratch;
    use crate::session::handover::Pool;

    const LEN: u64 = 100_000;
    /// More than a pool keeps.
    const MANY: usize = 20;

    /// The numbers of so many payloads that are on their way at the same time.
    fn numbers(pool: &Pool, at: &Scratch, count: usize) -> Vec<u64> {
        let directory = || Directory::open(at.path());
        let leases: Vec<_> = (0..count)
            .map(|_| pool.lease(directory, LEN, 0).unwrap())
            .collect();
        leases.iter().map(|it| it.segment().number()).collect()
    }

    #[test]
    fn what_the_peer_keeps_is_mapped_once() {
        let at = Scratch::new();
        let pool = Pool::new(Side::Request, 0);
        let mut mapped = Mapped::new(Side::Request);
        for number in numbers(&pool, &at, MANY) {
            let directory = || Directory::open(at.path());
            let first = mapped.open(directory, number, LEN).unwrap();
            assert!(Arc::ptr_eq(&mapped.near(number, LEN).unwrap(), &first));
        }
        let mut near = 0;
        for number in numbers(&pool, &at, MANY).into_iter().chain(0..5) {
            near += u32::from(mapped.near(number, LEN).is_some());
            assert!(mapped.near(number, 1 << 40).is_none());
            let again = mapped.open(|| unreachable!(), number, LEN).unwrap();
            assert_eq!(again.number(), number);
            assert!(mapped.open(|| unreachable!(), number, 1 << 40).is_err());
        }
        assert!(near > 0);
    }

    #[test]
    fn what_the_peer_has_removed_is_let_go_of() {
        let at = Scratch::new();
        let directory = || Directory::open(at.path());
        let pool = Pool::new(Side::Request, 0);
        let mut mapped = Mapped::new(Side::Request);
        let first: Vec<_> = numbers(&pool, &at, MANY)
            .into_iter()
            .map(|number| Arc::downgrade(&mapped.open(directory, number, LEN).unwrap()))
            .collect();
        // A larger one comes in the place of most of them.
        let larger = pool.lease(directory, 10 * LEN, 0).unwrap();
        let number = larger.segment().number();
        mapped.open(directory, number, LEN).unwrap();
        let left = first.iter().filter_map(std::sync::Weak::upgrade).count();
        assert!((1..MANY / 2).contains(&left), "{left}");
        assert_eq!(mapped.segments.len(), left + 1);
        assert!(mapped.near(number, LEN).is_some());
    }

    #[test]
    fn no_more_than_that_are_mapped() {
        let at = Scratch::new();
        let directory = || Directory::open(at.path());
        let pool = Pool::new(Side::Reply, 0);
        let mut mapped = Mapped::new(Side::Reply);
        for number in numbers(&pool, &at, MOST + 9) {
            mapped.open(directory, number, LEN).unwrap();
        }
        assert_eq!(mapped.segments.len(), MOST);
        assert!(mapped.open(directory, 0, LEN).is_ok());
        assert_eq!(mapped.segments.len(), MOST);
    }
}
