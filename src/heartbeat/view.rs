//! The side that watches.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use super::layout::{self, COUNT_AT, FAREWELL_AT, LEN, OWNER_AT, PID, WORDS, WORDS_AT, WORDS_LEN};
use crate::detector::{Phase, Sample};
use crate::directory::{Directory, Name};
use crate::error::{Error, Result};
use crate::segment::ReadOnlySegment;
use crate::sys::file;
use crate::sys::process::Identity;

/// How often a read starts over that met a beat. Two beats have to fall into one read of ten words for that.
const TRIES: u32 = 64;

/// A heartbeat, mapped for reading: looking at it costs no system call, changes nothing and wakes nobody.
#[derive(Debug)]
pub struct HeartbeatView {
    segment: ReadOnlySegment,
    file: OwnedFd,
    path: PathBuf,
}

/// What a heartbeat says. All of it is the beater's own word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// What a [`Detector`](crate::detector::Detector) wants to know.
    pub sample: Sample,
    /// The process, in its own pid namespace.
    pub pid: u32,
    /// The thread that beat last.
    pub thread: u32,
    /// The intervals between its beats, as the beater saw them.
    pub statistics: Statistics,
    pub(crate) owner: Identity,
}

/// The intervals between the beats of one process, by its own coarse clock (to a few milliseconds).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// How many.
    pub intervals: u64,
    /// Their mean.
    pub mean: Duration,
    /// Their standard deviation.
    pub deviation: Duration,
    /// The longest.
    pub longest: Duration,
}

impl HeartbeatView {
    /// Opens the heartbeat of this name.
    ///
    /// # Errors
    ///
    /// As [`SegmentOptions::open`](crate::SegmentOptions::open).
    pub fn open(directory: &Directory, name: &Name) -> Result<HeartbeatView> {
        HeartbeatView::open_at(directory, name.as_str())
    }

    pub(crate) fn open_at(directory: &Directory, name: &str) -> Result<HeartbeatView> {
        let (segment, file) = layout::options().open_read_only_at(directory, name)?;
        Ok(HeartbeatView {
            segment,
            file,
            path: directory.path().join(name),
        })
    }

    /// What it says. `None` while it is being reset for another process, or is written so fast that no whole reading
    /// could be had (which no beater does).
    pub fn read(&self) -> Option<Reading> {
        (0..TRIES).find_map(|_| self.try_read())
    }

    /// Whether its name has been removed: nobody else can find it any more.
    ///
    /// # Errors
    ///
    /// [`Error::Os`] if it cannot be looked at.
    pub fn is_unlinked(&self) -> Result<bool> {
        match file::status(&self.file) {
            Ok(status) => Ok(status.links == 0),
            Err(errno) => Err(Error::os("look at", &self.path)(errno)),
        }
    }

    /// Who beats; `None` while it is being reset.
    pub(crate) fn owner(&self) -> Option<Identity> {
        let mut words = [0; 5];
        for (n, word) in words.iter_mut().enumerate() {
            *word = self.load(OWNER_AT + n * 8);
        }
        (words[PID] != 0).then(|| Identity::from_words(words))
    }

    fn try_read(&self) -> Option<Reading> {
        // SYNC(heartbeat-owner), SYNC(heartbeat-count), SYNC(heartbeat-words): every load of a `ReadOnlySegment` is
        // followed by an acquire fence.
        let owner = self.owner()?;
        let count = self.load(COUNT_AT);
        let farewell = self.load(FAREWELL_AT) != 0;
        let base = WORDS_AT + WORDS_LEN * usize::from(count % 2 == 1);
        let mut words = [0; WORDS];
        for (n, word) in words.iter_mut().enumerate() {
            *word = self.load(base + n * 8);
        }
        // One beat more has left these words alone: it wrote the others, and only the next one writes these. But that
        // one may have begun already.
        if self.load(COUNT_AT) != count || self.owner()? != owner {
            return None;
        }
        let [phase, progress, thread, _, intervals, sum, squares, longest] = words;
        Some(Reading {
            sample: Sample {
                count,
                phase: Phase::from_word(phase),
                progress,
                farewell,
            },
            pid: owner.pid,
            thread: u32::try_from(thread).unwrap_or(0),
            statistics: Statistics::new(intervals, sum, squares, longest),
            owner,
        })
    }

    fn load(&self, offset: usize) -> u64 {
        debug_assert!(offset + 8 <= LEN);
        // Inside: the length was checked when it was opened.
        self.segment.load(offset).unwrap_or(0)
    }
}

impl Statistics {
    fn new(intervals: u64, sum: u64, squares: u64, longest: u64) -> Statistics {
        if intervals == 0 {
            return Statistics::default();
        }
        let mean = sum / intervals;
        let mean_micros = mean as f64 / 1e3;
        let variance = (squares as f64 / intervals as f64 - mean_micros * mean_micros).max(0.0);
        Statistics {
            intervals,
            mean: Duration::from_nanos(mean),
            deviation: Duration::from_secs_f64(variance.sqrt() / 1e6),
            longest: Duration::from_nanos(longest),
        }
    }
}
