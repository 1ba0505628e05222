//! What both ends of a session share: where things stand in its segment, its large payloads, how it waits.

mod broken;
mod buffer;
pub(crate) mod handover;
pub(crate) mod layout;
mod lease;
mod payload;
mod pollable;
pub(crate) mod wait;

pub(crate) use broken::Broken;
pub(crate) use buffer::Buffer;
pub use lease::Lease;
pub(crate) use payload::BodyKind;
pub use payload::{Body, Payload, Reader};
pub use pollable::{Pollable, Shutdown, wait_any};
pub use wait::Wait;
