//! A server that is well, and what is told of it wrongly.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use osps_ipc::Request;
use rustix::process::Signal;

use crate::lines::{Line, Told, now};
use crate::machine::{Random, load, pause, signal};
use crate::options::Options;
use crate::rule::Rule;
use crate::scene::{SOON, Scene};
use crate::served;
use crate::table::Mistakes;

/// What happens to a server and its watchdog that should do no harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    Idle,
    Loops8,
    Loops16,
    WatchdogStopped,
    BothStopped,
}

use Condition::*;

/// The longest time of the CPU that a request takes: less than half of the 250 ms that are allowed.
const LONGEST: Duration = Duration::from_millis(100);

impl Condition {
    pub(crate) const ALL: [Condition; 5] = [Idle, Loops8, Loops16, WatchdogStopped, BothStopped];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Idle => "idle",
            Loops8 => "loops-8",
            Loops16 => "loops-16",
            WatchdogStopped => "watchdog-stopped",
            BothStopped => "both-stopped",
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Idle => "idle machine",
            Loops8 => "beside 8 busy loops",
            Loops16 => "beside 16 busy loops",
            WatchdogStopped => "watchdog stopped each second",
            BothStopped => "both stopped each second",
        }
    }

    fn loops(self) -> usize {
        match self {
            Loops8 => 8,
            Loops16 => 16,
            Idle | WatchdogStopped | BothStopped => 0,
        }
    }
}

/// Watches a server that is well under three rules at once, or one after the other where the machine is to be idle.
pub(crate) fn measure(condition: Condition, options: &Options) -> Vec<Mistakes> {
    let loops = load(condition.loops());
    let rules = [Rule::Quick, Rule::Course, Rule::Systemd];
    let groups = match (condition, options.ours) {
        (_, true) => rules[..1].chunks(1),
        (Idle, _) => rules.chunks(1),
        _ => rules.chunks(3),
    };
    let mut found = Vec::new();
    for group in groups {
        std::thread::scope(|scope| {
            let begin = |rule: &Rule| {
                let rule = *rule;
                scope.spawn(move || one(rule, condition, options.each))
            };
            let all: Vec<_> = group.iter().map(begin).collect();
            found.extend(all.into_iter().map(|one| one.join().unwrap()));
        });
    }
    drop(loops);
    found
}

fn one(rule: Rule, condition: Condition, time: Duration) -> Mistakes {
    let mut scene = Scene::begin(rule);
    let mut lines = scene.take_lines();
    let begun = now();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (watchdog, server) = (scene.watchdog(), scene.server.clone());
        let over = &over;
        scope.spawn(move || disturb(condition, watchdog, &server, over));
        let mut random = Random(1);
        let start = Instant::now();
        while start.elapsed() < time {
            let micros = random
                .between(Duration::from_millis(1), LONGEST)
                .as_micros();
            let micros = u64::try_from(micros).unwrap().to_le_bytes();
            let request = Request::new(served::WORK, &micros);
            scene.client.call(request, SOON).unwrap();
            pause(random.between(Duration::ZERO, 2 * LONGEST));
            lines.extend(scene.take_lines());
        }
        over.store(true, Ordering::Relaxed);
    });
    // What is known of that time is told by now, or soon.
    let ended = now();
    pause(Duration::from_millis(500));
    lines.extend(scene.take_lines());
    Mistakes::count(rule, condition, &lines, begun, ended)
}

/// Stops and continues, once a second, at any moments.
fn disturb(condition: Condition, watchdog: u32, server: &AtomicU32, over: &AtomicBool) {
    let mut random = Random(u64::from(watchdog));
    let second = Duration::from_secs(1);
    while !over.load(Ordering::Relaxed) {
        let stopped = random.between(second / 10, second * 9 / 10);
        let server = server.load(Ordering::Relaxed);
        let whom = match condition {
            Idle | Loops8 | Loops16 => return,
            WatchdogStopped => vec![watchdog],
            // Whoever is first.
            BothStopped if random.between(Duration::ZERO, second) < second / 2 => {
                vec![watchdog, server]
            }
            BothStopped => vec![server, watchdog],
        };
        whom.iter().for_each(|pid| signal(*pid, Signal::STOP));
        pause(stopped);
        whom.iter().for_each(|pid| signal(*pid, Signal::CONT));
        pause(second - stopped);
    }
}

impl Mistakes {
    /// Counts: whatever is told of a server that is well, but that it is alive, is a mistake.
    fn count(rule: Rule, condition: Condition, lines: &[Line], begun: u64, ended: u64) -> Mistakes {
        let mut found = Mistakes {
            condition: condition.name(),
            rule: rule.name(),
            is_ours: rule.is_ours(),
            time: ended - begun,
            mistakes: Vec::new(),
            hung: 0,
            restarts: 0,
        };
        let mut since = None;
        for line in lines.iter().filter(|line| line.at >= begun) {
            match &line.told {
                Told::Suspect | Told::Dead => {
                    since.get_or_insert(line.at);
                }
                Told::Hung(..) => {
                    since.get_or_insert(line.at);
                    found.hung += 1;
                }
                Told::Ended => found.restarts += 1,
                Told::Alive | Told::Ready => found
                    .mistakes
                    .extend(since.take().map(|since| line.at - since)),
                Told::Started(_) => {}
            }
        }
        found
            .mistakes
            .extend(since.map(|since: u64| ended.saturating_sub(since)));
        found
    }
}
