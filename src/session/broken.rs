//! How a peer broke the protocol of a session.

use crate::error::Error;
use crate::request::DecodeError;
use crate::ring::Corrupt;

/// What the other end of a session did that no correct one does.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    #[error("in its ring, {0}")]
    Ring(#[from] Corrupt),
    #[error("in a message, {0}")]
    Message(#[from] DecodeError),
    #[error("a hand-over segment that cannot be used: {0}")]
    HandOver(#[source] Error),
    #[error("a session's segment that cannot be used: {0}")]
    Segment(#[source] Error),
    #[error("a session's FIFO that cannot be used: {0}")]
    Bell(#[source] Error),
    #[error("a session's lock that cannot be looked at: {0}")]
    Lock(#[source] Error),
    #[error("its bell, which no process answers, in a session that is held")]
    Deaf,
    #[error("a status word of {0:#x}")]
    Status(u64),
    #[error("capacities of {requests} and {replies} bytes in a segment of {payload}")]
    Geometry {
        requests: u64,
        replies: u64,
        payload: u64,
    },
}

impl Broken {
    /// As the error of the side that found it; `at` is the service.
    pub(crate) fn into_error(self, at: &str) -> Error {
        Error::Corrupt {
            at: format!("a session with {at:?}"),
            what: self.to_string(),
        }
    }

    /// The number that stands for it in the session's status word.
    pub(crate) fn code(&self) -> u32 {
        match self {
            Broken::Ring(_) => 1,
            Broken::Message(_) => 2,
            Broken::HandOver(_) => 3,
            Broken::Status(_) => 4,
            Broken::Segment(_) => 6,
            Broken::Geometry { .. } => 5,
            Broken::Bell(_) => 7,
            Broken::Deaf => 8,
            Broken::Lock(_) => 9,
        }
    }

    /// What a code of the peer's stands for.
    pub(crate) fn meaning(code: u32) -> &'static str {
        match code {
            1 => "an index or a record in a ring was wrong",
            2 => "a message did not decode",
            3 => "a hand-over segment could not be used",
            4 => "a status word was wrong",
            5 => "the rings' capacities were wrong",
            6 => "the session's segment could not be used",
            7 => "the session's FIFOs could not be used",
            8 => "its client's bell had no reader",
            9 => "the session's lock could not be looked at",
            _ => "a reason of a newer version",
        }
    }
}
