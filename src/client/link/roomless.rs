//! Clients that leave their server no room for answers, and how it learns that there is some.

use std::os::fd::AsFd;
use std::sync::atomic::Ordering;

use super::wronged::request;
use crate::client::missed::*;
use crate::client::{Client, ClientOptions, Request};
use crate::directory::testing::Scratch;
use crate::server::{End, Event, Incoming, Server};
use crate::sys::clock::Deadline;
use crate::sys::poll;

/// Nearly a quarter of the smallest ring, which is the most that one may take.
const ANSWER: [u8; 950] = [7; 950];
const FIT: usize = 4;
/// More looks than between two looks for bells.
const LOOKS: usize = 1024;

fn connect(server: &mut Server, at: &Scratch) -> Client {
    let options = ClientOptions::new().directory(at.path());
    let_in(server, || {
        options.capacity(32 << 10, 4096).connect("svc", SOON)
    })
}

fn ask(client: &mut Client, count: usize) {
    for _ in 0..count {
        client.submit(Request::new(ECHO, "x"), SOON).unwrap();
    }
}

fn asked(server: &mut Server, count: usize) -> Vec<Incoming> {
    (0..count).map(|_| request(server)).collect()
}

/// Whether somebody has rung.
fn is_rung(server: &Server) -> bool {
    poll::any_readable(&[server.as_fd()], Deadline::passed()).unwrap()
}

fn take_all(client: &mut Client) -> usize {
    std::iter::from_fn(|| client.try_next_reply().unwrap()).count()
}

#[test]
fn a_server_that_looks_finds_room_without_being_rung() {
    const MANY: usize = 5 * FIT;
    let at = Scratch::new();
    let mut server = bind(&at, "svc");
    let mut client = connect(&mut server, &at);
    ask(&mut client, MANY);
    for request in asked(&mut server, MANY) {
        request.reply(&ANSWER).unwrap();
    }
    // It has slept before.
    assert!(server.arm().unwrap());
    let mut answered = take_all(&mut client);
    assert!(is_rung(&server));
    while answered < MANY {
        assert!(server.try_next().unwrap().is_none());
        answered += take_all(&mut client);
        assert!(!is_rung(&server), "after {answered}");
    }
}

#[test]
fn an_answer_that_finds_no_room_when_the_server_has_seen_that_nothing_is_asked_is_sent_when_there_is_some()
 {
    let at = Scratch::new();
    let mut server = bind(&at, "svc");
    let mut client = connect(&mut server, &at);
    ask(&mut client, FIT + 1);
    let asked = asked(&mut server, FIT + 1);
    assert!(server.try_next().unwrap().is_none());
    for request in asked {
        request.reply(&ANSWER).unwrap();
    }
    let mut answered = take_all(&mut client);
    // A bell is looked for once in so many looks.
    for _ in 0..=LOOKS {
        assert!(server.try_next().unwrap().is_none());
        answered += take_all(&mut client);
    }
    assert_eq!(answered, FIT + 1);
}

#[test]
fn what_comes_too_late_does_not_keep_a_draining_server_awake() {
    let at = Scratch::new();
    let mut server = bind(&at, "svc");
    let mut client = connect(&mut server, &at);
    ask(&mut client, 1);
    let in_hand = request(&mut server);
    server.drain(SOON);
    ask(&mut client, 1);
    while server.try_next().unwrap().is_some() {}
    assert!(server.arm().unwrap());
    in_hand.reply("").unwrap();
    assert!(is_rung(&server));
    assert!(matches!(server.try_next().unwrap(), Some(Event::Drained)));
}

#[test]
fn a_client_that_leaves_and_does_not_ring_is_seen_to_before_the_server_sleeps() {
    let at = Scratch::new();
    let mut server = bind(&at, "svc");
    let mut client = connect(&mut server, &at);
    client.notify(Request::new(ECHO, "last words")).unwrap();
    let line = &client.link(0).unwrap().memory.client;
    line.leaving.store(1, Ordering::Relaxed);
    assert!(matches!(server.try_next().unwrap(), Some(Event::Notify(_))));
    assert!(server.try_next().unwrap().is_none());
    assert!(!server.arm().unwrap());
    let event = server.try_next().unwrap();
    assert!(
        matches!(event, Some(Event::Disconnected(_, End::Left))),
        "{event:?}"
    );
    assert!(server.arm().unwrap());
}

