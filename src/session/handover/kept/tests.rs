//! Payloads that are leased one after the other, and beside one another.

use std::cell::Cell;

use super::*;
use crate::directory::Directory;
use crate::directory::testing::Scratch;
use crate::session::handover::{Pool, Side};

const SIZE: usize = 20_000;
const LEN: u64 = SIZE as u64;

/// A pool, and its directory, which can be gone.
struct Place {
    at: Scratch,
    is_there: Cell<bool>,
    pool: Pool,
}

impl Place {
    fn new() -> Place {
        Place {
            at: Scratch::new(),
            is_there: Cell::new(true),
            pool: Pool::new(Side::Request, 0),
        }
    }

    fn lease(&self, len: u64) -> Result<crate::Lease> {
        let directory = || match self.is_there.get() {
            true => Directory::open(self.at.path()),
            false => Directory::open(self.at.path().join("gone")),
        };
        self.pool.lease(directory, len, 0)
    }

    /// The number and the offset of a lease that is dropped at once.
    fn look(&self, len: u64) -> (u64, u64) {
        place_of(&self.lease(len).unwrap())
    }

    /// Leases until payloads are often.
    fn repeat(&self) {
        for _ in 0..OFTEN {
            self.look(LEN);
        }
    }
}

fn place_of(lease: &crate::Lease) -> (u64, u64) {
    let place = crate::request::HandOver::decode(&lease.place()).unwrap();
    assert_eq!(place.length, lease.len());
    (place.number, place.offset)
}

#[test]
fn payloads_move_through_their_segment_and_begin_again_where_they_would_not_fit() {
    let place = Place::new();
    let looks = [LEN; 4].map(|len| place.look(len));
    assert_eq!(looks, [(0, 0), (0, 20_480), (0, 40_960), (0, 0)]);
    assert_eq!(place.look(0), (0, 20_480), "an empty one, too");
    assert_eq!(place.look(GRAIN), (0, 0), "all of it");
    let looks = [LEN, GRAIN - 20_480, LEN].map(|len| place.look(len));
    assert_eq!(looks, [(0, 0), (0, 20_480), (0, 0)], "all that is left");
}

#[test]
fn bytes_are_written_inside_of_their_own_payload_only() {
    let place = Place::new();
    let mut first = place.lease(LEN).unwrap();
    first.write_at(0, &[1; SIZE]).unwrap();
    drop(first);
    let mut second = place.lease(LEN).unwrap();
    assert_eq!(place_of(&second), (0, 20_480));
    assert!(second.write_at(LEN - 1, &[2; 2]).is_err());
    second.write_at(0, &[2; SIZE]).unwrap();
    let mut all = vec![0; 64 << 10];
    second.segment().read(0, &mut all).unwrap();
    assert!(all[..SIZE].iter().all(|byte| *byte == 1));
    assert!(all[SIZE..20_480].iter().all(|byte| *byte == 0));
    assert!(all[20_480..20_480 + SIZE].iter().all(|byte| *byte == 2));
    assert!(all[20_480 + SIZE..].iter().all(|byte| *byte == 0));
}

#[test]
fn a_lease_of_another_session_is_copied_from_where_it_lies() {
    let (from, to) = (Place::new(), Place::new());
    from.lease(LEN).unwrap().write_at(0, &[1; SIZE]).unwrap();
    let mut second = from.lease(LEN).unwrap();
    second.write_at(0, &[2; SIZE]).unwrap();
    to.look(LEN);
    let lease = |len| to.lease(len);
    let moved = second.moved_to((7, Side::Request), lease).unwrap();
    assert_eq!(place_of(&moved), (0, 20_480));
    let mut bytes = [0; SIZE];
    moved.segment().read(20_480, &mut bytes).unwrap();
    assert_eq!(bytes, [2; SIZE]);
}

#[test]
fn payloads_that_come_often_get_more_room_and_others_do_not_take_it_away() {
    let place = Place::new();
    place.repeat();
    let larger = place.lease(LEN).unwrap();
    assert_eq!(larger.segment().capacity(), ROOM);
    let number = larger.segment().number();
    // While it is in use, another one does.
    assert_eq!(place.look(LEN).0, 0);
    drop(larger);
    let long = place.look(5 << 20).0;
    assert!(long != number && long != 0);
    let offsets: Vec<u64> = (1..100).map(|_| place.look(LEN)).map(|it| it.1).collect();
    assert_eq!(place.look(LEN).0, number);
    assert_eq!(offsets.iter().max(), Some(&(50 * 20_480)));
    for _ in 0..2 * OFTEN {
        assert_eq!(
            place.look(5 << 20),
            (long, 0),
            "it is not used for short ones"
        );
    }
}

#[test]
fn payloads_that_fill_more_than_that_stay_where_they_are() {
    let place = Place::new();
    for _ in 0..2 * OFTEN {
        assert_eq!(place.look(2 * ROOM), (0, 0));
    }
}

#[test]
fn a_small_segment_is_left_for_the_larger_one_when_that_is_free_again() {
    let place = Place::new();
    place.repeat();
    let larger = place.lease(LEN).unwrap();
    // The small one is the last now.
    place.look(LEN);
    drop(larger);
    place.repeat();
    assert_eq!(place.look(LEN).0, 1);
    assert_eq!(
        place.pool.lease(|| unreachable!(), LEN, 0).unwrap().len(),
        LEN
    );
}

#[test]
fn where_there_is_no_more_room_what_is_at_hand_does() {
    let place = Place::new();
    place.look(LEN);
    place.is_there.set(false);
    for _ in 0..3 * OFTEN {
        assert_eq!(place.look(LEN).0, 0);
    }
    let held = place.lease(LEN).unwrap();
    assert!(place.lease(LEN).is_err());
    place.is_there.set(true);
    assert_eq!(place.look(LEN).0, 1, "nothing was used up");
    drop(held);
}

#[test]
fn a_pool_keeps_few_that_are_free() {
    let place = Place::new();
    drop([(); 9].map(|()| place.lease(LEN).unwrap()));
    place.look(5 << 20);
    let names = crate::sys::file::names_in(Directory::open(place.at.path()).unwrap());
    assert_eq!(names.unwrap().len(), KEPT);
}
