//! Local inter-process communication on Linux.

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
compile_error!("osps-ipc is for 64-bit Linux");

mod client;
mod directory;
mod error;
mod fifo;
pub mod request;
pub mod ring;
pub mod segment;
mod server;
mod session;
mod sys;

pub use client::{Client, ClientOptions, Rejected, Reply, Request, RequestId};
pub use directory::{Directory, Name};
pub use error::{Error, Result};
pub use fifo::{FifoPair, PairState, Received, Sent};
pub use request::{RequestKind, Status};
pub use segment::{Fingerprint, ReadOnlySegment, SegmentOptions, SharedLayout, SharedSegment};
pub use server::{
    End, Event, Incoming, Notification, Peer, Question, Server, ServerOptions, SessionId, Token,
};
pub use session::{Body, Lease, Payload, Pollable, Reader, Shutdown, Wait, wait_any};
