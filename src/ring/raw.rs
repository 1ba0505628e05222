//! Both ends of a ring, over memory: what queues and sessions are made of.
//!
//! `WORDS` is the number of header words of a record (see [`record`](super::record)). An end keeps the geometry
//! and its own index privately; the other side's index and headers are read once and checked. After a
//! [`Corrupt`](super::Corrupt) an end must not be used any more: it would go on to say the same.

mod put;
mod take;

use std::sync::atomic::AtomicU64;

use super::corrupt::Corrupt;
use super::memory::RingMemory;
use super::record::OF_SESSION;
use super::word::Word;

pub(crate) use put::RawProducer;
pub(crate) use take::{Found, RawConsumer, Whole};

/// A queue is never rewound: there a tail that says more than an index is corrupt.
fn check_mark<const WORDS: usize>(
    tail: u64,
    head: u64,
    memory: &RingMemory,
) -> Result<(), Corrupt> {
    if WORDS >= OF_SESSION || tail.is_multiple_of(8) {
        return Ok(());
    }
    Err(Corrupt::Tail {
        found: tail,
        from: head,
        to: head.wrapping_add(memory.capacity() as u64),
    })
}

/// The one fence between the stores of a batch and the looks at the other side's sleep words
/// ([`RawProducer::must_ring`], [`RawConsumer::must_ring`]).
#[inline]
pub(crate) fn fence() {
    <AtomicU64 as Word>::fence();
}
