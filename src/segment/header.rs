//! The header of a segment as bytes: the table stands in the documentation of [the module above](super).

use std::path::Path;

use crate::error::Error;
use crate::sys::process::Identity;

/// The header's length, and where the payload begins.
pub(crate) const LEN: usize = 128;

/// Where the ready word stands.
pub(crate) const READY_AT: usize = 40;

/// The ready word of a complete segment: "complete" in ASCII.
pub(crate) const READY: u64 = u64::from_le_bytes(*b"complete");

const MAGIC: [u8; 8] = *b"OSPS-SEG";
const HEADER_LEN: u32 = 128;
const MAJOR: u16 = 1;
const MINOR: u16 = 0;

/// The feature bits that a reader must know or else refuse: the lower half. None is given out yet.
const MUST_UNDERSTAND: u64 = 0xffff_ffff;
const UNDERSTOOD: u64 = 0;

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// The length of the payload in bytes.
    pub(crate) payload: u64,
    /// What the payload is: 0 for plain bytes.
    pub(crate) fingerprint: u64,
    /// The process that made it, as the words of an identity.
    pub(crate) creator: [u64; 5],
}

/// A field that is not what it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) what: &'static str,
    pub(crate) found: String,
    pub(crate) expected: String,
}

impl Fault {
    pub(crate) fn new(
        what: &'static str,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) -> Fault {
        let (found, expected) = (found.into(), expected.into());
        Fault {
            what,
            found,
            expected,
        }
    }

    pub(crate) fn at(self, path: &Path) -> Error {
        Error::BadSegment {
            path: path.to_owned(),
            what: self.what,
            found: self.found,
            expected: self.expected,
        }
    }
}

impl Header {
    /// The bytes of a header that is not ready yet: its ready word is zero.
    pub(crate) fn encode(&self) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        let mut at = 0;
        let mut put = |field: &[u8]| {
            bytes[at..at + field.len()].copy_from_slice(field);
            at += field.len();
        };
        put(&MAGIC);
        put(&MAJOR.to_le_bytes());
        put(&MINOR.to_le_bytes());
        put(&HEADER_LEN.to_le_bytes());
        put(&UNDERSTOOD.to_le_bytes());
        put(&self.payload.to_le_bytes());
        put(&self.fingerprint.to_le_bytes());
        put(&[0; 8]);
        for word in self.creator {
            put(&word.to_le_bytes());
        }
        bytes
    }

    /// Reads the header at the beginning of a file's bytes.
    pub(crate) fn decode(file: &[u8]) -> Result<Header, Fault> {
        let Some(bytes) = file.first_chunk::<LEN>() else {
            return Err(Fault::new(
                "length of the file",
                format!("{} bytes", file.len()),
                format!("a header of {LEN} bytes"),
            ));
        };
        let magic: [u8; 8] = field(bytes, 0);
        if magic != MAGIC {
            return Err(Fault::new(
                "magic",
                format!("\"{}\"", magic.escape_ascii()),
                format!("\"{}\"", MAGIC.escape_ascii()),
            ));
        }
        let major = u16::from_le_bytes(field(bytes, 8));
        if major != MAJOR {
            let minor = u16::from_le_bytes(field(bytes, 10));
            let age = if major < MAJOR { "older" } else { "newer" };
            return Err(Fault::new(
                "layout version",
                format!("{major}.{minor}, which is {age}"),
                format!("{MAJOR}.x"),
            ));
        }
        let len = u32::from_le_bytes(field(bytes, 12));
        if len != HEADER_LEN {
            return Err(Fault::new(
                "header length",
                len.to_string(),
                LEN.to_string(),
            ));
        }
        let unknown = u64::from_le_bytes(field(bytes, 16)) & MUST_UNDERSTAND & !UNDERSTOOD;
        if unknown != 0 {
            return Err(Fault::new(
                "feature bits",
                format!("{unknown:#x}, which a reader must understand"),
                "none that this version does not know",
            ));
        }
        let mut creator = [0; 5];
        for (n, word) in creator.iter_mut().enumerate() {
            *word = u64::from_le_bytes(field(bytes, 48 + 8 * n));
        }
        let ready = u64::from_le_bytes(field(bytes, READY_AT));
        if ready != READY {
            let creator = Identity::from_words(creator);
            return Err(Fault::new(
                "ready word",
                format!("{ready:#018x}, half made by {creator}"),
                format!("{READY:#018x}"),
            ));
        }
        Ok(Header {
            payload: u64::from_le_bytes(field(bytes, 24)),
            fingerprint: u64::from_le_bytes(field(bytes, 32)),
            creator,
        })
    }

    /// The payload's length. What was checked can be addressed.
    pub(crate) fn len(&self) -> usize {
        usize::try_from(self.payload).unwrap_or(0)
    }

    /// The process that made the segment, if it said so.
    pub(crate) fn creator(&self) -> Option<Identity> {
        Some(Identity::from_words(self.creator)).filter(|creator| creator.pid != 0)
    }

    /// Checks the header against the file's length and against what the opener wants.
    pub(crate) fn check(&self, file: u64, wanted: &Wanted) -> Result<(), Fault> {
        if self.payload.checked_add(LEN as u64) != Some(file) {
            return Err(Fault::new(
                "length of the file",
                format!("{file} bytes"),
                format!("a header of {LEN} bytes and a payload of {}", self.payload),
            ));
        }
        if isize::try_from(file).is_err() {
            let most = format!("at most {}, which is all that can be addressed", isize::MAX);
            return Err(Fault::new(
                "length of the file",
                format!("{file} bytes"),
                most,
            ));
        }
        if self.fingerprint != wanted.fingerprint {
            return Err(Fault::new(
                "fingerprint",
                kind(self.fingerprint),
                kind(wanted.fingerprint),
            ));
        }
        if self.payload < wanted.len || (wanted.exact && self.payload != wanted.len) {
            let least = if wanted.exact { "" } else { "at least " };
            return Err(Fault::new(
                "payload length",
                format!("{} bytes", self.payload),
                format!("{least}{} bytes", wanted.len),
            ));
        }
        Ok(())
    }
}

