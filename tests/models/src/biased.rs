//! The lock that is nearly free for its owner: no two are inside at once, and nobody waits for ever. What it guards is
//! plain memory, so that loom reports two that are inside at once; it reports who waits for ever as a deadlock.
//!
//! Loom knows no `membarrier(2)`. That call and the owner's compiler fence are a sequentially consistent fence each.
//! The kernel puts a full barrier somewhere into the owner's instructions, whose write and look the compiler has left
//! in their order. If it falls before the look, the look finds what was written before the call; if after, the owner's
//! write comes before it, and who called finds that. Of two sequentially consistent fences one comes first, which gives
//! the same two cases: the call's manual, too, has a compiler fence and the call ordered as two full barriers are. Two
//! compiler fences are not, but here they are always those of one thread, the owner.
//!
//! Loom remembers only the last access to an atomic. Who comes loads a flag before it stores to it, and so hides that
//! the store and the owner's loads have more than one order. So each step first writes to a word that nobody reads: it
//! orders nothing, and loom tries the steps in every order.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use loom::cell::UnsafeCell;
use loom::sync::atomic::fence;
use loom::sync::{Mutex, MutexGuard};
use loom::thread::{self, JoinHandle};

use crate::parts::explore;

#[path = "../../../src/sys/biased/lock.rs"]
mod lock;

/// What is wrong with what the lock stands on.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    None,
    /// The owner's compiler fences order nothing.
    NoOwnersFence,
    /// The kernel's barrier does nothing.
    NoBarrier,
    /// Who comes does not look whether the owner is inside.
    NoLook,
    /// The owner wakes nobody when it leaves.
    NoWake,
    /// The owner's leaving does not come after what it did inside.
    WeakRelease,
    /// Who sees the owner leave does not see what it did inside.
    WeakAcquire,
}

/// The owner is the first to ask.
const OWNER: u64 = 0;

std::thread_local! {
    /// Of the model that this thread explores: loom runs all threads of a model in one.
    static FAULT: Cell<Fault> = const { Cell::new(Fault::None) };
    /// The number of the next thread of the model that asks for one.
    static NEXT: Cell<u64> = const { Cell::new(OWNER) };
}

fn is(fault: Fault) -> bool {
    FAULT.get() == fault
}

loom::lazy_static! {
    static ref STEPS: loom::sync::atomic::AtomicU64 = loom::sync::atomic::AtomicU64::new(0);
}

/// Lets loom try another thread's step before this one.
fn step() {
    STEPS.store(0, Ordering::Relaxed);
}

#[derive(Debug)]
struct AtomicBool(loom::sync::atomic::AtomicBool);

impl AtomicBool {
    fn new(value: bool) -> Self {
        Self(loom::sync::atomic::AtomicBool::new(value))
    }

    fn load(&self, order: Ordering) -> bool {
        step();
        if order == Ordering::Acquire && is(Fault::NoLook) && number() != OWNER {
            return false;
        }
        let weak = is(Fault::WeakAcquire);
        self.0.load(if weak { Ordering::Relaxed } else { order })
    }

    fn store(&self, value: bool, order: Ordering) {
        step();
        let weak = is(Fault::WeakRelease);
        self.0
            .store(value, if weak { Ordering::Relaxed } else { order });
    }
}

struct Condvar(loom::sync::Condvar);

impl Condvar {
    fn new() -> Self {
        Self(loom::sync::Condvar::new())
    }

    fn wait<'a>(&self, guard: MutexGuard<'a, ()>) -> std::sync::LockResult<MutexGuard<'a, ()>> {
        self.0.wait(guard)
    }

    fn notify_all(&self) {
        if !is(Fault::NoWake) {
            self.0.notify_all();
        }
    }
}

fn compiler_fence(order: Ordering) {
    step();
    if !is(Fault::NoOwnersFence) {
        fence(order);
    }
}

fn barrier() {
    step();
    if !is(Fault::NoBarrier) {
        fence(Ordering::SeqCst);
    }
}

