//! Two rings between a client and a server, each of which says beside the tail of its own what it has freed of the other: both
//! rings are rewound, so that every message lies where the one before it did, and each arrives whole.

use loom::thread;
use std::sync::Arc;

use crate::parts::{Orders, Right, Ring, WeakAcquire, WeakRelease, explore};
use crate::word::Word;

/// Which step is made wrong.
#[derive(Clone, Copy, PartialEq)]
enum Step {
    None,
    /// The client says that it has freed a reply which it reads only later.
    ReadsLate,
    /// A server says that it has freed a request, and dies before it has.
    DiesBeforeItFrees,
}

/// Whether another server follows after each answer.
#[derive(Clone, Copy, PartialEq)]
enum Follows {
    Nobody,
    Server,
}

struct Session<O: Orders> {
    requests: Ring<O>,
    replies: Ring<O>,
}

/// The answer to a request.
fn answer_to(request: u64) -> u64 {
    request + 100
}

fn serve<O: Orders>(session: &Session<O>, calls: u64, follows: Follows, wrong: Step) {
    let Session { requests, replies } = session;
    let (mut takes, mut answers) = (requests.consumer(), replies.producer());
    let mut freed = requests.start();
    for call in 1..=calls {
        while takes.known() == 0 && takes.look_on(&requests.tail).unwrap() == 0 {
            thread::yield_now();
        }
        let request = requests.read(takes.next());
        assert_eq!(request, call, "another request");
        takes.advance(8);
        answers.hear(requests.ack.load_acquire());
        answers.rewind();
        let at = answers.reserve(8, &replies.head).unwrap();
        replies.write(at, answer_to(request));
        answers.publish(&replies.tail);
        let end = takes.next();
        if wrong != Step::DiesBeforeItFrees {
            takes.release(end, &requests.head);
            freed = end;
        }
        replies.ack.store_release(end);
        if follows == Follows::Server {
            takes = requests.consumer_from(freed, requests.tail.load_acquire());
        }
    }
}

fn call<O: Orders>(calls: u64, follows: Follows, wrong: Step) {
    let session = Arc::new(Session {
        requests: Ring::<O>::rewinding(2),
        replies: Ring::<O>::rewinding(2),
    });
    let shared = Arc::clone(&session);
    let server = thread::spawn(move || serve(&shared, calls, follows, wrong));
    let Session { requests, replies } = &*session;
    let (mut submits, mut receives) = (requests.producer(), replies.consumer());
    let mut late = None;
    for call in 1..=calls {
        receives.release(receives.next(), &replies.head);
        submits.hear(replies.ack.load_acquire());
        submits.rewind();
        let at = submits.reserve(8, &requests.head).unwrap();
        requests.write(at, call);
        requests.ack.store_release(receives.head());
        submits.publish(&requests.tail);
        if let Some((at, expected)) = late.take() {
            assert_eq!(replies.read(at), expected, "another reply");
        }
        while receives.look_on(&replies.tail).unwrap() == 0 {
            thread::yield_now();
        }
        let reply = (receives.next(), answer_to(call));
        receives.advance(8);
        match wrong {
            Step::ReadsLate => late = Some(reply),
            _ => assert_eq!(replies.read(reply.0), reply.1, "another reply"),
        }
    }
    server.join().unwrap();
}

#[test]
fn messages_arrive_though_each_lies_where_the_one_before_it_did() {
    explore(Some(3), || call::<Right>(3, Follows::Nobody, Step::None));
}

#[test]
fn a_server_that_follows_finds_no_message_that_was_written_over() {
    explore(Some(3), || call::<Right>(3, Follows::Server, Step::None));
}

#[test]
#[should_panic]
fn twin_a_reply_that_is_freed_before_it_is_read_is_found() {
    explore(Some(3), || {
        call::<Right>(3, Follows::Nobody, Step::ReadsLate)
    });
}

#[test]
#[should_panic]
fn twin_a_request_that_is_said_to_be_freed_before_it_is_is_found() {
    explore(Some(3), || {
        call::<Right>(3, Follows::Server, Step::DiesBeforeItFrees)
    });
}

#[test]
#[should_panic]
fn twin_stores_that_do_not_release_are_found() {
    explore(Some(3), || {
        call::<WeakRelease>(2, Follows::Nobody, Step::None)
    });
}

#[test]
#[should_panic]
fn twin_loads_that_do_not_acquire_are_found() {
    explore(Some(3), || {
        call::<WeakAcquire>(2, Follows::Nobody, Step::None)
    });
}
