//! Which thread it is.

use std::cell::Cell;

/// The number of this thread, asked for once a thread. `stamp` is the process's (`fork::Stamp::value`): in a forked
/// child the number is another one.
#[inline]
pub(crate) fn id(stamp: u64) -> u32 {
    thread_local! {
        static KNOWN: Cell<(u64, u32)> = const { Cell::new((0, 0)) };
    }
    // Not while the thread ends: then its number is not remembered any more.
    match KNOWN.try_with(Cell::get) {
        Ok((of, id)) if of == stamp => id,
        known => {
            let id = rustix::thread::gettid()
                .as_raw_nonzero()
                .get()
                .unsigned_abs();
            if known.is_ok() {
                KNOWN.set((stamp, id));
            }
            id
        }
    }
}

/// Offers the core to whoever else wants it.
pub(crate) fn give_way() {
    rustix::thread::sched_yield();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_have_numbers_of_their_own() {
        assert_eq!(id(1), id(1));
        let other = std::thread::spawn(|| id(1)).join().unwrap();
        assert_ne!(id(1), other);
    }
}
