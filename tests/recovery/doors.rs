//! What stands among the new sessions, or in a slot, and is none: refused, removed, named. The server goes on.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use super::*;
use crate::common::Scratch;

/// Names that a session at the door can have.
fn door_name(n: usize) -> String {
    format!("{n:024x}")
}

/// A directory as a client publishes it, with a held session's files copied in, then spoilt.
fn spoilt(at: &Path, n: usize, spoil: impl FnOnce(&Path)) {
    let session = at.join("svc/tmp").join(door_name(n));
    fs::create_dir(&session).unwrap();
    fs::set_permissions(&session, fs::Permissions::from_mode(0o700)).unwrap();
    spoil(&session);
    fs::rename(&session, at.join("svc/new").join(door_name(n))).unwrap();
}

fn knock(at: &Path) {
    let door = fs::OpenOptions::new()
        .write(true)
        .open(at.join("svc/door"))
        .unwrap();
    std::io::Write::write_all(&mut &door, b"!").unwrap();
}

fn count(at: &Path, directory: &str) -> usize {
    fs::read_dir(at.join("svc").join(directory))
        .unwrap()
        .count()
}

/// Reads a live session's files, to build others from.
struct Model {
    seg: Vec<u8>,
    lock: Vec<u8>,
}

impl Model {
    fn new(at: &Path) -> Model {
        let slot = at.join("svc/s/0");
        Model {
            seg: fs::read(slot.join("seg")).unwrap(),
            lock: fs::read(slot.join("lock")).unwrap(),
        }
    }

    /// Everything that a session has, with these bytes as its segment. Its lock is held through `held`.
    fn build(&self, session: &Path, seg: &[u8], held: &mut Vec<Held>) {
        fs::write(session.join("seg"), seg).unwrap();
        fs::set_permissions(session.join("seg"), fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(session.join("lock"), &self.lock).unwrap();
        for bell in ["up", "down"] {
            let made = rustix::fs::mknodat(
                rustix::fs::CWD,
                session.join(bell),
                rustix::fs::FileType::Fifo,
                rustix::fs::Mode::from_raw_mode(0o600),
                0,
            );
            made.unwrap();
        }
        held.push(Held::new(session));
    }
}

/// The lock and the reader of a session that a test made by hand.
struct Held {
    _lock: fs::File,
    _down: fs::File,
}

impl Held {
    fn new(session: &Path) -> Held {
        let open = |name: &str| {
            fs::OpenOptions::new()
                .read(true)
                .write(true)
                .open(session.join(name))
                .unwrap()
        };
        let lock = open("lock");
        // A lock of the whole process does as well: looks see it.
        rustix::fs::fcntl_lock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive)
            .unwrap();
        Held {
            _lock: lock,
            _down: open("down"),
        }
    }
}

/// How many are refused until nothing more happens, with what was said of them.
fn refusals(server: &mut Server) -> Vec<String> {
    let mut refused = Vec::new();
    while let Some(event) = server.next_timeout(Duration::from_millis(100)).unwrap() {
        match event {
            Event::Refused(error) => refused.push(error.to_string()),
            Event::Connected(_) | Event::Disconnected(..) => {}
            other => panic!("{other:?}"),
        }
    }
    refused
}

#[test]
fn what_is_no_session_is_refused_removed_and_named_while_others_are_served() {
    let place = Scratch::new();
    let at = place.path();
    let mut server = server(at);
    let mut client = connect(&mut server, at);
    let new = at.join("svc/new");
    fs::write(new.join(door_name(1)), "a file").unwrap();
    symlink("/tmp", new.join(door_name(2))).unwrap();
    spoilt(at, 3, |_| {});
    spoilt(at, 4, |session| {
        fs::set_permissions(session, fs::Permissions::from_mode(0o755)).unwrap();
    });
    fs::create_dir(new.join("no name of a session")).unwrap();
    knock(at);
    let refused = refusals(&mut server);
    assert_eq!(refused.len(), 3, "{refused:?}");
    for (n, what) in [(1, "not a directory"), (2, "symbolic link"), (4, "0755")] {
        let name = door_name(n);
        let named = |said: &&String| said.contains(&name) && said.contains(what);
        assert!(refused.iter().any(|said| named(&said)), "{refused:?}");
    }
    // The third had no lock that is held: its client is dead.
    assert_eq!(count(at, "new"), 1);
    assert_eq!(count(at, "tmp"), 0);
    call(&mut server, &mut client, "still there");
    drop(client);
    drop(server);
    assert!(fs::read_dir(at).unwrap().next().is_none());
}

