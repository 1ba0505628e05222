//! A server that never waits, as one in somebody else's loop: what it is asked for now and then must be enough.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what a test does not expect ends it"
)]

mod common;

use std::path::Path;
use std::thread;
use std::time::Duration;

use common::{SOON, Scratch, wait_readable};
use osps_ipc::{Client, ClientOptions, Event, Request, RequestKind, Result, Server, ServerOptions};

const ECHO: RequestKind = RequestKind::new("echo");

type Look = fn(&mut Server) -> Result<Option<Event>>;

const LOOKS: [Look; 2] = [Server::try_next, |server| {
    server.next_timeout(Duration::ZERO)
}];

fn connect(at: &Path) -> Client {
    let options = ClientOptions::new().directory(at);
    options.connect("svc", SOON).unwrap()
}

/// A server with a heartbeat, and a session of which it has just answered a request, so that it looks there first.
fn busy(at: &Path) -> (Server, Client) {
    let options = ServerOptions::new().directory(at);
    let mut server = options.heartbeat(Duration::ZERO).bind("svc").unwrap();
    let mut client = thread::scope(|scope| {
        let connecting = scope.spawn(|| connect(at));
        let event = server.next_timeout(SOON).unwrap();
        assert!(matches!(event, Some(Event::Connected(_))), "{event:?}");
        connecting.join().unwrap()
    });
    client.submit(Request::new(ECHO, ""), SOON).unwrap();
    match server.next_timeout(SOON).unwrap() {
        Some(Event::Request(request)) => request.reply("").unwrap(),
        other => panic!("{other:?}"),
    }
    (server, client)
}

#[test]
fn whoever_knocks_beside_a_busy_session_is_let_in_by_the_next_look() {
    for look in LOOKS {
        let at = Scratch::new();
        let (mut server, _busy) = busy(at.path());
        while look(&mut server).unwrap().is_some() {}
        thread::scope(|scope| {
            let connecting = scope.spawn(|| connect(at.path()));
            wait_readable(&server, SOON);
            let event = look(&mut server).unwrap();
            assert!(matches!(event, Some(Event::Connected(_))), "{event:?}");
            connecting.join().unwrap();
        });
    }
}

#[test]
fn a_drain_whose_time_is_up_is_over_whatever_is_asked() {
    for look in LOOKS {
        let at = Scratch::new();
        let (mut server, mut client) = busy(at.path());
        for _ in 0..10 {
            client.submit(Request::new(ECHO, ""), SOON).unwrap();
        }
        server.drain(Duration::ZERO);
        let event = look(&mut server).unwrap();
        assert!(matches!(event, Some(Event::Drained)), "{event:?}");
        // What is asked for then is still given.
        let event = look(&mut server).unwrap();
        assert!(matches!(event, Some(Event::Request(_))), "{event:?}");
    }
}

#[test]
fn a_look_that_finds_nothing_is_a_sign_of_life() {
    for look in LOOKS {
        let at = Scratch::new();
        let (mut server, _busy) = busy(at.path());
        while look(&mut server).unwrap().is_some() {}
        let before = server.heartbeat().unwrap().count();
        assert!(look(&mut server).unwrap().is_none());
        assert!(server.heartbeat().unwrap().count() > before);
    }
}
