//! Private memory for a message, used again by the same thread: allocating costs as much as the message.

use std::cell::Cell;
use std::mem;

/// A buffer of this length is kept when it is not needed any more; a longer one is not.
const KEPT: usize = 16 << 10;
/// The least length of a new one.
const LEAST: usize = 256;

thread_local! {
    /// At most one, and all of it initialised.
    static SPARE: Cell<Box<[u8]>> = Cell::new(Box::default());
}

/// The first bytes of a block that may be longer.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    bytes: Box<[u8]>,
    len: usize,
}

impl Buffer {
    /// A buffer of `len` bytes, whatever they are.
    #[cfg(test)]
    pub(crate) fn of(len: usize) -> Buffer {
        let mut buffer = Buffer::default();
        buffer.resize(len);
        buffer
    }

    /// Makes it `len` bytes long, whatever they are.
    #[inline]
    pub(crate) fn resize(&mut self, len: usize) {
        if self.bytes.len() < len {
            self.grow(len);
        }
        self.len = len;
    }

    fn grow(&mut self, len: usize) {
        // Not there while the thread ends.
        self.bytes = SPARE.try_with(Cell::take).unwrap_or_default();
        if self.bytes.len() < len {
            self.bytes = vec![0; len.max(LEAST)].into_boxed_slice();
        }
    }

    /// Whether it is worth keeping.
    #[inline]
    pub(crate) fn is_small(&self) -> bool {
        self.bytes.len() <= KEPT
    }

    #[inline]
    pub(crate) fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    #[inline]
    pub(crate) fn as_mut_slice(&mut self) -> &mut [u8] {
        self.bytes.get_mut(..self.len).unwrap_or_default()
    }

    /// The bytes as a vector.
    pub(crate) fn into_vec(mut self) -> Vec<u8> {
        let mut bytes = mem::take(&mut self.bytes).into_vec();
        bytes.truncate(self.len);
        bytes
    }
}

impl Drop for Buffer {
    #[inline]
    fn drop(&mut self) {
        if (1..=KEPT).contains(&self.bytes.len()) {
            let bytes = mem::take(&mut self.bytes);
            let _ = SPARE.try_with(|spare| spare.set(bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_as_long_as_asked_and_used_again() {
        let mut first = Buffer::of(100);
        assert_eq!(first.as_slice().len(), 100);
        first.as_mut_slice().fill(7);
        let at = first.as_slice().as_ptr();
        drop(first);
        let second = Buffer::of(10);
        assert_eq!(second.as_slice().as_ptr(), at);
        assert_eq!(second.as_slice().len(), 10);
        assert_eq!(second.into_vec(), [7; 10]);
        assert_eq!(Buffer::of(KEPT + 1).as_slice().len(), KEPT + 1);
        assert_eq!(Buffer::of(0).into_vec(), []);
    }
}
