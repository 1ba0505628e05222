//! Local inter-process communication on Linux that survives crashes.
//!
//! A program is split into processes so that a crash, a hang or a leak in one part does not take the rest down.
//! This crate is what stands between the parts: shared memory for the data, named pipes for the wake-ups, requests that
//! outlive the server. There is no daemon and no thread behind it.
//!
//! ```text
//!                 a session: two rings in a segment, two doorbells
//!  Client  ──── requests ───▶ ┌──────────────────┐ ───▶  Server ──▶ Event::Request
//!     ▲                       │ shared memory    │          │
//!     └─────── replies ────── └──────────────────┘ ◀──── Incoming::reply, from any thread
//!
//!  the segment and the pipes are files in the service's directory:
//!  a server that dies leaves them, and the next one goes on with the same sessions
//! ```
//!
//! # Where to begin
//!
//! * [`Server`] and [`Client`] are the whole of it for most programs; the example on the crate's front page has both.
//! * [`Supervisor`] starts and restarts processes, [`Monitor`] tells dead from hung from merely busy, [`Heartbeat`] is
//!   what a watched loop beats.
//! * [`SharedSegment`], [`FifoPair`] and [`ring`] are the parts, each usable alone; [`detector`] and [`restart`] are the
//!   rules of supervision, without a clock or a process.
//! * [`request`] is the wire format, for implementations in other languages.
//! * [`faq`] says why it is built this way and not another.
//!
//! In the source, each layer uses only those below it:
//!
//! ```text
//! 5  server  client  monitor  supervisor    the roles' machinery
//! 4  session                                rings + doorbells, large payloads, waiting
//! 3  ring  heartbeat                        what is laid out in shared memory
//! 2  segment  fifo  directory               the named things
//! 1  sys                                    the only door to the operating system
//! 0  error  request  detector  restart  quarantine  ring::{cursor, record, sleep}
//!                                           pure: no I/O, no clock, no memory
//! ```
//!
//! # Trade-offs
//!
//! * A session maps 68 KiB and costs the server two descriptors; idle, it costs nothing else.
//! * By default a waiter spins for 20 µs before it sleeps, and for up to 200 µs where that was seen to pay: fast where
//!   messages come quickly, and as much of a core for each wait that turns out long. [`Wait::Park`] does without.
//! * A request is copied into the ring and out of it; only what is longer than a quarter of the ring is handed over
//!   without a copy. For short messages the copy is cheaper than any protocol that avoids it.
//! * Requests are executed at least once. Exactly once needs the handler's help: [`Token`].
//! * Linux only, 64-bit only.
//!
//! # What it does not do
//!
//! Cross machines, talk to other users' processes, persist anything, authenticate beyond the directory's owner, run
//! threads, or hold an async runtime: a [`Server`] and a [`Client`] are descriptors that any reactor can wait for.

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
compile_error!("osps-ipc is for 64-bit Linux");

mod client;
pub mod detector;
mod directory;
mod error;
pub mod faq;
mod fifo;
mod heartbeat;
mod monitor;
mod quarantine;
pub mod request;
pub mod restart;
pub mod ring;
pub mod segment;
mod server;
mod session;
pub mod supervisor;
mod sys;

pub use client::{Batch, Client, ClientOptions, Rejected, Reply, Request, RequestId};
pub use directory::{Directory, Name};
pub use error::{Error, Result};
pub use fifo::{FifoPair, PairState, Received, Sent};
pub use heartbeat::{Beat, Heartbeat, HeartbeatView, Reading, Statistics};
pub use monitor::{Monitor, MonitorOptions, Probed, Report, ToldBy};
pub use request::{RequestKind, Status};
pub use segment::{Fingerprint, ReadOnlySegment, SegmentOptions, SharedLayout, SharedSegment};
pub use server::{
    End, Event, Figures, Incoming, Notification, Peer, Question, ReplyBatch, Server, ServerOptions,
    SessionId, Token,
};
pub use session::{Body, Lease, Payload, Pollable, Reader, Shutdown, Wait, wait_any};
pub use supervisor::{Supervisor, SupervisorOptions};

/// Runs the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
