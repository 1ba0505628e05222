//! A producer and a consumer that spin: every record arrives once, whole and in order, over full rings and the
//! wrap of the indices.

use loom::thread;
use std::sync::Arc;

use crate::cursor::Refused;
use crate::parts::{Orders, Right, Ring, WeakAcquire, WeakRelease, explore, readable};

/// What a consumer does with a record, in which order.
#[derive(Clone, Copy, PartialEq)]
enum Frees {
    AfterReading,
    BeforeReading,
}

fn transfer<O: Orders>(slots: usize, records: u64, batch: u64, frees: Frees) {
    let ring = Arc::new(Ring::<O>::new(slots));
    let shared = Arc::clone(&ring);
    let producer = thread::spawn(move || {
        let mut cursor = shared.producer();
        let mut next = 1;
        while next <= records {
            match cursor.reserve(8, &shared.head) {
                Ok(at) => {
                    shared.write(at, next);
                    if next % batch == 0 || next == records {
                        cursor.publish(&shared.tail);
                    }
                    next += 1;
                }
                Err(Refused::Full) => {
                    cursor.publish(&shared.tail);
                    thread::yield_now();
                }
                Err(Refused::Corrupt(why)) => panic!("{why}"),
            }
        }
    });
    let mut cursor = ring.consumer();
    for expected in 1..=records {
        while readable(&mut cursor, &ring.tail) == 0 {
            thread::yield_now();
        }
        let at = cursor.next();
        cursor.advance(8);
        if frees == Frees::BeforeReading {
            cursor.release(cursor.next(), &ring.head);
        }
        let got = ring.read(at);
        if frees == Frees::AfterReading {
            cursor.release(cursor.next(), &ring.head);
        }
        assert_eq!(got, expected, "another record");
    }
    producer.join().unwrap();
}

#[test]
fn records_arrive_through_a_ring_that_is_always_full_and_wraps() {
    explore(None, || transfer::<Right>(1, 2, 1, Frees::AfterReading));
}

#[test]
fn records_arrive_through_a_ring_of_two() {
    explore(Some(3), || transfer::<Right>(2, 3, 1, Frees::AfterReading));
}

#[test]
fn batches_arrive() {
    explore(Some(3), || transfer::<Right>(2, 4, 2, Frees::AfterReading));
}

#[test]
#[should_panic(expected = "Causality violation")]
fn twin_a_publish_without_release_is_found() {
    explore(None, || {
        transfer::<WeakRelease>(2, 2, 1, Frees::AfterReading)
    });
}

#[test]
#[should_panic(expected = "Causality violation")]
fn twin_a_look_without_acquire_is_found() {
    explore(None, || {
        transfer::<WeakAcquire>(2, 2, 1, Frees::AfterReading)
    });
}

#[test]
#[should_panic(expected = "Causality violation")]
fn twin_a_record_freed_before_it_is_read_is_found() {
    explore(Some(3), || transfer::<Right>(1, 2, 1, Frees::BeforeReading));
}
