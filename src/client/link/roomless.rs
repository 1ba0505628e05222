//! Clients that leave their server no room for answers, and how it learns that there is some.

use std::os::fd::AsFd;

use super::wronged::request;
use crate::client::missed::*;
use crate::client::{Client, ClientOptions, Request};
use crate::directory::testing::Scratch;
use crate::server::{Incoming, Server};
use crate::sys::clock::Deadline;
use crate::sys::poll;

/// Nearly a quarter of the smallest ring, which is the most that one may take.
const ANSWER: [u8; 950] = [7; 950];
const FIT: usize = 4;

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
