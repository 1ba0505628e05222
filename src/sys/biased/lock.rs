//! The lock itself, whose module brings what it stands on: `tests/models` runs this file on loom's flags, mutex and
//! fences.
//!
//! Unsafe is needed to give out what the lock guards.
#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use super::{AtomicBool, Condvar, Mutex, MutexGuard, barrier, compiler_fence, has_barrier, number};

/// Guards a `T`. The thread that made it owns it. That a thread panicked inside means nothing.
pub(crate) struct Biased<T> {
    /// The owner's [`number`].
    owner: u64,
    /// Whether the owner is inside without the mutex. Only the owner writes it.
    inside: AtomicBool,
    /// Whether another thread has come, or the kernel has no such barrier. Never taken back.
    pub(super) shared: AtomicBool,
    mutex: Mutex<()>,
    /// The owner has left while others wait.
    left: Condvar,
    value: UnsafeCell<T>,
}

// SAFETY: only who is inside gets at the value, one thread at a time, and gets it mutably.
unsafe impl<T: Send> Sync for Biased<T> {}

// That a thread panicked inside means nothing.
impl<T> UnwindSafe for Biased<T> {}
impl<T> RefUnwindSafe for Biased<T> {}

/// To be inside.
pub(crate) struct Guard<'a, T> {
    biased: &'a Biased<T>,
    /// `None`: the owner, without the mutex. It keeps the guard in its thread, too.
    locked: Option<MutexGuard<'a, ()>>,
    value: PhantomData<&'a mut T>,
}

/// The owner, to be inside without the mutex.
struct Inside<'a, T>(&'a Biased<T>);

impl<T> Drop for Inside<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        self.0.leave();
    }
}

impl<T> Biased<T> {
    /// Owned by this thread.
    pub(crate) fn new(value: T) -> Biased<T> {
        Biased {
            owner: number(),
            inside: AtomicBool::new(false),
            shared: AtomicBool::new(!has_barrier()),
            mutex: Mutex::new(()),
            left: Condvar::new(),
            value: UnsafeCell::new(value),
        }
    }

    /// Waits until nobody else is inside.
    #[inline(always)]
    pub(crate) fn lock(&self) -> Guard<'_, T> {
        if self.is_owned() && self.enter() {
            return self.guard(None);
        }
        self.lock_shared()
    }

    /// Does something inside, for the owner, as long as no other thread has come: as with [`lock`](Self::lock), but nothing is
    /// kept in memory for the way out. `None`, and nothing has happened, for all others.
    #[inline(always)]
    pub(crate) fn alone<R>(&self, act: impl FnOnce(&mut T) -> R) -> Option<R> {
        if !self.is_owned() || !self.enter() {
            return None;
        }
        let inside = Inside(self);
        // SAFETY: this thread is inside, and no other, until `inside` is dropped.
        let value = unsafe { &mut *inside.0.value.get() };
        Some(act(value))
    }

    /// Whether this thread owns it, and no other has come. Then locking costs nothing, and is soon over.
    #[inline(always)]
    pub(crate) fn is_owned(&self) -> bool {
        number() == self.owner && !self.shared.load(Ordering::Relaxed)
    }

    /// For who has it alone.
    #[inline]
    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    #[inline(always)]
    fn guard<'a>(&'a self, locked: Option<MutexGuard<'a, ()>>) -> Guard<'a, T> {
        Guard {
            biased: self,
            locked,
            value: PhantomData,
        }
    }

    /// The owner's way in; `false` if it must take the mutex.
    #[inline(always)]
    fn enter(&self) -> bool {
        if self.inside.load(Ordering::Relaxed) {
            // It is inside already: the mutex's way will wait for ever, as that of any lock would.
            return false;
        }
        self.inside.store(true, Ordering::Relaxed);
        // SYNC(bias): the other threads' barrier is between these two, or before, or after them.
        compiler_fence(Ordering::SeqCst);
        // What the lock guards is not looked at before this.
        if !self.shared.load(Ordering::Acquire) {
            return true;
        }
        self.leave();
        false
    }

    /// The owner's way out.
    #[inline(always)]
    fn leave(&self) {
        // SYNC(bias): pairs with the load in `lock_shared`.
        self.inside.store(false, Ordering::Release);
        compiler_fence(Ordering::SeqCst);
        if self.shared.load(Ordering::Relaxed) {
            self.wake();
        }
    }

    #[cold]
    fn wake(&self) {
        // Who has found the owner inside waits once the mutex is free.
        drop(self.mutex.lock().unwrap_or_else(PoisonError::into_inner));
        self.left.notify_all();
    }

    #[cold]
    fn lock_shared(&self) -> Guard<'_, T> {
        let mut locked = self.mutex.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.shared.load(Ordering::Relaxed) {
            self.shared.store(true, Ordering::Relaxed);
            barrier();
        }
        while self.inside.load(Ordering::Acquire) {
            let waited = self.left.wait(locked);
            locked = waited.unwrap_or_else(PoisonError::into_inner);
        }
        self.guard(Some(locked))
    }
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: this thread is inside, and no other.
        unsafe { &*self.biased.value.get() }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above, and this is the only guard.
        unsafe { &mut *self.biased.value.get() }
    }
}

impl<T> Drop for Guard<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        if self.locked.is_none() {
            self.biased.leave();
        }
    }
}

impl<T> fmt::Debug for Biased<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Biased")
            .field("owner", &self.owner)
            .field("shared", &self.shared)
            .finish_non_exhaustive()
    }
}
