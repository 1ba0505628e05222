//! The protocols of the ring and of the biased lock under every order that the memory model allows, within loom's
//! bounds.
//!
//! The arithmetic, the orderings, the sleep words and the lock are the crate's own files; the words they work on are
//! loom's, with orderings that a test can weaken. Each model has twins that must fail: one with a weaker
//! ordering or fence, or with a step left out or moved. A model that is blind cannot pass its twins.
#![cfg(test)]
#![allow(dead_code, reason = "what the models do not use of the included files")]

#[path = "../../../src/ring/corrupt.rs"]
mod corrupt;
#[path = "../../../src/ring/cursor.rs"]
mod cursor;
#[path = "../../../src/ring/killer.rs"]
mod killer;
#[path = "../../../src/ring/record.rs"]
mod record;
#[path = "../../../src/ring/sleep.rs"]
mod sleep;
#[path = "../../../src/ring/word.rs"]
mod word;

mod ack;
mod biased;
mod cancel;
mod hot;
mod parts;
mod passed;
mod queue;
mod rewind;
mod session;
mod wake;
