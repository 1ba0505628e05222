//! The kind of a request: what the client wants done, by name.

use std::fmt;
use std::str::FromStr;

/// The kind of a request: a name of 1 to 16 graphic ASCII characters, such as `digest`.
///
/// The set is open: a program makes its own kinds, and a server says which it knows.
///
/// # Examples
///
/// ```
/// use osps_ipc::request::{BadKind, RequestKind};
///
/// const COUNT: RequestKind = RequestKind::new("count");
///
/// let typed: RequestKind = "count".parse()?;
/// assert_eq!(typed, COUNT);
/// assert_eq!(RequestKind::try_from("a b"), Err(BadKind::NotGraphic { at: 1, byte: b' ' }));
/// # Ok::<(), BadKind>(())
/// ```
// Invariant K1: 1 to 16 graphic ASCII bytes, then only NUL.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestKind([u8; RequestKind::LENGTH]);

/// Why a name cannot be a [`RequestKind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadKind {
    /// No character at all.
    #[error("the name is empty")]
    Empty,
    /// More than 16 bytes.
    #[error(
        "the name has {length} bytes, at most {} are possible",
        RequestKind::LENGTH
    )]
    TooLong {
        /// The name's length in bytes.
        length: usize,
    },
    /// A byte that is no graphic ASCII character: a blank, a control character, part of another alphabet. In a
    /// message also a NUL with something behind it.
    #[error("byte {at} of the name is {byte:#04x}, not a graphic ASCII character")]
    NotGraphic {
        /// Which byte, from 0.
        at: u8,
        /// What stands there.
        byte: u8,
    },
}

impl RequestKind {
    /// The bytes that a kind takes in a message.
    pub const LENGTH: usize = 16;

    /// Makes a kind of a name that the program has fixed; meant for constants, where a bad name stops the build.
    ///
    /// # Panics
    ///
    /// If the name is not 1 to 16 graphic ASCII characters. For a name that comes from elsewhere use
    /// [`str::parse`] or `TryFrom`.
    #[expect(clippy::panic, reason = "its purpose: a bad constant stops the build")]
    pub const fn new(name: &str) -> RequestKind {
        match RequestKind::checked(name) {
            Ok(kind) => kind,
            Err(BadKind::Empty) => panic!("the name of a request kind is empty"),
            Err(BadKind::TooLong { .. }) => panic!("the name of a request kind is over 16 bytes"),
            Err(BadKind::NotGraphic { .. }) => panic!("a request kind has a non-graphic character"),
        }
    }

    const fn checked(name: &str) -> Result<RequestKind, BadKind> {
        let name = name.as_bytes();
        if name.is_empty() {
            return Err(BadKind::Empty);
        }
        if name.len() > RequestKind::LENGTH {
            return Err(BadKind::TooLong { length: name.len() });
        }
        let mut bytes = [0; RequestKind::LENGTH];
        let mut at: u8 = 0;
        while (at as usize) < name.len() {
            let byte = name[at as usize];
            if !byte.is_ascii_graphic() {
                return Err(BadKind::NotGraphic { at, byte });
            }
            bytes[at as usize] = byte;
            at += 1;
        }
        Ok(RequestKind(bytes))
    }

    /// Reads a kind as it stands in a message, padded with NUL.
    #[inline(always)]
    pub fn from_bytes(bytes: [u8; RequestKind::LENGTH]) -> Result<RequestKind, BadKind> {
        let length = length(bytes);
        if length != 0 && is_graphic(bytes, length) {
            return Ok(RequestKind(bytes));
        }
        Err(RequestKind::problem(bytes, length))
    }

    #[cold]
    fn problem(bytes: [u8; RequestKind::LENGTH], length: u32) -> BadKind {
        for (at, byte) in (0..).zip(bytes) {
            if !byte.is_ascii_graphic() && u32::from(at) < length {
                return BadKind::NotGraphic { at, byte };
            }
        }
        BadKind::Empty
    }

    /// Reads a kind of the two words of a message.
    #[inline(always)]
    pub(super) fn of([low, high]: [u64; 2]) -> Result<RequestKind, BadKind> {
        RequestKind::from_bytes((u128::from(low) | u128::from(high) << 64).to_le_bytes())
    }

    /// The two words of a message.
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation, reason = "it is split in two")]
    pub(super) fn words(self) -> [u64; 2] {
        let bytes = u128::from_le_bytes(self.0);
        [bytes as u64, (bytes >> 64) as u64]
    }

    /// The kind as it stands in a message, padded with NUL.
    pub const fn as_bytes(&self) -> &[u8; RequestKind::LENGTH] {
        &self.0
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        let length = length(self.0) as usize;
        // By K1 these bytes are ASCII and inside the array: neither alternative is ever taken.
        let name = self.0.get(..length).unwrap_or_default();
        std::str::from_utf8(name).unwrap_or_default()
    }
}

/// Bytes up to the last one that is not NUL.
fn length(bytes: [u8; RequestKind::LENGTH]) -> u32 {
    u128::BITS / 8 - u128::from_le_bytes(bytes).leading_zeros() / 8
}

