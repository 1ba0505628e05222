//! The bytes of a frame in a FIFO pair. Pure.
//!
//! Little endian, version 1. Header and payload are written at once and are at most `PIPE_BUF` bytes together,
//! so that a frame is whole or not there at all.
//!
//! | offset | type | field |
//! | --- | --- | --- |
//! | 0 | `u16` | magic, `0x4F46` (`"FO"`) |
//! | 2 | `u8` | version, 1 |
//! | 3 | `u8` | kind: 1 hello, 2 data |
//! | 4 | `u16` | length of the payload, at most 4072 |
//! | 6 | `u16` | 0 |
//! | 8 | `u64` | generation of the sender, not 0 |
//! | 16 | `u64` | generation of the receiver, as far as the sender knows; 0 in a first hello |
//! | 24 | | payload |
//!
//! The payload of a hello is the identity of the sender's process, five `u64`. A handle chooses its generation
//! when it is opened. Data for another generation was meant for a predecessor that died.

/// The greatest length of header and payload together: a write of that many bytes is never cut.
pub(super) const MAX_WHOLE: usize = 4096;
/// The length of the header.
pub(super) const HEADER_LEN: usize = 24;
/// The greatest length of a payload.
pub(super) const MAX_PAYLOAD: usize = MAX_WHOLE - HEADER_LEN;
/// The length of the payload of a hello.
pub(super) const HELLO_LEN: usize = 40;

const MAGIC: u16 = 0x4F46;
const VERSION: u8 = 1;

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Says who the sender is.
    Hello,
    /// Carries the user's bytes.
    Data,
}

/// A header that has been checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// What the frame is for.
    pub(super) kind: Kind,
    /// The length of the payload, at most [`MAX_PAYLOAD`].
    pub(super) len: usize,
    /// The generation of the sender, not 0.
    pub(super) from: u64,
    /// The generation of the receiver; 0 if not known.
    pub(super) to: u64,
}

/// Why bytes are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("a frame begins with {0:#06x} and must begin with 0x4f46")]
    Magic(u16),
    #[error("the peer speaks version {0} of the frame format, this side speaks version 1")]
    Version(u8),
    #[error("frames of kind {0} are unknown")]
    Kind(u8),
    #[error("a frame claims {0} bytes of payload, at most 4072 are allowed")]
    Length(u16),
    #[error("a hello has {0} bytes of payload and must have 40")]
    HelloLength(u16),
    #[error("a field that must be 0 is {0}")]
    Reserved(u16),
    #[error("a frame comes from generation 0")]
    NoGeneration,
    #[error("a hello bears the generation of this side itself")]
    OwnGeneration,
    #[error("a frame is cut short")]
    Cut,
}

impl Header {
    /// The header's bytes. `len` is at most [`MAX_PAYLOAD`].
    pub(super) fn encode(self) -> [u8; HEADER_LEN] {
        debug_assert!(self.len <= MAX_PAYLOAD);
        let mut bytes = [0; HEADER_LEN];
        let len = u16::try_from(self.len).unwrap_or(u16::MAX);
        let kind = match self.kind {
            Kind::Hello => 1,
            Kind::Data => 2,
        };
        bytes[0..2].copy_from_slice(&MAGIC.to_le_bytes());
        bytes[2] = VERSION;
        bytes[3] = kind;
        bytes[4..6].copy_from_slice(&len.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.from.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.to.to_le_bytes());
        bytes
    }

