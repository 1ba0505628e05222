//! The demo of the watchdog, as a process of its own. `cargo test` builds it before it runs this.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what a test does not expect ends it"
)]

mod common;
#[path = "common/programs.rs"]
mod programs;

use std::path::PathBuf;
use std::process::{Child, ExitStatus};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use common::{SOON, Scratch};
use programs::{Service, example, files, kill, processes};
use rustix::process::Signal;

/// A demo that runs. Dropped, it is killed, and takes what it has started with it.
struct Demo {
    child: Child,
    lines: Receiver<String>,
    place: Scratch,
}

impl Demo {
    fn start() -> Demo {
        let place = Scratch::new();
        let mut command = example("watchdog", place.path());
        command.args(["--demo", "--keep-dead", "1"]);
        let (child, lines) = Service::spawn(&mut command);
        Demo {
            child,
            lines,
            place,
        }
    }

    fn wait_for(&self, beginning: &str) {
        while !self
            .lines
            .recv_timeout(SOON)
            .unwrap()
            .starts_with(beginning)
        {}
    }

    /// Its last lines, and how it ended. Between two lines it does not take long.
    fn finish(&mut self) -> (Vec<String>, ExitStatus) {
        let mut last = Vec::new();
        loop {
            match self.lines.recv_timeout(2 * SOON) {
                Ok(line) => last.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it does not end: {last:#?}"),
            }
        }
        (last, self.child.wait().unwrap())
    }

    fn runtime(&self) -> PathBuf {
        let name = format!("osps-ipc-demo-{}", self.child.id());
        self.place.path().join(name)
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_demo_keeps_every_promise_and_leaves_nothing() {
    let mut demo = Demo::start();
    let (lines, status) = demo.finish();
    assert_eq!(status.code(), Some(0), "{lines:#?}");
    assert_eq!(lines.last().unwrap(), "every promise was kept");
    let sums = lines.iter().find(|line| line.starts_with("sent "));
    assert!(sums.unwrap().contains("lost 0, doubled 0, wrong 0"));
    assert_eq!(files(demo.place.path()), [] as [PathBuf; 0]);
    assert_eq!(processes(&demo.runtime()), [] as [u32; 0]);
}

#[test]
fn a_demo_that_is_interrupted_takes_everything_with_it() {
    let mut demo = Demo::start();
    demo.wait_for("8 clients");
    kill(demo.child.id(), Signal::INT);
    let (lines, status) = demo.finish();
    assert_eq!(status.code(), Some(130), "{lines:#?}");
    assert_eq!(files(demo.place.path()), [] as [PathBuf; 0]);
    assert_eq!(processes(&demo.runtime()), [] as [u32; 0]);
}

#[test]
fn a_demo_that_is_killed_leaves_no_process() {
    let mut demo = Demo::start();
    demo.wait_for("8 clients");
    demo.child.kill().unwrap();
    let end = Instant::now() + SOON;
    while !processes(&demo.runtime()).is_empty() {
        assert!(Instant::now() < end, "{:?}", processes(&demo.runtime()));
        std::thread::park_timeout(Duration::from_millis(20));
    }
    assert_eq!(files(&demo.runtime()), [] as [PathBuf; 0]);
}
