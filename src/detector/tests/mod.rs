//! The rules one by one (`rules`, `causes`, `lateness`, `idle`), against an oracle that recomputes
//! everything from the whole history (`oracle`, `agreement`, `blame`, `statistics`), in a world with its own clock
//! (`world`, `simulation`), and with nonsense for input (`hostile`).

mod agreement;
mod blame;
mod causes;
mod hostile;
mod idle;
mod lateness;
mod oracle;
mod rules;
mod simulation;
mod statistics;
mod world;

use std::time::Duration;

use super::*;

const MS: u64 = 1_000_000;

/// A small generator of numbers that only the seed decides (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.below(from.len() as u64)).unwrap()]
    }
}

/// Looks every 10 ms, hung after 250 ms: the pace at which the issue wants detection shown.
fn quick() -> Config {
    Config::new(Duration::from_millis(10), Duration::from_millis(250))
}

fn working(count: u64) -> Pulse {
    pulse(
        count,
        Phase::Working {
            budget: Duration::ZERO,
        },
    )
}

fn pulse(count: u64, phase: Phase) -> Pulse {
    Pulse::Read(Sample {
        count,
        phase,
        progress: 0,
        farewell: false,
    })
}

fn thread(state: u8, cpu: u64, waited: u64) -> Process {
    let state = ThreadState::from_letter(state);
    Process::Running(Thread::Seen(ThreadFacts {
        tid: 7,
        state,
        tracer: 0,
        frozen: false,
        cpu,
        waited,
    }))
}

/// A detector and the clock by which it is asked.
struct Watcher {
    detector: Detector,
    now: u64,
    suspended: u64,
}

impl Watcher {
    fn new(config: &Config) -> Self {
        Self {
            detector: Detector::new(config),
            now: 1_000 * MS,
            suspended: 5 * MS,
        }
    }

    fn look(&mut self, process: Process, pulse: Pulse) -> Judgement {
        self.detector.look(&Look {
            now: self.now,
            suspended: self.suspended,
            process,
            pulse,
        })
    }

    /// Looks when it is due, until `done`; returns the judgement and the time since the start.
    fn until(
        &mut self,
        mut see: impl FnMut(u64) -> (Process, Pulse),
        done: impl Fn(&Judgement) -> bool,
    ) -> (Judgement, u64) {
        let start = self.now;
        for _ in 0..100_000 {
            let (process, pulse) = see(self.now - start);
            let judgement = self.look(process, pulse);
            if done(&judgement) {
                return (judgement, self.now - start);
            }
            self.now = self.detector.next_look(self.now).expect("a look is due");
        }
        panic!("nothing came of it");
    }

    /// Looks once, when it is due or later by `late`.
    fn next(&mut self, late: u64, process: Process, pulse: Pulse) -> Judgement {
        self.now = self.detector.next_look(self.now).expect("a look is due") + late;
        self.look(process, pulse)
    }
}

fn is_hung(judgement: &Judgement) -> bool {
    matches!(judgement.verdict, Verdict::Hung { .. })
}

fn hung(cause: Cause) -> Verdict {
    Verdict::Hung { cause }
}

const ASLEEP: Process = Process::Running(Thread::Seen(ThreadFacts {
    tid: 7,
    state: ThreadState::Sleeping,
    tracer: 0,
    frozen: false,
    cpu: 0,
    waited: 0,
}));
