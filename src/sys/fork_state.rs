//! What is kept for forks: the word that is wiped in a child, the lock that keeps forks out, and the numbers of the
//! descriptors that a child must not have. All of it is atomics, to be read in a child at any time.

use std::cell::Cell;
use std::os::fd::RawFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use rustix::thread::futex;

/// What is wiped in a child.
pub(super) struct Page {
    /// The current stamp; 0 until somebody asks.
    pub(super) stamp: AtomicU64,
    /// The fork lock: 0, or the thread that holds it, with [`WAITED_FOR`] if others sleep. One word for both, so that
    /// a signal handler of that thread always knows.
    lock: AtomicU32,
    /// How many times that thread has entered again, from a signal handler.
    nested: AtomicU32,
}

/// Above all thread numbers.
const WAITED_FOR: u32 = 1 << 31;

impl Page {
    pub(super) const fn new() -> Page {
        Page {
            stamp: AtomicU64::new(0),
            lock: AtomicU32::new(0),
            nested: AtomicU32::new(0),
        }
    }

    /// What the kernel does to a page that is wiped in a child.
    pub(super) fn wipe(&self) {
        self.stamp.store(0, Ordering::Relaxed);
        self.nested.store(0, Ordering::Relaxed);
        self.lock.store(0, Ordering::Release);
    }

    /// Takes the fork lock, once more if this thread has it.
    pub(super) fn acquire(&self) {
        let thread = this_thread();
        if self.is_held_by(thread) {
            self.nested.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let mut wanted = thread;
        // SYNC(fork-lock): pairs with the swap in `release`.
        while let Err(held) =
            self.lock
                .compare_exchange(0, wanted, Ordering::Acquire, Ordering::Relaxed)
        {
            // Once it has slept, this thread cannot know whether it was the only one.
            wanted = thread | WAITED_FOR;
            let marked = held | WAITED_FOR;
            let is_marked = held == marked
                || self
                    .lock
                    .compare_exchange(held, marked, Ordering::Relaxed, Ordering::Relaxed)
                    .is_ok();
            if is_marked {
                // Woken, interrupted, or not asleep at all: the loop looks again.
                let _ = futex::wait(&self.lock, futex::Flags::PRIVATE, marked, None);
            }
        }
    }

    /// Undoes one [`Page::acquire`]; in a child that was forked in between, nothing.
    pub(super) fn release(&self) {
        // Another owner: this is a child that was forked in between, in which the page was wiped.
        if !self.is_held_here() {
            return;
        }
        let nested = self.nested.load(Ordering::Relaxed);
        if nested > 0 {
            self.nested.store(nested - 1, Ordering::Relaxed);
            return;
        }
        // SYNC(fork-lock): pairs with the exchange in `acquire`.
        if self.lock.swap(0, Ordering::Release) & WAITED_FOR != 0 {
            let _ = futex::wake(&self.lock, futex::Flags::PRIVATE, 1);
        }
    }

    /// Whether this thread holds the fork lock.
    pub(super) fn is_held_here(&self) -> bool {
        self.is_held_by(this_thread())
    }

    fn is_held_by(&self, thread: u32) -> bool {
        self.lock.load(Ordering::Relaxed) & !WAITED_FOR == thread
    }
}

/// A number that no other thread of this process has. Not the kernel's, for which it would have to be asked each
/// time. A forked child goes on counting, and its first thread keeps the number of the one that forked.
fn this_thread() -> u32 {
    thread_local! {
        static NUMBER: Cell<u32> = const { Cell::new(0) };
    }
    static LAST: AtomicU32 = AtomicU32::new(0);
    NUMBER.with(|number| {
        if number.get() == 0 {
            // Counted over from the start after 2³¹ threads, when the first ones have long ended.
            number.set(LAST.fetch_add(1, Ordering::Relaxed) % (WAITED_FOR - 1) + 1);
        }
        number.get()
    })
}

/// Which descriptors are registered: a bit for each number.
pub(super) struct Registry {
    bits: [AtomicU64; 64],
    next: OnceLock<Box<Registry>>,
}

impl Registry {
    const SPAN: usize = 64 * 64;

    pub(super) const fn new() -> Registry {
        Registry {
            bits: [const { AtomicU64::new(0) }; 64],
            next: OnceLock::new(),
        }
    }

    /// Whether a number is registered from now on.
    pub(super) fn mark(&self, fd: RawFd, registered: bool) {
        let mut number = usize::try_from(fd).unwrap_or(0);
        let mut part = self;
        while number >= Registry::SPAN {
            number -= Registry::SPAN;
            part = part.next.get_or_init(|| Box::new(Registry::new()));
        }
        let bit = 1_u64 << (number % 64);
        if let Some(word) = part.bits.get(number / 64) {
            if registered {
                word.fetch_or(bit, Ordering::Relaxed);
            } else {
                word.fetch_and(!bit, Ordering::Relaxed);
            }
        }
    }

    /// Visits every registered number.
    pub(super) fn for_each(&self, mut visit: impl FnMut(RawFd)) {
        let mut base = 0;
        let mut part = Some(self);
        while let Some(registry) = part {
            for word in &registry.bits {
                let mut bits = word.load(Ordering::Relaxed);
                while bits != 0 {
                    visit(base + bits.trailing_zeros().cast_signed());
                    bits &= bits - 1;
                }
                base += 64;
            }
            part = registry.next.get().map(|next| &**next);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fork_lock_has_one_holder_at_a_time() {
        let page = Page::new();
        let inside = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..2000 {
                        page.acquire();
                        assert_eq!(inside.fetch_add(1, Ordering::Relaxed), 0);
                        page.acquire();
                        page.release();
                        assert_eq!(inside.fetch_sub(1, Ordering::Relaxed), 1);
                        page.release();
                    }
                });
            }
        });
        assert_eq!(page.lock.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn the_registry_has_room_for_high_numbers() {
        let registry = Registry::new();
        for fd in [0, 63, 64, 4095, 4096, 20_000] {
            registry.mark(fd, true);
        }
        registry.mark(64, false);
        let mut seen = Vec::new();
        registry.for_each(|fd| seen.push(fd));
        assert_eq!(seen, [0, 63, 4095, 4096, 20_000]);
    }
}
