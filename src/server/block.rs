//! A message in private memory that is used again: what is handed on is a pointer, and allocating costs as much as a short
//! message.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};

use super::delivery::Delivery;

/// An owned [`Delivery`], whose memory is used again by the thread that drops it.
#[derive(Debug)]
pub(super) struct Block(
    /// `None` only while it is dropped.
    Option<Box<Delivery>>,
);

thread_local! {
    /// The one that this thread used last.
    static SPARE: Cell<Option<Box<Delivery>>> = const { Cell::new(None) };
}

impl Block {
    /// With whatever was in it before, but for what [`clear`](Delivery::clear) took out.
    #[inline(always)]
    pub(super) fn take() -> Block {
        // Not there while the thread ends.
        let spare = SPARE.try_with(Cell::take).unwrap_or_default();
        Block(Some(spare.unwrap_or_else(Block::make)))
    }

    #[cold]
    fn make() -> Box<Delivery> {
        Box::new(Delivery::empty())
    }
}

impl Deref for Block {
    type Target = Delivery;

    #[inline(always)]
    fn deref(&self) -> &Delivery {
        match &self.0 {
            Some(inner) => inner,
            None => unreachable!("it is there until it is dropped"),
        }
    }
}

impl DerefMut for Block {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut Delivery {
        match &mut self.0 {
            Some(inner) => inner,
            None => unreachable!("it is there until it is dropped"),
        }
    }
}

impl Drop for Block {
    #[inline]
    fn drop(&mut self) {
        if let Some(mut inner) = self.0.take() {
            inner.clear();
            let before = SPARE.try_with(|spare| spare.replace(Some(inner)));
            if let Ok(Some(before)) = before {
                drop(before);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_cleared_and_used_again() {
        let mut first = Block::take();
        first.payload.refill(3);
        let second = Block::take();
        let at = std::ptr::from_ref::<Delivery>(&first);
        drop(first);
        let again = Block::take();
        assert!(std::ptr::eq(at, &raw const *again));
        assert!(!std::ptr::eq(at, &raw const *second));
    }
}
