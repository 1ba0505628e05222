//! Which points are tried, and the table of those that were.

use std::collections::BTreeMap;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crate::victim::{Point, Walk};

/// How long a test may take, with all its points; and with every one.
const LIMIT: Duration = Duration::from_secs(600);
const LONG_LIMIT: Duration = Duration::from_secs(7200);

/// Held by a test while it runs: tests count the descriptors of this process, and so go one after another.
pub(crate) struct Turn {
    _alone: MutexGuard<'static, ()>,
    _running: Sender<()>,
}

/// Waits for the turn of a test. A test that hangs is ended, and what it has started with it.
pub(crate) fn turn() -> Turn {
    static ALONE: Mutex<()> = Mutex::new(());
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (running, over) = mpsc::channel();
    thread::spawn(move || {
        let limit = match wanted() {
            Wanted::Every(_) => LONG_LIMIT,
            Wanted::Few | Wanted::All => LIMIT,
        };
        if over.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
            eprintln!("it hangs");
            std::process::abort();
        }
    });
    Turn {
        _alone: alone,
        _running: running,
    }
}

/// What is done to a victim at a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    Kill,
    Stop,
}

/// Which points were asked for.
enum Wanted {
    Few,
    All,
    /// Every one of so many, whatever it costs.
    Every(usize),
}

fn wanted() -> Wanted {
    let which = std::env::var("OSPS_IPC_CRASHES").unwrap_or_default();
    match (&*which, which.strip_prefix("every/")) {
        ("", _) => Wanted::Few,
        ("all", _) => Wanted::All,
        ("every", _) => Wanted::Every(1),
        (_, Some(share)) => Wanted::Every(share.parse().unwrap()),
        _ => panic!("OSPS_IPC_CRASHES={which}: all, every, or every/N"),
    }
}

fn seed() -> usize {
    let given = std::env::var("OSPS_IPC_CRASHES_SEED");
    given.map_or_else(
        |_| {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            now.unwrap().subsec_micros() as usize
        },
        |seed| seed.parse().unwrap(),
    )
}

/// Tells where it was when a test fails.
struct Here<'a>(&'a str, usize);

impl Drop for Here<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}: at point {}", self.0, self.1);
        }
    }
}

/// How many points are tried: as part of `cargo test`, and when all are wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tries {
    few: usize,
    whole: usize,
}

impl Tries {
    /// So many, and in the whole matrix every one.
    pub(crate) const fn few(few: usize) -> Tries {
        Tries {
            few,
            whole: usize::MAX,
        }
    }

    /// In the whole matrix not more than so many either.
    pub(crate) const fn at_most(self, whole: usize) -> Tries {
        Tries { whole, ..self }
    }
}

/// Tries the points of what a victim does. `run` lets it do everything once,
/// to the point whose number it is given or to the end, checks what comes of it, and gives where it was.
pub(crate) fn tour(
    victim: &str,
    deed: Deed,
    tries: Tries,
    phases: &[&str],
    mut run: impl FnMut(Option<usize>) -> Walk,
) {
    let begun = Instant::now();
    let whole = run(None);
    let seed = seed();
    // Some more than were counted: what the others do meanwhile is not the same each time.
    let all = whole.points() + whole.points() / 8;
    let every = match wanted() {
        Wanted::Few => all.div_ceil(tries.few),
        Wanted::All => all.div_ceil(tries.whole),
        Wanted::Every(share) => share,
    };
    let mut slowest = Duration::ZERO;
    let mut tried: BTreeMap<u32, usize> = BTreeMap::new();
    let mut calls: BTreeMap<Point, usize> = BTreeMap::new();
    for point in (1..=all).skip(seed % every).step_by(every) {
        let here = Here(victim, point);
        let walk = run(Some(point));
        if let Some(point) = walk.reached {
            slowest = slowest.max(walk.recovery);
            *tried.entry(point.phase).or_default() += 1;
            *calls.entry(point).or_default() += 1;
        }
        drop(here);
    }
    let done = match deed {
        Deed::Kill => "killed",
        Deed::Stop => "stopped",
    };
    let total: usize = tried.values().sum();
    let steps = match whole.steps {
        0 => format!("{} of them different", calls.len()),
        steps => format!("in {steps} instructions"),
    };
    println!(
        "{victim}, {done} at {total} of {} points ({steps}), every {every} from {} (seed {seed}), {:.1} s; others went on within {slowest:.1?}",
        whole.points(),
        1 + seed % every,
        begun.elapsed().as_secs_f64(),
    );
    for (phase, name) in (1..).zip(phases) {
        println!(
            "    {name:32} {:5} points {:5} tried",
            whole.counts.get(&phase).unwrap_or(&0),
            tried.get(&phase).unwrap_or(&0)
        );
    }
    // Of few points there may be none in a share.
    assert!(total > 0 || every > all);
}
