//! The crash matrix: each role is killed before and after every system call of what it does, and after every store into
//! shared memory; and stopped there. Whoever is left must go on.
//!
//! As part of `cargo test` some of the points are tried: how many stands in each test, which ones is told by a seed.
//! All of the library's, and more of the example programs':
//!
//! ```text
//! OSPS_IPC_CRASHES=all cargo test --test crashes -- --nocapture
//! ```
//!
//! With `every` no point of the programs is left out either. `every/N` tries one in N, and the seed which: so N processes
//! can share the work, which is mostly waiting. `OSPS_IPC_CRASHES_SEED=M` tries the same points again.

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
mod stops;
mod table;
mod told;
mod trace;
mod victim;