    /// Checks a header.
    pub(super) fn decode(bytes: &[u8; HEADER_LEN]) -> Result<Header, Fault> {
        let [m0, m1, version, kind, l0, l1, z0, z1, rest @ ..] = *bytes;
        let magic = u16::from_le_bytes([m0, m1]);
        let len = u16::from_le_bytes([l0, l1]);
        let reserved = u16::from_le_bytes([z0, z1]);
        let [from, to] = words(&rest);
        if magic != MAGIC {
            return Err(Fault::Magic(magic));
        }
        if version != VERSION {
            return Err(Fault::Version(version));
        }
        let kind = match kind {
            1 if usize::from(len) != HELLO_LEN => return Err(Fault::HelloLength(len)),
            1 => Kind::Hello,
            2 => Kind::Data,
            other => return Err(Fault::Kind(other)),
        };
        if usize::from(len) > MAX_PAYLOAD {
            return Err(Fault::Length(len));
        }
        if reserved != 0 {
            return Err(Fault::Reserved(reserved));
        }
        if from == 0 {
            return Err(Fault::NoGeneration);
        }
        Ok(Header {
            kind,
            len: usize::from(len),
            from,
            to,
        })
    }
}

/// The payload of a hello.
pub(super) fn encode_identity(identity: [u64; 5]) -> [u8; HELLO_LEN] {
    let mut bytes = [0; HELLO_LEN];
    for (place, word) in bytes.chunks_exact_mut(8).zip(identity) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

/// Words out of bytes; zeros where there are too few bytes.
pub(super) fn words<const N: usize>(bytes: &[u8]) -> [u64; N] {
    let mut words = [0; N];
    for (word, place) in words.iter_mut().zip(bytes.as_chunks().0) {
        *word = u64::from_le_bytes(*place);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATA: Header = Header {
        kind: Kind::Data,
        len: 5,
        from: 0x0102_0304_0506_0708,
        to: 9,
    };

    #[test]
    fn a_header_has_these_bytes_and_comes_back() {
        let bytes = DATA.encode();
        assert_eq!(
            bytes,
            [
                0x46, 0x4F, 1, 2, 5, 0, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1, 9, 0, 0, 0, 0, 0, 0, 0
            ]
        );
        assert_eq!(Header::decode(&bytes), Ok(DATA));
        let hello = Header {
            kind: Kind::Hello,
            len: HELLO_LEN,
            ..DATA
        };
        assert_eq!(Header::decode(&hello.encode()), Ok(hello));
        let longest = Header {
            len: MAX_PAYLOAD,
            ..DATA
        };
        assert_eq!(Header::decode(&longest.encode()), Ok(longest));
        let identity = [1, 2, 3, 4, u64::MAX];
        assert_eq!(words(&encode_identity(identity)), identity);
    }

    #[test]
    fn each_field_that_is_wrong_is_told() {
        let with = |offset: usize, value: u8| {
            let mut bytes = DATA.encode();
            bytes[offset] = value;
            Header::decode(&bytes)
        };
        assert_eq!(with(0, 0), Err(Fault::Magic(0x4F00)));
        assert_eq!(with(2, 2), Err(Fault::Version(2)));
        assert_eq!(with(3, 0), Err(Fault::Kind(0)));
        assert_eq!(with(3, 3), Err(Fault::Kind(3)));
        assert_eq!(with(3, 1), Err(Fault::HelloLength(5)));
        assert_eq!(with(5, 0x10), Err(Fault::Length(4101)));
        assert_eq!(with(7, 1), Err(Fault::Reserved(256)));
        let nobody = Header { from: 0, ..DATA };
        assert_eq!(Header::decode(&nobody.encode()), Err(Fault::NoGeneration));
    }

    #[test]
    fn whatever_the_bytes_are_a_header_that_decodes_encodes_to_the_same_bytes() {
        let mut state = 1_u64;
        let mut good = 0;
        for _ in 0..200_000 {
            let mut bytes = DATA.encode();
            for _ in 0..2 {
                state = state
                    .wrapping_mul(6364136223846793005)
                    .wrapping_add(1442695040888963407);
                let [offset, value, ..] = (state >> 40).to_le_bytes();
                bytes[usize::from(offset) % HEADER_LEN] = value;
            }
            if let Ok(header) = Header::decode(&bytes) {
                good += 1;
                assert_eq!(header.encode(), bytes);
            }
        }
        assert!(good > 1000);
    }
}
