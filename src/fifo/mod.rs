//! Named pipes between two processes: doorbells, and pairs that carry frames.

mod bell;
mod ends;
mod frame;
mod inbox;
mod link;
mod names;
mod pair;
mod pump;

pub(crate) use bell::{BellReader, BellWriter, Ring, make_bells};
pub use pair::FifoPair;

/// What a [`FifoPair`] knows of its other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PairState {
    /// Nobody has said hello since this end was opened.
    NoPeerYet,
    /// Another process is there; frames go both ways.
    Open,
    /// It has gone. A successor brings the state back to [`Open`](Self::Open).
    PeerGone,
}

/// What became of a frame in [`FifoPair::try_send`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Sent {
    /// It is in the pipe.
    Sent,
    /// There is no room for it now.
    Full,
    /// Nobody has said hello yet.
    NoPeerYet,
    /// The peer has gone and the frame was not sent, also if a successor is there already: decide whether it is for
    /// that one too, and send it again.
    PeerGone,
}

/// What [`FifoPair::try_recv`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Received {
    /// A frame of this length, now at the start of the buffer.
    Frame(usize),
    /// Nothing now.
    Empty,
    /// The peer has gone. Told once; what comes next is from a successor.
    PeerGone,
}

#[cfg(test)]
mod tests;
