//! What can be wrong with a message.

use super::kind::BadKind;

/// Why a message was refused. Its peer has broken the protocol; the message must not be acted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Fewer bytes than a header.
    #[error("{found} bytes are shorter than a header of {needed}")]
    Truncated {
        /// The header's length.
        needed: usize,
        /// The message's length.
        found: usize,
    },

    /// A version other than [`VERSION`](super::VERSION).
    #[error("message version {found}, expected {}", super::VERSION)]
    Version {
        /// What stands there.
        found: u16,
    },

    /// A flag that this version does not know, or two that exclude each other.
    #[error("message flags {found:#06x} are unknown or exclude each other")]
    Flags {
        /// What stands there.
        found: u16,
    },

    /// The field that must be zero is not.
    #[error("reserved field is {found:#06x}, expected 0")]
    Reserved {
        /// What stands there.
        found: u16,
    },

    /// A status that this version does not know.
    #[error("reply status {found} is unknown")]
    Status {
        /// What stands there.
        found: u16,
    },

    /// A kind that is not 1 to 16 graphic ASCII characters padded with NUL.
    #[error("bad request kind: {0}")]
    Kind(BadKind),

    /// A question where requests of a kind shall go, with a payload.
    #[error("question with a payload of {found} bytes, expected none")]
    AskPayload {
        /// The length that the header gives.
        found: u32,
    },

    /// A hand-over in a reply whose status does not allow one.
    #[error("reply of status {status} cannot be handed over")]
    HandOverStatus {
        /// The status.
        status: u16,
    },

    /// A hand-over descriptor of the wrong length.
    #[error(
        "hand-over descriptor of {found} bytes, expected {}",
        super::HandOver::LENGTH
    )]
    HandOverLength {
        /// The length that the header gives.
        found: u32,
    },

    /// A hand-over whose range does not fit in 64 bits.
    #[error("hand-over of {length} bytes at offset {offset} overflows")]
    HandOverRange {
        /// Where the data begin.
        offset: u64,
        /// How long they are.
        length: u64,
    },

    /// A list of kinds whose length is no multiple of a kind's.
    #[error("list of kinds has {found} bytes, expected a multiple of 16")]
    KindList {
        /// The length that the header gives.
        found: u32,
    },

    /// The message is not as long as its header says.
    #[error("message of {found} bytes, its header says {promised}")]
    Length {
        /// Header and payload by what the header says.
        promised: u64,
        /// The message's length.
        found: u64,
    },

    /// A redirect to what cannot be a service's name.
    #[error("bad redirect of {found} bytes: {problem}")]
    Target {
        /// The name's length.
        found: u64,
        /// What is wrong with it.
        problem: TargetProblem,
    },
}

/// What is wrong with the name in a redirect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TargetProblem {
    /// No name at all.
    #[error("it is empty")]
    Empty,
    /// More than 200 bytes.
    #[error("it is longer than 200 bytes")]
    TooLong,
    /// Not UTF-8.
    #[error("it is not UTF-8")]
    NotUtf8,
    /// It begins with `.`, or a `/` or a control character is in it: as a path it could lead elsewhere.
    #[error("it begins with '.', or contains '/' or a control character")]
    NotAName,
}

// An outcome of the data path: small enough to be returned in registers and one copy.
static_assertions::const_assert!(size_of::<DecodeError>() <= 24);
