//! Private memory for a message, used again: allocating costs as much as the message.

use std::mem;

/// A buffer of this length is kept when it is not needed any more; a longer one is not.
const KEPT: usize = 16 << 10;
/// The least length of a new one.
const LEAST: usize = 256;

/// The first bytes of a block that may be longer.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    bytes: Box<[u8]>,
    len: usize,
}

impl Buffer {
    /// Makes it `len` bytes long, whatever they are, and gives them.
    #[inline(always)]
    pub(crate) fn resize(&mut self, len: usize) -> &mut [u8] {
        if self.bytes.len() < len {
            self.grow(len);
        }
        self.len = len;
        self.bytes.get_mut(..len).unwrap_or_default()
    }

    #[cold]
    fn grow(&mut self, len: usize) {
        self.bytes = vec![0; len.max(LEAST)].into_boxed_slice();
    }

    /// Lets go of what is not worth keeping.
    #[inline]
    pub(crate) fn shrink(&mut self) {
        if self.bytes.len() > KEPT {
            *self = Buffer::default();
        }
    }

    #[inline]
    pub(crate) fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// Takes the bytes out, as a vector.
    pub(crate) fn take_vec(&mut self) -> Vec<u8> {
        let Buffer { bytes, len } = mem::take(self);
        let mut bytes = bytes.into_vec();
        bytes.truncate(len);
        bytes
    }

    /// How long it can be without new memory.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_as_long_as_asked_and_keeps_what_is_worth_it() {
        let mut buffer = Buffer::default();
        buffer.resize(100).fill(7);
        let at = buffer.as_slice().as_ptr();
        buffer.shrink();
        buffer.resize(10);
        assert_eq!(
            (buffer.as_slice().as_ptr(), buffer.as_slice()),
            (at, &[7; 10][..])
        );
        assert_eq!(buffer.take_vec(), [7; 10]);
        assert_eq!((buffer.capacity(), buffer.take_vec().len()), (0, 0));
        buffer.resize(KEPT + 1);
        assert_eq!(buffer.as_slice().len(), KEPT + 1);
        buffer.shrink();
        assert_eq!((buffer.capacity(), buffer.as_slice().len()), (0, 0));
    }
}
