//! The example programs, as processes of their own, against the tools that do the same work.
//!
//! `cargo test` builds the examples before it runs this; before `cargo test --test examples` alone,
//! `cargo build --profile test --examples` does.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what a test does not expect ends it"
)]

mod common;
#[path = "common/programs.rs"]
mod programs;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use common::Scratch;
use programs::{Service, client, err, example, files, finish, kill, out, processes, run, told};
use rustix::process::Signal;
use sha2::{Digest, Sha256};

/// Bytes that look random, the same for the same seed.
fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..len.div_ceil(8))
        .flat_map(|_| next())
        .take(len)
        .collect()
}

fn sha256(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Files for a test, outside the runtime directory.
struct Files(Scratch);

impl Files {
    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }
}

/// What a tool says of a file on its standard input; `None` where there is no such tool.
fn tool(name: &str, file: &Path, locale: &str) -> Option<String> {
    let mut command = Command::new(name);
    command
        .env("LC_ALL", locale)
        .stdin(File::open(file).unwrap());
    match command.output() {
        Ok(output) => Some(out(&output)),
        Err(_) => {
            eprintln!("{name} is not there: not compared with it");
            None
        }
    }
}

#[test]
fn rounds_of_ping_pong_are_played_with_each_secondary_and_nothing_is_left() {
    let place = Scratch::new();
    let mut command = example("primary", place.path());
    command.args(["--rounds", "14", "--secondaries", "3", "--exit"]);
    let output = run(command);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = out(&output);
    let rounds = text.lines().filter(|line| line.contains("ping   pong"));
    assert_eq!(rounds.count(), 14 * 3, "{text}");
    for number in 1..=3 {
        assert!(
            text.contains(&format!("secondary primary-{number} ")),
            "{text}"
        );
    }
    assert_eq!(err(&output), "");
    assert_eq!(files(place.path()), [] as [PathBuf; 0]);
    assert_eq!(processes(place.path()), [] as [u32; 0]);
}

#[test]
fn answers_are_those_of_sha256sum_and_wc_for_every_length() {
    let mut primary = Service::start();
    let scratch = Files(Scratch::new());
    let lengths = [0, 1, 4096, 8191, 8192, 8193, (64 << 10) + 1, (5 << 20) + 3];
    for (seed, len) in (1..).zip(lengths) {
        let bytes = noise(len, seed);
        let file = scratch.write("noise", &bytes);
        assert_eq!(primary.digest(&file), sha256(&bytes) + "\n");
        if let Some(said) = tool("sha256sum", &file, "C.UTF-8") {
            assert_eq!(said, format!("{}  -\n", sha256(&bytes)));
        }
        let counted = out(&primary.ask(&["count".as_ref(), file.as_ref()]));
        if let Some(said) = tool("wc", &file, "C.UTF-8") {
            assert_eq!(counted, said, "{len} bytes");
        }
    }
    primary.end(Signal::TERM);
}

#[test]
fn words_are_counted_as_wc_does_whatever_stands_in_them_and_wherever_they_are_cut() {
    let parts: Vec<&[u8]> = vec![
        b"a",
        b"\n",
        b" ",
        b"\t",
        b"\x0b",
        b"\r",
        b"\0",
        b"\x01",
        b"\x7f",
        b"\x80",
        b"\xff",
        b"\xc3",
        b"\xe2\x82",
        b"\xf0\x9f\x98",
        b"\xc3\xa9",
        b"\xe2\x82\xac",
        b"\xf0\x9f\x98\x80",
        b"\xc0\x80",
        b"\xe0\x80\x80",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xc2\xa0",
        b"\xc2\x85",
        b"\xe2\x80\x87",
        b"\xe2\x80\xaf",
        b"\xe2\x81\xa0",
        b"\xe3\x80\x80",
        b"\xe2\x80\xa8",
        b"\xe1\x9a\x80",
        b"\xe2\x80\x8b",
        b"\xef\xbb\xbf",
        b"\xc2\xad",
        b"\xee\x80\x80",
        b"\xcd\xb8",
    ];
    let choices = noise(400_000, 77);
    let choice = |byte: &u8| parts[usize::from(*byte) % parts.len()];
    let bytes: Vec<u8> = choices.iter().flat_map(choice).copied().collect();
    let scratch = Files(Scratch::new());
    let file = scratch.write("parts", &bytes);
    let primary = Service::start();
    let counted = out(&primary.ask(&["type2".as_ref(), file.as_ref()]));
    if let Some(said) = tool("wc", &file, "C.UTF-8") {
        assert_eq!(counted, said);
    }
    drop(primary);
    // The same in the locale of C, where bytes beyond ASCII are no characters.
    let place = Scratch::new();
    let mut command = example("secondary", place.path());
    command.env("LC_ALL", "C");
    let secondary = Service::run(command, place);
    let arguments = ["count", "--service", "secondary"].map(OsStr::new);
    let mut command = client(secondary.place.path(), &arguments);
    command.arg(&file);
    let output = run(command);
    if let Some(said) = tool("wc", &file, "C") {
        assert_eq!(out(&output), said);
    }
}

