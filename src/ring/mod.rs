//! A single-producer single-consumer queue of records in shared memory.

pub(crate) mod corrupt;
pub(crate) mod cursor;
pub(crate) mod record;
pub(crate) mod sleep;

pub use corrupt::Corrupt;
