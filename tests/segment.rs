//! Segments between processes, and the hazards: full memory, broken files, lies in the header, death on the way.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "what a test does not expect ends it"
)]

mod common;
#[path = "segment/support.rs"]
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::thread;

use common::Scratch;
use osps_ipc::{
    Directory, Error, Name, ReadOnlySegment, SegmentOptions, SharedSegment, shared_layout,
};
use support::{Numbers, Running, as_role, helper, is_root, role};

const HEADER: usize = 128;

shared_layout! {
    /// The layout of the test vectors.
    pub struct Progress {
        done: AtomicU64,
        failed: AtomicU64,
    }
}

shared_layout! {
    /// Another of the same size.
    pub struct Regress {
        done: AtomicU64,
        failed: AtomicU64,
    }
}

static_assertions::assert_impl_all!(SharedSegment: Send, Sync, std::fmt::Debug);
static_assertions::assert_impl_all!(SharedSegment<Progress>: Send, Sync);
static_assertions::assert_impl_all!(ReadOnlySegment: Send, Sync);
static_assertions::assert_impl_all!(SegmentOptions<Progress>: Send, Sync, Copy);

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// The field that an open was refused for.
#[track_caller]
fn refused<T>(opened: osps_ipc::Result<T>) -> (&'static str, String) {
    match opened {
        Err(Error::BadSegment { what, .. }) => (what, opened.err().unwrap().to_string()),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("opened"),
    }
}

fn file(scratch: &Scratch, name: &str) -> std::path::PathBuf {
    scratch.path().join(name)
}

#[test]
fn two_processes_share_bytes_and_a_struct_of_atomics() {
    const TEST: &str = "two_processes_share_bytes_and_a_struct_of_atomics";
    if let Some(path) = role(TEST) {
        let dir = Directory::open(path).unwrap();
        let bytes = SegmentOptions::bytes(0).open(&dir, &name("bytes")).unwrap();
        assert_eq!(bytes.len(), 13);
        let mut seen = [0; 13];
        bytes.read_at(0, &mut seen).unwrap();
        assert_eq!(&seen, b"from parent..");
        bytes.write_at(5, b"child").unwrap();
        let counts = SegmentOptions::typed::<Progress>()
            .open(&dir, &name("typed"))
            .unwrap();
        counts.get().done.fetch_add(41, Ordering::AcqRel);
        return;
    }
    let scratch = Scratch::new();
    let bytes = SegmentOptions::bytes(13)
        .create(&scratch, &name("bytes"))
        .unwrap();
    let counts = SegmentOptions::typed::<Progress>()
        .create(&scratch, &name("typed"))
        .unwrap();
    bytes.write_at(0, b"from parent..").unwrap();
    counts.get().done.store(1, Ordering::Release);
    Running::start(&mut helper(TEST, scratch.path().to_str().unwrap())).succeed();
    let mut seen = [0; 13];
    bytes.read_at(0, &mut seen).unwrap();
    assert_eq!(&seen, b"from childt..");
    assert_eq!(counts.get().done.load(Ordering::Acquire), 42);
    assert_eq!(counts.get().failed.load(Ordering::Acquire), 0);
}

#[test]
fn a_new_segment_is_zeroed_has_all_its_pages_and_takes_what_was_told() {
    let scratch = Scratch::new();
    for len in [0, 1, 7, 8, 4096 - HEADER, 4097 - HEADER, 1 << 20] {
        let options = SegmentOptions::bytes(len);
        let segment = options.create(&scratch, &name("s")).unwrap();
        assert_eq!((segment.len(), segment.is_empty()), (len, len == 0));
        let status = fs::metadata(file(&scratch, "s")).unwrap();
        assert_eq!(status.len(), (len + HEADER) as u64);
        assert_eq!(status.blocks() * 512, options.required_bytes());
        assert_eq!(status.permissions().mode() & 0o7777, 0o600);
        let mut bytes = vec![1; len];
        segment.read_at(0, &mut bytes).unwrap();
        assert!(bytes.iter().all(|byte| *byte == 0));
        SharedSegment::unlink(&scratch, &name("s")).unwrap();
        segment.write_at(0, &bytes).unwrap();
    }
    assert!(scratch.names().is_empty());
}

