//! Clients that come one after the other, or many at once, and leave, or are killed: idle, with requests that nobody has
//! answered, with payloads in segments, and in the middle of connecting.

use std::fs;
use std::path::{Path, PathBuf};

use osps_ipc::{Directory, End};

use super::roles::start;
use super::*;
use crate::common::{Helper, Scratch, tell};

/// The most that one process brings.
const AT_ONCE: usize = 100;
/// What the allocator may keep in the end: less than what a leak of seven bytes a client comes to in a large crowd.
const SPARE: usize = 700_000;

/// How many are to come in all.
fn crowd() -> usize {
    let crowd = std::env::var("OSPS_IPC_CROWD").ok();
    crowd.map_or(2000, |crowd| crowd.parse().unwrap())
}

#[test]
fn a_crowd_of_whom_half_are_killed_leaves_no_descriptor_no_mapping_no_memory_and_no_file() {
    let place = Scratch::new();
    let landlord = start(&format!("landlord {}", crowd()), &place);
    loop {
        let said = landlord.line();
        if said.starts_with("done") {
            println!("{said}");
            break;
        }
    }
    landlord.finish();
    assert!(files(place.path()).is_empty());
}

/// What a server has, and what stands in its directory.
#[derive(Debug)]
struct Holding {
    descriptors: usize,
    mappings: usize,
    files: Vec<PathBuf>,
}

impl Holding {
    fn take(at: &Path) -> Holding {
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let of_sessions = |line: &&str| line.contains("/seg") || line.contains("/hand-over");
        Holding {
            descriptors: fs::read_dir("/proc/self/fd").unwrap().count(),
            mappings: maps.lines().filter(of_sessions).count(),
            files: files(at),
        }
    }

    /// Whether it is no more than before. It may be less: a thread that reads a helper's output ends by itself, a moment
    /// after the helper.
    fn is_within(&self, before: &Holding) -> bool {
        self.descriptors <= before.descriptors
            && self.mappings <= before.mappings
            && self.files == before.files
    }

    /// When those threads have ended.
    fn settled(at: &Path, before: &Holding) -> Holding {
        let end = Instant::now() + SOON;
        loop {
            let now = Holding::take(at);
            if now.is_within(before) || Instant::now() > end {
                return now;
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }
}

fn threads() -> usize {
    fs::read_dir("/proc/self/task").unwrap().count()
}

/// Bytes of memory that are this process's own.
fn memory() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let number = line
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse::<usize>();
    number.unwrap() * 1024
}

/// In a process of its own: lets a crowd come and go.
pub(crate) fn receive(at: &Path, crowd: usize) {
    let alone = threads();
    let mut landlord = Landlord::new(at);
    // What is made once, is made now.
    for round in 0..6 {
        landlord.receive_some(round * 20);
    }
    landlord.receive_one();
    // Who reads a helper's output holds a descriptor until it has ended, which it does by itself.
    let end = Instant::now() + SOON;
    while threads() > alone && Instant::now() < end {
        std::thread::park_timeout(Duration::from_millis(5));
    }
    let before = (Holding::take(at), memory());
    (landlord.received, landlord.killed) = (0, 0);
    let mut round = 0;
    while landlord.received < crowd {
        landlord.receive_some((round * 37) % AT_ONCE);
        round += 1;
        tell(&format!("{} of {crowd}", landlord.received));
    }
    // Whoever comes next clears what was left half made.
    landlord.receive_one();
    let holding = Holding::settled(at, &before.0);
    assert!(holding.is_within(&before.0), "{before:?}, then {holding:?}");
    let after = memory();
    assert!(after < before.1 + SPARE, "{} bytes, then {after}", before.1);
    tell(&format!(
        "done: {} clients, {} killed; {} bytes of memory before, {after} after",
        landlord.received, landlord.killed, before.1,
    ));
}

/// The server, and how many have come.
struct Landlord {
    server: Server,
    place: Directory,
    received: usize,
    killed: usize,
}

impl Landlord {
    fn new(at: &Path) -> Landlord {
        Landlord {
            server: server(at),
            place: Directory::open(at).unwrap(),
            received: 0,
            killed: 0,
        }
    }

    fn receive_one(&mut self) {
        drop(connect(&mut self.server, self.place.path()));
        self.until_gone(1, &End::Left);
        // With nothing else to do, it removes what the sessions were.
        assert!(self.server.next_timeout(Duration::ZERO).unwrap().is_none());
    }

