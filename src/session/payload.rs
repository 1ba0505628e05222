//! What a message carries: a private copy of its bytes, or a hand-over segment.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::sync::Arc;

use super::Buffer;
use super::handover::Segment;
use super::lease::Lease;
use crate::error::{Error, Result};
use crate::request::{ReplyForm, ReplyHeader, Status};
use crate::sys::copy;
use crate::sys::fork::Stamp;

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
#[derive(Default)]
pub struct Payload(
    /// `None` when it is empty. What is handed on is a pointer, and its memory is used again by the thread that drops it.
    Option<Box<Content>>,
);

struct Content {
    /// The bytes, unless they lie in a segment.
    buffer: Buffer,
    segment: Option<Received>,
    /// What else a reply says, so that all of it is one block of memory.
    header: ReplyHeader,
}

impl Default for Content {
    fn default() -> Content {
        Content {
            buffer: Buffer::default(),
            segment: None,
            header: ReplyHeader {
                id: 0,
                status: Status::Started,
                code: 0,
                epoch: 0,
                form: ReplyForm::Inline(0),
            },
        }
    }
}

impl Content {
    /// An empty one, or what this thread has dropped last.
    #[inline(never)]
    fn take() -> Box<Content> {
        // Not there while the thread ends.
        let spare = SPARE.try_with(Cell::take).unwrap_or_default();
        spare.unwrap_or_default()
    }

    /// Lets go of the segment.
    #[inline(always)]
    fn let_go(&mut self) {
        if self.segment.is_some() {
            self.segment = None;
        }
    }
}

thread_local! {
    static SPARE: Cell<Option<Box<Content>>> = const { Cell::new(None) };
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
    /// Of a reply with this header, to be filled.
    #[inline(always)]
    pub(crate) fn of_reply(header: ReplyHeader) -> Payload {
        let mut content = Content::take();
        content.header = header;
        Payload(Some(content))
    }

    /// The header of the reply whose payload this is.
    #[inline(always)]
    pub(crate) fn reply_header(&self) -> &ReplyHeader {
        match &self.0 {
            Some(content) => &content.header,
            None => unreachable!("it is there until it is dropped"),
        }
    }

    /// Makes it a short one of `len` bytes, whatever they are, in the memory that it has, and gives them.
    #[inline(always)]
    pub(crate) fn refill(&mut self, len: usize) -> &mut [u8] {
        let content = match &mut self.0 {
            Some(content) => content,
            none => none.insert(Content::take()),
        };
        content.let_go();
        content.buffer.resize(len)
    }

    /// Lets go of a segment and of a large buffer.
    #[inline(always)]
    pub(crate) fn clear(&mut self) {
        if let Some(content) = &mut self.0 {
            content.let_go();
            content.buffer.shrink();
        }
    }

    /// Makes it a part of a segment that was checked to hold it. `frees`: of the process in which dropping it gives the segment
    /// back, as for a reply.
    #[inline]
    pub(crate) fn refer(
        &mut self,
        segment: Arc<Segment>,
        offset: u64,
        len: u64,
        frees: Option<Stamp>,
    ) {
        let content = self.0.get_or_insert_with(Content::take);
        content.segment = Some(Received {
            segment,
            offset,
            len,
            frees,
        });
    }

    /// Where it lies in shared memory, if it does.
    #[inline]
    fn received(&self) -> Option<&Received> {
        self.0.as_ref()?.segment.as_ref()
    }

    /// The length in bytes.
    pub fn len(&self) -> u64 {
        match self.received() {
            Some(received) => received.len,
            None => self.as_slice().unwrap_or_default().len() as u64,
        }
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes of a short payload; `None` for one that lies in shared memory.
    #[inline]
    pub fn as_slice(&self) -> Option<&[u8]> {
        match &self.0 {
            None => Some(&[]),
            Some(content) if content.segment.is_none() => Some(content.buffer.as_slice()),
            Some(_) => None,
        }
    }

    /// Fills `into` with the bytes from `offset` on.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfBounds`] where they are not all inside the payload.
    #[inline]
    pub fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        if let (Some(bytes), Ok(from)) = (self.as_slice(), usize::try_from(offset))
            && let Some(bytes) = bytes.get(from..)
            && let Some(bytes) = bytes.get(..into.len())
        {
            copy::bytes(into, bytes);
            return Ok(());
        }
        self.read_shared(offset, into)
    }

    /// What does not lie in private memory, or not inside the payload.
    #[inline(never)]
    fn read_shared(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        let len = into.len() as u64;
        let is_inside = offset.checked_add(len).is_some_and(|end| end <= self.len());
        match self.received() {
            Some(received) if is_inside => received.segment.read(received.offset + offset, into),
            _ => Err(Error::OutOfBounds {
                offset,
                len,
                limit: self.len(),
            }),
        }
    }

    /// All bytes, copied if they lie in shared memory. This allocates as many bytes as the sender says: check
    /// [`len`](Payload::len) where that matters.
    pub fn into_vec(mut self) -> Vec<u8> {
        let Some(content) = &mut self.0 else {
            return Vec::new();
        };
        let Some(received) = &content.segment else {
            return content.buffer.take_vec();
        };
        let mut bytes = vec![0; usize::try_from(received.len).unwrap_or(0)];
        // It cannot fail: the segment was checked to hold these bytes.
        let _ = received.segment.read(received.offset, &mut bytes);
        bytes
    }

    /// Reads the payload from its beginning, as [`io::Read`].
    pub fn reader(&self) -> Reader<'_> {
        Reader {
            payload: self,
            offset: 0,
        }
    }
}

impl Drop for Payload {
    #[inline]
    fn drop(&mut self) {
        self.clear();
        if let Some(content) = self.0.take() {
            let _ = SPARE.try_with(|spare| spare.set(Some(content)));
        }
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match self.received() {
            None => "inline",
            Some(_) => "segment",
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
        let mut payload = Payload::default();
        for (byte, n) in payload.refill(100).iter_mut().zip(0..) {
            *byte = n;
        }
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
        let none = Payload::default();
        assert!(none.is_empty() && none.as_slice() == Some(&[]) && none.into_vec().is_empty());
    }

    #[test]
    fn what_is_dropped_is_used_again_unless_it_is_large() {
        let mut first = Payload::default();
        let at = first.refill(100).as_ptr();
        drop(first);
        let mut second = Payload::default();
        assert_eq!(second.refill(10).as_ptr(), at);
        assert_eq!(second.len(), 10);
        second.refill(1 << 20);
        drop(second);
        let third = Payload(Some(Content::take()));
        assert_eq!(
            third.0.as_ref().map(|content| content.buffer.capacity()),
            Some(0)
        );
    }
}