#[test]
fn a_name_that_is_taken_is_refused_and_left_alone() {
    let scratch = Scratch::new();
    let first = SegmentOptions::bytes(8)
        .create(&scratch, &name("s"))
        .unwrap();
    first.write_at(0, b"original").unwrap();
    let error = SegmentOptions::bytes(9)
        .create(&scratch, &name("s"))
        .unwrap_err();
    let Error::Os {
        doing,
        path,
        source,
    } = error
    else {
        panic!("{error}")
    };
    assert_eq!((doing, path), ("create", file(&scratch, "s")));
    assert_eq!(source.kind(), std::io::ErrorKind::AlreadyExists);
    assert_eq!(scratch.names(), ["s"]);
    assert_eq!(
        fs::read(file(&scratch, "s")).unwrap()[HEADER..],
        *b"original"
    );
    let missing = SegmentOptions::bytes(0)
        .open(&scratch, &name("t"))
        .unwrap_err();
    assert!(
        matches!(missing, Error::Os { doing: "open", .. }),
        "{missing}"
    );
    assert!(SharedSegment::unlink(&scratch, &name("t")).is_err());
}

#[test]
fn a_umask_takes_nothing_from_the_owner() {
    const TEST: &str = "a_umask_takes_nothing_from_the_owner";
    if let Some(path) = role(TEST) {
        let dir = Directory::open(path).unwrap();
        SegmentOptions::bytes(8).create(&dir, &name("s")).unwrap();
        return;
    }
    let scratch = Scratch::new();
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "umask 0777; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap());
    as_role(&mut shell, TEST, scratch.path().to_str().unwrap());
    Running::start(&mut shell).succeed();
    assert_eq!(
        fs::metadata(file(&scratch, "s"))
            .unwrap()
            .permissions()
            .mode()
            & 0o777,
        0o600
    );
}

#[test]
fn what_was_made_as_one_kind_does_not_open_as_another() {
    let scratch = Scratch::new();
    let (bytes, typed) = (name("bytes"), name("typed"));
    let _bytes = SegmentOptions::bytes(16).create(&scratch, &bytes).unwrap();
    let _typed = SegmentOptions::typed::<Progress>()
        .create(&scratch, &typed)
        .unwrap();
    let results = [
        refused(SegmentOptions::typed::<Progress>().open(&scratch, &bytes)),
        refused(SegmentOptions::typed::<Regress>().open(&scratch, &typed)),
        refused(SegmentOptions::bytes(16).open(&scratch, &typed)),
        refused(SegmentOptions::bytes(16).open_read_only(&scratch, &typed)),
    ];
    for (what, message) in results {
        assert_eq!(what, "fingerprint", "{message}");
    }
    let (what, message) = refused(SegmentOptions::bytes(17).open(&scratch, &bytes));
    assert_eq!(what, "payload length");
    assert!(
        message.contains("16 bytes") && message.contains("at least 17"),
        "{message}"
    );
}