    /// As many that leave as are killed.
    fn receive_some(&mut self, number: usize) {
        let number = number + 1;
        let leavers = start(&format!("leavers {number}"), &self.place);
        self.until_gone(number, &End::Left);
        leavers.finish();
        self.received += number;
        self.kill_idlers(number.div_ceil(2));
        self.kill_askers(number.div_ceil(2));
        self.kill_one_in_a_rush();
    }

    /// Answers what is asked until so many have ended, in this way.
    fn until_gone(&mut self, number: usize, how: &End) {
        let mut gone = 0;
        while gone < number {
            let event = until(&mut self.server, |event| {
                matches!(event, Event::Disconnected(..))
            });
            let Event::Disconnected(_, end) = event else {
                unreachable!()
            };
            assert_eq!(end, *how);
            gone += 1;
        }
    }

    fn kill(&mut self, mut helper: Helper, number: usize) {
        helper.kill();
        drop(helper);
        self.until_gone(number, &End::Died);
        assert_eq!(self.server.sessions(), 0);
        assert!(self.server.next_timeout(Duration::ZERO).unwrap().is_none());
        self.received += number;
        self.killed += number;
    }

    fn kill_idlers(&mut self, number: usize) {
        let before = fs::read_dir("/proc/self/fd").unwrap().count();
        let idlers = start(&format!("clients {number}"), &self.place);
        for _ in 0..number {
            until(&mut self.server, |event| {
                matches!(event, Event::Connected(_))
            });
        }
        idlers.expect("connected");
        // The helper's own pipes are two, and a helper before may not have let go of one.
        let own = fs::read_dir("/proc/self/fd").unwrap().count() - before;
        assert!(own <= 2 * number + 2, "two descriptors a session: {own}");
        self.kill(idlers, number);
    }

    /// Those have asked, some with large payloads, and not all are answered.
    fn kill_askers(&mut self, number: usize) {
        let askers = start(&format!("askers {number}"), &self.place);
        let (mut held, mut asked) = (Vec::new(), 0);
        while asked < 2 * number {
            let event = until(&mut self.server, |event| matches!(event, Event::Request(_)));
            if let Event::Request(request) = event {
                asked += 1;
                match asked % 2 {
                    0 => held.push(request),
                    _ => echo(request),
                }
            }
        }
        askers.expect("asked");
        self.kill(askers, number);
        // To answer the dead is an error, and no more than that.
        for request in held {
            assert!(matches!(request.reply("x"), Err(Error::Closed { .. })));
        }
    }

    /// Connects, asks and leaves without end, and is killed at some moment of that.
    fn kill_one_in_a_rush(&mut self) {
        let mut rush = start(&format!("leavers {}", usize::MAX), &self.place);
        until(&mut self.server, |event| {
            matches!(event, Event::Connected(_))
        });
        rush.kill();
        // What it had published and nobody let in, or had only half made, goes as the next one comes.
        let next = connect(&mut self.server, self.place.path());
        while self.server.sessions() > 1 {
            until(&mut self.server, |event| {
                matches!(event, Event::Disconnected(..))
            });
        }
        // What is told of it may come after it has gone.
        while self.server.next_timeout(Duration::ZERO).unwrap().is_some() {}
        drop(next);
        self.until_gone(1, &End::Left);
        self.received += 1;
        self.killed += 1;
    }
}

/// What those do that leave: each comes, asks, and is gone.
pub(crate) fn come_and_leave(at: &Path, number: usize) {
    for n in 0..number {
        let mut client = client(at);
        let sent = vec![7; [10, 5000, 100_000][n % 3]];
        let reply = client.call(Request::new(ECHO, &sent), SOON).unwrap();
        assert_eq!(reply.into_answer().unwrap().into_vec(), sent);
    }
}

/// Those that are killed with what they have asked.
pub(crate) fn ask_and_wait(at: &Path, number: usize) -> Vec<Client> {
    let ask = |n| {
        let mut client = client(at);
        for len in [20, [300, 5000, 100_000][n % 3]] {
            let sent = vec![1; len];
            client.submit(Request::new(ECHO, &sent), SOON).unwrap();
        }
        client
    };
    (0..number).map(ask).collect()
}

/// Everything below a directory.
pub(super) fn files(at: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(at).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&entry.path()));
        }
        found.push(entry.path());
    }
    found.sort();
    found
}
