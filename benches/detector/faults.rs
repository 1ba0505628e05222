//! Faults, and how long it takes until they are told.

use std::time::Duration;

use osps_ipc::detector::Phase;
use osps_ipc::{Request, RequestKind};
use rustix::process::Signal;

use crate::lines::{Line, Told, now};
use crate::machine::{Random, pause, signal};
use crate::options::Options;
use crate::rule::Rule;
use crate::scene::{SOON, Scene};
use crate::served;
use crate::table::{Delay, nanos};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Kill,
    KillAsked,
    Exit,
    StopWorking,
    StopIdle,
    Livelock,
    Deadlock,
    Deaf,
}

use Fault::*;

impl Fault {
    const ALL: [Fault; 8] = [
        Kill,
        KillAsked,
        Exit,
        StopWorking,
        StopIdle,
        Livelock,
        Deadlock,
        Deaf,
    ];

    fn name(self) -> &'static str {
        match self {
            Kill => "kill -9",
            KillAsked => "kill -9, a client asks",
            Exit => "exit",
            StopWorking => "SIGSTOP while it works",
            StopIdle => "SIGSTOP while it is idle",
            Livelock => "livelock",
            Deadlock => "deadlock",
            Deaf => "idle, and does not wake",
        }
    }

    /// What this crate's detector should say of it: nothing of an end.
    fn cause(self) -> Option<&'static str> {
        match self {
            Kill | KillAsked | Exit => None,
            StopWorking | StopIdle => Some("stopped"),
            Livelock => Some("spinning"),
            Deadlock | Deaf => Some("blocked"),
        }
    }

    /// The time after which this crate's detector should have told it, on an idle machine: what was configured, and one and
    /// a half periods.
    fn bound(self, rule: Rule) -> Option<Duration> {
        let config = rule.config();
        let idle = self.silent_before(rule);
        let configured = match self {
            Kill | KillAsked | Exit => return None,
            StopWorking | Livelock | Deadlock => config.hang_after,
            StopIdle | Deaf => idle + config.challenge_within,
        };
        rule.is_ours().then_some(configured + config.period * 3 / 2)
    }

    /// How long the silence may last before the watcher begins to count, but for the period in which it looks.
    fn silent_before(self, rule: Rule) -> Duration {
        match self {
            StopIdle | Deaf => rule.config().challenge_every.unwrap_or_default(),
            _ => Duration::ZERO,
        }
    }
}

/// Lets a server die and hang under a rule.
pub(crate) fn measure(rule: Rule, options: &Options) -> Vec<Delay> {
    let (kills, repeat, at_once) = match rule {
        Rule::Quick => (options.kills, options.repeat, false),
        Rule::Systemd => (
            options.repeat.div_ceil(4),
            options.repeat.div_ceil(4),
            false,
        ),
        // Each takes seconds, in which nobody does anything: they go on beside each other.
        Rule::Defaults => (2, 2, true),
        Rule::Course => (1, 1, true),
    };
    let measure = move |fault| {
        let times = if matches!(fault, Kill | KillAsked) {
            kills
        } else {
            repeat
        };
        one(rule, fault, times)
    };
    if !at_once {
        return Fault::ALL.into_iter().flat_map(measure).collect();
    }
    std::thread::scope(|scope| {
        let begin = |fault| scope.spawn(move || measure(fault));
        let all: Vec<_> = Fault::ALL.into_iter().map(begin).collect();
        let ended = all.into_iter().map(|one| one.join().unwrap());
        ended.flatten().collect()
    })
}

fn one(rule: Rule, fault: Fault, times: usize) -> Vec<Delay> {
    let mut scene = Scene::begin(rule);
    let mut random = Random(fault as u64);
    let delay = |name: &str| Delay {
        rule: rule.name(),
        is_ours: rule.is_ours(),
        name: name.to_owned(),
        bound: fault.bound(rule),
        looks: rule.config().period * rule.config().looks,
        times: Vec::new(),
        lost: Vec::new(),
        wrong_causes: Vec::new(),
    };
    let mut told = delay(fault.name());
    let mut served = delay("kill -9, a client asks: served again");
    for _ in 0..times {
        scene.call();
        // So that it meets the watchdog at any moment between two looks or pings, and everybody asleep.
        let longest = if rule == Rule::Course { 1000 } else { 25 };
        pause(random.between(Duration::from_millis(5), Duration::from_millis(longest)));
        scene.take_lines();
        let at = inflict(fault, &mut scene);
        if fault == KillAsked {
            scene.call();
            served.push(now() - at, 0);
        }
        let (known, as_what) = scene.until(|line| match &line.told {
            Told::Dead => Some((line.at, (0, None))),
            Told::Hung(silent, cause) => Some((line.at, (*silent, Some(cause.clone())))),
            _ => None,
        });
        let (silent, as_what) = as_what;
        let time = known.saturating_sub(at);
        // What is neither in the silence that the watchdog counted, nor before it: it looked late, and says so.
        let counted = nanos(fault.silent_before(rule) + rule.config().period) + silent;
        told.push(
            time,
            if silent > 0 {
                time.saturating_sub(counted)
            } else {
                0
            },
        );
        if rule.is_ours() && as_what.as_deref() != fault.cause() {
            told.wrong_causes.push(as_what.unwrap_or("dead".to_owned()));
        }
        // The answer of the next server to the request that was the last for this one.
        scene.until(|line: &Line| (line.told == Told::Ended).then_some(()));
        scene.until_ready();
        while scene.client.outstanding() > 0 {
            scene.client.next_reply(SOON).unwrap();
        }
    }
    match fault {
        KillAsked => vec![told, served],
        _ => vec![told],
    }
}

/// Does it, and says when.
fn inflict(fault: Fault, scene: &mut Scene) -> u64 {
    let ask = |scene: &mut Scene, kind: RequestKind| {
        let at = now();
        scene.client.submit(Request::new(kind, ""), SOON).unwrap();
        at
    };
    let send = |scene: &mut Scene, what| {
        let at = now();
        signal(scene.server(), what);
        at
    };
    let works = |phase| matches!(phase, Phase::Working { .. });
    match fault {
        Kill | KillAsked => {
            scene.until_phase(|phase| phase == Phase::Idle);
            send(scene, Signal::KILL)
        }
        Exit => ask(scene, served::EXIT),
        StopWorking => {
            ask(scene, served::TOIL);
            scene.until_phase(works);
            send(scene, Signal::STOP)
        }
        StopIdle => {
            scene.until_phase(|phase| phase == Phase::Idle);
            send(scene, Signal::STOP)
        }
        Livelock => ask(scene, served::SPIN),
        Deadlock => ask(scene, served::BLOCK),
        Deaf => {
            let request = Request::new(served::DEAF, "");
            scene.client.call(request, SOON).unwrap();
            now()
        }
    }
}
