//! Local inter-process communication on Linux.

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
compile_error!("osps-ipc is for 64-bit Linux");

mod directory;
mod error;
mod fifo;
pub mod request;
pub mod ring;
pub mod segment;
mod sys;

pub use directory::{Directory, Name};
pub use error::{Error, Result};
pub use fifo::{FifoPair, PairState, Received, Sent};
pub use segment::{Fingerprint, ReadOnlySegment, SegmentOptions, SharedLayout, SharedSegment};
