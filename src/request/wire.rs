//! What both messages have in common: fields at fixed offsets, the version, the length, the hand-over.

use super::VERSION;
use super::error::DecodeError;

/// The flag that says that the payload is a [`HandOver`].
pub(super) const HAND_OVER: u16 = 1;
/// The flag of a request that asks where requests of its kind shall go.
pub(super) const ASK: u16 = 2;

/// The words of a header, and what follows it.
#[inline]
pub(super) fn split<const WORDS: usize>(
    message: &[u8],
) -> Result<([u64; WORDS], &[u8]), DecodeError> {
    let (words, _) = message.as_chunks();
    let Some(words) = words.first_chunk::<WORDS>() else {
        return Err(DecodeError::Truncated {
            needed: WORDS * 8,
            found: message.len(),
        });
    };
    let rest = message.get(WORDS * 8..).unwrap_or_default();
    Ok((words.map(u64::from_le_bytes), rest))
}

/// The bytes of a header.
pub(super) fn join<const WORDS: usize, const BYTES: usize>(words: [u64; WORDS]) -> [u8; BYTES] {
    const { assert!(BYTES == WORDS * 8) };
    let mut bytes = [0; BYTES];
    for (to, word) in bytes.as_chunks_mut().0.iter_mut().zip(words) {
        *to = word.to_le_bytes();
    }
    bytes
}

/// What both messages begin with.
#[inline(always)]
pub(super) fn first(flags: u16, length: u32) -> u64 {
    u64::from(VERSION) | u64::from(flags) << 16 | u64::from(length) << 32
}

/// Flags and payload length of a message whose version is right.
#[inline(always)]
#[allow(
    clippy::cast_possible_truncation,
    reason = "each field is shifted to its width"
)]
pub(super) fn open(first: u64) -> Result<(u16, u32), DecodeError> {
    match first as u16 {
        VERSION => Ok(((first >> 16) as u16, (first >> 32) as u32)),
        found => Err(DecodeError::Version { found }),
    }
}

/// Checks that what follows the header is as long as the header says.
#[inline(always)]
pub(super) fn check_length(header: usize, length: u32, rest: &[u8]) -> Result<(), DecodeError> {
    if rest.len() as u64 == u64::from(length) {
        return Ok(());
    }
    Err(DecodeError::Length {
        promised: header as u64 + u64::from(length),
        found: header as u64 + rest.len() as u64,
    })
}

/// Where data lie that are not in the message: in a hand-over segment of the session's directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HandOver {
    /// Which hand-over segment.
    pub number: u64,
    /// How many bytes of data.
    pub length: u64,
    /// Where in the segment's payload they begin.
    pub offset: u64,
}

impl HandOver {
    /// The bytes that a descriptor takes in a message.
    pub const LENGTH: usize = HandOver::LENGTH_FIELD as usize;
    /// The same, as it stands in a header.
    pub(super) const LENGTH_FIELD: u32 = 24;

    /// Where they end.
    #[inline]
    pub(crate) fn end(&self) -> u64 {
        self.offset.saturating_add(self.length)
    }

    /// The descriptor as it stands in a message.
    pub fn encode(&self) -> [u8; HandOver::LENGTH] {
        join([self.number, self.length, self.offset])
    }

    /// Reads a descriptor.
    ///
    /// # Errors
    ///
    /// [`DecodeError::HandOverRange`] if the range does not fit in 64 bits. That it lies inside the segment is for
    /// the one who opens the segment to check.
    pub fn decode(bytes: &[u8; HandOver::LENGTH]) -> Result<HandOver, DecodeError> {
        let hand_over = HandOver::read(bytes);
        match hand_over.offset.checked_add(hand_over.length) {
            Some(_) => Ok(hand_over),
            None => Err(DecodeError::HandOverRange {
                offset: hand_over.offset,
                length: hand_over.length,
            }),
        }
    }

    /// Reads a descriptor that [`HandOver::check`] has passed.
    pub(super) fn read(bytes: &[u8]) -> HandOver {
        let ([number, length, offset], _) = split(bytes).unwrap_or(([0; 3], &[]));
        HandOver {
            number,
            length,
            offset,
        }
    }

    /// Checks the length that a header gives for a descriptor.
    pub(super) fn check_length(length: u32) -> Result<(), DecodeError> {
        if length == HandOver::LENGTH_FIELD {
            return Ok(());
        }
        Err(DecodeError::HandOverLength { found: length })
    }

    /// Checks a payload of the right length that must be a descriptor.
    pub(super) fn check(payload: &[u8]) -> Result<(), DecodeError> {
        payload
            .first_chunk()
            .map_or(Ok(()), |bytes| HandOver::decode(bytes).map(drop))
    }
}
