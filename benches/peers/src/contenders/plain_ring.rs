//! The floor under every stream: a bare ring of fixed slots between two processes.
//!
//! No header a record, no checks, no wake-ups. Both indices stand on lines of their own and each
//! side keeps the last one that it saw of the other. The variants differ in how often an index is
//! published and in what the consumer does when it finds nothing: backing off lets a batch gather,
//! so that the two cores fight less over the lines.

use std::hint::spin_loop;
use std::sync::atomic::Ordering;

use crate::contender::{Contender, Left, Outcome, Place, Right};
use crate::ends::{Receiver, Receives, Sender, Sends};
use crate::sys::map::Map;

pub(crate) struct PlainRing {
    /// Messages between two publications of an index.
    pub(crate) batch: u64,
    /// Pauses of a consumer that found the ring empty.
    pub(crate) back_off: u32,
}

impl Contender for PlainRing {
    fn name(&self) -> &'static str {
        match (self.batch, self.back_off) {
            (1, 0) => "plain ring",
            (1, _) => "plain ring, backing off",
            (_, 0) => "plain ring, batches",
            _ => "plain ring, batches, backing off",
        }
    }

    fn right(&self, place: &Place) -> Outcome<Box<dyn Right>> {
        let len = SLOTS + place.job.capacity;
        let map = Map::create(&place.dir.join("ring"), len)?;
        Receives::boxed(Half::of(map, self, place), place)
    }

    fn left(&self, place: &Place) -> Outcome<Box<dyn Left>> {
        let map = Map::open(&place.dir.join("ring"))?;
        Sends::boxed(Half::of(map, self, place), place)
    }
}

/// Messages written so far.
const TAIL: usize = 0;
/// Messages read so far.
const HEAD: usize = 128;
const SLOTS: usize = 4096;

struct Half {
    map: Map,
    size: usize,
    slots: u64,
    batch: u64,
    back_off: u32,
    /// This side's index, what of it is published, and what was last seen of the other's.
    own: u64,
    published: u64,
    other: u64,
}

impl Half {
    fn of(map: Map, ring: &PlainRing, place: &Place) -> Half {
        let size = place.job.size;
        let slots = (place.job.capacity / size).max(1) as u64;
        let batch = ring.batch.min(slots.div_ceil(4));
        let back_off = ring.back_off;
        Half {
            map,
            size,
            slots,
            batch,
            back_off,
            own: 0,
            published: 0,
            other: 0,
        }
    }

    #[inline(always)]
    fn slot(&self) -> usize {
        let slot = if self.slots.is_power_of_two() {
            self.own & (self.slots - 1)
        } else {
            self.own % self.slots
        };
        SLOTS + slot as usize * self.size
    }

    #[inline(always)]
    fn advance(&mut self, index: usize) {
        self.own += 1;
        if self.own - self.published >= self.batch {
            self.publish(index);
        }
    }

    #[inline(always)]
    fn publish(&mut self, index: usize) {
        self.published = self.own;
        self.map.word(index).store(self.own, Ordering::Release);
    }
}

impl Sender for Half {
    #[inline(always)]
    fn send(&mut self, message: &[u8]) -> Outcome<()> {
        while self.own - self.other == self.slots {
            self.other = self.map.word(HEAD).load(Ordering::Acquire);
            if self.own - self.other == self.slots {
                if self.published != self.own {
                    self.publish(TAIL);
                }
                spin_loop();
            }
        }
        self.map.write(self.slot(), message);
        self.advance(TAIL);
        Ok(())
    }

    fn flush(&mut self) -> Outcome<()> {
        self.publish(TAIL);
        Ok(())
    }
}

impl Receiver for Half {
    #[inline(always)]
    fn receive(&mut self, message: &mut [u8]) -> Outcome<()> {
        while self.other == self.own {
            self.other = self.map.word(TAIL).load(Ordering::Acquire);
            if self.other == self.own {
                if self.published != self.own {
                    self.publish(HEAD);
                }
                for _ in 0..self.back_off.max(1) {
                    spin_loop();
                }
            }
        }
        self.map.read(self.slot(), message);
        self.advance(HEAD);
        Ok(())
    }

    fn settle(&mut self) {
        self.publish(HEAD);
    }
}
