//! Messages in private memory that is used again: what is handed on is a pointer, and allocating costs as much as a
//! short message.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};
use std::thread::LocalKey;

/// What is kept in a [`Block`].
pub(crate) trait Reusable: Sized + 'static {
    /// Where a thread keeps the one that it used last.
    fn spare() -> &'static LocalKey<Cell<Option<Box<Self>>>>;

    /// A new one.
    fn empty() -> Self;

    /// Lets go of what is not worth keeping.
    fn clear(&mut self);
}

/// An owned `T`, whose memory is used again by the thread that drops it.
#[derive(Debug)]
pub(crate) struct Block<T: Reusable>(
    /// `None` only while it is dropped.
    Option<Box<T>>,
);

impl<T: Reusable> Block<T> {
    /// With whatever was in it before, but for what [`clear`](Reusable::clear) took out.
    #[inline(always)]
    pub(crate) fn take() -> Block<T> {
        // Not there while the thread ends.
        let spare = T::spare().try_with(Cell::take).unwrap_or_default();
        Block(Some(spare.unwrap_or_else(|| Box::new(T::empty()))))
    }
}

impl<T: Reusable> Deref for Block<T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        match &self.0 {
            Some(inner) => inner,
            None => unreachable!("it is there until it is dropped"),
        }
    }
}

impl<T: Reusable> DerefMut for Block<T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        match &mut self.0 {
            Some(inner) => inner,
            None => unreachable!("it is there until it is dropped"),
        }
    }
}

impl<T: Reusable> Drop for Block<T> {
    #[inline]
    fn drop(&mut self) {
        if let Some(mut inner) = self.0.take() {
            inner.clear();
            let before = T::spare().try_with(|spare| spare.replace(Some(inner)));
            if let Ok(Some(before)) = before {
                drop(before);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    thread_local! {
        static SPARE: Cell<Option<Box<Numbers>>> = const { Cell::new(None) };
    }

    struct Numbers {
        list: Vec<u8>,
    }

    impl Reusable for Numbers {
        fn spare() -> &'static LocalKey<Cell<Option<Box<Self>>>> {
            &SPARE
        }

        fn empty() -> Self {
            Numbers { list: Vec::new() }
        }

        fn clear(&mut self) {
            self.list.clear();
        }
    }

    #[test]
    fn a_block_is_cleared_and_used_again() {
        let mut first = Block::<Numbers>::take();
        first.list.extend([1, 2, 3]);
        let second = Block::<Numbers>::take();
        let at = std::ptr::from_ref::<Numbers>(&*first);
        drop(first);
        let again = Block::<Numbers>::take();
        assert!(std::ptr::eq(at, &*again));
        assert!(again.list.is_empty() && again.list.capacity() >= 3 && second.list.is_empty());
    }
}
