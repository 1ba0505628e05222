//! The system that the demo plays with: a watchdog in a runtime directory of its own, and all that it has started.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use osps_ipc::{Directory, MonitorOptions, Pollable, wait_any};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::super::role;
use super::Result;

/// How much is shown of a line.
const WIDTH: usize = 118;
const VARIABLE: &str = "OSPS_IPC_DIR";
/// How long all of it may take to end.
const TO_END: Duration = Duration::from_secs(30);

/// A process, as long as it runs; another one that gets its number is not meant.
pub(crate) struct Process {
    pub(crate) number: i32,
    pidfd: OwnedFd,
}

impl Process {
    fn open(number: i32) -> io::Result<Process> {
        let pid = Pid::from_raw(number).ok_or(io::ErrorKind::NotFound)?;
        let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
        Ok(Process { number, pidfd })
    }

    /// Nothing happens to one that has ended.
    pub(crate) fn send(&self, signal: Signal) {
        let _ = pidfd_send_signal(&self.pidfd, signal);
    }

    /// Whether it ends in this time.
    pub(crate) fn ends(&mut self, timeout: Duration) -> Result<bool> {
        Ok(wait_any(&mut [self], timeout)?)
    }
}

impl AsFd for Process {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

/// Shows its end.
impl Pollable for Process {
    fn arm(&mut self) -> osps_ipc::Result<bool> {
        Ok(true)
    }
}

/// The system. Dropped, it is taken down.
pub(crate) struct Stage {
    runtime: PathBuf,
    child: Child,
    pub(crate) watchdog: Process,
    log: Option<JoinHandle<()>>,
    is_down: bool,
}

impl Stage {
    /// Brings up a watchdog, which starts the primary, which starts the secondaries.
    pub(crate) fn set() -> Result<Stage> {
        let runtime = make_runtime()?;
        let started = role::command("watchdog")
            .args(["--child-of", &std::process::id().to_string()])
            .args(["--", "--rounds", "14"])
            .env(VARIABLE, &runtime)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn();
        let mut child = started.inspect_err(|_| drop(fs::remove_dir(&runtime)))?;
        let out = child.stdout.take().map(BufReader::new);
        Ok(Stage {
            watchdog: Process::open(i32::try_from(child.id())?)?,
            runtime,
            child,
            log: out.map(|out| std::thread::spawn(move || show(out))),
            is_down: false,
        })
    }

    pub(crate) fn runtime(&self) -> &Path {
        &self.runtime
    }

    /// The process that serves under this name.
    pub(crate) fn server(&self, service: &str) -> Result<Process> {
        let mut monitor = MonitorOptions::new()
            .directory(&self.runtime)
            .watch(service)?;
        monitor.look()?;
        let number = monitor
            .pid()
            .ok_or_else(|| format!("nobody serves {service:?}"))?;
        Ok(Process::open(i32::try_from(number)?)?)
    }

    /// Takes all of it down in good order. What was left then, and is removed now, a line each.
    pub(crate) fn strike(mut self) -> Result<Vec<String>> {
        self.take_down()
    }

    fn take_down(&mut self) -> Result<Vec<String>> {
        self.is_down = true;
        let mut left = Vec::new();
        // It may be stopped.
        self.watchdog.send(Signal::CONT);
        self.watchdog.send(Signal::TERM);
        if !self.watchdog.ends(TO_END)? {
            left.push("the watchdog does not end".to_owned());
        }
        for process in self.processes()? {
            let name = fs::read_to_string(format!("/proc/{}/comm", process.number));
            let name = name.unwrap_or_default();
            left.push(format!("process {} ({})", process.number, name.trim_end()));
            process.send(Signal::KILL);
        }
        if let Some(status) = self.child.wait().ok().filter(|status| !status.success()) {
            left.push(format!("the watchdog ended with {status}"));
        }
        // Nobody writes any more.
        if let Some(log) = self.log.take() {
            let _ = log.join();
        }
        for entry in fs::read_dir(&self.runtime)? {
            left.push(format!("file {}", entry?.path().display()));
        }
        fs::remove_dir_all(&self.runtime)?;
        Ok(left)
    }

    /// Those that were started with this runtime directory and run.
    fn processes(&self) -> Result<Vec<Process>> {
        let wanted = format!("{VARIABLE}={}", self.runtime.display());
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc")?.flatten() {
            let number = entry.file_name().to_string_lossy().parse().unwrap_or(0);
            let Ok(process) = Process::open(number) else {
                continue;
            };
            let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
            let mut variables = environment.split(|byte| *byte == 0);
            if variables.any(|variable| variable == wanted.as_bytes()) {
                found.push(process);
            }
        }
        Ok(found)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !self.is_down {
            let _ = self.take_down();
        }
    }
}

/// A new directory beside the one that other programs of this user meet in: they are not disturbed.
fn make_runtime() -> Result<PathBuf> {
    let variables = [VARIABLE, "XDG_RUNTIME_DIR"].map(std::env::var_os);
    let places = variables.into_iter().flatten().map(PathBuf::from);
    let mut refused = String::new();
    for place in places.chain([PathBuf::from("/dev/shm")]) {
        let path = place.join(format!("osps-ipc-demo-{}", std::process::id()));
        match Directory::create(&path) {
            Ok(_) => return Ok(path),
            Err(error) => refused = error.to_string(),
        }
    }
    Err(refused.into())
}

/// Prints what the watchdog and the primary say: the games once, of their rounds the first and the last, and what
/// happens to processes.
fn show(lines: impl BufRead) {
    let mut has_played = false;
    for line in lines.lines().map_while(std::result::Result::ok) {
        let is_game = line.starts_with("  ") || line.ends_with("rounds");
        let is_verdict = [
            " is alive",
            " is starting",
            " is dead",
            "  found ",
            "watched ",
        ]
        .iter()
        .any(|verdict| line.contains(verdict));
        match round(&line) {
            _ if is_verdict || is_game && has_played => {}
            Some(2) => say("       …"),
            Some(3..=13) => {}
            _ => say(&cut(&line)),
        }
        has_played |= line.starts_with("serving ");
    }
}

/// A line that fits into a terminal.
fn cut(line: &str) -> String {
    match line.char_indices().nth(WIDTH) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

/// The number of the round that a line tells of.
fn round(line: &str) -> Option<u32> {
    line.contains("pong")
        .then(|| line.split_whitespace().next()?.parse().ok())?
}

/// Prints a line, whether or not anybody reads it: what was begun is also ended.
pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}
