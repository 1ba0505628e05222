//! Every length around each change of method, at every offset of the private bytes, against a plain copy.

use super::*;

/// Words with a known pattern in them.
fn words(count: usize) -> Vec<AtomicU64> {
    (0..count as u64)
        .map(|n| AtomicU64::new(0x0101_0101_0101_0101 * (n % 251 + 1)))
        .collect()
}

fn bytes_of(words: &[AtomicU64]) -> Vec<u8> {
    let bytes = words
        .iter()
        .map(|word| word.load(Ordering::Relaxed).to_ne_bytes());
    bytes.flatten().collect()
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len)
        .map(|n| u8::try_from(n * 7 % 255).unwrap_or(0) + 1)
        .collect()
}

fn lengths() -> impl Iterator<Item = usize> {
    let small = if cfg!(miri) { 150 } else { 700 };
    (0..small).chain([
        1000,
        1023,
        1024,
        1025,
        4095,
        4096,
        4097,
        65_543,
        (512 << 10) + 7,
    ])
}

#[test]
fn what_is_stored_is_the_bytes_then_zeros_to_the_next_word_and_nothing_else() {
    for len in lengths() {
        for offset in [0, 1, 3, 7, 8, 15] {
            let from = pattern(offset + len);
            let to = words(len / WORD + 3);
            let mut expected = bytes_of(&to);
            expected[..len.next_multiple_of(WORD)].fill(0);
            expected[..len].copy_from_slice(&from[offset..]);
            store(&to, &from[offset..]);
            assert_eq!(bytes_of(&to), expected, "length {len}, offset {offset}");
        }
    }
}

#[test]
fn a_private_copy_is_the_bytes_and_touches_nothing_beside() {
    for len in lengths() {
        for offset in [0, 1, 3, 7, 8, 15] {
            let from = pattern(len);
            let mut to = vec![0xee; offset + len + 8];
            bytes(&mut to[offset..offset + len], &from);
            assert_eq!(
                to[offset..offset + len],
                from,
                "length {len}, offset {offset}"
            );
            assert!(to[..offset].iter().all(|byte| *byte == 0xee));
            assert!(to[offset + len..].iter().all(|byte| *byte == 0xee));
        }
    }
}

#[test]
fn what_is_loaded_is_the_words_and_nothing_beside_is_touched() {
    for len in lengths() {
        for offset in [0, 1, 3, 7, 8, 15] {
            let from = words(len / WORD + 3);
            let mut to = vec![0xee; offset + len + 8];
            load(&from, &mut to[offset..offset + len]);
            assert_eq!(
                to[offset..offset + len],
                bytes_of(&from)[..len],
                "length {len}, offset {offset}"
            );
            assert!(
                to[..offset]
                    .iter()
                    .chain(&to[offset + len..])
                    .all(|byte| *byte == 0xee)
            );
        }
    }
}

#[test]
fn copies_within_words_keep_what_is_beside_them() {
    for len in lengths() {
        for at in 0..WORD {
            let from = pattern(len);
            let to = words(len / WORD + 3);
            let mut expected = bytes_of(&to);
            expected[at..at + len].copy_from_slice(&from);
            store_within(&to, at, &from);
            assert_eq!(bytes_of(&to), expected, "length {len} at {at}");
            let mut back = vec![0; len];
            load_within(&to, at, &mut back);
            assert_eq!(back, from, "length {len} at {at}");
        }
    }
}

#[test]
fn a_copy_that_does_not_fit_ends_with_the_words() {
    if cfg!(debug_assertions) {
        return; // it is an assertion there
    }
    let two = words(2);
    store(&two, &pattern(300));
    assert_eq!(bytes_of(&two), pattern(16));
    let mut to = vec![0; 300];
    load(&two, &mut to);
    assert_eq!(to[..16], pattern(16));
    assert!(to[16..].iter().all(|byte| *byte == 0));
}

/// Where in `to` a place lies so far ahead of `from`, modulo a page.
fn ahead(to: *const u8, from: *const u8, distance: usize) -> usize {
    from.addr().wrapping_add(distance).wrapping_sub(to.addr()) % 4096
}

#[test]
fn a_long_copy_is_whole_at_every_distance_between_the_two() {
    const LEN: usize = 40_003;
    let shared = words(LEN / WORD + 1);
    let plain = bytes_of(&shared);
    for distance in [0, 1, 16, 63, 64, 65, 112, 2048, 4033, 4095] {
        let mut to = vec![0; LEN + 4096];
        let at = ahead(to.as_ptr(), shared.as_ptr().cast(), distance);
        load(&shared, &mut to[at..at + LEN]);
        assert!(to[at..at + LEN] == plain[..LEN], "out, {distance}");

        let mut copy = vec![0; LEN + 4096];
        let start = ahead(copy.as_ptr(), to[at..].as_ptr(), distance);
        bytes(&mut copy[start..start + LEN], &to[at..at + LEN]);
        assert!(
            copy[start..start + LEN] == plain[..LEN],
            "private, {distance}"
        );

        let back = words(LEN / WORD + 2);
        store(&back, &to[at..at + LEN]);
        assert!(bytes_of(&back)[..LEN] == plain[..LEN], "in, {distance}");
    }
}

#[test]
fn long_copies_are_whole_in_either_way() {
    let words: Vec<AtomicU64> = (0..3 * LONG as u64 / 8)
        .map(|n| AtomicU64::new(n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le()))
        .collect();
    let bytes = bytes_of(&words);
    for way in [Way::Vector, Way::String] {
        for (start, from, len) in [
            (0, 0, LONG),
            (1, 3, LONG + 1),
            (33, 1, LONG + 77),
            (8, 8, 2 * LONG + 13),
        ] {
            let mut to = vec![0xee; start + len + 1];
            load_long(&words[from..], &mut to[start..start + len], way);
            assert!(
                to[start..start + len] == bytes[from * 8..from * 8 + len],
                "{way:?} {len}"
            );
            assert_eq!(to[start + len], 0xee, "nothing behind it");
        }
    }
}