#[test]
fn standard_input_and_several_files_go_over_one_session() {
    let primary = Service::start();
    let scratch = Files(Scratch::new());
    let long = noise(3 << 20, 5);
    let (one, two) = (scratch.write("one", b"1"), scratch.write("two", &long));
    let missing = scratch.0.path().join("missing");
    // A pipe has no length that could be known before.
    let mut command = client(primary.place.path(), &["digest".as_ref()]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writing = {
        let long = long.clone();
        thread::spawn(move || stdin.write_all(&long))
    };
    assert_eq!(out(&finish(child)), sha256(&long) + "\n");
    writing.join().unwrap().unwrap();

    let arguments = [
        OsStr::new("type1"),
        one.as_ref(),
        missing.as_ref(),
        two.as_ref(),
    ];
    let output = primary.ask(&arguments);
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("missing: No such file"), "{output:?}");
    let expected = format!(
        "{}  {}\n{}  {}\n",
        sha256(b"1"),
        one.display(),
        sha256(&long),
        two.display()
    );
    assert_eq!(out(&output), expected);
}

#[test]
fn fifty_clients_at_once_get_each_its_own_answer() {
    let mut primary = Service::start();
    let scratch = Files(Scratch::new());
    let mut running = Vec::new();
    for (seed, len) in (0..50).map(|n| (n, n * n * 419 + 1)) {
        let bytes = noise(len, seed as u64);
        let file = scratch.write(&seed.to_string(), &bytes);
        let mut command = client(primary.place.path(), &["digest".as_ref(), file.as_ref()]);
        running.push((command.spawn().unwrap(), sha256(&bytes)));
    }
    for (child, expected) in running {
        let output = finish(child);
        assert_eq!(out(&output), expected + "\n", "{output:?}");
    }
    primary.end(Signal::INT);
}

