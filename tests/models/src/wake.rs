//! A producer that sleeps for room and a consumer that sleeps for data, each rung by the other: nobody sleeps for
//! ever, and every record arrives. Loom reports a missed bell as a deadlock.

use loom::thread;
use std::ops::RangeInclusive;
use std::sync::Arc;

use crate::cursor::{ProducerCursor, Refused};
use crate::parts::{Bell, Cell, Orders, Right, Ring, WeakFence, explore, readable};
use crate::sleep::{Sleeper, Waker};
use crate::word::Word;

/// A step that a broken sleeper gets wrong.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    None,
    /// It blocks without the second look.
    NoSecondLook,
    /// It uses one number for every sleep.
    SameNumber,
    /// It looks before it says that it sleeps.
    LooksTooEarly,
}

struct Shared<O: Orders> {
    ring: Ring<O>,
    data_bell: Bell,
    room_bell: Bell,
}

/// A sleeper's way to block: says that it sleeps, looks again, waits for the bell.
fn sleep<O: Orders>(
    fault: Fault,
    sleeper: &mut Sleeper,
    word: &Cell<O>,
    bell: &Bell,
    look: impl FnOnce() -> bool,
) {
    let found = match fault {
        Fault::None => !sleeper.may_block(word, look),
        Fault::NoSecondLook => {
            sleeper.begin(word);
            false
        }
        Fault::SameNumber => {
            word.store_relaxed(1);
            Cell::<O>::fence();
            look()
        }
        Fault::LooksTooEarly => {
            let found = look();
            sleeper.begin(word);
            found
        }
    };
    if !found {
        bell.wait();
    }
    sleeper.end(word);
    if fault == Fault::SameNumber {
        word.store_relaxed(0);
    }
}

fn produce<O: Orders>(shared: &Shared<O>, records: u64, sleeps: bool, fault: Fault) {
    produce_on(shared, shared.ring.producer(), 1..=records, sleeps, fault);
}

fn produce_on<O: Orders>(
    shared: &Shared<O>,
    mut cursor: ProducerCursor,
    records: RangeInclusive<u64>,
    sleeps: bool,
    fault: Fault,
) {
    let ring = &shared.ring;
    let mut sleeper = Sleeper::resume(&ring.producer_sleeps);
    let mut waker = Waker::default();
    for value in records {
        let at = loop {
            match cursor.reserve(8, &ring.head) {
                Ok(at) => break at,
                Err(Refused::Full) if sleeps => {
                    let look = || cursor.look(&ring.head).unwrap() > 0;
                    sleep(
                        fault,
                        &mut sleeper,
                        &ring.producer_sleeps,
                        &shared.room_bell,
                        look,
                    );
                }
                Err(Refused::Full) => thread::yield_now(),
                Err(Refused::Corrupt(why)) => panic!("{why}"),
            }
        };
        ring.write(at, value);
        cursor.publish(&ring.tail);
        Cell::<O>::fence();
        if waker.should_ring(&ring.consumer_sleeps) {
            shared.data_bell.ring();
        }
    }
}

fn consume<O: Orders>(shared: &Shared<O>, records: u64, sleeps: bool, fault: Fault) {
    let ring = &shared.ring;
    let mut cursor = ring.consumer();
    let mut sleeper = Sleeper::resume(&ring.consumer_sleeps);
    let mut waker = Waker::default();
    for expected in 1..=records {
        while readable(&mut cursor, &ring.tail) == 0 {
            if sleeps {
                let look = || cursor.look(&ring.tail).unwrap() > 0;
                sleep(
                    fault,
                    &mut sleeper,
                    &ring.consumer_sleeps,
                    &shared.data_bell,
                    look,
                );
            } else {
                thread::yield_now();
            }
        }
        assert_eq!(ring.read(cursor.next()), expected);
        cursor.advance(8);
        cursor.release(cursor.next(), &ring.head);
        Cell::<O>::fence();
        if waker.should_ring(&ring.producer_sleeps) {
            shared.room_bell.ring();
        }
    }
}

/// `slots` records fit; who sleeps is told, the others spin.
fn exchange<O: Orders>(slots: usize, records: u64, producer: bool, consumer: bool, fault: Fault) {
    let shared = Arc::new(Shared {
        ring: Ring::<O>::new(slots),
        data_bell: Bell::new(),
        room_bell: Bell::new(),
    });
    let other = Arc::clone(&shared);
    let thread = thread::spawn(move || produce(&other, records, producer, fault));
    consume(&shared, records, consumer, fault);
    thread.join().unwrap();
}

/// A full ring of one record, a consumer that takes it without waiting, a producer that sleeps for the room: with
/// nobody who spins, a missed bell is a deadlock and not an endless execution.
fn make_room<O: Orders>(fault: Fault) {
    let shared = Arc::new(Shared {
        ring: Ring::<O>::new(1),
        data_bell: Bell::new(),
        room_bell: Bell::new(),
    });
    let mut cursor = shared.ring.producer();
    let at = cursor.reserve(8, &shared.ring.head).unwrap();
    shared.ring.write(at, 1);
    cursor.publish(&shared.ring.tail);
    let other = Arc::clone(&shared);
    let thread = thread::spawn(move || consume(&other, 1, false, Fault::None));
    produce_on(&shared, cursor, 2..=2, true, fault);
    thread.join().unwrap();
}

#[test]
fn a_producer_that_sleeps_for_room_in_a_full_ring_is_woken() {
    explore(None, || make_room::<Right>(Fault::None));
}

#[test]
fn a_consumer_that_sleeps_for_data_is_woken() {
    explore(None, || exchange::<Right>(2, 2, false, true, Fault::None));
}

#[test]
fn a_consumer_that_sleeps_again_is_woken_again() {
    explore(Some(3), || {
        exchange::<Right>(4, 3, false, true, Fault::None)
    });
}

#[test]
fn a_producer_that_sleeps_for_room_is_woken() {
    explore(Some(3), || {
        exchange::<Right>(1, 3, true, false, Fault::None)
    });
}

#[test]
fn both_may_sleep() {
    explore(Some(3), || exchange::<Right>(1, 2, true, true, Fault::None));
}

#[test]
#[should_panic(expected = "deadlock")]
fn twin_a_weaker_fence_is_found_by_sleeping_for_data() {
    explore(Some(3), || {
        exchange::<WeakFence>(2, 2, false, true, Fault::None)
    });
}

#[test]
#[should_panic(expected = "deadlock")]
fn twin_a_weaker_fence_is_found_by_sleeping_for_room() {
    explore(None, || make_room::<WeakFence>(Fault::None));
}

#[test]
#[should_panic(expected = "deadlock")]
fn twin_a_missing_second_look_is_found_for_data() {
    explore(Some(3), || {
        exchange::<Right>(2, 2, false, true, Fault::NoSecondLook)
    });
}

#[test]
#[should_panic(expected = "deadlock")]
fn twin_a_missing_second_look_is_found_for_room() {
    explore(None, || make_room::<Right>(Fault::NoSecondLook));
}

#[test]
#[should_panic(expected = "deadlock")]
fn twin_a_look_before_the_word_is_found() {
    explore(Some(3), || {
        exchange::<Right>(2, 2, false, true, Fault::LooksTooEarly)
    });
}

#[test]
#[should_panic(expected = "deadlock")]
fn twin_one_number_for_every_sleep_is_found() {
    explore(Some(3), || {
        exchange::<Right>(4, 3, false, true, Fault::SameNumber)
    });
}