#[test]
fn a_read_only_segment_loads_what_lies_there_and_nothing_beyond() {
    let scratch = Scratch::new();
    let segment = SegmentOptions::bytes(21)
        .create(&scratch, &name("s"))
        .unwrap();
    let bytes: Vec<u8> = (1..=21).collect();
    segment.write_at(0, &bytes).unwrap();
    let reader = SegmentOptions::bytes(21)
        .open_read_only(&scratch, &name("s"))
        .unwrap();
    assert_eq!((reader.len(), reader.is_empty()), (21, false));
    for offset in 0..21 {
        assert_eq!(reader.load::<u8>(offset).unwrap(), bytes[offset]);
        for len in 0..=21 - offset {
            let mut part = vec![0; len];
            reader.read_at(offset, &mut part).unwrap();
            assert_eq!(part, bytes[offset..offset + len]);
        }
        assert!(reader.read_at(offset, &mut vec![0; 22 - offset]).is_err());
    }
    assert_eq!(reader.load::<u16>(2).unwrap(), u16::from_ne_bytes([3, 4]));
    assert_eq!(
        reader.load::<u32>(16).unwrap(),
        u32::from_ne_bytes([17, 18, 19, 20])
    );
    assert_eq!(
        reader.load::<u64>(8).unwrap(),
        u64::from_ne_bytes([9, 10, 11, 12, 13, 14, 15, 16])
    );
    let outside = [
        reader.load::<u8>(21).map(drop),
        reader.load::<u32>(20).map(drop),
        reader.load::<u64>(16).map(drop),
        reader.load::<u64>(usize::MAX - 7).map(drop),
    ];
    for (n, result) in outside.into_iter().enumerate() {
        assert!(
            matches!(result, Err(Error::OutOfBounds { limit: 21, .. })),
            "{n}"
        );
    }
    segment.write_at(0, &[0xff]).unwrap();
    assert_eq!(
        reader.load::<u8>(0).unwrap(),
        0xff,
        "it shows the same memory"
    );
}

#[test]
fn the_test_vectors_are_accepted_or_refused_as_they_say() {
    let vectors = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors");
    let mut seen = 0;
    for entry in fs::read_dir(vectors).unwrap() {
        let path = entry.unwrap().path();
        let file_name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if !file_name.starts_with("segment-") {
            continue;
        }
        seen += 1;
        let text = fs::read_to_string(&path).unwrap();
        let expected = text
            .lines()
            .find_map(|line| line.strip_prefix("# expect: "))
            .unwrap();
        let data = text.lines().filter_map(|line| line.split('#').next());
        let bytes: Vec<u8> = data
            .flat_map(str::split_whitespace)
            .map(|digits| u8::from_str_radix(digits, 16).unwrap())
            .collect();
        let scratch = Scratch::new();
        fs::write(file(&scratch, "v"), &bytes).unwrap();
        let v = name("v");
        match expected.split_once(' ').unwrap() {
            ("accept", "bytes") => {
                let segment = SegmentOptions::bytes(0).open(&scratch, &v).unwrap();
                let mut payload = vec![0; segment.len()];
                segment.read_at(0, &mut payload).unwrap();
                assert_eq!(payload, bytes[HEADER..], "{file_name}");
                let reader = SegmentOptions::bytes(0)
                    .open_read_only(&scratch, &v)
                    .unwrap();
                assert_eq!(reader.len(), bytes.len() - HEADER);
            }
            ("accept", "Progress") => {
                let segment = SegmentOptions::typed::<Progress>()
                    .open(&scratch, &v)
                    .unwrap();
                assert_eq!(segment.get().done.load(Ordering::Relaxed), 1);
                assert_eq!(segment.get().failed.load(Ordering::Relaxed), 2);
            }
            ("refuse", field) => {
                let (what, message) = refused(SegmentOptions::bytes(0).open(&scratch, &v));
                assert_eq!(what, field, "{file_name}");
                assert!(
                    message.contains(file(&scratch, "v").to_str().unwrap()),
                    "{message}"
                );
                let read_only = SegmentOptions::bytes(0).open_read_only(&scratch, &v);
                assert_eq!(refused(read_only).1, message, "{file_name}");
            }
            other => panic!("{file_name}: {other:?}"),
        }
    }
    assert!(seen >= 15, "{seen} vectors");
}

