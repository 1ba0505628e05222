//! What both messages have in common: fields at fixed offsets, the version, the length, the hand-over.

use super::VERSION;
use super::error::DecodeError;

/// The flag that says that the payload is a [`HandOver`].
pub(super) const HAND_OVER: u16 = 1;
/// The flag of a request that asks where requests of its kind shall go.
pub(super) const ASK: u16 = 2;

/// The `N` bytes at `at`, which callers give as constants of the tables in the module documentation. An offset
/// beyond the end would read as zero, which the vectors would show.
pub(super) fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes
        .get(at..)
        .and_then(|rest| rest.first_chunk())
        .copied()
        .unwrap_or([0; N])
}

/// A message whose version is right.
pub(super) struct Opened<'a, const HEADER: usize> {
    pub(super) header: &'a [u8; HEADER],
    pub(super) flags: u16,
    /// The payload's length as the header gives it.
    pub(super) length: u32,
    /// What follows the header.
    pub(super) rest: &'a [u8],
}

/// Splits a message at the end of its header and reads what both messages begin with.
#[inline]
pub(super) fn open<const HEADER: usize>(message: &[u8]) -> Result<Opened<'_, HEADER>, DecodeError> {
    let Some((header, rest)) = message.split_first_chunk::<HEADER>() else {
        return Err(DecodeError::Truncated {
            needed: HEADER,
            found: message.len(),
        });
    };
    let version = u16::from_le_bytes(field(header, 0));
    if version != VERSION {
        return Err(DecodeError::Version { found: version });
    }
    Ok(Opened {
        header,
        flags: u16::from_le_bytes(field(header, 2)),
        length: u32::from_le_bytes(field(header, 4)),
        rest,
    })
}

/// Checks that what follows the header is as long as the header says.
#[inline]
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

    /// The descriptor as it stands in a message.
    pub fn encode(&self) -> [u8; HandOver::LENGTH] {
        let mut bytes = [0; HandOver::LENGTH];
        bytes[0..8].copy_from_slice(&self.number.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.length.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.offset.to_le_bytes());
        bytes
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
        HandOver {
            number: u64::from_le_bytes(field(bytes, 0)),
            length: u64::from_le_bytes(field(bytes, 8)),
            offset: u64::from_le_bytes(field(bytes, 16)),
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
