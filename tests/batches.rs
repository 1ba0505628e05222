//! Requests, one-way messages and answers that are shown to the other side together.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what a test does not expect ends it"
)]

mod common;

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use common::{SOON, Scratch, wait_readable};
use osps_ipc::{
    Client, ClientOptions, Event, Incoming, ReplyBatch, Request, RequestKind, Server,
    ServerOptions, Wait,
};

const ECHO: RequestKind = RequestKind::new("echo");

fn serve(at: &Path) -> Server {
    ServerOptions::new().directory(at).bind("svc").unwrap()
}

/// A client whose rings hold 4 KiB, which `server` lets in.
fn connect(at: &Path, server: &mut Server) -> Client {
    connect_with(at, server, 4096)
}

fn connect_with(at: &Path, server: &mut Server, capacity: usize) -> Client {
    let options = ClientOptions::new()
        .directory(at)
        .capacity(capacity, capacity);
    thread::scope(|scope| {
        let connecting = scope.spawn(|| options.connect("svc", SOON).unwrap());
        let event = server.next_timeout(SOON).unwrap();
        assert!(matches!(event, Some(Event::Connected(_))), "{event:?}");
        connecting.join().unwrap()
    })
}

fn pair(at: &Path) -> (Server, Client) {
    let mut server = serve(at);
    let client = connect(at, &mut server);
    (server, client)
}

fn asked(server: &mut Server) -> Incoming {
    match server.next_timeout(SOON).unwrap() {
        Some(Event::Request(incoming)) => incoming,
        other => panic!("{other:?}"),
    }
}

/// As [`asked`], whatever else comes before.
fn begun(server: &mut Server) -> Incoming {
    let end = Instant::now() + SOON / 4;
    while Instant::now() < end {
        if let Some(Event::Request(incoming)) = server.next_timeout(SOON / 100).unwrap() {
            return incoming;
        }
    }
    panic!("nothing is asked")
}

/// The bytes of all replies that are there now.
fn answers(client: &mut Client) -> Vec<Vec<u8>> {
    let mut answers = Vec::new();
    while let Some(reply) = client.try_next_reply().unwrap() {
        answers.push(reply.into_answer().unwrap().into_vec());
    }
    answers
}

/// Leaves the service as a crash does.
fn die(server: Server) {
    let death = catch_unwind(AssertUnwindSafe(|| {
        let _dying = server;
        resume_unwind(Box::new(()));
    }));
    assert!(death.is_err());
}

fn submit(client: &mut Client, texts: &[&str]) {
    let mut batch = client.batch(SOON);
    for text in texts {
        batch.submit(Request::new(ECHO, text)).unwrap();
    }
}

fn echo_in(batch: &mut ReplyBatch, incoming: Incoming) {
    let mut bytes = vec![0; usize::try_from(incoming.payload().len()).unwrap()];
    incoming.payload().read_at(0, &mut bytes).unwrap();
    incoming.reply_in(batch, &bytes).unwrap();
}

#[test]
fn a_batch_is_seen_when_it_is_published_or_dropped() {
    let at = Scratch::new();
    let (mut server, mut client) = pair(at.path());
    let mut batch = client.batch(SOON);
    batch.submit(Request::new(ECHO, "1")).unwrap();
    assert!(batch.notify(Request::new(ECHO, "2")).unwrap());
    assert!(server.try_next().unwrap().is_none());
    batch.publish();
    let first = asked(&mut server);
    assert_eq!(first.payload().as_slice(), Some(&b"1"[..]));
    assert!(
        first
            .time_left()
            .is_some_and(|left| left <= SOON + Duration::from_secs(1))
    );
    assert!(matches!(server.try_next().unwrap(), Some(Event::Notify(_))));
    batch.submit(Request::new(ECHO, "3")).unwrap();
    assert!(server.try_next().unwrap().is_none());
    drop(batch);
    assert_eq!(asked(&mut server).payload().as_slice(), Some(&b"3"[..]));
    assert_eq!(client.outstanding(), 2);
}

#[test]
fn one_that_the_server_sleeps_for_wakes_it_once() {
    let at = Scratch::new();
    let (mut server, mut client) = pair(at.path());
    let serving = thread::spawn(move || {
        let mut batch = ReplyBatch::new();
        for _ in 0..3 {
            echo_in(&mut batch, asked(&mut server));
        }
        drop(batch);
        server
    });
    submit(&mut client, &["1", "2", "3"]);
    for expected in ["1", "2", "3"] {
        let reply = client.next_reply(SOON).unwrap().unwrap();
        assert_eq!(reply.into_answer().unwrap().into_vec(), expected.as_bytes());
    }
    drop(serving.join().unwrap());
}

