//! Trials of the service directory with real processes: many at once, killed in the middle, stopped, forked.

mod claims;
mod sessions;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::ops::Deref;
use std::os::fd::AsFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use crate::directory::service::{DOOR, Origin, RetiredService, ServiceDir};
use crate::directory::session::{SessionBuilder, SessionDir};
use crate::directory::testing::Scratch;
use crate::directory::view::ServiceView;
use crate::directory::{Directory, Name};
use crate::error::{Error, Result};
use crate::sys::clock::Deadline;
use crate::sys::fork::fork_for_test;
use crate::sys::testing::{Killed, reexecute, role};
use crate::sys::{fifo, file};

/// The longest that anything here may take.
const LIMIT: Duration = Duration::from_secs(20);

fn limit() -> Deadline {
    Deadline::after(LIMIT)
}

fn name(name: &str) -> Name {
    Name::new(name).unwrap()
}

fn nothing_more(_: &Directory) -> Result<()> {
    Ok(())
}

fn claim(runtime: &Directory, service: &str) -> Result<ServiceDir> {
    ServiceDir::claim(runtime, &name(service), limit(), nothing_more)
}

/// A runtime directory that goes with the test.
struct Runtime(Scratch);

impl Runtime {
    fn new() -> Runtime {
        Runtime(Scratch::new())
    }

    /// What stands in it, below it too.
    fn content(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path.clone());
                }
                found.push(path.strip_prefix(self.path()).unwrap().to_owned());
            }
        }
        found
    }

    /// The random names in a scratch directory.
    fn scratch(&self, path: &str) -> usize {
        fs::read_dir(self.path().join(path)).map_or(0, Iterator::count)
    }
}

impl Deref for Runtime {
    type Target = Directory;

    fn deref(&self) -> &Directory {
        &self.0
    }
}

/// Another process, which does what it is told a line at a time.
struct Actor {
    // Dropped first: what a forked child of it waits for.
    stdin: Option<ChildStdin>,
    answers: Receiver<String>,
    process: Killed,
}

const HELPER: &str = "directory::trials::the_other_process";

impl Actor {
    fn new(runtime: &Directory) -> Actor {
        Actor::spawn(reexecute(HELPER, "actor"), runtime)
    }

    fn spawn(mut command: Command, runtime: &Directory) -> Actor {
        let mut child = command
            .env("OSPS_TEST_RUNTIME", runtime.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, answers) = channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(|line| line.ok()) {
                if let Some(answer) = line.strip_prefix("> ") {
                    let _ = sender.send(answer.to_owned());
                }
            }
        });
        Actor {
            stdin: child.stdin.take(),
            answers,
            process: Killed(child),
        }
    }

    fn tell(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().unwrap();
        // It may have been killed in the middle of the line before.
        let _ = writeln!(stdin, "{line}");
    }

    fn answer(&self) -> String {
        self.answers.recv_timeout(LIMIT).unwrap()
    }

    fn ask(&mut self, line: &str) -> String {
        self.tell(line);
        self.answer()
    }

    fn kill(&mut self) {
        self.process.kill();
    }
}

fn say(answer: &str) {
    // The test harness may have begun a line.
    println!("\n> {answer}");
}

fn said(result: &Result<ServiceDir>) -> String {
    match result {
        Ok(held) if held.origin() == Origin::New => "new".to_owned(),
        Ok(_) => "taken over".to_owned(),
        Err(Error::AlreadyRunning { .. }) => "already running".to_owned(),
        Err(error) => error.to_string(),
    }
}

/// What an [`Actor`] does.
#[test]
fn the_other_process() {
    if role().is_none_or(|role| role != "actor") {
        return;
    }
    let runtime = Directory::open(std::env::var_os("OSPS_TEST_RUNTIME").unwrap()).unwrap();
    let mut held: Option<ServiceDir> = None;
    let mut door = None;
    let mut retired: Option<RetiredService<'_>> = None;
    let mut lines = std::io::stdin().lines().map_while(|line| line.ok());
    while let Some(line) = lines.next() {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["claim", service] => {
                let result = claim(&runtime, service);
                say(&said(&result));
                held = result.ok();
            }
            ["build", service] => {
                let claimed = ServiceDir::claim(&runtime, &name(service), limit(), |_| {
                    say("building");
                    lines.next();
                    Ok(())
                });
                say(&said(&claimed));
                held = claimed.ok();
            }
            ["door"] => {
                let held = held.as_mut().unwrap();
                let end = fifo::open_read_end(held.directory(), DOOR).unwrap();
                held.keep_lock_above(&end).unwrap();
                door = Some(end);
                say("open");
            }
            ["abandon"] => {
                held = None;
                say("abandoned");
            }
            ["remove"] => {
                let removed = held.take().map(ServiceDir::remove);
                say(&format!("{removed:?}"));
            }
            ["retire"] => {
                // Held to the end of this process, as a server that is being dropped holds it.
                let held: &'static ServiceDir = Box::leak(Box::new(held.take().unwrap()));
                retired = Some(held.retire().unwrap());
                say("retired");
            }
            ["delete"] => {
                let deleted = retired.take().map(RetiredService::delete);
                say(&format!("{deleted:?}"));
            }
            ["fork", how] => {
                // The child ends when the test closes the pipe.
                fork_for_test(how == "raw", || {
                    lines.by_ref().count().min(1).try_into().unwrap()
                });
                say("forked");
            }
            ["publish", service] => publish_and_hold(&runtime, service, &mut lines),
            ["begin", service] => {
                let view = ServiceView::wait_for(&runtime, &name(service), limit());
                let view = view.unwrap().unwrap();
                let _builder = view.build(limit()).unwrap().unwrap();
                say("begun");
                lines.next();
            }
            ["probe", service] => probe(&runtime, service),
            _ => panic!("{line}"),
        }
    }
    drop(door);
}

/// Publishes a session that has no FIFO, and tells nobody.
fn publish(builder: SessionBuilder<'_>) -> Option<SessionDir> {
    builder
        .publish(std::io::stdin().as_fd(), || Ok(()))
        .unwrap()
}

fn publish_and_hold(runtime: &Directory, service: &str, lines: &mut impl Iterator<Item = String>) {
    let view = ServiceView::wait_for(runtime, &name(service), limit())
        .unwrap()
        .unwrap();
    let builder = view.build(limit()).unwrap().unwrap();
    fs::write(builder.directory().path().join("seg"), "x").unwrap();
    let session = publish(builder);
    say(if session.is_some() {
        "published"
    } else {
        "too late"
    });
    lines.next();
}

/// Looks at a service again and again until another line comes.
fn probe(runtime: &Directory, service: &str) {
    let stop = Path::new("stop");
    let stop = runtime.path().join(stop);
    let mut looks = 0_u32;
    while !stop.exists() {
        if let Some(view) = ServiceView::find(runtime, &name(service)).unwrap() {
            let _ = (view.is_held().unwrap(), view.holder().unwrap());
            looks += 1;
        }
        thread::yield_now();
    }
    say(&format!("{looks}"));
}
