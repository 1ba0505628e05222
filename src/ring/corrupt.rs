//! What a ring's peer can have written that no correct peer writes.

use core::fmt;

/// How the peer of a ring broke its protocol.
///
/// Each reason carries what stood in the shared memory. An index is a free-running count of bytes, so `from`
/// may be greater than `to` where the count has wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Corrupt {
    /// The consumer's index is not a multiple of 8, went back, or passed the producer's.
    Head {
        /// What was read.
        found: u64,
        /// The least index that would have been right.
        from: u64,
        /// The greatest index that would have been right.
        to: u64,
    },
    /// The producer's index is not a multiple of 8, went back, or is more than the capacity ahead.
    Tail {
        /// What was read.
        found: u64,
        /// The least index that would have been right.
        from: u64,
        /// The greatest index that would have been right.
        to: u64,
    },
    /// The producer says that it began again at the memory's beginning, where not everything before was freed, or at another one than
    /// the next.
    Rewound {
        /// What was read.
        found: u64,
    },
    /// A record says that it is longer than what was published.
    Length {
        /// The bytes that the record would take, its header included.
        needed: u64,
        /// The bytes that were published from its start on.
        available: u64,
    },
    /// A record's payload is longer than this ring's user allows.
    TooLong {
        /// The payload's length.
        len: u64,
        /// The greatest length that is allowed.
        max: u64,
    },
    /// A record's type is not one that belongs in this ring.
    Kind(u16),
    /// A record has flags that are not known.
    Flags(u16),
    /// A record belongs to another session than the one that this ring serves.
    Generation {
        /// What was read.
        found: u64,
        /// The generation of this session.
        expected: u64,
    },
    /// A record's state word is none of the legal ones, or not one that could follow.
    State(u64),
}

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Corrupt::Head { found, from, to } => {
                write!(
                    f,
                    "head index {found} is not a multiple of 8 in {from}..={to}"
                )
            }
            Corrupt::Tail { found, from, to } => {
                write!(
                    f,
                    "tail index {found} is not a multiple of 8 in {from}..={to}"
                )
            }
            Corrupt::Rewound { found } => {
                write!(f, "a rewind to index {found}, which cannot be")
            }
            Corrupt::Length { needed, available } => {
                write!(
                    f,
                    "a record of {needed} bytes in {available} published bytes"
                )
            }
            Corrupt::TooLong { len, max } => {
                write!(
                    f,
                    "a record with a payload of {len} bytes where at most {max} are allowed"
                )
            }
            Corrupt::Kind(kind) => write!(f, "a record of unknown type {kind}"),
            Corrupt::Flags(flags) => write!(f, "a record with unknown flags {flags:#06x}"),
            Corrupt::Generation { found, expected } => {
                write!(
                    f,
                    "a record of generation {found:#x} in a session of generation {expected:#x}"
                )
            }
            Corrupt::State(word) => write!(f, "a record with the impossible state word {word:#x}"),
        }
    }
}

impl core::error::Error for Corrupt {}