#[test]
fn more_than_the_rings_hold_is_answered_in_order_both_ways() {
    let at = Scratch::new();
    let (mut server, mut client) = pair(at.path());
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut batch = ReplyBatch::new();
            for _ in 0..2000 {
                echo_in(&mut batch, asked(&mut server));
            }
        });
        let mut batch = client.batch(SOON);
        for number in 0..2000_u32 {
            // Some are too long for the ring.
            let len = if number % 100 == 7 { 5000 } else { 4 };
            let mut bytes = vec![1; len];
            bytes[..4].copy_from_slice(&number.to_le_bytes());
            batch.submit(Request::new(ECHO, &bytes)).unwrap();
        }
        drop(batch);
        for number in 0..2000_u32 {
            let reply = client.next_reply(SOON).unwrap().unwrap();
            let mut bytes = [0; 4];
            let answer = reply.into_answer().unwrap();
            answer.read_at(0, &mut bytes).unwrap();
            assert_eq!(u32::from_le_bytes(bytes), number);
        }
        assert_eq!(client.outstanding(), 0);
    });
}

#[test]
fn a_message_without_room_is_dropped_and_those_before_it_are_shown() {
    let at = Scratch::new();
    let (mut server, mut client) = pair(at.path());
    let mut batch = client.batch(SOON);
    let mut sent = 0;
    while batch.notify(Request::new(ECHO, &[7; 100])).unwrap() {
        sent += 1;
    }
    assert!((4096 / 256..4096 / 128).contains(&sent), "{sent}");
    for _ in 0..sent {
        assert!(matches!(server.try_next().unwrap(), Some(Event::Notify(_))));
    }
    drop(batch);
    assert!(server.try_next().unwrap().is_none());
    assert_eq!(client.dropped(), 1);
}

#[test]
fn answers_are_shown_when_they_are_published_or_the_server_looks_on() {
    let at = Scratch::new();
    let (mut server, mut client) = pair(at.path());
    let mut batch = ReplyBatch::new();
    submit(&mut client, &["1", "2", "3", "4", "5"]);
    let mut held: Vec<_> = (0..5).map(|_| asked(&mut server)).collect();
    echo_in(&mut batch, held.remove(0));
    echo_in(&mut batch, held.remove(0));
    assert_eq!(answers(&mut client), Vec::<Vec<u8>>::new());
    batch.publish();
    assert_eq!(answers(&mut client), [b"1", b"2"]);
    echo_in(&mut batch, held.remove(0));
    // One that is in no batch does not overtake it.
    held.remove(0).reply("4").unwrap();
    assert_eq!(answers(&mut client), [b"3", b"4"]);
    echo_in(&mut batch, held.remove(0));
    assert_eq!(answers(&mut client), Vec::<Vec<u8>>::new());
    assert!(server.try_next().unwrap().is_none());
    assert_eq!(answers(&mut client), [b"5"]);
    assert_eq!(client.outstanding(), 0);
}

#[test]
fn nothing_is_put_off_that_the_server_does_not_come_back_for() {
    let at = Scratch::new();
    let mut server = serve(at.path());
    let (mut client, mut other) = (
        connect_with(at.path(), &mut server, 8192),
        connect_with(at.path(), &mut server, 8192),
    );
    let mut batch = ReplyBatch::new();
    submit(&mut client, &["1"]);
    let late = asked(&mut server);
    assert!(server.try_next().unwrap().is_none());
    echo_in(&mut batch, late);
    assert_eq!(answers(&mut client), [b"1"]);
    // The last one of a turn is followed by the turns of others.
    submit(&mut client, &["x"; 33]);
    submit(&mut other, &["y"; 33]);
    let mut first = Vec::new();
    for _ in 0..32 {
        let incoming = asked(&mut server);
        first = incoming.payload().as_slice().unwrap().to_vec();
        echo_in(&mut batch, incoming);
    }
    let shown = answers(&mut client).len() + answers(&mut other).len();
    assert_eq!(shown, 32);
    let next = asked(&mut server);
    assert_ne!(next.payload().as_slice().unwrap(), first);
    echo_in(&mut batch, next);
    drop(batch);
    let shown = answers(&mut client).len() + answers(&mut other).len();
    assert_eq!(shown, 1);
}