/// Whether the first `length` bytes are graphic (`!` to `~`), where those behind them are NUL: all at once, for the
/// data path.
#[inline]
fn is_graphic(bytes: [u8; RequestKind::LENGTH], length: u32) -> bool {
    const EACH: u128 = u128::from_ne_bytes([1; 16]);
    const TOP: u128 = EACH * 0x80;
    // Padding counts as graphic.
    let padding = (EACH * b'!' as u128).checked_shl(8 * length).unwrap_or(0);
    let value = u128::from_le_bytes(bytes) | padding;
    // The top bit of a byte is set where it is above `~`, and where it is not below `!`: neither sum carries into
    // the next byte.
    let above = ((value & !TOP) + EACH) | value;
    let not_below = (value | TOP) - EACH * b'!' as u128;
    above & TOP == 0 && not_below & TOP == TOP
}

impl TryFrom<&str> for RequestKind {
    type Error = BadKind;

    fn try_from(name: &str) -> Result<RequestKind, BadKind> {
        RequestKind::checked(name)
    }
}

impl FromStr for RequestKind {
    type Err = BadKind;

    fn from_str(name: &str) -> Result<RequestKind, BadKind> {
        RequestKind::checked(name)
    }
}

impl AsRef<str> for RequestKind {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for RequestKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for RequestKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RequestKind").field(&self.as_str()).finish()
    }
}

/// The kinds in the payload of an `UnknownKind` reply, in the order in which the server names them.
#[derive(Clone, Debug)]
pub struct Kinds<'a> {
    rest: std::slice::Iter<'a, [u8; RequestKind::LENGTH]>,
}

impl<'a> Kinds<'a> {
    /// A list whose entries were checked when the message was decoded.
    pub(super) fn new(payload: &'a [u8]) -> Kinds<'a> {
        let (entries, _) = payload.as_chunks();
        Kinds {
            rest: entries.iter(),
        }
    }

    /// Checks every entry of a list.
    pub(super) fn check(payload: &[u8]) -> Result<(), BadKind> {
        let (entries, _) = payload.as_chunks();
        entries
            .iter()
            .try_for_each(|entry| RequestKind::from_bytes(*entry).map(drop))
    }
}

impl Iterator for Kinds<'_> {
    type Item = RequestKind;

    fn next(&mut self) -> Option<RequestKind> {
        self.rest.next().map(|entry| RequestKind(*entry))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.rest.size_hint()
    }
}

impl ExactSizeIterator for Kinds<'_> {}
impl std::iter::FusedIterator for Kinds<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_shows_the_name_that_it_was_made_of() {
        for name in ["x", "digest", "0123456789abcdef", "!~"] {
            let kind: RequestKind = name.parse().unwrap();
            assert_eq!(kind.as_str(), name);
            assert_eq!(kind.to_string(), name);
            assert_eq!(RequestKind::from_bytes(*kind.as_bytes()), Ok(kind));
        }
        assert_eq!(format!("{:>8}|", RequestKind::new("count")), "   count|");
        assert_eq!(
            format!("{:?}", RequestKind::new("count")),
            "RequestKind(\"count\")"
        );
    }

    #[test]
    fn a_bad_name_is_refused_with_its_reason() {
        let refused = |name: &str| RequestKind::try_from(name).unwrap_err();
        assert_eq!(refused(""), BadKind::Empty);
        assert_eq!(
            refused("0123456789abcdefg"),
            BadKind::TooLong { length: 17 }
        );
        assert_eq!(refused("a b"), BadKind::NotGraphic { at: 1, byte: b' ' });
        assert_eq!(refused("a\0b"), BadKind::NotGraphic { at: 1, byte: 0 });
        assert_eq!(refused("ä"), BadKind::NotGraphic { at: 0, byte: 0xc3 });
    }

    #[test]
    #[should_panic(expected = "over 16 bytes")]
    fn a_constant_with_too_long_a_name_does_not_build() {
        RequestKind::new("0123456789abcdefg");
    }

    /// Says of a padded kind what is right, slowly.
    fn oracle(bytes: [u8; 16]) -> Result<String, BadKind> {
        let mut name = bytes.to_vec();
        while name.last() == Some(&0) {
            name.pop();
        }
        if name.is_empty() {
            return Err(BadKind::Empty);
        }
        for (at, byte) in name.iter().copied().enumerate() {
            if !(0x21..=0x7e).contains(&byte) {
                let at = u8::try_from(at).unwrap();
                return Err(BadKind::NotGraphic { at, byte });
            }
        }
        Ok(String::from_utf8(name).unwrap())
    }

    #[test]
    fn every_byte_at_every_place_of_every_length_is_judged_as_by_the_oracle() {
        for length in 0..=16 {
            for at in 0..16 {
                for byte in 0..=255 {
                    let mut bytes = [0; 16];
                    bytes[..length].fill(b'k');
                    bytes[at] = byte;
                    let found = RequestKind::from_bytes(bytes).map(|kind| kind.to_string());
                    assert_eq!(found, oracle(bytes), "{bytes:?}");
                }
            }
        }
    }
}
