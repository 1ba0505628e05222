//! Crashes, broken peers and idleness: what must hold whatever the other side does.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what a test does not expect ends it"
)]

mod common;
#[path = "recovery/crashes.rs"]
mod crashes;
#[path = "recovery/crowd.rs"]
mod crowd;
#[path = "recovery/doors.rs"]
mod doors;
#[path = "recovery/fairness.rs"]
mod fairness;
#[path = "recovery/idle.rs"]
mod idle;
#[path = "recovery/large.rs"]
mod large;
#[path = "recovery/lies.rs"]
mod lies;
#[path = "recovery/poison.rs"]
mod poison;
#[path = "recovery/roles.rs"]
mod roles;
#[path = "recovery/routes.rs"]
mod routes;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::SOON;
use osps_ipc::{
    Client, ClientOptions, Error, Event, Incoming, Request, RequestKind, Server, ServerOptions,
    Wait,
};

const ECHO: RequestKind = RequestKind::new("echo");

fn server(at: &Path) -> Server {
    ServerOptions::new().directory(at).bind("svc").unwrap()
}

fn client(at: &Path) -> Client {
    ClientOptions::new()
        .directory(at)
        .connect("svc", SOON)
        .unwrap()
}

/// Also when a test fails, so that it ends.
struct Stopper<'a>(&'a AtomicBool);

impl Drop for Stopper<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Connects while `server` is driven in this thread.
fn connect(server: &mut Server, at: &Path) -> Client {
    std::thread::scope(|scope| {
        let connecting = scope.spawn(|| client(at));
        // Not another process's: this thread would stop driving the server before this client is let in.
        let own = Some(std::process::id());
        until(
            server,
            |event| matches!(event, Event::Connected(peer) if peer.pid() == own),
        );
        connecting.join().unwrap()
    })
}

/// Drives the server until an event is the one that is waited for, and gives that. Other requests are answered.
fn until(server: &mut Server, mut is_it: impl FnMut(&Event) -> bool) -> Event {
    let end = Instant::now() + SOON;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let event = server
            .next_timeout(left)
            .unwrap()
            .expect("the event that was waited for");
        if is_it(&event) {
            return event;
        }
        if let Event::Request(request) = event {
            echo(request);
        }
    }
}

fn echo(mut request: Incoming) {
    let payload = request.take_payload().into_vec();
    // A client that has gone meanwhile is its own affair.
    let _ = request.reply(&payload);
}

/// A call that is answered by a server in this thread.
fn call(server: &mut Server, client: &mut Client, text: &str) {
    client.submit(Request::new(ECHO, text), SOON).unwrap();
    match until(server, |event| matches!(event, Event::Request(_))) {
        Event::Request(request) => echo(request),
        _ => unreachable!(),
    }
    let reply = client.next_reply(SOON).unwrap().expect("an answer");
    let answer = reply.into_answer().unwrap();
    assert_eq!(answer.into_vec(), text.as_bytes());
}