fn has_barrier() -> bool {
    true
}

fn number() -> u64 {
    loom::thread_local! {
        static NUMBER: u64 = NEXT.replace(NEXT.get() + 1);
    }
    NUMBER.with(|number| *number)
}

type Counter = lock::Biased<UnsafeCell<u64>>;

fn add(value: &UnsafeCell<u64>) {
    value.with_mut(|value| unsafe { *value += 1 });
}

/// This thread is the owner.
fn begin(fault: Fault) -> Arc<Counter> {
    FAULT.set(fault);
    NEXT.set(OWNER);
    // Makes the word before there are other threads.
    step();
    Arc::new(Counter::new(UnsafeCell::new(0)))
}

/// This many threads that go inside once each.
fn come(counter: &Arc<Counter>, others: u64) -> Vec<JoinHandle<()>> {
    let others = (0..others).map(|_| {
        let counter = Arc::clone(counter);
        thread::spawn(move || add(&counter.lock()))
    });
    others.collect()
}

/// The owner goes round for a last time, when the others have gone.
fn end(counter: &Counter, others: Vec<JoinHandle<()>>, expected: u64) {
    for other in others {
        other.join().unwrap();
    }
    assert!(!counter.is_owned());
    assert_eq!(counter.lock().with(|value| unsafe { *value }), expected);
}

/// The owner goes inside so many times while the others come.
fn meet(fault: Fault, times: u64, others: u64) {
    let counter = begin(fault);
    let threads = come(&counter, others);
    for _ in 0..times {
        add(&counter.lock());
    }
    end(&counter, threads, times + others);
}

/// The owner is inside when the others come.
fn wait(fault: Fault, others: u64) {
    let counter = begin(fault);
    let inside = counter.lock();
    let threads = come(&counter, others);
    add(&inside);
    drop(inside);
    end(&counter, threads, 1 + others);
}

#[test]
fn the_owner_and_another_are_never_inside_at_once() {
    explore(Some(5), || meet(Fault::None, 1, 1));
}

#[test]
fn the_owner_that_goes_inside_again_and_another_are_never_inside_at_once() {
    explore(Some(3), || meet(Fault::None, 2, 1));
}

#[test]
fn the_owner_and_two_others_are_never_inside_at_once() {
    explore(Some(3), || meet(Fault::None, 1, 2));
}

#[test]
fn one_that_waits_for_the_owner_is_woken() {
    explore(None, || wait(Fault::None, 1));
}

#[test]
fn two_that_wait_for_the_owner_are_woken() {
    explore(Some(3), || wait(Fault::None, 2));
}

#[test]
#[should_panic(expected = "Causality violation")]
fn twin_a_missing_fence_of_the_owner_is_found_going_inside() {
    explore(None, || meet(Fault::NoOwnersFence, 1, 1));
}

#[test]
#[should_panic(expected = "deadlock")]
fn twin_a_missing_fence_of_the_owner_is_found_leaving() {
    explore(None, || wait(Fault::NoOwnersFence, 1));
}

#[test]
#[should_panic(expected = "Causality violation")]
fn twin_a_missing_barrier_is_found() {
    explore(None, || meet(Fault::NoBarrier, 1, 1));
}

#[test]
#[should_panic(expected = "Causality violation")]
fn twin_a_missing_look_for_the_owner_is_found() {
    explore(None, || meet(Fault::NoLook, 1, 1));
}

#[test]
#[should_panic(expected = "deadlock")]
fn twin_a_missing_wake_is_found() {
    explore(None, || wait(Fault::NoWake, 1));
}

#[test]
#[should_panic(expected = "Causality violation")]
fn twin_a_weaker_store_on_leaving_is_found() {
    explore(None, || wait(Fault::WeakRelease, 1));
}

#[test]
#[should_panic(expected = "Causality violation")]
fn twin_a_weaker_look_for_the_owner_is_found() {
    explore(None, || wait(Fault::WeakAcquire, 1));
}