#[test]
fn what_goes_wrong_is_said_and_has_a_status_of_its_own() {
    let place = Scratch::new();
    for name in ["primary", "secondary", "client"] {
        let mut command = example(name, place.path());
        command.arg("--help");
        let output = run(command);
        assert!(
            output.status.success() && out(&output).contains("Usage:"),
            "{output:?}"
        );
    }
    let refused = |arguments: &[&str], status: i32, said: &[&str]| {
        let arguments: Vec<_> = arguments.iter().map(OsStr::new).collect();
        let output = run(client(place.path(), &arguments));
        assert_eq!(output.status.code(), Some(status), "{output:?}");
        assert_eq!(out(&output), "");
        for part in said {
            assert!(err(&output).contains(part), "{part:?} in {output:?}");
        }
    };
    refused(&["--no-such-option"], 2, &["Usage:"]);
    refused(&[], 2, &["Usage:"]);
    refused(&["a kind that is far too long for one"], 2, &["kind"]);
    refused(&["digest", "--service", "a/b"], 2, &["bad name \"a/b\""]);
    let folder = place.path().display().to_string();
    let start = "cargo run --release --example primary";
    refused(
        &["digest", "--wait", "0"],
        3,
        &["\"primary\"", &folder, start],
    );

    let primary = Service::start_in(place);
    let output = primary.ask(&["dance".as_ref()]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(
        err(&output).contains("digest, count, type1, type2"),
        "{output:?}"
    );
    // A directory can be opened, and not read.
    let output = primary.ask(&["digest".as_ref(), "/".as_ref()]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");

    let mut command = example("primary", primary.place.path());
    command.arg("--exit");
    let output = run(command);
    let already = osps_ipc::restart::EXIT_ALREADY_RUNNING;
    assert_eq!(output.status.code(), Some(already), "{output:?}");
    assert!(
        err(&output).contains(&format!("pid {}", primary.number())),
        "{output:?}"
    );
}

#[test]
fn a_primary_that_is_told_to_end_takes_everything_with_it() {
    let mut primary = Service::start();
    assert_eq!(primary.secondaries().len(), 2);
    let mut command = client(
        primary.place.path(),
        &["--timeout".as_ref(), "2".as_ref(), "digest".as_ref()],
    );
    let mut waiting = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = waiting.stdin.take().unwrap();
    // More than a pipe holds: when all is written, the client reads, and so has its session with a secondary.
    stdin.write_all(&noise(3 << 20, 9)).unwrap();
    primary.end(Signal::TERM);
    drop(stdin);
    // It looks for the service until its time is up.
    assert_eq!(finish(waiting).status.code(), Some(3));
}

#[test]
fn a_secondary_that_is_killed_is_replaced() {
    let mut primary = Service::start();
    let scratch = Files(Scratch::new());
    let bytes = noise(100_000, 3);
    let file = scratch.write("file", &bytes);
    let before = primary.secondaries();
    for number in &before {
        kill(*number, Signal::KILL);
    }
    let answer = primary.digest(&file);
    assert_eq!(answer, sha256(&bytes) + "\n");
    primary.wait_for("secondary primary-1: started process ");
    for _ in 0..4 {
        assert_eq!(primary.digest(&file), answer);
    }
    assert!(
        primary
            .secondaries()
            .iter()
            .all(|number| !before.contains(number))
    );
    // One that is dead when the primary ends leaves nothing either.
    for number in primary.secondaries() {
        kill(number, Signal::KILL);
    }
    primary.end(Signal::TERM);
}

#[test]
fn secondaries_outlive_a_primary_that_is_killed_and_the_next_one_takes_them_on() {
    let mut primary = Service::start();
    let before = primary.secondaries();
    kill(primary.number(), Signal::KILL);
    finish(primary.child.take().unwrap());
    assert_eq!(primary.secondaries(), before);
    let place = std::mem::replace(&mut primary.place, Scratch::new());
    let mut next = Service::start_in(place);
    assert_eq!(next.secondaries(), before);
    let scratch = Files(Scratch::new());
    let file = scratch.write("file", b"abc");
    assert_eq!(next.digest(&file), sha256(b"abc") + "\n");
    next.end(Signal::TERM);
}

#[test]
fn a_secondary_without_anybody_ends_by_itself() {
    let place = Scratch::new();
    let mut command = example("secondary", place.path());
    command.args(["--idle", "1"]);
    let output = run(command);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(files(place.path()), [] as [PathBuf; 0]);
}

#[test]
fn a_watchdog_brings_all_up_replaces_a_primary_that_dies_and_ends_all() {
    let place = Scratch::new();
    let file = Path::new("/proc/version");
    let watchdog = |place: &Path| {
        let mut command = example("watchdog", place);
        command.args(["--", "--rounds", "1"]);
        command
    };
    let mut service = Service::run(watchdog(place.path()), place);
    let first = {
        let environment = processes(service.place.path());
        let mut primaries = environment.into_iter().filter(|number| {
            fs::read_to_string(format!("/proc/{number}/comm")).unwrap_or_default() == "primary\n"
        });
        primaries.next().unwrap()
    };
    let digest = service.digest(file);
    let secondaries = service.secondaries();
    assert_eq!(secondaries.len(), 2);
    kill(first, Signal::KILL);
    assert_eq!(service.digest(file), digest);
    let second = told(&service, "started process ");
    assert_ne!(second, first);
    service.wait_for("serving ");
    // The secondaries outlived their primary, and serve the next.
    assert_eq!(service.secondaries(), secondaries);
    // The watchdog dies too: the service goes on, and the next watchdog with it.
    kill(service.number(), Signal::KILL);
    finish(service.child.take().unwrap());
    assert_eq!(service.digest(file), digest);
    let (child, lines) = Service::spawn(&mut watchdog(service.place.path()));
    (service.child, service.lines) = (Some(child), lines);
    assert_eq!(told(&service, "] process "), second);
    service.end(Signal::TERM);
}
