//! Looks for bytes on which the message decoder breaks a promise. The promises stand in
//! `tests/decoder/check.rs`; `cargo test --test decoder` checks them on the corpus without a fuzzer.
//!
//! ```text
//! cargo install --locked cargo-fuzz
//! mkdir -p fuzz/corpus/request
//! cargo +nightly fuzz run request fuzz/corpus/request tests/corpus/request -- -max_total_time=60
//! ```
//!
//! New inputs go to `fuzz/corpus/request`, which is not kept. One that found a mistake belongs into
//! `tests/corpus/request`, under a name that says what it is.

#![no_main]

#[path = "../../tests/decoder/check.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|data: &[u8]| check::check(data));
