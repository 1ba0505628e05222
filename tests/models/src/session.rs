//! A server publishes the reply, then marks the request answered, then frees it: a client that finds room finds
//! the reply too.

use loom::thread;
use std::sync::Arc;

use crate::cursor::Refused;
use crate::parts::{Cell, Orders, Right, Ring, WeakRelease, explore, readable};
use crate::record::{State, answer};

fn answer_one<O: Orders>(reply_first: bool) {
    let requests = Arc::new(Ring::<O>::new(1));
    let replies = Arc::new(Ring::<O>::new(1));
    let state = Arc::new(Cell::<O>::new(State::New.pack()));
    let shared = (
        Arc::clone(&requests),
        Arc::clone(&replies),
        Arc::clone(&state),
    );
    let server = thread::spawn(move || {
        let (requests, replies, state) = shared;
        let mut takes = requests.consumer();
        let mut answers = replies.producer();
        while readable(&mut takes, &requests.tail) == 0 {
            thread::yield_now();
        }
        let request = requests.read(takes.next());
        takes.advance(8);
        if !reply_first {
            takes.release(takes.next(), &requests.head);
        }
        let at = answers.reserve(8, &replies.head).unwrap();
        replies.write(at, request + 1);
        answers.publish(&replies.tail);
        answer(&*state);
        if reply_first {
            takes.release(takes.next(), &requests.head);
        }
    });
    let mut submits = requests.producer();
    let mut receives = replies.consumer();
    let at = submits.reserve(8, &requests.head).unwrap();
    requests.write(at, 1);
    submits.publish(&requests.tail);
    loop {
        match submits.reserve(8, &requests.head) {
            Ok(_) => break,
            Err(Refused::Full) => thread::yield_now(),
            Err(Refused::Corrupt(why)) => panic!("{why}"),
        }
    }
    assert_ne!(
        receives.look(&replies.tail).unwrap(),
        0,
        "room without a reply"
    );
    assert_eq!(replies.read(receives.next()), 2);
    server.join().unwrap();
}

#[test]
fn room_for_the_next_request_means_that_the_reply_is_there() {
    explore(None, || answer_one::<Right>(true));
}

#[test]
#[should_panic(expected = "room without a reply")]
fn twin_a_request_freed_before_its_reply_is_published_is_found() {
    explore(None, || answer_one::<Right>(false));
}

#[test]
#[should_panic]
fn twin_stores_that_do_not_release_are_found() {
    explore(None, || answer_one::<WeakRelease>(true));
}
