//! What rings and sleep words are made of.

#[cfg(test)]
use super::killer;

/// A 64-bit word that two processes share, and the only operations on it that rings need.
pub(crate) trait Word {
    /// An atomic load that orders nothing.
    fn load_relaxed(&self) -> u64;
    /// An atomic load after which everything is seen that came before the release store it read from.
    fn load_acquire(&self) -> u64;
    /// An atomic store that orders nothing.
    fn store_relaxed(&self, value: u64);
    /// An atomic store that shows everything before it to who acquires it.
    fn store_release(&self, value: u64);
    /// Puts `new` in place of `current` (acquire and release), or gives back what stood there instead.
    fn compare_exchange(&self, current: u64, new: u64) -> Result<u64, u64>;
    /// A sequentially consistent fence between accesses to words of this sort.
    fn fence();
}

impl Word for core::sync::atomic::AtomicU64 {
    #[inline(always)]
    fn load_relaxed(&self) -> u64 {
        self.load(core::sync::atomic::Ordering::Relaxed)
    }

    #[inline(always)]
    fn load_acquire(&self) -> u64 {
        self.load(core::sync::atomic::Ordering::Acquire)
    }

    #[inline(always)]
    fn store_relaxed(&self, value: u64) {
        #[cfg(test)]
        if killer::is_killed() {
            return;
        }
        self.store(value, core::sync::atomic::Ordering::Relaxed);
    }

    #[inline(always)]
    fn store_release(&self, value: u64) {
        #[cfg(test)]
        if killer::is_killed() {
            return;
        }
        self.store(value, core::sync::atomic::Ordering::Release);
    }

    #[inline(always)]
    fn compare_exchange(&self, current: u64, new: u64) -> Result<u64, u64> {
        use core::sync::atomic::Ordering::{AcqRel, Acquire};
        #[cfg(test)]
        if killer::is_killed() {
            let seen = self.load(Acquire);
            return if seen == current { Ok(seen) } else { Err(seen) };
        }
        Self::compare_exchange(self, current, new, AcqRel, Acquire)
    }

    #[inline(always)]
    fn fence() {
        core::sync::atomic::fence(core::sync::atomic::Ordering::SeqCst);
    }
}
