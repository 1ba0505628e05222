//! Segments: shared memory with a header that is checked before anything else is believed.
//!
//! # Format
//!
//! A segment is a file: a header of 128 bytes, then the payload, which ends where the file ends. Numbers are little
//! endian. `tests/vectors/segment-*.hex` holds examples, good and bad, for programs in other languages.
//!
//! | offset | bytes | field |
//! | --- | --- | --- |
//! | 0 | 8 | magic: `OSPS-SEG` in ASCII |
//! | 8 | 2 | major version: 1. A reader refuses any other |
//! | 10 | 2 | minor version: 0. A reader accepts a newer one |
//! | 12 | 4 | length of the header: 128 |
//! | 16 | 4 | features that a reader must understand: none yet. It refuses any bit that it does not know |
//! | 20 | 4 | features that a reader may ignore: none yet |
//! | 24 | 8 | length of the payload in bytes. With the header it is the length of the file |
//! | 32 | 8 | fingerprint: 0 for plain bytes, else of the layout (see [`Fingerprint`]) |
//! | 40 | 8 | ready word: `complete` in ASCII, stored last; anything else is a half-made segment |
//! | 48 | 16 | creator: the boot's id (two numbers, the higher half first) |
//! | 64 | 8 | creator: inode of its pid namespace |
//! | 72 | 8 | creator: process id |
//! | 80 | 8 | creator: when it started, in clock ticks after boot |
//! | 88 | 40 | zero; a reader ignores it |
//!
//! The creator is told for diagnosis and believed by nobody. A file on tmpfs must have all its pages reserved.
//!
//! # What safe code can do with one
//!
//! Another process may change any byte at any moment. So no reference to plain data points into a segment: bytes are
//! copied in and out by atomic words, and a typed view consists of atomics. Which of the two a segment is stands
//! in its type here and in its fingerprint there, so that the same bytes are never accessed by different widths.

mod header;
mod mapping;
mod options;
mod read_only;
mod shared;
mod token;
mod typed;

pub use options::SegmentOptions;
pub use read_only::{Loadable, ReadOnlySegment};
pub(crate) use shared::Raw;
pub use shared::SharedSegment;
pub use typed::{Fingerprint, SharedLayout};
