//! What was read from a FIFO and not yet taken: cuts the stream of bytes into frames.

use super::frame::{Fault, HEADER_LEN, Header, MAX_WHOLE};

/// Two longest frames: behind the begun frame, one whole write always finds room.
const CAPACITY: usize = 2 * MAX_WHOLE;

/// The bytes `start..end` of `bytes` wait to be taken. INVARIANT(inbox): `start <= end <= CAPACITY`.
pub(super) struct Inbox {
    bytes: Box<[u8; CAPACITY]>,
    start: usize,
    end: usize,
}

impl Inbox {
    /// An empty one.
    pub(super) fn new() -> Inbox {
        Inbox {
            bytes: Box::new([0; CAPACITY]),
            start: 0,
            end: 0,
        }
    }

    /// The header of the first frame if that frame is here whole, and its payload.
    pub(super) fn first(&self) -> Result<Option<(Header, &[u8])>, Fault> {
        let waiting = self.bytes.get(self.start..self.end).unwrap_or_default();
        let Some((header, rest)) = waiting.split_first_chunk::<HEADER_LEN>() else {
            return Ok(None);
        };
        // Checked before the payload is here, so that garbage does not look like a frame to wait for.
        let header = Header::decode(header)?;
        Ok(rest.get(..header.len).map(|payload| (header, payload)))
    }

    /// Takes the first frame away, whose payload has `len` bytes.
    pub(super) fn take(&mut self, len: usize) {
        self.start = (self.start + HEADER_LEN + len).min(self.end);
    }

    /// Where to read to: at least a whole frame's room behind what is begun, when [`first`](Self::first) has
    /// nothing.
    pub(super) fn room(&mut self) -> &mut [u8] {
        self.bytes.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        self.bytes.get_mut(self.end..).unwrap_or_default()
    }

    /// Takes note that `count` bytes were read into [`room`](Self::room).
    pub(super) fn filled(&mut self, count: usize) {
        self.end = (self.end + count).min(CAPACITY);
    }

    /// Whether anything is here, be it part of a frame.
    pub(super) fn is_begun(&self) -> bool {
        self.start < self.end
    }

    /// Throws everything away.
    pub(super) fn clear(&mut self) {
        self.start = 0;
        self.end = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::{Kind, MAX_PAYLOAD};
    use super::*;

    fn put(inbox: &mut Inbox, bytes: &[u8]) {
        inbox.room()[..bytes.len()].copy_from_slice(bytes);
        inbox.filled(bytes.len());
    }

    fn frame(len: usize, from: u64) -> Vec<u8> {
        let header = Header {
            kind: Kind::Data,
            len,
            from,
            to: 1,
        };
        let byte = u8::try_from(from).unwrap();
        [&header.encode()[..], &vec![byte; len]].concat()
    }

    #[test]
    fn a_stream_cut_anywhere_gives_the_frames_that_were_put_in() {
        let lens = [0, 1, 40, MAX_PAYLOAD, 7, MAX_PAYLOAD, MAX_PAYLOAD, 0];
        let stream: Vec<u8> = (1..)
            .zip(lens)
            .flat_map(|(from, len)| frame(len, from))
            .collect();
        for piece in [1, 3, 23, 24, 25, 1000, 4095, 4096] {
            let mut inbox = Inbox::new();
            let mut got = Vec::new();
            for bytes in stream.chunks(piece) {
                assert!(inbox.first().unwrap().is_none());
                put(&mut inbox, bytes);
                while let Some((header, payload)) = inbox.first().unwrap() {
                    assert!(payload.iter().all(|&b| u64::from(b) == header.from));
                    got.push(header.len);
                    let len = header.len;
                    inbox.take(len);
                }
            }
            assert_eq!(got, lens);
        }
    }

    #[test]
    fn garbage_is_told_from_a_frame_as_soon_as_a_header_is_there() {
        let mut inbox = Inbox::new();
        put(&mut inbox, &[0xFF; HEADER_LEN - 1]);
        assert_eq!(inbox.first(), Ok(None));
        put(&mut inbox, &[0xFF]);
        assert_eq!(inbox.first(), Err(Fault::Magic(0xFFFF)));
        inbox.clear();
        assert_eq!(inbox.first(), Ok(None));
        assert_eq!(inbox.room().len(), CAPACITY);
    }
}