#[test]
fn a_ring_that_breaks_while_an_answer_waits_for_room_ends_its_session_before_sleep() {
    let at = Scratch::new();
    let mut server = bind(&at, "svc");
    let mut client = connect(&mut server, &at);
    ask(&mut client, FIT + 1);
    for request in asked(&mut server, FIT + 1) {
        request.reply(&ANSWER).unwrap();
    }
    let control = client.link(0).unwrap().memory.replies.control();
    control.head.store(1 << 60, Ordering::Relaxed);
    assert!(!server.arm().unwrap());
    let event = server.try_next().unwrap();
    assert!(
        matches!(event, Some(Event::Disconnected(_, End::Corrupt(_)))),
        "{event:?}"
    );
}

#[test]
fn a_server_that_sleeps_is_rung_when_there_is_room() {
    let at = Scratch::new();
    let mut server = bind(&at, "svc");
    let mut client = connect(&mut server, &at);
    ask(&mut client, 2 * FIT);
    for request in asked(&mut server, 2 * FIT) {
        request.reply(&ANSWER).unwrap();
    }
    let mut answered = 0;
    while answered < 2 * FIT {
        assert!(server.arm().unwrap() && !is_rung(&server));
        let taken = take_all(&mut client);
        assert!(taken > 0);
        answered += taken;
        assert_eq!(is_rung(&server), answered < 2 * FIT, "after {answered}");
        assert!(server.try_next().unwrap().is_none());
    }
}

#[test]
fn what_a_thread_answers_while_the_server_sleeps_brings_it_back_to_what_was_asked() {
    let at = Scratch::new();
    let mut server = bind(&at, "svc");
    let mut client = connect(&mut server, &at);
    ask(&mut client, FIT + 2);
    let mut asked = asked(&mut server, FIT + 2);
    assert!(server.try_next().unwrap().is_none());
    // The last of these has no room, which the server has not seen when it goes to sleep.
    let last = asked.pop().unwrap();
    for request in asked {
        request.reply(&ANSWER).unwrap();
    }
    ask(&mut client, 1);
    assert!(server.arm().unwrap() && !is_rung(&server));
    // The client makes room, and is about to look whether anybody waits for it.
    let link = client.link(0).unwrap();
    while let Ok(Some(found)) = link.replies.peek() {
        link.replies.advance(&found);
    }
    link.replies.release_read();
    std::thread::scope(|scope| scope.spawn(|| last.reply("").unwrap()).join().unwrap());
    assert!(is_rung(&server));
    request(&mut server).reply("").unwrap();
}

#[test]
fn a_session_whose_suspect_waits_for_another_one_is_looked_at_when_there_is_room() {
    let at = Scratch::new();
    let mut before = bind(&at, "svc");
    let mut client = connect(&mut before, &at);
    ask(&mut client, FIT);
    for request in asked(&mut before, FIT) {
        request.reply(&ANSWER).unwrap();
    }
    ask(&mut client, 3);
    let begun = asked(&mut before, 3);
    die(before);
    drop(begun);
    let mut server = bind(&at, "svc");
    // All were in hand at the death: the second one is begun after the trial of the first, and the third waits.
    let [first, second] = [(); 2].map(|()| request(&mut server));
    assert!(server.try_next().unwrap().is_none());
    assert!(server.arm().unwrap() && !is_rung(&server));
    first.reply(&ANSWER).unwrap();
    assert_eq!(take_all(&mut client), FIT);
    assert!(is_rung(&server));
    while take_all(&mut client) == 0 {
        assert!(server.try_next().unwrap().is_none());
    }
    second.reply("").unwrap();
    request(&mut server).reply("").unwrap();
}
