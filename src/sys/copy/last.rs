//! The last word of a copy, of which one to seven bytes count.

use super::WORD;

/// The last `bytes.len() % 8` bytes (at least one) as a little-endian number. Copying them into an array instead costs
/// three times as much as the rest of a small copy: a call, and a load that waits for the narrower stores before it.
#[inline]
pub(super) fn last_word(bytes: &[u8]) -> u64 {
    let rest = bytes.len() % WORD;
    if let Some(last) = bytes.last_chunk::<8>() {
        return u64::from_le_bytes(*last) >> (8 * (WORD - rest));
    }
    // Two overlapping halves, whose common bits are the same.
    if let (Some(low), Some(high)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        let high = u64::from(u32::from_le_bytes(*high)) << (8 * (rest - 4));
        return u64::from(u32::from_le_bytes(*low)) | high;
    }
    let byte = |at: usize| bytes.get(at).map_or(0, |byte| u64::from(*byte) << (8 * at));
    byte(0) | byte(1) | byte(2)
}

/// The first bytes (one to seven) of a little-endian number.
#[inline]
pub(super) fn put_first_bytes(word: u64, to: &mut [u8]) {
    let word = word.to_le_bytes();
    let len = to.len();
    let mut put = |range: std::ops::Range<usize>| {
        if let (Some(to), Some(bytes)) = (to.get_mut(range.clone()), word.get(range)) {
            to.copy_from_slice(bytes);
        }
    };
    // Pieces of a known size, the second over the end of the first.
    match len {
        4..WORD => {
            put(0..4);
            put(len - 4..len);
        }
        2..4 => {
            put(0..2);
            put(len - 1..len);
        }
        _ => put(0..1),
    }
}
