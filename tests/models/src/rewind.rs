//! A producer that goes on where the memory begins, as the consumer has freed everything: every record arrives once, whole
//! and in order, though each lies where the one before it did.

use loom::thread;
use std::sync::Arc;

use crate::cursor::{ConsumerCursor, ProducerCursor, Refused};
use crate::parts::{Orders, Right, Ring, WeakAcquire, WeakRelease, explore};

/// Which step is made wrong.
#[derive(Clone, Copy, PartialEq)]
enum Step {
    None,
    /// The consumer frees a record before it has read it.
    FreesEarly,
    /// The producer says where it went after the tail that goes beyond that.
    RewindsLate,
}

/// Two slots: the second record would lie in the other one, were the ring not rewound.
fn transfer<O: Orders>(records: u64, wrong: Step) {
    let ring = Arc::new(Ring::<O>::rewinding(2));
    let shared = Arc::clone(&ring);
    let producer = thread::spawn(move || {
        let ring = shared;
        let mut cursor: ProducerCursor = ring.producer();
        for record in 1..=records {
            let scratch = Ring::<O>::rewinding(2);
            let rewound = match wrong {
                Step::RewindsLate => &scratch.rewound,
                _ => &ring.rewound,
            };
            cursor.rewind(&ring.head, rewound).unwrap();
            let at = loop {
                match cursor.reserve(8, &ring.head) {
                    Ok(at) => break at,
                    Err(Refused::Full) => thread::yield_now(),
                    Err(Refused::Corrupt(why)) => panic!("{why}"),
                }
            };
            ring.write(at, record);
            cursor.publish(&ring.tail);
            if wrong == Step::RewindsLate {
                ring.copy_rewound(&scratch);
            }
        }
    });
    let mut cursor: ConsumerCursor = ring.consumer();
    for expected in 1..=records {
        while cursor.known() == 0 && cursor.look_on(&ring.tail, &ring.rewound).unwrap() == 0 {
            thread::yield_now();
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
        assert_eq!(got, expected, "another record");
    }
    producer.join().unwrap();
}

#[test]
fn records_arrive_through_a_ring_that_is_rewound_whenever_it_is_empty() {
    explore(Some(3), || transfer::<Right>(3, Step::None));
}

#[test]
#[should_panic]
fn twin_a_record_that_is_freed_before_it_is_read_is_found() {
    explore(Some(3), || transfer::<Right>(3, Step::FreesEarly));
}

#[test]
#[should_panic]
fn twin_a_rewind_that_is_told_after_its_tail_is_found() {
    explore(Some(3), || transfer::<Right>(2, Step::RewindsLate));
}

#[test]
#[should_panic]
fn twin_stores_that_do_not_release_are_found() {
    explore(Some(3), || transfer::<WeakRelease>(2, Step::None));
}

#[test]
#[should_panic]
fn twin_loads_that_do_not_acquire_are_found() {
    explore(Some(3), || transfer::<WeakAcquire>(2, Step::None));
}