#[test]
fn a_session_whose_parts_are_wrong_is_refused_removed_and_named() {
    let place = Scratch::new();
    let at = place.path();
    let mut server = server(at);
    let mut client = connect(&mut server, at);
    let model = Model::new(at);
    let mut held = Vec::new();
    let seg = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut seg = model.seg.clone();
        change(&mut seg);
        seg
    };
    let segments: Vec<(Vec<u8>, &str)> = vec![
        (Vec::new(), "seg"),
        (seg(&|seg| seg.truncate(100)), "seg"),
        (seg(&|seg| seg.truncate(seg.len() - 4096)), "seg"),
        (seg(&|seg| seg[0] ^= 1), "magic"),
        (seg(&|seg| seg[8] += 1), "version"),
        // The capacities of the rings.
        (seg(&|seg| seg[128 + 8] = 7), "capacities"),
        (seg(&|seg| seg[128 + 16 + 7] = 0xff), "capacities"),
    ];
    let many = segments.len();
    for (n, (bytes, _)) in segments.iter().enumerate() {
        spoilt(at, n, |session| model.build(session, bytes, &mut held));
    }
    type Spoiler = fn(&Path);
    let spoilers: [(Spoiler, &str); 6] = [
        (|session| fs::remove_file(session.join("up")).unwrap(), "up"),
        (
            |session| {
                fs::remove_file(session.join("up")).unwrap();
                fs::write(session.join("up"), "").unwrap();
            },
            "up",
        ),
        (
            |session| {
                fs::rename(session.join("up"), session.join("other")).unwrap();
                symlink("other", session.join("up")).unwrap();
            },
            "up",
        ),
        (
            |session| {
                fs::rename(session.join("down"), session.join("other")).unwrap();
                symlink("other", session.join("down")).unwrap();
            },
            "down",
        ),
        (
            |session| {
                fs::rename(session.join("seg"), session.join("other")).unwrap();
                symlink("other", session.join("seg")).unwrap();
            },
            "seg",
        ),
        (
            |session| {
                fs::rename(session.join("lock"), session.join("other")).unwrap();
                symlink("other", session.join("lock")).unwrap();
            },
            "lock",
        ),
    ];
    for (n, (spoil, _)) in spoilers.iter().enumerate() {
        spoilt(at, many + n, |session| {
            model.build(session, &model.seg, &mut held);
            spoil(session);
        });
    }
    knock(at);
    let refused = refusals(&mut server);
    let expected = segments
        .iter()
        .map(|(_, what)| *what)
        .chain(spoilers.iter().map(|(_, what)| *what));
    for (n, what) in expected.enumerate() {
        let name = door_name(n);
        let said = refused.iter().find(|said| said.contains(&name));
        assert!(
            said.is_some_and(|said| said.contains(what)),
            "{n} {what}: {said:?} of {refused:?}"
        );
    }
    assert_eq!(refused.len(), many + spoilers.len());
    assert_eq!(count(at, "new"), 0);
    assert_eq!(count(at, "s"), 1);
    call(&mut server, &mut client, "still there");
}

#[test]
fn what_stands_in_the_slots_and_is_no_session_does_not_keep_a_successor_away() {
    let place = Scratch::new();
    let at = place.path();
    let mut before = server(at);
    let mut client = connect(&mut before, at);
    let end = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _dropped_in_a_panic = before;
        std::panic::resume_unwind(Box::new("a crash"));
    }));
    assert!(end.is_err());
    let slots = at.join("svc/s");
    fs::write(slots.join("1"), "a file").unwrap();
    fs::create_dir(slots.join("2")).unwrap();
    symlink("/tmp", slots.join("3")).unwrap();
    fs::create_dir(slots.join("4294967295")).unwrap();
    let mut server = server(at);
    assert_eq!(count(at, "s"), 1);
    call(&mut server, &mut client, "went on");
    // Something that comes into a free slot is cleared away, and the next one gets it.
    fs::create_dir(slots.join("3")).unwrap();
    let mut other = connect(&mut server, at);
    call(&mut server, &mut other, "too");
    assert_eq!(count(at, "s"), 2);
}

#[test]
fn a_crowd_at_the_door_is_let_in_and_a_full_server_lets_a_client_in_that_comes_back() {
    let place = Scratch::new();
    let at = place.path();
    let mut server = ServerOptions::new()
        .directory(at)
        .sessions(42)
        .bind("svc")
        .unwrap();
    let clients: Vec<Client> = std::thread::scope(|scope| {
        let connecting: Vec<_> = (0..40).map(|_| scope.spawn(|| client(at))).collect();
        for _ in 0..40 {
            until(&mut server, |event| matches!(event, Event::Connected(_)));
        }
        connecting
            .into_iter()
            .map(|connecting| connecting.join().unwrap())
            .collect()
    });
    let refused = std::thread::scope(|scope| {
        let connecting = scope.spawn(|| {
            ClientOptions::new()
                .directory(at)
                .connect("svc", SOON)
                .map(drop)
        });
        while !connecting.is_finished() {
            let _ = server.next_timeout(Duration::from_millis(10)).unwrap();
        }
        connecting.join().unwrap().unwrap_err()
    });
    assert!(matches!(refused, Error::Busy { .. }), "{refused}");
    assert_eq!(count(at, "new") + count(at, "tmp"), 0);
    drop(clients);
    for _ in 0..40 {
        until(&mut server, |event| {
            matches!(event, Event::Disconnected(..))
        });
    }
    assert_eq!(count(at, "s"), 0);
    let mut again = connect(&mut server, at);
    call(&mut server, &mut again, "in");
}
