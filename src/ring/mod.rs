//! A ring: a queue of records in shared memory with one producer and one consumer.
//!
//! It costs no system call and takes no lock. A record is up to four GiB of bytes and a number that says what sort it
//! is. The two ends may be two threads ([`pair`]) or two processes (one [creates](Producer::create), the other
//! [opens](Consumer::open)); neither trusts the other: whatever the other one writes, an end gives a record that lies
//! within the ring, or says [`Corrupt`].
//!
//! A ring does not wait and does not wake anyone: that is for its user, who may spin, or ring a
//! [`FifoPair`](crate::FifoPair) after a push. A consumer that finds nothing and looks again only after a while is the fastest, because
//! a batch gathers meanwhile. A `Client` and a `Server` have both rings and bells, and outlive each other's death.
//!
//! # Examples
//!
//! ```
//! use osps_ipc::ring::{self, PopError};
//!
//! let (mut producer, mut consumer) = ring::pair(4096)?;
//! producer.try_push(7, b"one")?;
//!
//! // Many records, seen together.
//! let mut batch = producer.batch();
//! while batch.try_push(8, &[0; 100]).is_ok() {}
//! batch.publish();
//!
//! let mut payload = Vec::new();
//! let record = consumer.try_pop(&mut payload)?;
//! assert_eq!((record.kind, payload.as_slice()), (7, &b"one"[..]));
//! let taken = consumer.drain(usize::MAX, |kind, payload| assert_eq!((kind, payload.len()), (8, 100)))?;
//! assert_eq!(taken, 36);
//!
//! drop(producer);
//! assert_eq!(consumer.try_pop(&mut payload), Err(PopError::Closed));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # In memory
//!
//! | offset | bytes | written by | |
//! | --- | --- | --- | --- |
//! | 0 | 8 | producer | tail: bytes that were ever published; bit 0, in a session: it was rewound, and nothing since is known to be freed |
//! | 8 | 8 | producer | its end of a queue: 0 vacant, 1 taken, 2 closed (unused in a session) |
//! | 16 | 8 | who made a queue | its capacity (unused in a session) |
//! | 24 | 8 | producer | ack: up to where it has freed the ring that leads back to it (only in a session) |
//! | 128 | 8 | consumer | head: bytes that were ever freed |
//! | 136 | 8 | consumer | its end of a queue |
//! | 192 | 8 | consumer | where a successor begins, if that is ahead of the head (only in a session's requests) |
//! | 256 | 8 | producer | its sleep word: odd while it waits for room (unused in a queue) |
//! | 384 | 8 | consumer | its sleep word: odd while it waits for records, or does not watch the ring (the same) |
//! | 512 | | producer | records; their state words also the consumer |
//!
//! Words are in the machine's byte order; what is not named is reserved and zero. Indices are free-running and
//! multiples of 8; the byte with index `i` is at `512 + i mod memory`, where the memory is what follows, a power of two. A queue's
//! capacity, also one, may be less: so much is in use at a time. A record
//! in a queue is a word (bits 0 to 31 the payload's length, 32 to 47 its kind, 48 to 63 zero) and the payload, filled
//! up with zeros to a multiple of 8. Each of the first four lines is 128 bytes long, so that two words with
//! different writers are never fetched together, not even by a processor that fetches lines in pairs.

mod consumer;
pub(crate) mod corrupt;
pub(crate) mod cursor;
pub(crate) mod ledger;
pub(crate) mod memory;
mod named;
mod pace;
mod producer;
pub(crate) mod raw;
pub(crate) mod record;
pub(crate) mod sleep;
pub(crate) mod word;

pub use consumer::{Consumer, PopError, Record};
pub use corrupt::Corrupt;
pub use named::pair;
pub use producer::{Batch, Producer, PushError};

#[cfg(test)]
mod killer;
#[cfg(test)]
mod rewinds;
#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) use self::{killer::kill_after, tests::Random};