#[test]
fn answers_that_were_not_shown_when_the_server_died_are_given_again() {
    let at = Scratch::new();
    let (mut server, mut client) = pair(at.path());
    let mut batch = ReplyBatch::new();
    submit(&mut client, &["1", "2"]);
    echo_in(&mut batch, asked(&mut server));
    die(server);
    batch.publish();
    assert_eq!(answers(&mut client), Vec::<Vec<u8>>::new());
    let mut server = serve(at.path());
    let mut begun = Vec::new();
    while begun.len() < 2 {
        if let Some(Event::Request(incoming)) = server.next_timeout(SOON).unwrap() {
            begun.push(incoming.is_redelivered());
            echo_in(&mut batch, incoming);
        }
    }
    drop(batch);
    assert_eq!(begun, [true, false]);
    assert_eq!(answers(&mut client), [b"1", b"2"]);
    assert_eq!((client.outstanding(), client.unwanted()), (0, 0));
}

#[test]
fn an_answer_that_was_shown_is_not_given_again_though_one_before_it_is_open() {
    let at = Scratch::new();
    let (mut server, mut client) = pair(at.path());
    submit(&mut client, &["1", "2", "3"]);
    let mut held: Vec<_> = (0..3).map(|_| asked(&mut server)).collect();
    let mut batch = ReplyBatch::new();
    echo_in(&mut batch, held.remove(1));
    drop(batch);
    assert_eq!(answers(&mut client), [b"2"]);
    die(server);
    drop(held);
    let mut server = serve(at.path());
    for expected in ["1", "3"] {
        let incoming = begun(&mut server);
        let payload = incoming.payload().as_slice();
        assert_eq!(payload, Some(expected.as_bytes()));
        incoming.reply(expected).unwrap();
    }
    assert!(server.try_next().unwrap().is_none());
    assert_eq!(answers(&mut client), [b"1", b"3"]);
    assert_eq!(client.unwanted(), 0);
}

#[test]
fn a_thread_that_answers_may_put_off_too() {
    let at = Scratch::new();
    let (mut server, mut client) = pair(at.path());
    submit(&mut client, &["1", "2", "3"]);
    let held: Vec<_> = (0..3).map(|_| asked(&mut server)).collect();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut batch = ReplyBatch::new();
            for incoming in held {
                echo_in(&mut batch, incoming);
            }
        });
    });
    assert_eq!(answers(&mut client), [b"1", b"2", b"3"]);
    assert!(server.try_next().unwrap().is_none());
}

#[test]
fn an_answer_of_another_session_shows_those_before_it() {
    let at = Scratch::new();
    let mut server = serve(at.path());
    let (mut one, mut two) = (
        connect(at.path(), &mut server),
        connect(at.path(), &mut server),
    );
    submit(&mut two, &["b"]);
    let late = asked(&mut server);
    submit(&mut one, &["a"]);
    let mut batch = ReplyBatch::new();
    echo_in(&mut batch, asked(&mut server));
    assert!(answers(&mut one).is_empty());
    echo_in(&mut batch, late);
    assert_eq!(answers(&mut one), [b"a"]);
    assert_eq!(answers(&mut two), [b"b"]);
}

#[test]
fn a_full_ring_shows_what_is_in_it() {
    let at = Scratch::new();
    let (mut server, mut client) = pair(at.path());
    submit(&mut client, &["x"; 12]);
    let held: Vec<_> = (0..12).map(|_| asked(&mut server)).collect();
    let mut batch = ReplyBatch::new();
    for incoming in held {
        incoming.reply_in(&mut batch, &[1; 900]).unwrap();
    }
    let shown = answers(&mut client).len();
    assert!((3..=4).contains(&shown), "{shown}");
}

#[test]
fn a_server_that_ends_shows_what_was_put_off() {
    let at = Scratch::new();
    let (mut server, mut client) = pair(at.path());
    submit(&mut client, &["1"]);
    let mut batch = ReplyBatch::new();
    echo_in(&mut batch, asked(&mut server));
    drop(server);
    assert_eq!(answers(&mut client), [b"1"]);
}

#[test]
fn a_suspect_whose_answer_nobody_saw_is_over_with_its_session() {
    let at = Scratch::new();
    let mut server = serve(at.path());
    let (mut one, mut two) = (
        connect(at.path(), &mut server),
        connect(at.path(), &mut server),
    );
    submit(&mut one, &["1"]);
    submit(&mut two, &["2"]);
    let held = [asked(&mut server), asked(&mut server)];
    die(server);
    drop(held);
    // Suspects are run one at a time, for as long as it takes.
    let options = ServerOptions::new().directory(at.path()).trial(SOON);
    let mut server = options.bind("svc").unwrap();
    let mut batch = ReplyBatch::new();
    let first = begun(&mut server);
    assert!(first.is_redelivered());
    let is_first = first.payload().as_slice() == Some(&b"1"[..]);
    first.reply_in(&mut batch, "").unwrap();
    let (leaves, mut stays) = if is_first { (one, two) } else { (two, one) };
    drop(leaves);
    // It hears of the good-bye before it looks for the next request.
    server.arm().unwrap();
    drop(batch);
    begun(&mut server).reply("done").unwrap();
    assert_eq!(answers(&mut stays), [b"done"]);
}