#[test]
fn a_lie_in_any_bit_of_the_header_is_refused_or_harmless() {
    let scratch = Scratch::new();
    let s = name("s");
    let segment = SegmentOptions::typed::<Progress>()
        .create(&scratch, &s)
        .unwrap();
    let truth = fs::read(file(&scratch, "s")).unwrap();
    let mut refusals = BTreeMap::new();
    for bit in 0..HEADER * 8 {
        let mut lie = truth.clone();
        lie[bit / 8] ^= 1 << (bit % 8);
        fs::write(file(&scratch, "s"), &lie).unwrap();
        match SegmentOptions::typed::<Progress>().open(&scratch, &s) {
            Ok(opened) => {
                opened.get().done.fetch_add(1, Ordering::Relaxed);
                assert!(
                    matches!(bit / 8, 10..12 | 20..24 | 48..128),
                    "bit {bit} was believed"
                );
            }
            Err(Error::BadSegment { what, .. }) => *refusals.entry(what).or_insert(0) += 1,
            Err(other) => panic!("bit {bit}: {other}"),
        }
        segment.get().failed.fetch_add(1, Ordering::Relaxed);
    }
    let expected = [
        ("magic", 64),
        ("layout version", 16),
        ("header length", 32),
        ("feature bits", 32),
        ("length of the file", 64),
        ("fingerprint", 64),
        ("ready word", 64),
    ];
    assert_eq!(refusals, expected.into());
}

#[test]
fn a_truncated_segment_is_refused_with_both_lengths() {
    let scratch = Scratch::new();
    let s = name("s");
    let truth = {
        let _segment = SegmentOptions::bytes(20).create(&scratch, &s).unwrap();
        fs::read(file(&scratch, "s")).unwrap()
    };
    for len in 0..truth.len() {
        fs::write(file(&scratch, "s"), &truth[..len]).unwrap();
        let (what, message) = refused(SegmentOptions::bytes(0).open(&scratch, &s));
        assert_eq!(what, "length of the file");
        assert!(message.contains(&format!("found {len} bytes")), "{message}");
        assert!(message.contains("header of 128 bytes"), "{message}");
        assert!(
            len < HEADER || message.contains("a payload of 20"),
            "{message}"
        );
    }
}

#[test]
fn what_is_no_regular_file_is_refused_without_waiting() {
    let scratch = Scratch::new();
    let _segment = SegmentOptions::bytes(8)
        .create(&scratch, &name("s"))
        .unwrap();
    symlink("s", file(&scratch, "link")).unwrap();
    let fifo = Command::new("mkfifo")
        .arg(file(&scratch, "fifo"))
        .status()
        .unwrap();
    assert!(fifo.success());
    fs::create_dir(file(&scratch, "dir")).unwrap();
    symlink("/dev/zero", file(&scratch, "zero")).unwrap();
    for (bad, why) in [
        ("link", "symbolic link"),
        ("zero", "symbolic link"),
        ("fifo", "not a regular file"),
    ] {
        for error in [
            SegmentOptions::bytes(8)
                .open(&scratch, &name(bad))
                .unwrap_err(),
            SegmentOptions::bytes(8)
                .open_read_only(&scratch, &name(bad))
                .unwrap_err(),
        ] {
            assert!(matches!(error, Error::BadFile { .. }), "{error}");
            assert!(error.to_string().contains(why), "{error}");
        }
    }
    assert!(
        SegmentOptions::bytes(8)
            .open(&scratch, &name("dir"))
            .is_err()
    );
    assert!(
        SegmentOptions::bytes(8)
            .open_read_only(&scratch, &name("dir"))
            .is_err()
    );
}

#[test]
fn a_file_whose_pages_were_never_reserved_is_refused() {
    let scratch = Scratch::new();
    let s = name("s");
    SegmentOptions::bytes(1 << 20).create(&scratch, &s).unwrap();
    let header = fs::read(file(&scratch, "s")).unwrap()[..HEADER].to_vec();
    fs::write(file(&scratch, "s"), header).unwrap();
    let sparse = fs::File::options()
        .write(true)
        .open(file(&scratch, "s"))
        .unwrap();
    sparse.set_len((1 << 20) + HEADER as u64).unwrap();
    assert_eq!(
        refused(SegmentOptions::bytes(0).open(&scratch, &s)).0,
        "pages"
    );
}

