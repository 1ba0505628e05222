//! The floor under every sleeping round trip: a shared futex each way, never spun on.

use std::sync::atomic::Ordering;

use rustix::io::Errno;
use rustix::thread::futex;

use crate::contender::{Contender, Left, Outcome, Place, Right};
use crate::ends::{Caller, Calls, Echo, Echoes};
use crate::sys::map::Map;

pub(crate) struct Futex;

impl Contender for Futex {
    fn name(&self) -> &'static str {
        "futex"
    }

    fn right(&self, place: &Place) -> Outcome<Box<dyn Right>> {
        let back = Lane::back(place);
        let map = Map::create(&place.dir.join("lane"), 2 * back)?;
        Echoes::boxed(Lane { map, back, turn: 0 }, place)
    }

    fn left(&self, place: &Place) -> Outcome<Box<dyn Left>> {
        let map = Map::open(&place.dir.join("lane"))?;
        Calls::boxed(
            Lane {
                map,
                back: Lane::back(place),
                turn: 0,
            },
            place,
        )
    }
}

const PAYLOAD: usize = 64;

struct Lane {
    map: Map,
    back: usize,
    turn: u32,
}

impl Lane {
    fn back(place: &Place) -> usize {
        (PAYLOAD + place.job.size).next_multiple_of(4096)
    }

    fn wait(&self, at: usize) -> Outcome<()> {
        let word = self.map.half(at);
        loop {
            let seen = word.load(Ordering::Acquire);
            if seen == self.turn {
                return Ok(());
            }
            match futex::wait(word, futex::Flags::empty(), seen, None) {
                Ok(()) | Err(Errno::AGAIN | Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn publish(&self, at: usize) -> Outcome<()> {
        let word = self.map.half(at);
        word.store(self.turn, Ordering::Release);
        futex::wake(word, futex::Flags::empty(), 1)?;
        Ok(())
    }
}

impl Caller for Lane {
    fn call(&mut self, request: &[u8], reply: &mut [u8]) -> Outcome<()> {
        self.turn = self.turn.wrapping_add(1);
        self.map.write(PAYLOAD, request);
        self.publish(0)?;
        self.wait(self.back)?;
        self.map.read(self.back + PAYLOAD, reply);
        Ok(())
    }
}

impl Echo for Lane {
    fn echo(&mut self, payload: &mut [u8]) -> Outcome<()> {
        self.turn = self.turn.wrapping_add(1);
        self.wait(0)?;
        self.map.read(PAYLOAD, payload);
        self.map.write(self.back + PAYLOAD, payload);
        self.publish(self.back)
    }
}
