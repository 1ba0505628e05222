//! Two rings between a client and a server, each of which says beside the tail of its own what it has freed of the other: both
//! rings are rewound, so that every message lies where the one before it did. A server dies after any of its stores, and the
//! next one takes up both rings; what it finds it answers once more.

use loom::thread;
use std::sync::Arc;

use crate::parts::{Cell, Orders, Right, Ring, WeakAcquire, WeakRelease, explore};
use crate::word::Word;

/// Which step is made wrong.
#[derive(Clone, Copy, PartialEq)]
enum Step {
    None,
    /// The client says that it has freed a reply which it reads only later.
    ReadsLate,
    /// The client hears of what is freed, and acquires nothing.
    ClientHearsWeakly,
    /// So does the server.
    ServerHearsWeakly,
    /// The server says what it has freed, and releases nothing.
    ServerTellsWeakly,
}

/// What a server has done in a call when it dies.
#[derive(Clone, Copy, PartialEq)]
enum Dies {
    Never,
    /// The reply is published.
    Answered,
    /// The request is freed too.
    Freed,
    /// And the client told.
    Told,
    /// The client is told, and nothing freed: wrong.
    ToldNotFreed,
}

/// A server dies in this call.
const FATAL: u64 = 1;

struct Session<O: Orders> {
    requests: Ring<O>,
    replies: Ring<O>,
}

fn answer_to(request: u64) -> u64 {
    request + 100
}

fn hear<O: Orders>(ack: &Cell<O>, weakly: bool) -> u64 {
    match weakly {
        true => ack.load_relaxed(),
        false => ack.load_acquire(),
    }
}

/// What a server has stored last it has from here, not from the rings: see `rewind`.
fn serve<O: Orders>(session: &Session<O>, calls: u64, dies: Dies, wrong: Step) {
    let Session { requests, replies } = session;
    let (mut takes, mut answers) = (requests.consumer(), replies.producer());
    let (mut freed, stored) = (requests.start(), Cell::<O>::new(replies.start()));
    let (mut dies, mut expected) = (dies, 1);
    while expected <= calls {
        while takes.known() == 0 && takes.look_on(&requests.tail).unwrap() == 0 {
            thread::yield_now();
        }
        let request = requests.read(takes.next());
        assert_eq!(request, expected, "another request");
        takes.advance(8);
        answers.hear(hear(&requests.ack, wrong == Step::ServerHearsWeakly));
        answers.rewind();
        let at = answers.reserve(8, &replies.head).unwrap();
        replies.write(at, answer_to(request));
        answers.publish(&stored);
        replies.tail.store_release(stored.load_relaxed());
        let done = match request {
            FATAL => dies,
            _ => Dies::Never,
        };
        let end = takes.next();
        if !matches!(done, Dies::Answered | Dies::ToldNotFreed) {
            takes.release(end, &requests.head);
            (freed, expected) = (end, request + 1);
        }
        match done {
            Dies::Answered | Dies::Freed => {}
            _ if wrong == Step::ServerTellsWeakly => replies.ack.store_relaxed(end),
            _ => replies.ack.store_release(end),
        }
        if done != Dies::Never {
            dies = Dies::Never;
            takes = requests.consumer_from(freed, requests.tail.load_acquire());
            answers = replies.producer_from(stored.load_relaxed(), replies.head.load_acquire());
        }
    }
}

fn call<O: Orders>(slots: usize, calls: u64, dies: Dies, wrong: Step) {
    let session = Arc::new(Session {
        requests: Ring::<O>::rewinding(slots),
        replies: Ring::<O>::rewinding(slots),
    });
    let shared = Arc::clone(&session);
    let server = thread::spawn(move || serve(&shared, calls, dies, wrong));
    let Session { requests, replies } = &*session;
    let (mut submits, mut receives) = (requests.producer(), replies.consumer());
    let mut late = None;
    for call in 1..=calls {
        receives.release(receives.next(), &replies.head);
        submits.hear(hear(&replies.ack, wrong == Step::ClientHearsWeakly));
        submits.rewind();
        let at = submits.reserve(8, &requests.head).unwrap();
        requests.write(at, call);
        requests.ack.store_release(receives.head());
        submits.publish(&requests.tail);
        if let Some((at, expected)) = late.take() {
            assert_eq!(replies.read(at), expected, "another reply");
        }
        loop {
            while receives.known() == 0 && receives.look_on(&replies.tail).unwrap() == 0 {
                thread::yield_now();
            }
            let at = receives.next();
            receives.advance(8);
            if wrong == Step::ReadsLate {
                late = Some((at, answer_to(call)));
                break;
            }
            let reply = replies.read(at);
            if reply == answer_to(call) {
                break;
            }
            assert_eq!(reply, answer_to(FATAL), "another reply");
        }
    }
    server.join().unwrap();
}

/// With one step made wrong, which has to be found.
fn fails(dies: Dies, wrong: Step) {
    explore(Some(2), move || call::<Right>(4, 3, dies, wrong));
}

#[test]
fn messages_arrive_though_each_lies_where_the_one_before_it_did() {
    explore(Some(3), || call::<Right>(2, 3, Dies::Never, Step::None));
}

#[test]
fn a_server_that_follows_finds_what_is_not_answered_and_nothing_that_was_written_over() {
    for dies in [Dies::Answered, Dies::Freed, Dies::Told] {
        explore(Some(3), move || call::<Right>(4, 4, dies, Step::None));
    }
}

#[test]
#[should_panic]
fn twin_a_reply_that_is_freed_before_it_is_read_is_found() {
    fails(Dies::Never, Step::ReadsLate);
}

#[test]
#[should_panic]
fn twin_a_request_that_is_said_to_be_freed_before_it_is_is_found() {
    fails(Dies::ToldNotFreed, Step::None);
}

#[test]
#[should_panic]
fn twin_a_client_that_hears_and_does_not_acquire_is_found() {
    fails(Dies::Answered, Step::ClientHearsWeakly);
}

#[test]
#[should_panic]
fn twin_a_server_that_hears_and_does_not_acquire_is_found() {
    fails(Dies::Answered, Step::ServerHearsWeakly);
}

#[test]
#[should_panic]
fn twin_a_server_that_tells_and_does_not_release_is_found() {
    fails(Dies::Answered, Step::ServerTellsWeakly);
}

#[test]
#[should_panic]
fn twin_stores_that_do_not_release_are_found() {
    explore(Some(3), || {
        call::<WeakRelease>(2, 2, Dies::Never, Step::None)
    });
}

#[test]
#[should_panic]
fn twin_loads_that_do_not_acquire_are_found() {
    explore(Some(3), || {
        call::<WeakAcquire>(2, 2, Dies::Never, Step::None)
    });
}
