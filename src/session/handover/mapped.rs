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

    /// The peer's segment `number`, which must hold `len` bytes.
    pub(crate) fn open(
        &mut self,
        directory: impl FnOnce() -> Result<Directory>,
        number: u64,
        len: u64,
    ) -> Result<Arc<Segment>> {
        let is_it = |segment: &Arc<Segment>| segment.number == number;
        if let Some(last) = self.segments.last().filter(|last| is_it(last)) {
            return last.holds(len).map(|()| Arc::clone(last));
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
