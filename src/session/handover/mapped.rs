//! The other side's segments.

use std::sync::Arc;

use super::{CONTROL_LEN, FINGERPRINT, KEPT, Segment, Side, unusable};
use crate::directory::Directory;
use crate::error::Result;
use crate::segment::SegmentOptions;

/// The peer's segments that were mapped lately.
#[derive(Debug)]
pub(crate) struct Mapped {
    side: Side,
    /// The one used last stands last.
    segments: Vec<Arc<Segment>>,
}

impl Mapped {
    pub(crate) fn new(side: Side) -> Mapped {
        Mapped {
            side,
            segments: Vec::new(),
        }
    }

    /// The peer's segment `number`, if it is the one that was used last and holds `len` bytes.
    #[inline]
    pub(crate) fn last(&self, number: u64, len: u64) -> Option<Arc<Segment>> {
        let last = self.segments.last()?;
        let is_it = last.number == number && len <= last.capacity();
        is_it.then(|| Arc::clone(last))
    }

    /// Has the processor fetch what is written in the segment that was used last, probably the next one too.
    #[inline]
    pub(crate) fn prefetch(&self) {
        if let Some(last) = self.segments.last() {
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
        if let Some(last) = self.last(number, len) {
            return Ok(last);
        }
        let segment = match self.segments.iter().position(is_it) {
            Some(index) => self.segments.remove(index),
            None => {
                let directory = directory()?;
                let opened = SegmentOptions::raw(FINGERPRINT, CONTROL_LEN)
                    .open_at(&directory, &self.side.name(number))?;
                let segment = Segment::new(number, opened.region())
                    .ok_or_else(|| unusable(&directory, number))?;
                if self.segments.len() >= KEPT {
                    self.segments.remove(0);
                }
                Arc::new(segment)
            }
        };
        self.segments.push(Arc::clone(&segment));
        segment.holds(len).map(|()| segment)
    }
}
