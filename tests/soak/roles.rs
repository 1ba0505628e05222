//! The processes of the soak: the library's roles with handlers that write down what they are given, and clients that
//! write down what they ask and are told.

use std::fmt::Display;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use osps_ipc::detector::Config;
use osps_ipc::restart::{AfterCleanEnd, EXIT_ALREADY_RUNNING, Policy};
use osps_ipc::{
    Error, Event, Incoming, Name, Pollable, RequestKind, Server, ServerOptions, Shutdown,
    Supervisor, SupervisorOptions, wait_any,
};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::client::Caller;
use super::history::{Delivered, HEAD, Kind, answer, payload};
use crate::common;

pub(crate) const SERVICE: &str = "svc";
/// How many secondaries there are.
pub(crate) const TEAM: u32 = 2;
/// How long anything may take in spite of everything that happens.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Who is to end when this process does.
const BOSS: &str = "OSPS_IPC_TEST_BOSS";

const LONG: Duration = Duration::from_secs(1 << 20);
/// How long some requests are in work: short against the time between two kills.
const HELD: Duration = Duration::from_millis(5);
/// How long an end in good order may take.
const GRACE: Duration = Duration::from_secs(10);
pub(crate) const SUM: RequestKind = RequestKind::new("sum");
pub(crate) const ECHO: RequestKind = RequestKind::new("echo");

