//! The probe of the cores' placement: the one-line spin ping-pong in short bursts.
//!
//! It is a contender of its own because it answers with the median of its bursts, so that a burst
//! which lost the core to someone else does not count.

use std::hint::spin_loop;
use std::sync::atomic::Ordering;

use crate::contender::{Contender, Left, Outcome, Place, Right, Slice, Span};
use crate::sys::clock::now;
use crate::sys::map::Map;

pub(crate) struct Probe;

const BURSTS: usize = 31;
const TURNS: u64 = 50;
const BACK: usize = 4096;
const END: u64 = u64::MAX;

impl Contender for Probe {
    fn name(&self) -> &'static str {
        "probe"
    }

    fn right(&self, place: &Place) -> Outcome<Box<dyn Right>> {
        Ok(Box::new(Answering(Map::create(
            &place.dir.join("probe"),
            2 * BACK,
        )?)))
    }

    fn left(&self, place: &Place) -> Outcome<Box<dyn Left>> {
        Ok(Box::new(Probing {
            map: Map::open(&place.dir.join("probe"))?,
            turn: 0,
        }))
    }
}

struct Probing {
    map: Map,
    turn: u64,
}

impl Probing {
    fn turn(&mut self, word: u64) {
        self.map.word(0).store(word, Ordering::Release);
        while self.map.word(BACK).load(Ordering::Acquire) != word {
            spin_loop();
        }
    }
}

impl Left for Probing {
    fn run(&mut self, _: Slice) -> Outcome<Span> {
        let mut bursts = [0; BURSTS];
        for burst in &mut bursts {
            let from = now();
            for _ in 0..TURNS {
                self.turn += 1;
                self.turn(self.turn);
            }
            *burst = now() - from;
        }
        self.turn(END);
        bursts.sort_unstable();
        Ok(Span {
            from: 0,
            until: bursts[BURSTS / 2],
            count: TURNS,
        })
    }
}

struct Answering(Map);

impl Right for Answering {
    fn run(&mut self, _: usize) -> Outcome<u64> {
        let mut count = 0;
        let mut seen = self.0.word(BACK).load(Ordering::Relaxed);
        while seen != END || count == 0 {
            let word = self.0.word(0).load(Ordering::Acquire);
            if word == seen {
                spin_loop();
                continue;
            }
            seen = word;
            count += 1;
            self.0.word(BACK).store(word, Ordering::Release);
        }
        Ok(count)
    }
}
