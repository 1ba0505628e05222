//! A server that dies after it has passed a one-way message and before it has given its room back: its successor does not
//! find the message, and gives the room.

use loom::thread;
use std::sync::Arc;

use crate::parts::{Orders, Right, Ring, WeakAcquire, WeakRelease, explore, readable};
use crate::word::Word;

/// What the two servers do.
#[derive(Clone, Copy, PartialEq)]
enum Step {
    Right,
    /// The successor begins at the head.
    Forgets,
    /// The first one reads what it has passed already.
    PassesEarly,
}

/// A ring for one record. The first server takes a message, passes it and is never heard of again; that it has died is known by
/// nothing but what it wrote, so that nothing else orders what the two do. The client needs no thread of its own: that it sees what
/// is freed is another model's matter.
fn take_over<O: Orders>(step: Step) {
    let ring = Arc::new(Ring::<O>::new(1));
    let start = ring.head.load_relaxed();
    let mut client = ring.producer();
    let at = client.reserve(8, &ring.head).unwrap();
    ring.write(at, 1);
    client.publish(&ring.tail);
    let shared = Arc::clone(&ring);
    let dies = thread::spawn(move || {
        let ring = shared;
        let mut first = ring.consumer();
        assert_eq!(readable(&mut first, &ring.tail), 8);
        let at = first.next();
        first.advance(8);
        if step == Step::PassesEarly {
            first.pass(first.next(), &ring.done);
        }
        assert_eq!(ring.read(at), 1);
        if step != Step::PassesEarly {
            first.pass(first.next(), &ring.done);
        }
    });
    while ring.done.load_relaxed() == start {
        thread::yield_now();
    }
    let mut second = ring.next_consumer();
    if step != Step::Forgets {
        second.go_on(&ring.done, &ring.head).unwrap();
    }
    assert_eq!(second.known(), 0, "handed out again");
    let at = client.reserve(8, &ring.head).expect("room");
    ring.write(at, 2);
    client.publish(&ring.tail);
    assert_eq!(readable(&mut second, &ring.tail), 8);
    assert_eq!(ring.read(second.next()), 2);
    dies.join().unwrap();
}

#[test]
fn what_was_passed_is_not_found_again_and_its_room_is_given() {
    explore(None, || take_over::<Right>(Step::Right));
}

#[test]
#[should_panic(expected = "handed out again")]
fn twin_a_successor_that_begins_at_the_head_is_found() {
    explore(None, || take_over::<Right>(Step::Forgets));
}

#[test]
#[should_panic(expected = "Causality violation")]
fn twin_a_message_that_is_passed_before_it_is_read_is_found() {
    explore(None, || take_over::<Right>(Step::PassesEarly));
}

#[test]
#[should_panic(expected = "Causality violation")]
fn twin_stores_that_do_not_release_are_found() {
    explore(None, || take_over::<WeakRelease>(Step::Right));
}

#[test]
#[should_panic(expected = "Causality violation")]
fn twin_loads_that_do_not_acquire_are_found() {
    explore(None, || take_over::<WeakAcquire>(Step::Right));
}
