//! Where things stand in a heartbeat's segment: the table is in [the module above](super).

use std::sync::atomic::AtomicU64;

use crate::segment::{Raw, SegmentOptions};
use crate::sys::map::shared_words;

/// The payload's length in bytes.
pub(super) const LEN: usize = 512;

const FINGERPRINT: u64 = u64::from_le_bytes(*b"heartbt1");

pub(super) fn options() -> SegmentOptions<Raw> {
    SegmentOptions::raw(FINGERPRINT, LEN)
}

shared_words! {
    /// The whole payload.
    #[derive(Debug)]
    #[repr(align(128))]
    pub(super) struct Page {
        pub(super) owner: Owner,
        pub(super) line: Line,
        pub(super) words: [Words; 2],
    }
}

shared_words! {
    #[derive(Debug)]
    #[repr(align(128))]
    pub(super) struct Owner {
        pub(super) identity: [AtomicU64; 5],
    }
}

shared_words! {
    #[derive(Debug)]
    #[repr(align(128))]
    pub(super) struct Line {
        pub(super) count: AtomicU64,
        pub(super) farewell: AtomicU64,
    }
}

shared_words! {
    /// What one beat says.
    #[derive(Debug)]
    #[repr(align(128))]
    pub(super) struct Words {
        pub(super) of: [AtomicU64; WORDS],
    }
}

/// How many words a beat has, in the order of the table.
pub(super) const WORDS: usize = 8;

/// The word of the identity that holds the pid.
pub(super) const PID: usize = 3;

static_assertions::const_assert_eq!(size_of::<Page>(), LEN);

/// Where a reader finds the words: it has no reference to the page.
pub(super) const OWNER_AT: usize = std::mem::offset_of!(Page, owner);
pub(super) const COUNT_AT: usize = std::mem::offset_of!(Page, line);
pub(super) const FAREWELL_AT: usize = COUNT_AT + std::mem::offset_of!(Line, farewell);
pub(super) const WORDS_AT: usize = std::mem::offset_of!(Page, words);
pub(super) const WORDS_LEN: usize = size_of::<Words>();

static_assertions::const_assert_eq!(COUNT_AT, 128);
static_assertions::const_assert_eq!(FAREWELL_AT, 136);
static_assertions::const_assert_eq!(WORDS_AT, 256);
static_assertions::const_assert_eq!(WORDS_LEN, 128);