#[test]
fn a_file_of_another_user_is_refused() {
    if !is_root("a_file_of_another_user_is_refused") {
        return;
    }
    let scratch = Scratch::new();
    SegmentOptions::bytes(8)
        .create(&scratch, &name("s"))
        .unwrap();
    std::os::unix::fs::chown(file(&scratch, "s"), Some(65534), None).unwrap();
    let error = SegmentOptions::bytes(8)
        .open(&scratch, &name("s"))
        .unwrap_err();
    assert!(error.to_string().contains("uid 65534"), "{error}");
}

#[test]
fn a_full_tmpfs_is_no_space_when_a_segment_is_made_and_leaves_nothing() {
    const TEST: &str = "a_full_tmpfs_is_no_space_when_a_segment_is_made_and_leaves_nothing";
    const MIB: u64 = 1 << 20;
    if let Some(path) = role(TEST) {
        let dir = Directory::open(&path).unwrap();
        let names = || fs::read_dir(&path).unwrap().count();
        for wanted in [MIB, 2 * MIB, 1 << 40] {
            let error = SegmentOptions::bytes(wanted as usize)
                .create(&dir, &name("s"))
                .unwrap_err();
            let Error::NoSpace {
                wanted: told, free, ..
            } = error
            else {
                panic!("{error}")
            };
            assert_eq!((told, free), (wanted + HEADER as u64, MIB));
            assert!(
                error.to_string().contains("OSPS_IPC_DIR") && error.to_string().contains(&path)
            );
            assert_eq!(names(), 0);
        }
        let most = SegmentOptions::bytes(MIB as usize - HEADER);
        assert_eq!(most.required_bytes(), MIB);
        let segment = most.create(&dir, &name("most")).unwrap();
        let error = SegmentOptions::bytes(1)
            .create(&dir, &name("s"))
            .unwrap_err();
        assert!(matches!(error, Error::NoSpace { free: 0, .. }), "{error}");
        assert_eq!(names(), 1);
        // Every page is there: the file system is full, and no store fails.
        segment.write_at(0, &vec![7; segment.len()]).unwrap();
        drop(segment);
        SharedSegment::unlink(&dir, &name("most")).unwrap();
        SegmentOptions::bytes(MIB as usize / 2)
            .create(&dir, &name("s"))
            .unwrap();
        return;
    }
    if !is_root(TEST) {
        return;
    }
    let scratch = Scratch::new();
    let path = scratch.path().to_str().unwrap();
    let mut shell = Command::new("unshare");
    let script = "mount -t tmpfs -o size=1m,mode=0700 osps-test \"$MOUNT\" && exec \"$0\" \"$@\"";
    shell
        .args(["-m", "sh", "-c", script])
        .arg(std::env::current_exe().unwrap());
    as_role(&mut shell, TEST, path).env("MOUNT", path);
    Running::start(&mut shell).succeed();
}

#[test]
fn more_than_there_is_of_memory_is_refused_before_it_is_taken() {
    let scratch = Scratch::new();
    let huge = SegmentOptions::bytes(1 << 50);
    for error in [
        huge.anonymous().unwrap_err(),
        huge.create(&scratch, &name("s")).unwrap_err(),
    ] {
        let Error::NoSpace { wanted, free, .. } = error else {
            panic!("{error}")
        };
        assert!(
            wanted == (1 << 50) + HEADER as u64 && free < wanted,
            "{wanted} {free}"
        );
    }
    let endless = SegmentOptions::bytes(usize::MAX);
    assert!(endless.required_bytes() >= i64::MAX as u64);
    for error in [
        endless.anonymous().unwrap_err(),
        endless.create(&scratch, &name("s")).unwrap_err(),
    ] {
        assert!(matches!(error, Error::TooLong { .. }), "{error}");
    }
    assert!(scratch.names().is_empty());
}

