//! Words, memory and bells for the models.

use std::marker::PhantomData;

use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicU64, Ordering, fence};
use loom::sync::{Condvar, Mutex};

use crate::cursor::{ConsumerCursor, ProducerCursor};
use crate::word::Word;

/// The orderings of a model: the right ones unless it says otherwise.
pub trait Orders: Send + Sync + 'static {
    const RELEASE: Ordering = Ordering::Release;
    const ACQUIRE: Ordering = Ordering::Acquire;
    const FENCE: Ordering = Ordering::SeqCst;
    const EXCHANGES: bool = true;
}

/// What the crate does.
pub struct Right;
impl Orders for Right {}

/// A publish that orders nothing.
pub struct WeakRelease;
impl Orders for WeakRelease {
    const RELEASE: Ordering = Ordering::Relaxed;
}

/// A look that orders nothing.
pub struct WeakAcquire;
impl Orders for WeakAcquire {
    const ACQUIRE: Ordering = Ordering::Relaxed;
}

/// A fence that lets a store pass a later load.
pub struct WeakFence;
impl Orders for WeakFence {
    const FENCE: Ordering = Ordering::AcqRel;
}

/// A compare-exchange in two steps.
pub struct NoExchange;
impl Orders for NoExchange {
    const EXCHANGES: bool = false;
}

/// A word of loom's.
pub struct Cell<O: Orders>(AtomicU64, PhantomData<O>);

impl<O: Orders> Cell<O> {
    pub fn new(value: u64) -> Self {
        Self(AtomicU64::new(value), PhantomData)
    }
}

impl<O: Orders> Word for Cell<O> {
    fn load_relaxed(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn load_acquire(&self) -> u64 {
        self.0.load(O::ACQUIRE)
    }

    fn store_relaxed(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    fn store_release(&self, value: u64) {
        self.0.store(value, O::RELEASE);
    }

    fn compare_exchange(&self, current: u64, new: u64) -> Result<u64, u64> {
        if O::EXCHANGES {
            return self
                .0
                .compare_exchange(current, new, Ordering::AcqRel, Ordering::Acquire);
        }
        let found = self.0.load(Ordering::Acquire);
        if found != current {
            return Err(found);
        }
        self.0.store(new, Ordering::Release);
        Ok(found)
    }

    fn fence() {
        fence(O::FENCE);
    }
}

/// A ring of one-word records without headers. Its data are plain memory, so that loom reports every access that
/// the indices do not order.
pub struct Ring<O: Orders> {
    pub tail: Cell<O>,
    pub ack: Cell<O>,
    pub head: Cell<O>,
    pub done: Cell<O>,
    pub producer_sleeps: Cell<O>,
    pub consumer_sleeps: Cell<O>,
    start: u64,
    data: Vec<UnsafeCell<u64>>,
}

// The indices order the accesses to the data; that they do is what loom checks.
unsafe impl<O: Orders> Sync for Ring<O> {}
unsafe impl<O: Orders> Send for Ring<O> {}

impl<O: Orders> Ring<O> {
    /// An empty ring for `records` records, whose indices stand just before they wrap around 2⁶⁴.
    pub fn new(records: usize) -> Self {
        Self::from(records, START)
    }

    /// An empty ring that will be rewound: its indices stand where its memory begins, and wrap with the first rewind.
    pub fn rewinding(records: usize) -> Self {
        Self::from(records, (records as u64 * 8).wrapping_neg())
    }

    fn from(records: usize, start: u64) -> Self {
        assert!(records.is_power_of_two());
        Self {
            start,
            tail: Cell::new(start),
            ack: Cell::new(start),
            head: Cell::new(start),
            done: Cell::new(start),
            producer_sleeps: Cell::new(0),
            consumer_sleeps: Cell::new(0),
            data: (0..records).map(|_| UnsafeCell::new(0)).collect(),
        }
    }

    /// Where the indices of an empty ring stand.
    pub fn start(&self) -> u64 {
        self.start
    }

    pub fn producer(&self) -> ProducerCursor {
        self.producer_from(self.start, self.start)
    }

    pub fn consumer(&self) -> ConsumerCursor {
        self.consumer_from(self.start, self.start)
    }

    /// The consumer that follows one which has died.
    pub fn next_consumer(&self) -> ConsumerCursor {
        self.consumer_from(self.head.load_acquire(), self.tail.load_acquire())
    }

    pub fn producer_from(&self, tail: u64, head: u64) -> ProducerCursor {
        ProducerCursor::resume(self.capacity(), tail, head).unwrap()
    }

    pub fn consumer_from(&self, head: u64, tail: u64) -> ConsumerCursor {
        ConsumerCursor::resume(self.capacity(), head, tail).unwrap()
    }

    fn capacity(&self) -> u64 {
        self.data.len() as u64 * 8
    }

    pub fn write(&self, at: u64, value: u64) {
        self.data[self.slot(at)].with_mut(|slot| unsafe { *slot = value });
    }

    pub fn read(&self, at: u64) -> u64 {
        self.data[self.slot(at)].with(|slot| unsafe { *slot })
    }

    fn slot(&self, at: u64) -> usize {
        (at / 8) as usize & (self.data.len() - 1)
    }
}

/// One record before the indices wrap.
const START: u64 = u64::MAX - 7;

/// A FIFO as a doorbell: bytes in it carry no more than that there are some.
pub struct Bell {
    rung: Mutex<bool>,
    heard: Condvar,
}

impl Bell {
    pub fn new() -> Self {
        Self {
            rung: Mutex::new(false),
            heard: Condvar::new(),
        }
    }

    pub fn ring(&self) {
        *self.rung.lock().unwrap() = true;
        self.heard.notify_one();
    }

    /// Blocks until it is rung, and empties it.
    pub fn wait(&self) {
        let mut rung = self.rung.lock().unwrap();
        while !*rung {
            rung = self.heard.wait(rung).unwrap();
        }
        *rung = false;
    }
}

/// Explores `model` with at most `preemptions` of them in an execution (`None`: all).
pub fn explore(preemptions: Option<usize>, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = preemptions;
    builder.check(model);
}

/// The bytes that a consumer has not read, with a look when it knows of none.
pub fn readable<O: Orders>(cursor: &mut ConsumerCursor, tail: &Cell<O>) -> u64 {
    match cursor.known() {
        0 => cursor.look(tail).unwrap(),
        known => known,
    }
}
