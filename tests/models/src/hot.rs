//! A server with two sessions that it watches while they are hot, and that ring when they are cold: every request
//! is found, whichever session goes cold when.

use std::sync::Arc;

use loom::sync::{Condvar, Mutex};
use loom::thread;

use crate::parts::{Cell, Orders, Right, Ring, WeakFence, explore, readable};
use crate::sleep::{Sleeper, Waker};
use crate::word::Word;

/// What the server does between taking a bell and blocking again.
#[derive(Clone, Copy, PartialEq)]
enum Turn {
    /// A session whose bell was taken is hot again, and cools down under a new number.
    Right,
    /// A session whose bell was taken stays cold under the number that it had.
    KeepsTheNumber,
    /// A session is marked cold without a second look.
    NoSecondLook,
}

/// The kernel's list of sessions that rang.
struct Epoll {
    ready: Mutex<[bool; 2]>,
    some: Condvar,
}

impl Epoll {
    fn ring(&self, session: usize) {
        self.ready.lock().unwrap()[session] = true;
        self.some.notify_one();
    }

    fn wait(&self) -> [bool; 2] {
        let mut ready = self.ready.lock().unwrap();
        while *ready == [false; 2] {
            ready = self.some.wait(ready).unwrap();
        }
        std::mem::take(&mut *ready)
    }
}

fn serve<O: Orders>(clients: usize, requests: u64, turn: Turn) {
    let rings: Arc<[Ring<O>; 2]> = Arc::new([Ring::new(2), Ring::new(2)]);
    let epoll = Arc::new(Epoll {
        ready: Mutex::new([false; 2]),
        some: Condvar::new(),
    });
    let threads: Vec<_> = (0..clients)
        .map(|session| {
            let (rings, epoll) = (Arc::clone(&rings), Arc::clone(&epoll));
            thread::spawn(move || {
                let ring = &rings[session];
                let mut cursor = ring.producer();
                let mut waker = Waker::default();
                for value in 1..=requests {
                    let at = cursor.reserve(8, &ring.head).unwrap();
                    ring.write(at, value);
                    cursor.publish(&ring.tail);
                    Cell::<O>::fence();
                    if waker.should_ring(&ring.consumer_sleeps) {
                        epoll.ring(session);
                    }
                }
            })
        })
        .collect();

    let mut sessions: Vec<_> = (0..clients)
        .map(|session| {
            let ring = &rings[session];
            (
                ring,
                ring.consumer(),
                Sleeper::resume(&ring.consumer_sleeps),
            )
        })
        .collect();
    let mut wanted = requests * clients as u64;
    while wanted > 0 {
        let mut busy = false;
        for (ring, cursor, sleeper) in &mut sessions {
            while readable(cursor, &ring.tail) > 0 {
                busy = true;
                ring.read(cursor.next());
                cursor.advance(8);
                cursor.release(cursor.next(), &ring.head);
                wanted -= 1;
            }
            if wanted == 0 {
                break;
            }
            if !sleeper.is_asleep() {
                match turn {
                    Turn::NoSecondLook => sleeper.begin(&ring.consumer_sleeps),
                    _ => {
                        let look = || cursor.look(&ring.tail).unwrap() > 0;
                        busy |= !sleeper.may_block(&ring.consumer_sleeps, look);
                    }
                }
            }
        }
        if wanted > 0 && !busy {
            let ready = epoll.wait();
            for (session, (ring, _, sleeper)) in sessions.iter_mut().enumerate() {
                if ready[session] && turn != Turn::KeepsTheNumber {
                    sleeper.end(&ring.consumer_sleeps);
                }
            }
        }
    }
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn a_session_that_goes_cold_and_hot_again_is_served() {
    explore(Some(3), || serve::<Right>(1, 2, Turn::Right));
}

#[test]
fn two_sessions_are_served() {
    explore(Some(2), || serve::<Right>(2, 1, Turn::Right));
}

#[test]
#[should_panic(expected = "deadlock")]
fn twin_a_weaker_fence_is_found() {
    explore(Some(3), || serve::<WeakFence>(1, 2, Turn::Right));
}

#[test]
#[should_panic(expected = "deadlock")]
fn twin_going_cold_without_a_second_look_is_found() {
    explore(Some(3), || serve::<Right>(1, 2, Turn::NoSecondLook));
}

#[test]
#[should_panic(expected = "deadlock")]
fn twin_staying_cold_under_the_same_number_is_found() {
    explore(Some(3), || serve::<Right>(1, 2, Turn::KeepsTheNumber));
}