#[test]
fn a_maker_that_is_killed_leaves_complete_segments_or_nothing() {
    const TEST: &str = "a_maker_that_is_killed_leaves_complete_segments_or_nothing";
    if let Some(path) = role(TEST) {
        let dir = Directory::open(path).unwrap();
        for round in 0_u64.. {
            let segment = SegmentOptions::bytes(4 << 20)
                .create(&dir, &name("s"))
                .unwrap();
            segment.write_at(0, &round.to_ne_bytes()).unwrap();
            SharedSegment::unlink(&dir, &name("s")).unwrap();
            println!("round {round}");
        }
    }
    for kill in 0..12 {
        let scratch = Scratch::new();
        let mut maker = Running::start(&mut helper(TEST, scratch.path().to_str().unwrap()));
        maker.expect(&format!("round {kill}"));
        maker.kill();
        let names = scratch.names();
        assert!(names.is_empty() || names == ["s"], "{names:?}");
        if !names.is_empty() {
            let segment = SegmentOptions::bytes(0).open(&scratch, &name("s")).unwrap();
            assert_eq!(segment.len(), 4 << 20);
        }
    }
}

#[test]
fn a_child_inherits_an_anonymous_segment_and_cannot_change_its_length() {
    const TEST: &str = "a_child_inherits_an_anonymous_segment_and_cannot_change_its_length";
    if let Some(role) = role(TEST) {
        let token = std::env::var("TOKEN").unwrap();
        let number = token.split(':').nth(1).unwrap();
        let path = format!("/proc/self/fd/{number}");
        if role == "stranger" {
            let target = fs::read_link(path).map(|path| path.to_string_lossy().into_owned());
            assert!(!target.is_ok_and(|target| target.contains("osps-ipc")));
            let error = SegmentOptions::bytes(0).inherited(&token).unwrap_err();
            assert!(error.to_string().contains("not inherited"), "{error}");
            return;
        }
        let segment = SegmentOptions::bytes(100).inherited(&token).unwrap();
        assert_eq!(segment.len(), 100);
        let mut seen = [0; 4];
        segment.read_at(3, &mut seen).unwrap();
        assert_eq!(&seen, b"ping");
        for len in [0, 128, 1 << 20] {
            let error = fs::File::options()
                .write(true)
                .open(&path)
                .unwrap()
                .set_len(len)
                .unwrap_err();
            assert_eq!(
                error.kind(),
                std::io::ErrorKind::PermissionDenied,
                "{error}"
            );
        }
        segment.write_at(3, b"pong").unwrap();
        if role == "grandchild" {
            return;
        }
        // What was inherited is not inherited on by accident, but can be handed on.
        Running::start(helper(TEST, "stranger").env("TOKEN", &token)).succeed();
        segment.write_at(3, b"ping").unwrap();
        let mut grandchild = helper(TEST, "grandchild");
        let token = segment.inherit(&mut grandchild).unwrap();
        Running::start(grandchild.env("TOKEN", token)).succeed();
        return;
    }
    let segment = SegmentOptions::bytes(100).anonymous().unwrap();
    segment.write_at(3, b"ping").unwrap();
    let mut child = helper(TEST, "child");
    let token = segment.inherit(&mut child).unwrap();
    // Another child that is started while the first command stands ready gets nothing.
    Running::start(helper(TEST, "stranger").env("TOKEN", &token)).succeed();
    for _ in 0..2 {
        segment.write_at(3, b"ping").unwrap();
        Running::start(child.env("TOKEN", &token)).succeed();
        let mut seen = [0; 4];
        segment.read_at(3, &mut seen).unwrap();
        assert_eq!(&seen, b"pong");
    }
}

