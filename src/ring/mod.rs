//! A single-producer single-consumer queue of records in shared memory.

mod consumer;
pub(crate) mod corrupt;
pub(crate) mod cursor;
pub(crate) mod ledger;
pub(crate) mod memory;
mod producer;
pub(crate) mod raw;
pub(crate) mod record;
pub(crate) mod sleep;

pub use consumer::{Consumer, PopError, Record};
pub use corrupt::Corrupt;
pub use producer::{Batch, Producer, PushError};

#[cfg(test)]
mod tests;
