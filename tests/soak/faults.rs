//! Who plays, who is killed or stopped next, and what each holds.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use osps_ipc::{Pollable, wait_any};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::history::Random;
use super::roles::{self, PATIENCE};
use crate::common::{PLACE, ROLE};

/// A process, which a signal reaches though its number may be another's by then.
pub(crate) struct Player {
    number: i32,
    role: String,
    pidfd: OwnedFd,
}

impl AsFd for Player {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

/// Shows its end.
impl Pollable for Player {
    fn arm(&mut self) -> osps_ipc::Result<bool> {
        Ok(true)
    }
}

impl Player {
    fn open(number: i32) -> Option<Player> {
        let pidfd = pidfd_open(Pid::from_raw(number)?, PidfdFlags::empty()).ok()?;
        let role = String::new();
        Some(Player {
            number,
            role,
            pidfd,
        })
    }

    pub(crate) fn of_child(child: &Child) -> Player {
        // It has its number until it is waited for.
        Player::open(child.id().try_into().unwrap()).unwrap()
    }

    pub(crate) fn send(&self, signal: Signal) {
        // One that has ended needs none.
        let _ = pidfd_send_signal(&self.pidfd, signal);
    }
}

/// All processes of a play. One that is between `fork` and `exec` shows as its parent's double.
pub(crate) fn players(place: &Path) -> Vec<Player> {
    let wanted = format!("{PLACE}={}", place.display());
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let number = entry.file_name().to_string_lossy().parse();
        let Some(mut player) = number.ok().and_then(Player::open) else {
            continue;
        };
        let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
        let environment = String::from_utf8_lossy(&environment).into_owned();
        if !environment.split('\0').any(|one| one == wanted) {
            continue;
        }
        let role = environment
            .split('\0')
            .find_map(|one| one.strip_prefix(ROLE)?.strip_prefix('='));
        player.role = role.unwrap_or_default().to_owned();
        found.push(player);
    }
    found
}

/// Waits until every process of a play has ended.
pub(crate) fn nobody_is_left(place: &Path) {
    for mut player in players(place) {
        let ended = wait_any(&mut [&mut player], PATIENCE).unwrap();
        assert!(ended, "{} is left: {}", player.number, player.role);
    }
}

/// Kills and stops, and continues what was stopped.
pub(crate) struct Faults {
    random: Random,
    next: Instant,
    stopped: Vec<(Instant, Player)>,
    counts: BTreeMap<String, u64>,
}

impl Faults {
    pub(crate) fn new(random: Random) -> Faults {
        Faults {
            random,
            next: Instant::now(),
            stopped: Vec::new(),
            counts: BTreeMap::new(),
        }
    }

    pub(crate) fn counts(&self) -> BTreeMap<String, u64> {
        self.counts.clone()
    }

    /// Does what is due, and says when there is more.
    pub(crate) fn strike(&mut self, place: &Path) -> Instant {
        let now = Instant::now();
        for (_, player) in self.stopped.extract_if(.., |(until, _)| *until <= now) {
            player.send(Signal::CONT);
        }
        if self.next <= now {
            self.hit(place);
            let pause = Duration::from_millis(10 + self.random.below(250));
            self.next = Instant::now() + pause;
        }
        let stopped = self.stopped.iter().map(|(until, _)| *until);
        stopped
            .min()
            .map_or(self.next, |until| until.min(self.next))
    }

    pub(crate) fn continue_all(&mut self) {
        for (_, player) in self.stopped.drain(..) {
            player.send(Signal::CONT);
        }
    }

    fn hit(&mut self, place: &Path) {
        let role = match self.random.below(10) {
            0..4 => "secondary",
            4..6 => "primary",
            6..7 => "watchdog",
            _ => "client",
        };
        // The first client sees all of it.
        let mut cast = players(place);
        cast.retain(|player| player.role.starts_with(role) && player.role != "client 0");
        if cast.is_empty() {
            return;
        }
        let at = self.random.below(cast.len() as u64);
        let player = cast.swap_remove(usize::try_from(at).unwrap());
        let what = match self.random.below(10) {
            0..6 => {
                player.send(Signal::KILL);
                "killed"
            }
            6 if role == "client" => {
                player.send(Signal::TERM);
                "asked to leave"
            }
            // Long enough to be taken for hung.
            7 => self.stop(player, 1500..3500),
            _ => self.stop(player, 1..300),
        };
        *self.counts.entry(format!("{role} {what}")).or_default() += 1;
    }

    fn stop(&mut self, player: Player, millis: Range<u64>) -> &'static str {
        player.send(Signal::STOP);
        let millis = millis.start + self.random.below(millis.end - millis.start);
        let until = Instant::now() + Duration::from_millis(millis);
        self.stopped.push((until, player));
        "stopped"
    }
}

/// Of a process, but for its timers: a server makes one when it first needs it.
fn descriptors(of: &Path) -> usize {
    let entries = fs::read_dir(of).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .filter(|name| !name.to_string_lossy().contains("[timerfd]"))
        .count()
}

/// How many descriptors and mappings of sessions each role has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Census(BTreeMap<String, (usize, usize)>);

impl Census {
    pub(crate) fn new() -> Census {
        Census::default()
    }

    fn take(place: &Path) -> Census {
        let runtime = roles::runtime(place);
        let runtime = runtime.to_string_lossy();
        let mut census = Census::new();
        for player in players(place) {
            let of = Path::new("/proc").join(player.number.to_string());
            let descriptors = descriptors(&of.join("fd"));
            let maps = fs::read_to_string(of.join("maps")).unwrap_or_default();
            let mappings = maps.lines().filter(|line| line.contains(&*runtime)).count();
            census.0.insert(player.role, (descriptors, mappings));
        }
        census
    }

    /// When no client is there: the same as then, or else when it does not change any more.
    pub(crate) fn when_idle(place: &Path, then: Option<&Census>) -> Census {
        let end = Instant::now() + PATIENCE;
        let mut last = Census::new();
        loop {
            let census = Census::take(place);
            if then.map_or(census == last && !last.0.is_empty(), |then| *then == census) {
                return census;
            }
            assert!(Instant::now() < end, "{census:?} instead of {then:?}");
            last = census;
            // Nothing ends it early: what is waited for is that nothing happens.
            wait_any(&mut [], Duration::from_millis(100)).unwrap();
        }
    }
}