/// The command for a role. What it does ends with `boss`.
pub(crate) fn command(role: &str, place: &Path, boss: &str) -> Command {
    let mut command = common::in_role("roles::helper", role, place);
    command
        .env(BOSS, boss)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

/// The runtime directory in the place of a soak, and the one for what is written down.
pub(crate) fn runtime(place: &Path) -> PathBuf {
    place.join("runtime")
}

pub(crate) fn notes(place: &Path) -> PathBuf {
    place.join("notes")
}

/// The file in which a client writes.
pub(crate) fn notes_of(client: u64) -> String {
    format!("client {client}")
}

#[test]
fn helper() {
    let Some((role, place)) = common::role() else {
        return;
    };
    let stage = Stage::new(place.path());
    match role.split(' ').collect::<Vec<_>>()[..] {
        ["watchdog"] => stage.watchdog(),
        ["primary"] => stage.primary(),
        ["secondary", name] => stage.secondary(name),
        ["client", number] => stage.client(number.parse().unwrap(), u64::MAX),
        ["visitor", number] => stage.client(number.parse().unwrap(), 50),
        ref other => panic!("no role {other:?}"),
    }
}

/// The process that plays: when it ends, so do the others.
struct Boss(OwnedFd);

impl AsFd for Boss {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Pollable for Boss {
    fn arm(&mut self) -> osps_ipc::Result<bool> {
        Ok(true)
    }
}

impl Boss {
    fn has_ended(&mut self) -> bool {
        wait_any(&mut [self], Duration::ZERO).unwrap()
    }
}

/// What every role has.
struct Stage {
    place: PathBuf,
    boss: Boss,
    shutdown: Shutdown,
}

impl Stage {
    fn new(place: &Path) -> Stage {
        let number: i32 = std::env::var(BOSS).unwrap().parse().unwrap();
        let pid = Pid::from_raw(number).unwrap();
        let Ok(boss) = pidfd_open(pid, PidfdFlags::empty()) else {
            std::process::exit(1);
        };
        Stage {
            place: place.to_owned(),
            boss: Boss(boss),
            shutdown: Shutdown::install().unwrap(),
        }
    }

    fn command(&self, role: &str) -> Command {
        command(role, &self.place, &std::env::var(BOSS).unwrap())
    }

    fn notes(&self, name: &str) -> File {
        let path = notes(&self.place).join(name);
        let mut options = OpenOptions::new();
        options.create_new(true).append(true).open(path).unwrap()
    }

    /// For whoever wants to know what happened when a soak has failed.
    fn log(&self, role: &str) -> Log {
        let name = format!("log {role} {}", std::process::id());
        // In a long soak there may have been a process of the same number.
        let mut options = OpenOptions::new();
        options.create(true).append(true);
        Log(options.open(notes(&self.place).join(name)).unwrap())
    }

    /// Whether the role is to end, in good order or at once.
    fn is_over(&mut self) -> bool {
        if self.boss.has_ended() {
            std::process::exit(1);
        }
        self.shutdown.is_requested()
    }

    fn wait<'a>(&'a mut self, mut others: Vec<&'a mut dyn Pollable>) {
        others.push(&mut self.boss);
        if !self.shutdown.is_requested() {
            others.push(&mut self.shutdown);
        }
        wait_any(&mut others, LONG).unwrap();
    }

    fn supervise(&self, service: &str, role: &str) -> Supervisor {
        let mut config = Config::new(Duration::from_millis(50), Duration::from_secs(1));
        config.challenge_every = Some(Duration::from_millis(300));
        let mut policy = Policy::default();
        policy.first_delay = Duration::from_millis(10);
        policy.longest_delay = Duration::from_millis(100);
        policy.reset_after = Duration::from_secs(1);
        // Restarted for ever, whatever happens.
        policy.window = Duration::ZERO;
        policy.after_clean_end = AfterCleanEnd::Restart;
        SupervisorOptions::new(self.command(role))
            .directory(runtime(&self.place))
            .config(config)
            .policy(policy)
            .grace(GRACE)
            .supervise(service)
            .unwrap()
    }

    fn bind(&self, options: ServerOptions, service: &str) -> Server {
        let bound = options.directory(runtime(&self.place)).bind(service);
        if let Err(Error::AlreadyRunning { .. }) = bound {
            std::process::exit(EXIT_ALREADY_RUNNING);
        }
        bound.unwrap()
    }

    fn watchdog(mut self) {
        let mut log = self.log("watchdog");
        let mut supervisor = self.supervise(SERVICE, "primary");
        let mut ending = false;
        while !supervisor.is_over() {
            if self.is_over() && !ending {
                ending = true;
                supervisor.stop();
            }
            log.hear(&mut supervisor);
            if !supervisor.is_over() {
                self.wait(vec![&mut supervisor]);
            }
        }
    }

    fn primary(mut self) {
        let options = ServerOptions::new()
            .directs()
            .heartbeat(Duration::from_secs(1));
        let mut server = self.bind(options, SERVICE);
        let mut log = self.log("primary");
        let names: Vec<_> = (1..=TEAM).map(|n| format!("{SERVICE}-{n}")).collect();
        let supervise = |name: &String| self.supervise(name, &format!("secondary {name}"));
        let mut team: Vec<Supervisor> = names.iter().map(supervise).collect();
        let mut turns = (0..names.len()).cycle();
        let (mut ending, mut drained) = (false, false);
        loop {
            if self.is_over() && !ending {
                ending = true;
                server.drain(GRACE);
            }
            for supervisor in &mut team {
                log.hear(supervisor);
            }
            if drained && team.iter().all(Supervisor::is_over) {
                return;
            }
            match server.try_next().unwrap() {
                Some(Event::Question(question)) => {
                    let name = &names[turns.next().unwrap()];
                    // A client that has gone meanwhile is its own affair.
                    let _ = question.redirect(&Name::new(name.as_str()).unwrap());
                }
                Some(Event::Drained) => {
                    drained = true;
                    team.iter_mut().for_each(Supervisor::stop);
                }
                Some(_) => {}
                None => {
                    let mut of: Vec<&mut dyn Pollable> = Vec::new();
                    if !drained {
                        of.push(&mut server);
                    }
                    let running = team.iter_mut().filter(|one| !one.is_over());
                    of.extend(running.map(|one| one as &mut dyn Pollable));
                    self.wait(of);
                }
            }
        }
    }

    fn secondary(mut self, service: &str) {
        let options = ServerOptions::new().heartbeat(Duration::from_secs(1));
        let mut server = self.bind(options, service);
        // Sorted by name, they are in the order of their lives.
        let number = server.epoch();
        let mut notes = self.notes(&format!("{service} {number:020} {}", std::process::id()));
        let (worker, asked) = mpsc::channel();
        let working = std::thread::spawn(move || give_later(&asked));
        let mut ending = false;
        loop {
            if self.is_over() && !ending {
                ending = true;
                server.drain(GRACE);
            }
            match server.try_next().unwrap() {
                Some(Event::Request(request)) => {
                    let bytes = note(&request, &mut notes);
                    match request.token().request % 4 {
                        0 => worker.send((request, bytes)).unwrap(),
                        _ => give((request, bytes)),
                    }
                }
                Some(Event::Drained) => break,
                Some(_) => {}
                None => self.wait(vec![&mut server]),
            }
        }
        drop(worker);
        working.join().unwrap();
    }

    fn client(mut self, number: u64, most: u64) {
        let notes = self.notes(&notes_of(number));
        let log = self.log(&notes_of(number));
        let mut caller = Caller::enter(number, &runtime(&self.place), notes, log);
        while !self.is_over() && caller.made() < most {
            caller.act();
            let pause = caller.pause();
            wait_any(&mut [&mut self.shutdown, &mut self.boss], pause).unwrap();
        }
        caller.leave();
    }
}

/// What happened to whom, and when.
pub(crate) struct Log(File);

impl Log {
    pub(crate) fn say(&mut self, what: &dyn Display) {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let millis = now.tv_nsec / 1_000_000;
        line(&mut self.0, &format!("{}.{millis:03} {what}", now.tv_sec));
    }

    fn hear(&mut self, supervisor: &mut Supervisor) {
        while let Some(event) = supervisor.try_next().unwrap() {
            self.say(&format!("{}: {event}", supervisor.service().as_str()));
        }
    }
}

/// Writes down that it was handed out, and gives the payload's bytes.
fn note(request: &Incoming, notes: &mut File) -> Vec<u8> {
    let token = request.token();
    let mut bytes = vec![0; usize::try_from(request.payload().len()).unwrap()];
    request.payload().read_at(0, &mut bytes).unwrap();
    let number = |at: usize| {
        let word = bytes.get(at..at + 8).and_then(|word| word.try_into().ok());
        word.map_or(u64::MAX, u64::from_le_bytes)
    };
    let (client, seq) = (number(0), number(8));
    let len = bytes.len().saturating_sub(HEAD) as u64;
    let delivered = Delivered {
        session: token.session,
        id: token.request,
        client,
        seq,
        attempts: request.attempts(),
        whole: bytes == payload(client, seq, len),
    };
    line(notes, &delivered);
    bytes
}

fn give((request, bytes): (Incoming, Vec<u8>)) {
    let kind = match request.kind() {
        ECHO => Kind::Echo,
        _ => Kind::Sum,
    };
    // A client that has been killed meanwhile gets no answer.
    let _ = request.reply(&answer(kind, &bytes));
}

/// Answers a little later, the last one first: a kill finds requests that were begun.
fn give_later(asked: &Receiver<(Incoming, Vec<u8>)>) {
    while let Ok(first) = asked.recv() {
        let end = Instant::now() + HELD;
        let left = || end.saturating_duration_since(Instant::now());
        let more = std::iter::from_fn(|| asked.recv_timeout(left()).ok());
        let held: Vec<_> = std::iter::once(first).chain(more).collect();
        held.into_iter().rev().for_each(give);
    }
}

/// In one go: what is killed has written it whole or not at all.
pub(crate) fn line(notes: &mut File, told: &impl Display) {
    notes.write_all(format!("{told}\n").as_bytes()).unwrap();
}
