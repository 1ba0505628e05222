//! The floor under every busy round trip: two cores that watch each other's cache lines.

use std::hint::spin_loop;
use std::sync::atomic::Ordering;

use crate::contender::{Contender, LAST, Left, Outcome, Place, Right};
use crate::ends::{Caller, Calls, Echo, Echoes, until_last};
use crate::sys::map::Map;

/// A spin ping-pong of one cache line each way, with or without a payload beside it.
///
/// With two buffers each way, used in turn, a side does not write over what the other has just read:
/// for payloads as large as a core's cache that is faster, and it is what a pool of samples does.
pub(crate) struct Spin {
    /// 0 = no payload.
    pub(crate) buffers: u64,
}

impl Contender for Spin {
    fn name(&self) -> &'static str {
        match self.buffers {
            0 => "spin, one line",
            1 => "spin, copies",
            _ => "spin, copies, 2 buffers in turn",
        }
    }

    fn right(&self, place: &Place) -> Outcome<Box<dyn Right>> {
        let lane = Lane::create(place, self.buffers)?;
        if self.buffers > 0 {
            Echoes::boxed(lane, place)
        } else {
            Ok(Box::new(Bare(lane)))
        }
    }

    fn left(&self, place: &Place) -> Outcome<Box<dyn Left>> {
        let lane = Lane::open(place, self.buffers)?;
        if self.buffers > 0 {
            Calls::boxed(lane, place)
        } else {
            Calls::boxed_unechoed(Bare(lane), place)
        }
    }
}

/// Each way: a word on a line of its own, then the payloads, which begin at multiples of 64.
struct Lane {
    map: Map,
    back: usize,
    stride: usize,
    buffers: u64,
    turn: u64,
}

const PAYLOAD: usize = 64;

impl Lane {
    fn create(place: &Place, buffers: u64) -> Outcome<Lane> {
        let len = 2 * Lane::back(place, buffers);
        Ok(Lane::of(
            Map::create(&place.dir.join("lane"), len)?,
            place,
            buffers,
        ))
    }

    fn open(place: &Place, buffers: u64) -> Outcome<Lane> {
        Ok(Lane::of(
            Map::open(&place.dir.join("lane"))?,
            place,
            buffers,
        ))
    }

    fn of(map: Map, place: &Place, buffers: u64) -> Lane {
        let back = Lane::back(place, buffers);
        let stride = Lane::stride(place);
        Lane {
            map,
            back,
            stride,
            buffers: buffers.max(1),
            turn: 0,
        }
    }

    fn stride(place: &Place) -> usize {
        place.job.size.next_multiple_of(64)
    }

    /// Where the way back begins: on a page of its own.
    fn back(place: &Place, buffers: u64) -> usize {
        (PAYLOAD + Lane::stride(place) * buffers.max(1) as usize).next_multiple_of(4096)
    }

    /// Where this turn's payload lies, from the beginning of its way.
    #[inline(always)]
    fn payload(&self) -> usize {
        PAYLOAD + (self.turn & (self.buffers - 1)) as usize * self.stride
    }

    fn wait(&self, at: usize, turn: u64) {
        while self.map.word(at).load(Ordering::Acquire) != turn {
            spin_loop();
        }
    }
}

impl Caller for Lane {
    #[inline(always)]
    fn call(&mut self, request: &[u8], reply: &mut [u8]) -> Outcome<()> {
        self.turn += 1;
        self.map.write(self.payload(), request);
        self.map.word(0).store(self.turn, Ordering::Release);
        self.wait(self.back, self.turn);
        self.map.read(self.back + self.payload(), reply);
        Ok(())
    }
}

impl Echo for Lane {
    #[inline(always)]
    fn echo(&mut self, payload: &mut [u8]) -> Outcome<()> {
        self.turn += 1;
        self.wait(0, self.turn);
        self.map.read(self.payload(), payload);
        self.map.write(self.back + self.payload(), payload);
        self.map.word(self.back).store(self.turn, Ordering::Release);
        Ok(())
    }
}

/// No payload: the mark travels in the word.
struct Bare(Lane);

impl Caller for Bare {
    #[inline(always)]
    fn call(&mut self, request: &[u8], _reply: &mut [u8]) -> Outcome<()> {
        self.0.turn += 1;
        let word = self.0.turn << 8 | u64::from(request[0]);
        self.0.map.word(0).store(word, Ordering::Release);
        self.0.wait(self.0.back, word);
        Ok(())
    }
}

impl Right for Bare {
    fn run(&mut self, lasts: usize) -> Outcome<u64> {
        let Lane {
            map, back, turn, ..
        } = &mut self.0;
        until_last(lasts, || {
            *turn += 1;
            let word = loop {
                let word = map.word(0).load(Ordering::Acquire);
                if word >> 8 == *turn {
                    break word;
                }
                spin_loop();
            };
            map.word(*back).store(word, Ordering::Release);
            Ok(if word & 0xff == u64::from(LAST) {
                LAST
            } else {
                0
            })
        })
    }
}
