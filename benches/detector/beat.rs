//! What a beat costs.

use std::hint::black_box;
use std::time::Instant;

use osps_ipc::{Beat, Directory, Heartbeat, Name};

use crate::lines::now;
use crate::scene::Place;

/// How much is measured at a time, and how often: alternately, so that both meet the same machine.
const CALLS: u32 = 200_000;
const ROUNDS: usize = 25;

/// A beat and a read of the monotonic clock, in nanoseconds: medians.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    pub(crate) beat: f64,
    pub(crate) clock: f64,
}

pub(crate) fn measure() -> Cost {
    let place = Place::create();
    let directory = Directory::open(place.path()).unwrap();
    let mut heart = Heartbeat::create(&directory, &Name::new("heart").unwrap()).unwrap();
    let (mut beats, mut clocks) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        beats.push(time(|| assert_eq!(heart.beat(), Beat::Published)));
        clocks.push(time(|| {
            black_box(now());
        }));
    }
    heart.farewell();
    Cost {
        beat: median(beats),
        clock: median(clocks),
    }
}

fn time(mut call: impl FnMut()) -> f64 {
    let start = Instant::now();
    for _ in 0..CALLS {
        call();
    }
    start.elapsed().as_nanos() as f64 / f64::from(CALLS)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_unstable_by(f64::total_cmp);
    times[times.len() / 2]
}
