//! The crash matrix: each role is killed before and after every system call of what it does, and after every store into
//! shared memory; and stopped there. Whoever is left must go on.
//!
//! As part of `cargo test` some of the points are tried: how many stands in each test, which ones is told by a seed.
//! All of them:
//!
//! ```text
//! OSPS_IPC_CRASHES=all cargo test --test crashes -- --nocapture
//! ```
//!
//! `OSPS_IPC_CRASHES_SEED=N` tries the same points again.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what a test does not expect ends it"
)]

mod clients;
#[path = "../common/mod.rs"]
mod common;
mod hosts;
mod programs;
mod roles;
mod servers;
mod steps;
mod table;
mod trace;
mod victim;