#[test]
fn a_typed_segment_is_inherited_as_what_it_is() {
    const TEST: &str = "a_typed_segment_is_inherited_as_what_it_is";
    if role(TEST).is_some() {
        let token = std::env::var("TOKEN").unwrap();
        let what = |error: Error| {
            matches!(
                error,
                Error::BadSegment {
                    what: "fingerprint",
                    ..
                }
            )
        };
        assert!(what(
            SegmentOptions::bytes(0).inherited(&token).unwrap_err()
        ));
        assert!(what(
            SegmentOptions::typed::<Regress>()
                .inherited(&token)
                .unwrap_err()
        ));
        let counts = SegmentOptions::typed::<Progress>()
            .inherited(&token)
            .unwrap();
        counts.get().done.store(7, Ordering::Release);
        return;
    }
    let counts = SegmentOptions::typed::<Progress>().anonymous().unwrap();
    let mut child = helper(TEST, "child");
    let token = counts.inherit(&mut child).unwrap();
    Running::start(child.env("TOKEN", token)).succeed();
    assert_eq!(counts.get().done.load(Ordering::Acquire), 7);
}

#[test]
fn a_token_that_does_not_fit_is_refused() {
    let token_of = |fd: &dyn AsRawFd, dev: u64, ino: u64| {
        format!("osps-segment:{}:{dev}:{ino}", fd.as_raw_fd())
    };
    let open = |token: &str| SegmentOptions::bytes(0).inherited(token).unwrap_err();
    for text in [
        "",
        "7",
        "osps-segment:0",
        "osps-segment:-1:1:1",
        "osps-segment:999999:1:1",
        "osps-segment:1:0:0",
    ] {
        let error = open(text);
        assert!(
            matches!(error, Error::BadName { .. } | Error::BadFile { .. }),
            "{text}: {error}"
        );
    }
    let memfd =
        rustix::fs::memfd_create("osps-test", rustix::fs::MemfdFlags::ALLOW_SEALING).unwrap();
    let status = rustix::fs::fstat(&memfd).unwrap();
    let token = token_of(&memfd, status.st_dev, status.st_ino);
    let other = token_of(&memfd, status.st_dev, status.st_ino + 1);
    assert!(open(&other).to_string().contains("another file"));
    // All is right with it but that its length is not fixed.
    let scratch = Scratch::new();
    SegmentOptions::bytes(8)
        .create(&scratch, &name("s"))
        .unwrap();
    let bytes = fs::read(file(&scratch, "s")).unwrap();
    rustix::io::write(&memfd, &bytes).unwrap();
    let unsealed = open(&token);
    assert!(
        matches!(unsealed, Error::BadSegment { what: "seals", .. }),
        "{unsealed}"
    );
    let seals = rustix::fs::SealFlags::SHRINK | rustix::fs::SealFlags::GROW;
    rustix::fs::fcntl_add_seals(memfd.as_fd(), seals).unwrap();
    assert!(
        open(&token).to_string().contains("SHRINK | GROW"),
        "{}",
        open(&token)
    );
    rustix::fs::fcntl_add_seals(memfd.as_fd(), rustix::fs::SealFlags::SEAL).unwrap();
    assert_eq!(SegmentOptions::bytes(8).inherited(&token).unwrap().len(), 8);
    let named = SegmentOptions::bytes(8).open(&scratch, &name("s")).unwrap();
    let error = named.inherit(&mut Command::new("true")).unwrap_err();
    assert!(error.to_string().contains("open it by its name"), "{error}");
}

#[test]
fn a_named_segment_that_is_truncated_is_sigbus_as_the_documentation_says() {
    const TEST: &str = "a_named_segment_that_is_truncated_is_sigbus_as_the_documentation_says";
    if let Some(path) = role(TEST) {
        let dir = Directory::open(&path).unwrap();
        let segment = SegmentOptions::bytes(1 << 16)
            .open(&dir, &name("s"))
            .unwrap();
        let s = fs::File::options()
            .write(true)
            .open(format!("{path}/s"))
            .unwrap();
        s.set_len(4096).unwrap();
        segment.read_at(0, &mut [0; 100]).unwrap();
        println!("the first page is there");
        segment.read_at(1 << 15, &mut [0; 100]).unwrap();
        return;
    }
    let scratch = Scratch::new();
    SegmentOptions::bytes(1 << 16)
        .create(&scratch, &name("s"))
        .unwrap();
    let (status, output) =
        Running::start(&mut helper(TEST, scratch.path().to_str().unwrap())).end();
    assert_eq!(status.signal(), Some(7), "{output}");
    assert!(output.contains("the first page is there"), "{output}");
}

