//! Threads that are killed between two stores to shared memory: the later ones come to nothing.

use std::cell::Cell;

thread_local! {
    /// How many more stores this thread makes.
    static LEFT: Cell<u64> = const { Cell::new(u64::MAX) };
}

/// Ends the thread's death, also where what it did has panicked.
struct Revived;

impl Drop for Revived {
    fn drop(&mut self) {
        LEFT.set(u64::MAX);
    }
}

/// Does something, of which only the first `stores` stores are made; and whether that was its death.
pub(crate) fn kill_after<T>(stores: u64, act: impl FnOnce() -> T) -> (T, bool) {
    let _revived = Revived;
    LEFT.set(stores);
    let done = act();
    (done, LEFT.get() == 0)
}

/// Whether this thread is killed before the store that it is about to make.
pub(crate) fn is_killed() -> bool {
    let left = LEFT.get();
    LEFT.set(left.saturating_sub(1));
    left == 0
}
