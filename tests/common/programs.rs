//! The example programs as processes of their own, for tests.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    reason = "shared by test binaries that use parts of it; what a test does not expect ends it"
)]

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};

use crate::common::{SOON, Scratch};

/// An example, to be run with a runtime directory of the test's own.
pub(crate) fn example(name: &str, place: &Path) -> Command {
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().and_then(Path::parent).unwrap();
    let program = folder.join("examples").join(name);
    assert!(
        program.exists(),
        "{} is not there: cargo build --profile test --examples builds it",
        program.display()
    );
    let mut command = Command::new(program);
    command
        .env("OSPS_IPC_DIR", place)
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    command
}

pub(crate) fn client(place: &Path, arguments: &[&OsStr]) -> Command {
    let mut command = example("client", place);
    command.args(arguments);
    command
}

pub(crate) fn pid(number: u32) -> Pid {
    Pid::from_raw(number.try_into().unwrap()).unwrap()
}

pub(crate) fn kill(number: u32, signal: Signal) {
    let _ = kill_process(pid(number), signal);
}

/// Waits for the end of a process that is killed if it does not come soon.
pub(crate) fn finish(child: Child) -> Output {
    let (ended, wait) = mpsc::channel::<()>();
    let number = child.id();
    let guard = thread::spawn(move || {
        let late = wait.recv_timeout(SOON) == Err(RecvTimeoutError::Timeout);
        if late {
            kill(number, Signal::KILL);
        }
        late
    });
    let output = child.wait_with_output().unwrap();
    drop(ended);
    assert!(!guard.join().unwrap(), "it did not end: {output:?}");
    output
}

pub(crate) fn run(mut command: Command) -> Output {
    finish(command.spawn().unwrap())
}

pub(crate) fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The processes that were started with this runtime directory, except those that have ended.
pub(crate) fn processes(place: &Path) -> Vec<u32> {
    let wanted = format!("OSPS_IPC_DIR={}\0", place.display());
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(number) = entry.file_name().to_string_lossy().parse() else {
            continue;
        };
        let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
        if String::from_utf8_lossy(&environment).contains(&wanted) {
            found.push(number);
        }
    }
    found
}

pub(crate) fn files(place: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(place).unwrap().flatten();
    entries.map(|entry| entry.path()).collect()
}

/// A primary, or a lone secondary, that serves in a runtime directory of its own. Dropped, it is killed with its
/// secondaries.
pub(crate) struct Service {
    pub(crate) child: Option<Child>,
    pub(crate) lines: Receiver<String>,
    pub(crate) place: Scratch,
}

impl Service {
    /// A primary with two secondaries.
    pub(crate) fn start() -> Service {
        Service::start_in(Scratch::new())
    }

    pub(crate) fn start_in(place: Scratch) -> Service {
        let mut command = example("primary", place.path());
        command.args(["--rounds", "1"]);
        Service::run(command, place)
    }

    pub(crate) fn run(mut command: Command, place: Scratch) -> Service {
        let (child, lines) = Service::spawn(&mut command);
        let service = Service {
            child: Some(child),
            lines,
            place,
        };
        service.wait_for("serving ");
        service
    }

    /// Starts a process whose lines are read.
    pub(crate) fn spawn(command: &mut Command) -> (Child, Receiver<String>) {
        let mut child = command.stderr(Stdio::inherit()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            let mut lines = stdout.lines().map_while(Result::ok);
            lines.try_for_each(|line| sender.send(line))
        });
        (child, lines)
    }

    /// The lines up to one that begins so.
    pub(crate) fn wait_for(&self, beginning: &str) -> Vec<String> {
        let mut seen = Vec::new();
        loop {
            let line = self.lines.recv_timeout(SOON);
            let line = line.unwrap_or_else(|error| panic!("{error} after {seen:?}"));
            let found = line.starts_with(beginning);
            seen.push(line);
            if found {
                return seen;
            }
        }
    }

    pub(crate) fn number(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    pub(crate) fn secondaries(&self) -> Vec<u32> {
        let mut found = processes(self.place.path());
        found.retain(|number| {
            fs::read_to_string(format!("/proc/{number}/comm")).unwrap_or_default() == "secondary\n"
        });
        found.sort_unstable();
        found
    }

    pub(crate) fn ask(&self, arguments: &[&OsStr]) -> Output {
        run(client(self.place.path(), arguments))
    }

    pub(crate) fn digest(&self, file: &Path) -> String {
        let output = self.ask(&["digest".as_ref(), file.as_ref()]);
        assert!(output.status.success(), "{output:?}");
        out(&output)
    }

    /// Ends it by a signal, and looks at what is left.
    pub(crate) fn end(&mut self, signal: Signal) {
        kill(self.number(), signal);
        let output = finish(self.child.take().unwrap());
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert_eq!(files(self.place.path()), [] as [PathBuf; 0]);
        assert_eq!(self.secondaries(), [] as [u32; 0]);
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        for number in processes(self.place.path()) {
            kill(number, Signal::KILL);
        }
        if let Some(mut child) = self.child.take() {
            let _ = child.wait();
        }
    }
}

/// The number in the first line of a watchdog's that has these words before it.
pub(crate) fn told(service: &Service, words: &str) -> u32 {
    loop {
        let line = service.lines.recv_timeout(SOON).unwrap();
        if let Some((_, rest)) = line.split_once(words) {
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            return digits.parse().unwrap();
        }
    }
}
