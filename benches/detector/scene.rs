//! A server, its watchdog and a client, in a directory of their own.

use std::io::{BufRead, BufReader};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use osps_ipc::detector::Phase;
use osps_ipc::{Client, ClientOptions, Directory, HeartbeatView, Name, Request};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};

use crate::lines::{Line, Told};
use crate::machine::{Held, command, signal};
use crate::rule::Rule;
use crate::{SERVICE, served};

/// Whatever is waited for comes in this time.
pub(crate) const SOON: Duration = Duration::from_secs(120);

const NAME: &str = "osps-ipc-bench-";

/// A runtime directory that is removed in the end.
pub(crate) struct Place(PathBuf);

impl Place {
    pub(crate) fn create() -> Place {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let memory = Path::new("/dev/shm");
        let base = match memory.is_dir() {
            true => memory.to_owned(),
            false => std::env::temp_dir(),
        };
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        if number == 0 {
            remove_what_was_left(&base);
        }
        let place = base.join(format!("{NAME}{}-{number}", std::process::id()));
        Directory::create(&place).unwrap();
        Place(place)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The places of a run that was interrupted.
fn remove_what_was_left(base: &Path) {
    for entry in std::fs::read_dir(base).unwrap().flatten() {
        let name = entry.file_name();
        let rest = name.to_str().and_then(|name| name.strip_prefix(NAME));
        let pid = rest
            .and_then(|rest| rest.split_once('-'))
            .map(|(pid, _)| pid);
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

pub(crate) struct Scene {
    lines: Receiver<Line>,
    /// The server that was started last.
    pub(crate) server: Arc<AtomicU32>,
    pub(crate) client: Client,
    watchdog: Held,
    place: Place,
}

impl Scene {
    /// Begins, and waits until the server serves. The thread that calls must outlive the scene.
    pub(crate) fn begin(rule: Rule) -> Scene {
        let place = Place::create();
        let mut watchdog = command(format!("watch {}", rule.word()), place.path());
        let mut watchdog = Held(watchdog.stdout(Stdio::piped()).spawn().unwrap());
        let (sender, lines) = channel();
        let server = Arc::new(AtomicU32::new(0));
        let output = watchdog.0.stdout.take().unwrap();
        let known = server.clone();
        std::thread::spawn(move || listen(output, &known, &sender));
        let options = ClientOptions::new().directory(place.path());
        let mut scene = Scene {
            client: options.connect(SERVICE, SOON).unwrap(),
            lines,
            server,
            watchdog,
            place,
        };
        scene.until_ready();
        scene
    }

    pub(crate) fn server(&self) -> u32 {
        self.server.load(Ordering::Relaxed)
    }

    pub(crate) fn watchdog(&self) -> u32 {
        self.watchdog.0.id()
    }

    /// The first line that is wanted.
    pub(crate) fn until<T>(&mut self, wanted: impl Fn(&Line) -> Option<T>) -> T {
        let start = Instant::now();
        loop {
            let left = SOON.saturating_sub(start.elapsed());
            let line = self.lines.recv_timeout(left).expect("a line in time");
            if let Some(wanted) = wanted(&line) {
                return wanted;
            }
        }
    }

    pub(crate) fn until_ready(&mut self) {
        self.until(|line| (line.told == Told::Ready).then_some(()));
    }

    /// The lines that have come.
    pub(crate) fn take_lines(&mut self) -> Vec<Line> {
        self.lines.try_iter().collect()
    }

    pub(crate) fn call(&mut self) {
        let request = Request::new(served::ECHO, "");
        self.client.call(request, SOON).unwrap();
    }

    /// Waits until the heartbeat shows this phase, and takes off the answers that have come.
    pub(crate) fn until_phase(&mut self, wanted: impl Fn(Phase) -> bool) {
        let directory = Directory::open(self.place.path().join(SERVICE)).unwrap();
        let view = HeartbeatView::open(&directory, &Name::new("heartbeat").unwrap()).unwrap();
        let start = Instant::now();
        while !view.read().is_some_and(|read| wanted(read.sample.phase)) {
            assert!(start.elapsed() < SOON, "it does not come to that");
            std::thread::yield_now();
        }
        while self.client.try_next_reply().unwrap().is_some() {}
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let server = Pid::from_raw(self.server().cast_signed());
        let server = server.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        // The server goes with its parent.
        signal(self.watchdog(), Signal::KILL);
        let _ = self.watchdog.0.wait();
        if let Some(server) = server {
            until_gone(&server);
        }
    }
}

fn until_gone(server: &OwnedFd) {
    let mut fds = [PollFd::from_borrowed_fd(server.as_fd(), PollFlags::IN)];
    let limit = Timespec::try_from(SOON).unwrap();
    let _ = poll(&mut fds, Some(&limit));
}

fn listen(output: ChildStdout, server: &AtomicU32, to: &Sender<Line>) {
    for line in BufReader::new(output).lines() {
        let Some(line) = line.ok().and_then(|line| Line::parse(&line)) else {
            return;
        };
        if let Told::Started(pid) = line.told {
            server.store(pid, Ordering::Relaxed);
        }
        if to.send(line).is_err() {
            return;
        }
    }
}
