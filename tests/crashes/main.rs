//! The crash matrix: each role is killed, and stopped, before and after every system call of what it does; whoever is
//! left must go on.
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
mod roles;
mod servers;
mod table;
mod trace;
mod victim;