/// What an opener wants a payload to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) fingerprint: u64,
    pub(crate) len: u64,
    /// Whether a longer payload is refused too.
    pub(crate) exact: bool,
}

fn kind(fingerprint: u64) -> String {
    match fingerprint {
        0 => "0, plain bytes".to_owned(),
        _ => format!("{fingerprint:#018x}"),
    }
}

/// The bytes at a constant offset of the table.
fn field<const N: usize>(bytes: &[u8; LEN], at: usize) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&bytes[at..at + N]);
    field
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: Header = Header {
        payload: 13,
        fingerprint: 0,
        creator: [1, 2, 3, 4, 5],
    };

    fn ready() -> [u8; LEN] {
        let mut bytes = HEADER.encode();
        bytes[READY_AT..READY_AT + 8].copy_from_slice(&READY.to_le_bytes());
        bytes
    }

    fn wanted(fingerprint: u64, len: u64, exact: bool) -> Wanted {
        Wanted {
            fingerprint,
            len,
            exact,
        }
    }

    #[test]
    fn a_ready_header_decodes_to_itself_and_one_that_is_not_is_half_made() {
        assert_eq!(Header::decode(&ready()), Ok(HEADER));
        assert_eq!(
            Header::decode(&HEADER.encode()).unwrap_err().what,
            "ready word"
        );
    }

    #[test]
    fn the_header_that_is_written_is_that_of_the_test_vector() {
        let vector = include_str!("../../tests/vectors/segment-bytes.hex");
        let data = vector.lines().filter_map(|line| line.split('#').next());
        let mut bytes: Vec<u8> = data
            .flat_map(str::split_whitespace)
            .map(|digits| u8::from_str_radix(digits, 16).unwrap())
            .collect();
        let header = Header::decode(&bytes).unwrap();
        assert_eq!(header.payload, 13);
        let creator = header.creator().unwrap();
        assert_eq!(
            u128::from_be_bytes(creator.boot_id),
            0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f
        );
        assert_eq!((creator.pid, creator.start_time), (1234, 567_890));
        bytes[READY_AT..READY_AT + 8].fill(0);
        assert_eq!(header.encode()[..], bytes[..LEN]);
    }

    #[test]
    fn who_made_it_may_be_unknown_and_what_cannot_be_addressed_is_refused() {
        let mut header = Header::decode(&ready()).unwrap();
        header.creator = [1, 2, 3, 0, 5];
        assert_eq!(header.creator(), None);
        header.payload = u64::MAX - LEN as u64;
        let fault = header.check(u64::MAX, &wanted(0, 13, false)).unwrap_err();
        assert_eq!(fault.what, "length of the file");
        assert!(fault.expected.contains("addressed"), "{fault:?}");
    }

    #[test]
    fn every_flipped_bit_is_refused_by_its_field_or_does_not_matter() {
        for bit in 0..LEN * 8 {
            let mut bytes = ready();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let refused = Header::decode(&bytes)
                .and_then(|header| header.check(LEN as u64 + 13, &wanted(0, 13, false)))
                .err()
                .map(|fault| fault.what);
            let expected = match bit / 8 {
                0..8 => Some("magic"),
                8..10 => Some("layout version"),
                10..12 => None, // a newer minor version
                12..16 => Some("header length"),
                16..20 => Some("feature bits"),
                20..24 => None, // features that a reader may ignore
                24..32 => Some("length of the file"),
                32..40 => Some("fingerprint"),
                40..48 => Some("ready word"),
                _ => None, // told, not believed; reserved
            };
            assert_eq!(refused, expected, "bit {bit}");
        }
    }

    #[test]
    fn a_short_file_is_refused_with_both_lengths() {
        for len in 0..LEN {
            let fault = Header::decode(&ready()[..len]).unwrap_err();
            assert!(fault.found.contains(&len.to_string()), "{fault:?}");
            assert!(fault.expected.contains("128"), "{fault:?}");
        }
    }

    #[test]
    fn a_payload_is_as_long_as_wanted_or_longer_where_that_is_allowed() {
        let file = LEN as u64 + 13;
        assert_eq!(HEADER.check(file, &wanted(0, 13, true)), Ok(()));
        assert_eq!(HEADER.check(file, &wanted(0, 0, false)), Ok(()));
        for refused in [
            wanted(0, 12, true),
            wanted(0, 14, false),
            wanted(0, 14, true),
        ] {
            let fault = HEADER.check(file, &refused).unwrap_err();
            assert_eq!(fault.what, "payload length");
        }
        let endless = Header {
            payload: u64::MAX,
            ..HEADER
        };
        assert!(endless.check(LEN as u64 - 1, &wanted(0, 0, false)).is_err());
    }
}
