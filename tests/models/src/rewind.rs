//! A producer that goes on where the memory begins, as the consumer has freed everything: every record arrives once, whole
//! and in order, though each lies where the one before it did; also where either is followed by another one.

use loom::thread;
use std::sync::Arc;

use crate::cursor::{ConsumerCursor, ProducerCursor, Refused};
use crate::parts::{Cell, Orders, Right, Ring, WeakAcquire, WeakRelease, explore};
use crate::word::Word;

/// Which step is made wrong.
#[derive(Clone, Copy, PartialEq)]
enum Step {
    None,
    /// The consumer frees a record before it has read it.
    FreesEarly,
    /// The tail does not say that the ring was rewound.
    RewindsUntold,
    /// Whoever follows takes the tail for an index and nothing else.
    FollowsUntold,
}

/// Who is followed by another one before each record.
#[derive(Clone, Copy, PartialEq)]
enum Follows {
    Nobody,
    Producer,
    Consumer,
}

/// In two slots the second record would lie in the other one, were the ring not rewound.
///
/// Whoever follows has what its own side has stored last from here, not from the ring: a load by the thread that stored it
/// would keep loom from trying other orders of the store and the other thread's loads.
fn transfer<O: Orders>(ring: Ring<O>, records: u64, follows: Follows, wrong: Step) {
    let ring = Arc::new(ring);
    let shared = Arc::clone(&ring);
    let seen_by_next = move |tail| match wrong {
        Step::FollowsUntold => index(tail),
        _ => tail,
    };
    let producer = thread::spawn(move || {
        let ring = shared;
        let mut cursor: ProducerCursor = ring.producer();
        let stored = Cell::<O>::new(ring.start());
        for record in 1..=records {
            if follows == Follows::Producer {
                let tail = seen_by_next(stored.load_relaxed());
                cursor = ring.producer_from(tail, ring.head.load_acquire());
            }
            cursor.look(&ring.head).unwrap();
            cursor.rewind();
            let at = loop {
                match cursor.reserve(8, &ring.head) {
                    Ok(at) => break at,
                    Err(Refused::Full) => thread::yield_now(),
                    Err(Refused::Corrupt(why)) => panic!("{why}"),
                }
            };
            ring.write(at, record);
            cursor.publish(&stored);
            ring.tail.store_release(match wrong {
                Step::RewindsUntold => index(stored.load_relaxed()),
                _ => stored.load_relaxed(),
            });
        }
    });
    let mut cursor: ConsumerCursor = ring.consumer();
    let mut freed = ring.start();
    for expected in 1..=records {
        while cursor.known() == 0 && cursor.look_on(&ring.tail).unwrap() == 0 {
            thread::yield_now();
        }
        if follows == Follows::Consumer {
            // It died after it had seen the record, before it freed anything.
            let tail = seen_by_next(ring.tail.load_acquire());
            cursor = ring.consumer_from(freed, tail);
        }
        let at = cursor.next();
        cursor.advance(8);
        if wrong == Step::FreesEarly {
            cursor.release(cursor.next(), &ring.head);
        }
        let got = ring.read(at);
        if wrong != Step::FreesEarly {
            cursor.release(cursor.next(), &ring.head);
        }
        freed = cursor.head();
        assert_eq!(got, expected, "another record");
    }
    producer.join().unwrap();
}

/// A tail without what it says besides.
fn index(tail: u64) -> u64 {
    tail & !7
}

#[test]
fn records_arrive_through_a_ring_that_is_rewound_whenever_it_is_empty() {
    explore(Some(3), || {
        transfer(Ring::<Right>::rewinding(2), 3, Follows::Nobody, Step::None)
    });
}

#[test]
fn whoever_follows_goes_on_where_the_ring_was_rewound_to() {
    explore(Some(3), || {
        transfer(
            Ring::<Right>::rewinding(2),
            3,
            Follows::Producer,
            Step::None,
        )
    });
    explore(Some(3), || {
        transfer(Ring::<Right>::new(4), 2, Follows::Producer, Step::None)
    });
    explore(Some(3), || {
        transfer(
            Ring::<Right>::rewinding(2),
            3,
            Follows::Consumer,
            Step::None,
        )
    });
}

#[test]
#[should_panic]
fn twin_a_record_that_is_freed_before_it_is_read_is_found() {
    explore(Some(3), || {
        transfer(
            Ring::<Right>::rewinding(2),
            3,
            Follows::Nobody,
            Step::FreesEarly,
        )
    });
}

#[test]
#[should_panic]
fn twin_a_rewind_that_is_not_told_is_found() {
    explore(Some(3), || {
        transfer(
            Ring::<Right>::rewinding(2),
            3,
            Follows::Nobody,
            Step::RewindsUntold,
        )
    });
}

#[test]
#[should_panic]
fn twin_a_consumer_that_follows_and_is_not_told_is_found() {
    explore(Some(3), || {
        transfer(
            Ring::<Right>::rewinding(2),
            3,
            Follows::Consumer,
            Step::FollowsUntold,
        )
    });
}

#[test]
#[should_panic]
fn twin_a_producer_that_follows_and_is_not_told_is_found() {
    explore(Some(3), || {
        // Its first record lies where the memory begins, though the indices were at its end.
        transfer(
            Ring::<Right>::new(4),
            2,
            Follows::Producer,
            Step::FollowsUntold,
        )
    });
}

#[test]
#[should_panic]
fn twin_stores_that_do_not_release_are_found() {
    explore(Some(3), || {
        transfer(
            Ring::<WeakRelease>::rewinding(2),
            2,
            Follows::Nobody,
            Step::None,
        )
    });
}

#[test]
#[should_panic]
fn twin_loads_that_do_not_acquire_are_found() {
    explore(Some(3), || {
        transfer(
            Ring::<WeakAcquire>::rewinding(2),
            2,
            Follows::Nobody,
            Step::None,
        )
    });
}
