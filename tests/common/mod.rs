//! Helpers for tests with several processes: a directory that goes away, and this test binary executed again in a
//! role.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    reason = "shared by test binaries that use parts of it; what a test does not expect ends it"
)]

use std::io::{BufRead, BufReader, Write};
use std::ops::Deref;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use osps_ipc::{Directory, Event, Server};
use rustix::event::{PollFd, PollFlags, Timespec};

/// How long anything may take that should come soon.
pub(crate) const SOON: Duration = Duration::from_secs(120);

/// The variable that tells a helper what it is.
pub(crate) const ROLE: &str = "OSPS_IPC_TEST_ROLE";
/// The variable that tells it where.
pub(crate) const PLACE: &str = "OSPS_IPC_TEST_DIRECTORY";
/// What a helper's lines to its parent begin with, unlike those of the test harness.
const MARK: &str = "@ ";

/// What `poll` shows of a descriptor within a time.
pub(crate) fn shown(fd: impl AsFd, timeout: Duration) -> PollFlags {
    let mut fds = [PollFd::new(&fd, PollFlags::IN)];
    let timeout = Timespec {
        tv_sec: timeout.as_secs().try_into().unwrap(),
        tv_nsec: timeout.subsec_nanos().into(),
    };
    rustix::event::poll(&mut fds, Some(&timeout)).unwrap();
    fds[0].revents()
}

pub(crate) fn wait_readable(fd: impl AsFd, timeout: Duration) {
    assert_eq!(shown(fd, timeout), PollFlags::IN);
}

/// A server that serves in a thread until this is dropped.
pub(crate) struct Serving {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Serving {
    /// `handle` is given every event.
    pub(crate) fn start(
        mut server: Server,
        mut handle: impl FnMut(Event) + Send + 'static,
    ) -> Serving {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                if let Some(event) = server.next_timeout(Duration::from_millis(20)).unwrap() {
                    handle(event);
                }
            }
        });
        Serving {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

/// A directory of a test on tmpfs, removed with its contents.
pub(crate) struct Scratch(Directory);

impl Scratch {
    pub(crate) fn new() -> Scratch {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("osps-ipc-test-{}-{number}", std::process::id());
        let path = Path::new("/dev/shm").join(name);
        // What a process of the same number left when it was killed.
        let _ = std::fs::remove_dir_all(&path);
        Scratch(Directory::create(path).unwrap())
    }

    /// The names in it, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

impl Deref for Scratch {
    type Target = Directory;

    fn deref(&self) -> &Directory {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(self.0.path());
    }
}

/// This test binary in a role, in a process of its own. Killed when it is dropped.
pub(crate) struct Helper {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Helper {
    /// Executes the test `test` of this binary again, which asks [`role`] what to do.
    pub(crate) fn start(test: &str, role: &str, directory: &Path) -> Helper {
        let mut child = in_role(test, role, directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                // The harness's own "test NAME ... " may stand before it.
                if let Some((_, said)) = line.split_once(MARK)
                    && sender.send(said.to_owned()).is_err()
                {
                    break;
                }
            }
        });
        Helper {
            stdin: child.stdin.take(),
            child,
            lines,
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line that it [`tell`]s.
    pub(crate) fn line(&self) -> String {
        self.lines.recv_timeout(SOON).unwrap()
    }

    /// Waits until it tells this.
    pub(crate) fn expect(&self, said: &str) {
        assert_eq!(self.line(), said);
    }

    /// Lets its [`wait_for_end`] return.
    pub(crate) fn end(&mut self) {
        self.stdin = None;
    }

    /// Ends it as a crash would, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Whether it ends by itself, in whatever way, within this time. What it says till then is dropped.
    pub(crate) fn has_ended(&mut self, within: Duration) -> bool {
        loop {
            match self.lines.recv_timeout(within) {
                Ok(_) => {}
                Err(mpsc::RecvTimeoutError::Timeout) => return false,
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
        }
        let _ = self.child.wait();
        true
    }

    /// Lets it end by itself, in good order.
    pub(crate) fn finish(mut self) {
        self.end();
        let (sender, ended) = mpsc::channel();
        std::thread::scope(|scope| {
            let pid = self.pid();
            scope.spawn(move || {
                if ended.recv_timeout(SOON).is_err() {
                    let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
                }
            });
            let status = self.child.wait().unwrap();
            sender.send(()).unwrap();
            assert!(status.success(), "{status}");
        });
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The command that executes the test `test` of this binary again, in a role.
pub(crate) fn in_role(test: &str, role: &str, directory: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", test, "--nocapture", "--include-ignored"])
        .env(ROLE, role)
        .env(PLACE, directory);
    command
}

/// In a helper: its role and its directory. `None` in the test process itself.
pub(crate) fn role() -> Option<(String, Directory)> {
    let role = std::env::var(ROLE).ok()?;
    let place = std::env::var_os(PLACE).unwrap();
    Some((role, Directory::open(place).unwrap()))
}

/// In a helper: says something to the parent.
pub(crate) fn tell(said: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n{MARK}{said}").unwrap();
    out.flush().unwrap();
}

/// In a helper: waits until the parent lets it end, or is gone.
pub(crate) fn wait_for_end() {
    let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
}
