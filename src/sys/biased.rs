//! A lock that is nearly free for one thread, its *owner*, until another thread takes it for the first time.
//!
//! Locking costs the processor some twenty to a hundred instructions' time, as it has to wait until its writes are
//! seen, and most servers answer in the thread that takes requests. So the owner only writes down that it is inside,
//! and looks whether the lock is shared, with nothing between the two but an order to the compiler. Whoever else
//! comes first says that it is shared, and then has the kernel put a barrier between any two instructions of all other
//! threads of the process (`membarrier(2)`):
//!
//! ```text
//! owner                        another thread, once, under the mutex
//!   inside = true                shared = true
//!   (compiler fence)             membarrier
//!   shared? go around            inside? wait until the owner leaves
//! ```
//!
//! If the owner's barrier falls before its look, that finds the lock shared; if it falls after its look, it falls after
//! its write too, and the other thread finds it inside. From then on all, the owner too, take the mutex. This is
//! biased locking (Kawachiya, Koseki and Onodera, 2002) with the revocation of Dice, Moir and Scherer (2006).
//!
//! `tests/models` checks the protocol. Letting one go may wait for its mutex, for a moment: so none is let go while another
//! is held that was taken after it.

mod lock;

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, compiler_fence};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use rustix::io::Errno;
use rustix::thread::{MembarrierCommand, membarrier};

pub(crate) use lock::{Biased, Guard};

/// A number that no other thread of this process has or had.
#[inline(always)]
fn number() -> u64 {
    thread_local! {
        static NUMBER: Cell<u64> = const { Cell::new(0) };
    }
    match NUMBER.get() {
        0 => {
            static LAST: AtomicU64 = AtomicU64::new(0);
            NUMBER.set(LAST.fetch_add(1, Ordering::Relaxed) + 1);
            NUMBER.get()
        }
        number => number,
    }
}

/// Whether the kernel has the barrier and lets this process use it.
fn has_barrier() -> bool {
    static KNOWN: OnceLock<bool> = OnceLock::new();
    *KNOWN.get_or_init(|| register().and_then(|()| expedite()).is_ok())
}

fn register() -> Result<(), Errno> {
    membarrier(MembarrierCommand::RegisterPrivateExpedited)
}

fn expedite() -> Result<(), Errno> {
    membarrier(MembarrierCommand::PrivateExpedited)
}

/// Returns when each other thread of this process has gone through a full barrier.
fn barrier() {
    // A forked child is another process, and may have to register anew.
    if expedite()
        .or_else(|_| register().and_then(|()| expedite()))
        .is_err()
    {
        // It was there when the lock was made: the process has forbidden itself the call since. Nothing else tells that
        // the owner's writes are seen; on every processor that takes less than microseconds.
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Threads that count to a thousand each in a `Cell` that only the lock makes sound to share.
    fn count(biased: &Biased<Cell<u64>>) {
        for _ in 0..1000 {
            let guard = biased.lock();
            guard.set(guard.get() + 1);
        }
    }

    #[test]
    fn one_at_a_time_is_inside_from_the_first_to_come_on() {
        for round in 0..200 {
            let biased = Biased::new(Cell::new(0));
            assert!(biased.is_owned() || !has_barrier());
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    for _ in 0..round * 10 {
                        std::hint::spin_loop();
                    }
                    count(&biased);
                });
                scope.spawn(|| count(&biased));
                // The owner is inside again and again when they come.
                count(&biased);
            });
            assert!(!biased.is_owned());
            assert_eq!(biased.lock().get(), 3000, "round {round}");
        }
    }

    #[test]
    fn who_comes_while_the_owner_is_inside_waits_until_it_leaves() {
        let biased = Biased::new(Cell::new(0));
        std::thread::scope(|scope| {
            let guard = biased.lock();
            let other = scope.spawn(|| biased.lock().set(2));
            while !biased.shared.load(Ordering::Relaxed) {
                std::thread::yield_now();
            }
            guard.set(1);
            assert!(!other.is_finished());
            drop(guard);
            other.join().unwrap();
            assert_eq!(biased.lock().get(), 2);
        });
    }

    #[test]
    fn without_the_barrier_it_is_a_mutex() {
        let mut biased = Biased::new(Cell::new(0));
        biased.shared = AtomicBool::new(true);
        std::thread::scope(|scope| {
            scope.spawn(|| count(&biased));
            count(&biased);
        });
        assert_eq!(biased.get_mut().get(), 2000);
    }

    #[test]
    fn a_panic_inside_means_nothing() {
        let biased = Biased::new(Cell::new(0));
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let guard = biased.lock();
            guard.set(1);
            std::panic::resume_unwind(Box::new(()));
        }));
        assert!(panicked.is_err());
        assert_eq!(biased.lock().get(), 1);
        std::thread::scope(|scope| {
            scope.spawn(|| assert_eq!(biased.lock().get(), 1));
        });
    }

    #[test]
    fn numbers_are_not_used_again() {
        let here = number();
        let numbers = [(); 4].map(|()| std::thread::spawn(number).join().unwrap());
        let mut all = numbers.to_vec();
        all.push(here);
        all.sort_unstable();
        all.dedup();
        assert_eq!((all.len(), number()), (5, here));
    }
}
