//! Signs of life: a loop that works says so, and a watcher reads it without being seen.
//!
//! A heartbeat is a segment of its own rather than a part of a service's board: any program can have one in any
//! [`Directory`], its readers map nothing else, and an accident with it ends neither the board nor a session. What
//! it says is the beater's own view; who watches judges the *count* by a clock of its own.
//!
//! # Format
//!
//! The payload of the segment, in bytes, after the header that every segment has; every field is a 64-bit word.
//!
//! | offset | what |
//! | --- | --- |
//! | 0 | who beats: boot (two words), pid namespace, pid, start time. The pid is 0 while the segment is being reset |
//! | 128 | the count of beats |
//! | 136 | not zero after the farewell |
//! | 256 | what an even count says: a [`Reading`]'s words (below) |
//! | 384 | what an odd count says |
//!
//! A beat's words: phase, progress, thread, time of the beat on the beater's clock, intervals, their sum in
//! nanoseconds, the sum of their squares in square microseconds, the longest. A beat writes the words of the next
//! count's parity and then the count, so that a beater which is killed in the middle leaves those of the last whole
//! beat, and a reader that finds the count unchanged has read whole words.

mod beater;
mod layout;
mod view;

pub use beater::{Beat, Heartbeat};
pub use view::{HeartbeatView, Reading, Statistics};

/// The name of a service's heartbeat in its directory.
pub(crate) const HEARTBEAT: &str = "heartbeat";

#[cfg(test)]
mod tests;
