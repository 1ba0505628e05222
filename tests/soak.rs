//! Random kills and stops of any role, for ten seconds, or as long as `OSPS_IPC_SOAK_MINUTES` says, while clients write
//! down what they ask and are told. Then the books must balance, and nothing may be left.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what a test does not expect ends it"
)]

#[path = "soak/checker.rs"]
mod checker;
#[path = "soak/client.rs"]
mod client;
mod common;
#[path = "soak/faults.rs"]
mod faults;
#[path = "soak/history.rs"]
mod history;
#[path = "soak/roles.rs"]
mod roles;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use checker::{Order, Tally};
use common::Scratch;
use faults::{Census, Faults, Player};
use history::Random;
use osps_ipc::{Directory, wait_any};
use roles::{PATIENCE, SERVICE, TEAM};
use rustix::process::Signal;

/// How many clients there are besides the one that is never killed.
const CLIENTS: usize = 4;

/// How long the faults go on.
fn time() -> Duration {
    let minutes = std::env::var("OSPS_IPC_SOAK_MINUTES").ok();
    let minutes: Option<f64> = minutes.map(|minutes| minutes.parse().unwrap());
    minutes.map_or(Duration::from_secs(8), |minutes| {
        Duration::from_secs_f64(minutes * 60.0)
    })
}

fn seed() -> u64 {
    let seed = std::env::var("OSPS_IPC_SOAK_SEED").ok();
    seed.map_or_else(
        || u64::from(std::process::id()),
        |seed| seed.parse().unwrap(),
    )
}

#[test]
fn whatever_is_killed_or_stopped_each_request_is_answered_once_and_nothing_is_left() {
    let (time, seed) = (time(), seed());
    let begun = Instant::now();
    let mut play = Play::begin();
    let mut faults = Faults::new(Random::new(seed));
    let end = Instant::now() + time;
    while Instant::now() < end {
        play.replace_the_dead();
        let due = faults.strike(play.place.path()).min(end);
        play.wait_until(due);
    }
    faults.continue_all();
    let counts = faults.counts();
    let tally = play.finish();
    println!(
        "seed {seed}, {time:.0?} of faults, {:.0?} in all",
        begun.elapsed()
    );
    for (what, count) in counts {
        println!("  {what}: {count}");
    }
    println!("  {tally:#?}");
    assert_eq!(tally.faults(), [], "seed {seed}");
    assert!(tally.answered > 100, "{tally:?}");
}

/// A client's process, and its number.
struct Actor {
    number: u64,
    child: Child,
}

/// The system under test, and its clients.
struct Play {
    place: Scratch,
    watchdog: Child,
    clients: Vec<Actor>,
    next: u64,
    tally: Tally,
    /// How many requests each client made.
    made: BTreeMap<u64, u64>,
    /// The descriptors and mappings of each role when nobody is served.
    before: Census,
}

impl Play {
    fn begin() -> Play {
        let place = Scratch::new();
        Directory::create(roles::runtime(place.path())).unwrap();
        Directory::create(roles::notes(place.path())).unwrap();
        let mut play = Play {
            watchdog: start("watchdog", place.path()),
            place,
            clients: Vec::new(),
            next: 0,
            tally: Tally::default(),
            made: BTreeMap::new(),
            before: Census::new(),
        };
        play.visit();
        play.before = Census::when_idle(play.place.path(), None);
        // The first is never killed.
        for _ in 0..=CLIENTS {
            play.enter("client");
        }
        play
    }

    fn enter(&mut self, role: &str) {
        let number = self.next;
        self.next += 1;
        let child = start(&format!("{role} {number}"), self.place.path());
        self.clients.push(Actor { number, child });
    }

    /// A client that comes, is served by all, and leaves.
    fn visit(&mut self) {
        self.enter("visitor");
        self.see_off();
    }

    /// Starts anew what was killed.
    fn replace_the_dead(&mut self) {
        self.revive_the_watchdog();
        let mut ended = Vec::new();
        self.clients.retain_mut(|actor| {
            let status = actor.child.try_wait().unwrap();
            ended.extend(status.map(|status| (actor.number, status)));
            status.is_none()
        });
        for (number, status) in ended {
            self.check(number, status);
            self.enter("client");
        }
    }

    fn revive_the_watchdog(&mut self) {
        if self.watchdog.try_wait().unwrap().is_some() {
            self.watchdog = start("watchdog", self.place.path());
        }
    }