#[test]
fn a_batch_has_one_deadline_for_all_that_is_in_it() {
    let at = Scratch::new();
    let (mut server, mut client) = pair(at.path());
    let mut batch = client.batch(SOON);
    batch.submit(Request::new(ECHO, "short")).unwrap();
    thread::sleep(Duration::from_millis(50));
    batch.submit(Request::new(ECHO, &[7; 20_000])).unwrap();
    drop(batch);
    let (short, long) = (asked(&mut server), asked(&mut server));
    assert!(short.time_left().unwrap() >= long.time_left().unwrap());
}

#[test]
fn a_batch_that_is_forgotten_is_shown_before_its_client_sleeps() {
    let at = Scratch::new();
    let (mut server, mut client) = pair(at.path());
    let mut batch = client.batch(SOON);
    batch.submit(Request::new(ECHO, "1")).unwrap();
    std::mem::forget(batch);
    assert!(server.try_next().unwrap().is_none());
    assert!(client.arm().unwrap());
    asked(&mut server).reply("1").unwrap();
    assert_eq!(answers(&mut client), [b"1"]);
}

#[test]
fn a_forgotten_batch_is_shown_by_whatever_its_client_does_next() {
    let put = |client: &mut Client| {
        let mut batch = client.batch(SOON);
        for _ in 0..4 {
            assert!(batch.notify(Request::new(ECHO, &[0; 900])).unwrap());
        }
        std::mem::forget(batch);
    };
    let acts: [fn(Client) -> Option<Client>; 4] = [
        |mut client| {
            assert!(client.try_next_reply().unwrap().is_none());
            Some(client)
        },
        |mut client| {
            assert!(client.arm().unwrap());
            Some(client)
        },
        |mut client| {
            // There is no room for a fifth.
            assert!(!client.notify(Request::new(ECHO, &[0; 900])).unwrap());
            Some(client)
        },
        |client| {
            drop(client);
            None
        },
    ];
    for act in acts {
        let at = Scratch::new();
        let (mut server, mut client) = pair(at.path());
        put(&mut client);
        assert!(server.try_next().unwrap().is_none());
        let _client = act(client);
        for _ in 0..4 {
            assert!(matches!(server.try_next().unwrap(), Some(Event::Notify(_))));
        }
    }
}

#[test]
fn who_never_sleeps_waits_for_what_stands_in_a_forgotten_batch_too() {
    let at = Scratch::new();
    let mut server = serve(at.path());
    thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let options = ClientOptions::new().directory(at.path()).wait(Wait::Spin);
            let mut client = options.connect("svc", SOON).unwrap();
            let mut batch = client.batch(SOON);
            batch.submit(Request::new(ECHO, "1")).unwrap();
            std::mem::forget(batch);
            client.next_reply(SOON).unwrap().expect("its answer");
        });
        begun(&mut server).reply("1").unwrap();
        asking.join().unwrap();
    });
}

#[test]
fn answers_are_shown_before_the_program_hears_of_anything_else() {
    let at = Scratch::new();
    let mut server = serve(at.path());
    let mut clients = [(); 2].map(|()| connect_with(at.path(), &mut server, 64 << 10));
    // Of the second one fewer than its turn, so that turns do not end when bells are looked at.
    for (client, count) in clients.iter_mut().zip([500, 5]) {
        submit(client, &vec!["x"; count]);
    }
    let mut batch = ReplyBatch::new();
    let mut answered = 0;
    // Then both bells were heard, and the next one is that of who knocks.
    let mut sessions = HashSet::new();
    while sessions.len() < 2 {
        let incoming = asked(&mut server);
        sessions.insert(incoming.peer().session());
        echo_in(&mut batch, incoming);
        answered += 1;
    }
    thread::scope(|scope| {
        let options = ClientOptions::new().directory(at.path());
        let knocking = scope.spawn(move || options.connect("svc", SOON).unwrap());
        wait_readable(&server, SOON);
        loop {
            match server.next_timeout(SOON).unwrap() {
                Some(Event::Request(incoming)) => echo_in(&mut batch, incoming),
                Some(Event::Connected(_)) => break,
                other => panic!("{other:?}"),
            }
            answered += 1;
        }
        let shown: usize = clients.iter_mut().map(|client| answers(client).len()).sum();
        assert_eq!(shown, answered);
        knocking.join().unwrap();
    });
    assert!(answered < 505);
}
