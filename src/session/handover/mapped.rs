//! The other side's segments.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::kept::ROOM;
use super::{CONTROL_LEN, FINGERPRINT, Segment, Side, unusable};
use crate::directory::Directory;
use crate::error::Result;
use crate::segment::SegmentOptions;

/// The most that one side of a session keeps mapped: as many large payloads as can be on their way without mapping any of their
/// segments twice.
const MOST: usize = 128;

/// The most of more than [`ROOM`], and the most where the process has [`ALL`] already.
const FEW: usize = 4;

/// So many mappings leave three quarters of what Linux allows a process by itself (65,530) to others.
const ALL: usize = 16_384;

/// How many all sessions of this process have.
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// Once in so many payloads it is looked whether the peer has removed segments.
const USES_A_LOOK: u32 = 64;

/// The peer's segments that were mapped, and that it has not removed as far as was looked.
#[derive(Debug)]
pub(crate) struct Mapped {
    side: Side,
    segments: Vec<Arc<Segment>>,
    /// Which was used last.
    last: usize,
    uses: u32,
    /// What of [`COUNT`] are these.
    counted: usize,
}

impl Mapped {
    pub(crate) fn new(side: Side) -> Mapped {
        Mapped {
            side,
            segments: Vec::new(),
            last: 0,
            uses: 0,
            counted: 0,
        }
    }

    /// The peer's segment `number`, if it is the one that was used last, or the one behind that, and holds `len` bytes. `None` also
    /// when it is time to look what was removed, which [`open`](Mapped::open) does.
    #[inline]
    pub(crate) fn near(&mut self, number: u64, len: u64) -> Option<Arc<Segment>> {
        if self.uses >= USES_A_LOOK {
            return None;
        }
        for index in [self.last, self.behind_last()] {
            let segment = self.segments.get(index)?;
            if segment.number == number && len <= segment.capacity() {
                self.uses += 1;
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
        self.uses += 1;
        if self.uses >= USES_A_LOOK {
            self.let_go();
        }
        let is_it = |segment: &Arc<Segment>| segment.number == number;
        self.last = match self.segments.iter().position(is_it) {
            Some(index) => index,
            None => self.map(&directory()?, number)?,
        };
        let segment = Arc::clone(&self.segments[self.last]);
        segment.holds(len).map(|()| segment)
    }

    /// Maps the segment `number`.
    fn map(&mut self, directory: &Directory, number: u64) -> Result<usize> {
        let opened = SegmentOptions::raw(FINGERPRINT, CONTROL_LEN)
            .open_at(directory, &self.side.name(number))?;
        let segment = Segment::new(number, opened.region());
        let segment = segment.ok_or_else(|| unusable(directory, number))?;
        self.let_go();
        let is_large = |segment: &Segment| segment.capacity() > ROOM;
        if is_large(&segment) {
            self.keep(FEW - 1, is_large);
        }
        let is_full = COUNT.load(Ordering::Relaxed) >= ALL;
        self.keep(if is_full { FEW } else { MOST } - 1, |_| true);
        self.segments.push(Arc::new(segment));
        self.count();
        Ok(self.segments.len() - 1)
    }

    /// Lets go of segments that the peer has removed.
    fn let_go(&mut self) {
        self.uses = 0;
        self.segments.retain(|segment| !segment.is_removed());
        self.count();
    }

    /// Lets go of the oldest of those that are `such`, until at most so many are left.
    fn keep(&mut self, most: usize, such: impl Fn(&Segment) -> bool) {
        let count = self.segments.iter().filter(|it| such(it)).count();
        let mut surplus = count.saturating_sub(most);
        self.segments.retain(|segment| {
            let goes = surplus > 0 && such(segment);
            surplus -= usize::from(goes);
            !goes
        });
    }

    fn count(&mut self) {
        let count = self.segments.len();
        COUNT.fetch_add(count.wrapping_sub(self.counted), Ordering::Relaxed);
        self.counted = count;
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        self.segments.clear();
        self.count();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::testing::Scratch;
    use crate::session::handover::Pool;
    use crate::sys::testing::alone;

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
        for number in numbers(&pool, &at, MANY) {
            assert!(mapped.near(number, 1 << 40).is_none());
            let again = mapped.open(|| unreachable!(), number, LEN).unwrap();
            assert_eq!(again.number(), number);
            assert!(mapped.open(|| unreachable!(), number, 1 << 40).is_err());
        }
        let (last, behind) = (MANY as u64 - 1, 0);
        mapped.open(|| unreachable!(), last, LEN).unwrap();
        assert!(mapped.near(behind, LEN).is_some());
        assert!(mapped.near(last, LEN).is_none(), "it is before that");
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
    fn what_the_peer_has_removed_is_let_go_of_though_no_other_one_is_mapped() {
        let at = Scratch::new();
        let directory = || Directory::open(at.path());
        let pool = Pool::new(Side::Request, 0);
        let mut mapped = Mapped::new(Side::Request);
        for number in numbers(&pool, &at, MANY) {
            mapped.open(directory, number, LEN).unwrap();
        }
        assert!(pool.lease(directory, u64::MAX / 2, 0).is_err());
        let number = pool.lease(directory, LEN, 0).unwrap().segment().number();
        for _ in 0..=USES_A_LOOK {
            if mapped.near(number, LEN).is_none() {
                mapped.open(|| unreachable!(), number, LEN).unwrap();
            }
        }
        assert!(mapped.segments.len() < 5, "{}", mapped.segments.len());
    }

    #[test]
    fn few_large_ones_are_mapped() {
        let at = Scratch::new();
        let directory = || Directory::open(at.path());
        let pool = Pool::new(Side::Reply, 0);
        let mut mapped = Mapped::new(Side::Reply);
        let long = ROOM + 1;
        let large: Vec<_> = (0..MANY)
            .map(|_| pool.lease(directory, long, 0).unwrap())
            .collect();
        for number in numbers(&pool, &at, MANY) {
            mapped.open(directory, number, LEN).unwrap();
        }
        for lease in &large {
            let number = lease.segment().number();
            mapped.open(directory, number, long).unwrap();
        }
        assert_eq!(mapped.segments.len(), MANY + FEW);
    }

    #[test]
    fn where_the_process_has_many_few_are_mapped() {
        alone!("where_the_process_has_many_few_are_mapped", || {
            let at = Scratch::new();
            let directory = || Directory::open(at.path());
            let pool = Pool::new(Side::Reply, 0);
            let mut mapped = Mapped::new(Side::Reply);
            for number in numbers(&pool, &at, MANY) {
                mapped.open(directory, number, LEN).unwrap();
            }
            assert_eq!(COUNT.fetch_add(ALL, Ordering::Relaxed), MANY);
            mapped
                .open(directory, numbers(&pool, &at, MANY + 1)[MANY], LEN)
                .unwrap();
            assert_eq!(mapped.segments.len(), FEW);
            drop(mapped);
            assert_eq!(COUNT.load(Ordering::Relaxed), ALL);
        });
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
