//! What a message carries: a private copy of its bytes, or a hand-over segment.

use std::fmt;
use std::io;
use std::sync::Arc;

use super::Buffer;
use super::handover::Segment;
use super::lease::Lease;
use crate::error::{Error, Result};
use crate::sys::copy;
use crate::sys::fork::{self, Stamp};

/// What is to be sent: bytes, which are copied, or a [`Lease`], which is not.
///
/// Made by `From`, so that calls take `&[u8]`, `&str`, `&Vec<u8>` and `Lease` alike.
#[derive(Debug)]
pub struct Body<'a>(pub(crate) BodyKind<'a>);

#[derive(Debug)]
pub(crate) enum BodyKind<'a> {
    Bytes(&'a [u8]),
    Lease(Lease),
}

impl Body<'_> {
    /// The length in bytes.
    pub fn len(&self) -> u64 {
        match &self.0 {
            BodyKind::Bytes(bytes) => bytes.len() as u64,
            BodyKind::Lease(lease) => lease.len(),
        }
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<'a, T: AsRef<[u8]> + ?Sized> From<&'a T> for Body<'a> {
    fn from(bytes: &'a T) -> Body<'a> {
        Body(BodyKind::Bytes(bytes.as_ref()))
    }
}

impl From<Lease> for Body<'_> {
    fn from(lease: Lease) -> Self {
        Body(BodyKind::Lease(lease))
    }
}

/// What was received.
///
/// A short one is a private copy ([`as_slice`](Payload::as_slice)). A long one lies in a segment that its sender can
/// still write: a broken sender can change the bytes between two reads, so copy what you check before you use
/// it. All reads copy, and none can fail for a reason outside this process.
pub struct Payload(Kind);

enum Kind {
    Inline(Buffer),
    Segment(Received),
}

/// A part of the sender's segment, given back when dropped.
struct Received {
    segment: Arc<Segment>,
    offset: u64,
    len: u64,
    /// Of the process that gives it back; `None` if nobody need.
    frees: Option<Stamp>,
}

impl Drop for Received {
    fn drop(&mut self) {
        // A forked child's copy is the parent's to give back.
        if self.frees.is_some_and(Stamp::is_current) {
            self.segment.mark_free();
        }
    }
}

impl Payload {
    #[inline]
    pub(crate) fn inline(buffer: Buffer) -> Payload {
        Payload(Kind::Inline(buffer))
    }

    /// Makes it a short one of `len` bytes, whatever they are, in the memory that it has, and gives them.
    #[inline]
    pub(crate) fn refill(&mut self, len: usize) -> &mut [u8] {
        if let Kind::Segment(_) = &self.0 {
            *self = Payload::default();
        }
        match &mut self.0 {
            Kind::Inline(buffer) => {
                buffer.resize(len);
                buffer.as_mut_slice()
            }
            Kind::Segment(_) => &mut [],
        }
    }

    /// Lets go of a segment and of a large buffer.
    #[inline]
    pub(crate) fn clear(&mut self) {
        match &mut self.0 {
            Kind::Inline(buffer) if buffer.is_small() => {}
            _ => *self = Payload::default(),
        }
    }

    /// A part of a segment that was checked to hold it. `frees`: whether dropping it gives the segment back, as
    /// for a reply.
    pub(crate) fn segment(segment: Arc<Segment>, offset: u64, len: u64, frees: bool) -> Payload {
        Payload(Kind::Segment(Received {
            segment,
            offset,
            len,
            frees: frees.then(fork::stamp),
        }))
    }

    /// The length in bytes.
    pub fn len(&self) -> u64 {
        match &self.0 {
            Kind::Inline(buffer) => buffer.as_slice().len() as u64,
            Kind::Segment(received) => received.len,
        }
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes of a short payload; `None` for one that lies in shared memory.
    pub fn as_slice(&self) -> Option<&[u8]> {
        match &self.0 {
            Kind::Inline(buffer) => Some(buffer.as_slice()),
            Kind::Segment(_) => None,
        }
    }

    /// Fills `into` with the bytes from `offset` on.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfBounds`] where they are not all inside the payload.
    pub fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        let len = into.len() as u64;
        let inside = offset.checked_add(len).filter(|end| *end <= self.len());
        if inside.is_none() {
            return Err(Error::OutOfBounds {
                offset,
                len,
                limit: self.len(),
            });
        }
        match &self.0 {
            Kind::Inline(buffer) => {
                let rest = buffer
                    .as_slice()
                    .get(usize::try_from(offset).unwrap_or(0)..);
                if let Some(bytes) = rest.and_then(|rest| rest.get(..into.len())) {
                    copy::bytes(into, bytes);
                }
                Ok(())
            }
            Kind::Segment(received) => received.segment.read(received.offset + offset, into),
        }
    }

    /// All bytes, copied if they lie in shared memory. This allocates as many bytes as the sender says: check
    /// [`len`](Payload::len) where that matters.
    pub fn into_vec(self) -> Vec<u8> {
        match self.0 {
            Kind::Inline(buffer) => buffer.into_vec(),
            Kind::Segment(ref received) => {
                let mut bytes = vec![0; usize::try_from(received.len).unwrap_or(0)];
                // It cannot fail: the segment was checked to hold these bytes.
                let _ = received.segment.read(received.offset, &mut bytes);
                bytes
            }
        }
    }

    /// Reads the payload from its beginning, as [`io::Read`].
    pub fn reader(&self) -> Reader<'_> {
        Reader {
            payload: self,
            offset: 0,
        }
    }
}

impl Default for Payload {
    fn default() -> Payload {
        Payload::inline(Buffer::default())
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match &self.0 {
            Kind::Inline(_) => "inline",
            Kind::Segment(_) => "segment",
        };
        f.debug_struct("Payload")
            .field("len", &self.len())
            .field("in", &place)
            .finish()
    }
}

/// Reads a [`Payload`] in order.
#[derive(Debug)]
pub struct Reader<'a> {
    payload: &'a Payload,
    offset: u64,
}

impl io::Read for Reader<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = self.payload.len() - self.offset;
        let len = into.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let Some(into) = into.get_mut(..len) else {
            return Ok(0);
        };
        self.payload
            .read_at(self.offset, into)
            .map_err(io::Error::other)?;
        self.offset += len as u64;
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn an_inline_payload_is_read_whole_in_parts_and_never_beyond() {
        let mut buffer = Buffer::of(100);
        for (byte, n) in buffer.as_mut_slice().iter_mut().zip(0..) {
            *byte = n;
        }
        let payload = Payload::inline(buffer);
        assert_eq!(payload.len(), 100);
        let mut part = [0; 10];
        payload.read_at(90, &mut part).unwrap();
        assert_eq!(part, [90, 91, 92, 93, 94, 95, 96, 97, 98, 99]);
        assert!(matches!(
            payload.read_at(91, &mut part),
            Err(Error::OutOfBounds {
                offset: 91,
                len: 10,
                limit: 100
            })
        ));
        assert!(payload.read_at(u64::MAX, &mut part).is_err());
        let mut all = Vec::new();
        payload.reader().read_to_end(&mut all).unwrap();
        assert_eq!(all, payload.into_vec());
    }
}
