use super::*;

shared_words! {
    #[derive(Debug)]
    #[repr(align(128))]
    struct Pair {
        first: AtomicU64,
        others: [AtomicU64; 3],
    }
}

static_assertions::assert_impl_all!(Map: Send, Sync);
static_assertions::assert_impl_all!(ReadMap: Send, Sync);
static_assertions::assert_impl_all!(Region: Send, Sync, Clone);
static_assertions::assert_impl_all!(View<Pair>: Send, Sync, Clone);

fn region(len: usize) -> Region {
    Arc::new(Map::on_heap(len)).whole()
}

#[test]
fn a_range_ends_inside_or_is_refused_with_its_numbers() {
    assert_eq!(range(0, 0, 0), Ok(0..0));
    assert_eq!(range(3, 5, 8), Ok(3..8));
    for (offset, len) in [(3, 6), (9, 0), (usize::MAX, 2), (2, usize::MAX)] {
        let out = OutOfBounds {
            offset,
            len,
            limit: 8,
        };
        assert_eq!(range(offset, len, 8), Err(out));
    }
}

#[test]
fn a_region_is_whole_words_inside_its_map() {
    let map = Arc::new(Map::on_heap(64));
    assert_eq!(map.region(8, 56).map(|region| region.len()), Some(56));
    assert!(map.region(64, 0).is_some());
    for (offset, len) in [(8, 64), (4, 8), (8, 4), (72, 0), (usize::MAX & !7, 16)] {
        assert!(map.region(offset, len).is_none(), "{offset} {len}");
        assert!(map.whole().region(offset, len).is_none(), "{offset} {len}");
    }
    let part = map.region(16, 32).unwrap().region(8, 8).unwrap();
    part.word(0).unwrap().store(7, Ordering::Relaxed);
    assert_eq!(map.whole().word(24).unwrap().load(Ordering::Relaxed), 7);
    assert!(part.word(8).is_none() && map.whole().word(12).is_none());
}

#[test]
fn a_struct_of_words_is_seen_where_it_fits_and_is_aligned() {
    let whole = region(256);
    let view = whole.words::<Pair>(128).unwrap();
    view.others[1].store(9, Ordering::Relaxed);
    assert_eq!(whole.word(144).unwrap().load(Ordering::Relaxed), 9);
    assert_eq!(view.clone().first.load(Ordering::Relaxed), 0);
    assert!(whole.words::<Pair>(64).is_none(), "not aligned");
    assert!(whole.words::<Pair>(256).is_none(), "does not fit");
    drop(whole);
    assert_eq!(
        view.others[1].load(Ordering::Relaxed),
        9,
        "the view keeps the map"
    );
}

#[test]
fn bytes_come_back_from_every_offset_and_their_neighbours_stay() {
    let region = region(40);
    let bytes: Vec<u8> = (1..=40).collect();
    for offset in 0..40 {
        for len in 0..=40 - offset {
            region.write(0, &[0xee; 40]).unwrap();
            region.write(offset, &bytes[..len]).unwrap();
            let mut all = [0; 40];
            region.read(0, &mut all).unwrap();
            let mut expected = [0xee; 40];
            expected[offset..offset + len].copy_from_slice(&bytes[..len]);
            assert_eq!(all, expected, "offset {offset}, length {len}");
            let mut part = vec![0; len];
            region.read(offset, &mut part).unwrap();
            assert_eq!(part, bytes[..len]);
        }
    }
}

#[test]
fn a_padded_write_zeroes_the_rest_of_its_last_word_and_no_more() {
    let region = region(24);
    region.write(0, &[0xee; 24]).unwrap();
    region.write_padded(8, &[1, 2, 3]).unwrap();
    let mut all = [0; 24];
    region.read(0, &mut all).unwrap();
    assert_eq!(all[8..16], [1, 2, 3, 0, 0, 0, 0, 0]);
    assert_eq!((all[7], all[16]), (0xee, 0xee));
    assert!(region.write_padded(4, &[1]).is_err());
}

#[test]
fn an_access_outside_is_refused_and_changes_nothing() {
    let region = region(16);
    assert!(region.write(9, &[1; 8]).is_err());
    assert!(region.write_padded(16, &[1]).is_err());
    assert!(region.read(usize::MAX, &mut [0; 2]).is_err());
    let mut all = [1; 16];
    region.read(0, &mut all).unwrap();
    assert_eq!(all, [0; 16]);
}