#[test]
fn bytes_agree_with_a_vector_at_random_offsets_and_lengths() {
    const LEN: usize = 10_007;
    let segment = SegmentOptions::bytes(LEN).anonymous().unwrap();
    let mut oracle = vec![0_u8; LEN];
    let seed = 0x9e37_79b9_7f4a_7c15;
    let mut random = Numbers::new(seed);
    for step in 0..20_000 {
        // Mostly short ones, whose edges matter.
        let most = [9, 40, 300, LEN][random.below(4)];
        let offset = random.below(LEN);
        let len = random.below(most.min(LEN - offset) + 1);
        if random.below(2) == 0 {
            let bytes: Vec<u8> = (0..len).map(|_| random.below(256) as u8).collect();
            segment.write_at(offset, &bytes).unwrap();
            oracle[offset..offset + len].copy_from_slice(&bytes);
        } else {
            let mut bytes = vec![0xaa; len];
            segment.read_at(offset, &mut bytes).unwrap();
            assert_eq!(
                bytes,
                oracle[offset..offset + len],
                "seed {seed:#x}, step {step}"
            );
        }
        let beyond = LEN - offset + 1;
        if random.below(8) == 0 {
            assert!(segment.write_at(offset, &vec![1; beyond]).is_err());
            assert!(segment.read_at(offset, &mut vec![1; beyond]).is_err());
        }
    }
    let mut all = vec![0; LEN];
    segment.read_at(0, &mut all).unwrap();
    assert_eq!(all, oracle);
}

#[test]
fn neighbours_that_write_bytes_of_the_same_word_lose_nothing() {
    let segment = SegmentOptions::bytes(64).anonymous().unwrap();
    // Four ranges that meet in the middle of words, the second and third inside one.
    let ranges = [0..13, 13..15, 15..16, 16..51];
    let running = AtomicU32::new(ranges.len() as u32);
    thread::scope(|scope| {
        for (n, range) in ranges.clone().into_iter().enumerate() {
            let (segment, running) = (&segment, &running);
            scope.spawn(move || {
                let mut seen = vec![0; range.len()];
                for round in 0..30_000_u32 {
                    let bytes: Vec<u8> = (0..range.len())
                        .map(|at| (round as usize * 7 + at + n) as u8)
                        .collect();
                    segment.write_at(range.start, &bytes).unwrap();
                    segment.read_at(range.start, &mut seen).unwrap();
                    assert_eq!(seen, bytes, "range {range:?}, round {round}");
                }
                running.fetch_sub(1, Ordering::Relaxed);
            });
        }
    });
    assert_eq!(running.load(Ordering::Relaxed), 0);
    let mut rest = [1; 13];
    segment.read_at(51, &mut rest).unwrap();
    assert_eq!(rest, [0; 13]);
}

#[test]
fn who_sees_a_later_write_sees_the_earlier_ones() {
    const ROUNDS: u64 = 20_000;
    let segment = SegmentOptions::bytes(4096).anonymous().unwrap();
    let read = |offset: usize| {
        let mut word = [0; 8];
        segment.read_at(offset, &mut word).unwrap();
        u64::from_ne_bytes(word)
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            for round in 1..=ROUNDS {
                segment.write_at(2048, &round.to_ne_bytes()).unwrap();
                segment.write_at(0, &round.to_ne_bytes()).unwrap();
            }
        });
        let mut last = 0;
        while last < ROUNDS {
            let flag = read(0);
            let data = read(2048);
            assert!(flag >= last && data >= flag, "{last} {flag} {data}");
            last = flag;
            thread::yield_now();
        }
    });
}