    /// Reads what a client that has ended wrote down.
    fn check(&mut self, number: u64, status: ExitStatus) {
        assert!(status.success() || status.code().is_none(), "{status}");
        let path = roles::notes(self.place.path()).join(roles::notes_of(number));
        // One that was killed at once has written nothing.
        let text = fs::read_to_string(&path).unwrap_or_default();
        let (tally, made) = checker::client(number, &text);
        let is_good = tally.faults().is_empty();
        self.tally += tally;
        self.made.insert(number, made);
        if is_good {
            let _ = fs::remove_file(path);
        }
    }

    /// Until this time, or until somebody has died who is to be replaced.
    fn wait_until(&mut self, due: Instant) {
        let children = self.clients.iter().map(|actor| &actor.child);
        let mut players: Vec<Player> = children
            .chain([&self.watchdog])
            .map(Player::of_child)
            .collect();
        let mut of = players.iter_mut().map(|one| one as _).collect::<Vec<_>>();
        wait_any(&mut of, due.saturating_duration_since(Instant::now())).unwrap();
    }

    /// Waits for the end of all clients.
    fn see_off(&mut self) {
        for Actor { number, mut child } in std::mem::take(&mut self.clients) {
            let ended = wait_any(&mut [&mut Player::of_child(&child)], 2 * PATIENCE).unwrap();
            assert!(ended, "client {number} does not end");
            let status = child.wait().unwrap();
            self.check(number, status);
        }
    }

    /// Lets everybody end in good order, and looks at what is left.
    fn finish(mut self) -> Tally {
        self.replace_the_dead();
        for actor in &self.clients {
            Player::of_child(&actor.child).send(Signal::TERM);
        }
        self.see_off();
        // Killed last of all, perhaps.
        self.revive_the_watchdog();
        self.visit();
        let place = self.place.path().to_owned();
        Census::when_idle(&place, Some(&self.before));
        Player::of_child(&self.watchdog).send(Signal::TERM);
        let mut watchdog = Player::of_child(&self.watchdog);
        let ended = wait_any(&mut [&mut watchdog], PATIENCE).unwrap();
        assert!(ended, "the watchdog does not end");
        let status = self.watchdog.wait().unwrap();
        assert!(status.success(), "{status}");
        faults::nobody_is_left(&place);
        let left = fs::read_dir(roles::runtime(&place)).unwrap();
        let left: Vec<_> = left.map(|entry| entry.unwrap().path()).collect();
        assert_eq!(left, [] as [std::path::PathBuf; 0]);
        self.check_order(&place);
        self.tally.clone()
    }

    fn check_order(&mut self, place: &Path) {
        for number in 1..=TEAM {
            let service = format!("{SERVICE}-{number} ");
            let mut lives: Vec<_> = fs::read_dir(roles::notes(place))
                .unwrap()
                .map(|entry| entry.unwrap())
                .filter(|entry| entry.file_name().to_string_lossy().starts_with(&service))
                .map(|entry| entry.path())
                .collect();
            // By their epochs.
            lives.sort();
            let mut order = Order::default();
            for life in &lives {
                self.tally += order.secondary(&fs::read_to_string(life).unwrap());
            }
            for (client, least) in order.made {
                let made = self.made.get(&client).copied().unwrap_or(0);
                self.tally.invented += u64::from(made < least);
            }
        }
    }
}

impl Play {
    /// What a soak that failed has written down, for whoever wants to find out why.
    fn keep_notes(&self) {
        let kept = std::env::temp_dir().join(format!("soak-{}", std::process::id()));
        let _ = fs::create_dir(&kept);
        for entry in fs::read_dir(roles::notes(self.place.path()))
            .unwrap()
            .flatten()
        {
            let _ = fs::copy(entry.path(), kept.join(entry.file_name()));
        }
        println!("the notes are in {}", kept.display());
    }
}

impl Drop for Play {
    fn drop(&mut self) {
        if std::thread::panicking() || !self.tally.faults().is_empty() {
            self.keep_notes();
        }
        for player in faults::players(self.place.path()) {
            player.send(Signal::KILL);
        }
        let _ = self.watchdog.wait();
        for actor in &mut self.clients {
            let _ = actor.child.wait();
        }
    }
}

fn start(role: &str, place: &Path) -> Child {
    let boss = std::process::id().to_string();
    roles::command(role, place, &boss).spawn().unwrap()
}
