//! The part of the system that nobody kills: servers in threads of the test, calls that are checked, and what is left
//! in the end.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use osps_ipc::{
    Client, ClientOptions, Error, Event, Incoming, Name, Request, RequestId, RequestKind, Server,
    ServerOptions, Wait,
};

use crate::common::SOON;

/// Answered with what was sent.
pub(crate) const ECHO: RequestKind = RequestKind::new("echo");
/// The same, elsewhere: a question tells where.
pub(crate) const FAR: RequestKind = RequestKind::new("far");
/// The same, elsewhere: the request itself is redirected.
pub(crate) const MOVED: RequestKind = RequestKind::new("moved");
/// Not answered by the server that holds; by others with what was sent.
pub(crate) const HELD: RequestKind = RequestKind::new("held");
/// Answered with what was sent, and by a [`role`](crate::roles) with its end.
pub(crate) const QUIT: RequestKind = RequestKind::new("quit");

/// More than a quarter of a ring: it goes by a segment of its own.
pub(crate) const LARGE: usize = 100_000;

/// A server in a thread, until it is dropped or [closed](Host::close).
pub(crate) struct Host<'scope> {
    stop: Arc<AtomicBool>,
    sessions: Arc<AtomicUsize>,
    serving: Option<ScopedJoinHandle<'scope, ()>>,
}

impl<'scope> Host<'scope> {
    pub(crate) fn start(scope: &'scope Scope<'scope, '_>, at: &Path, name: &str) -> Host<'scope> {
        Host::serve(scope, name, bind(at, name, Wait::default()), || {})
    }

    /// Does something before each event is handled.
    pub(crate) fn serve(
        scope: &'scope Scope<'scope, '_>,
        name: &str,
        mut server: Server,
        mut before: impl FnMut() + Send + 'scope,
    ) -> Host<'scope> {
        let stop = Arc::new(AtomicBool::new(false));
        let sessions = Arc::new(AtomicUsize::new(0));
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&sessions));
        let name = name.to_owned();
        let serving = scope.spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                if let Some(event) = server.next_timeout(Duration::from_millis(5)).unwrap() {
                    if matches!(event, Event::Request(_)) {
                        before();
                    }
                    handle(&name, event);
                }
                count.store(server.sessions(), Ordering::Relaxed);
            }
        });
        Host {
            stop,
            sessions,
            serving: Some(serving),
        }
    }

    /// Waits until nobody is connected.
    pub(crate) fn await_nobody(&self) {
        until("sessions are left", || {
            self.sessions.load(Ordering::Relaxed) == 0
        });
    }

    /// Ends it in good order.
    pub(crate) fn close(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.serving.take().unwrap().join().unwrap();
    }
}

impl Drop for Host<'_> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

#[track_caller]
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + SOON;
    while !is_so() {
        assert!(Instant::now() < end, "{what}");
        std::thread::yield_now();
    }
}

pub(crate) fn bind(at: &Path, name: &str, wait: Wait) -> Server {
    try_bind(at, name, wait).unwrap()
}

pub(crate) fn try_bind(at: &Path, name: &str, wait: Wait) -> Result<Server, Error> {
    let options = ServerOptions::new().directory(at).wait(wait);
    match is_asked_first(name) {
        true => options.directs(),
        false => options,
    }
    .bind(name)
}

/// Whether a server sends clients elsewhere.
fn is_asked_first(name: &str) -> bool {
    name == "svc"
}

/// Answers; who asks may have died meanwhile. Whether it is to end.
pub(crate) fn handle(name: &str, event: Event) -> bool {
    let far = Name::new("far").unwrap();
    match event {
        Event::Request(request) if request.kind() == MOVED && is_asked_first(name) => {
            let _ = request.redirect(&far);
        }
        Event::Request(request) => {
            let is_end = request.kind() == QUIT;
            echo(request);
            return is_end;
        }
        Event::Notify(told) => {
            let told = told.payload().as_slice().unwrap();
            assert!(told == bytes(told.len()), "nobody has told this");
        }
        Event::Question(question) if question.kind() == FAR => {
            let _ = question.redirect(&far);
        }
        Event::Question(question) => {
            let _ = question.here();
        }
        _ => {}
    }
    false
}

fn echo(mut request: Incoming) {
    let asked = request.take_payload().into_vec();
    assert!(asked == bytes(asked.len()), "nobody has asked this");
    let _ = request.reply(&asked);
}

/// As many bytes, which differ with their number. Copied from a table, in few instructions.
pub(crate) fn bytes(len: usize) -> &'static [u8] {
    static TABLE: LazyLock<Vec<u8>> =
        LazyLock::new(|| (0..251).cycle().take(LARGE + 1000).collect());
    &TABLE[len % 251..][..len]
}

pub(crate) fn connect(at: &Path, name: &str) -> Client {
    ClientOptions::new()
        .directory(at)
        .wait(Wait::Park)
        .connect(name, SOON)
        .unwrap()
}

/// A call that must be answered with what was sent.
pub(crate) fn call(client: &mut Client, kind: RequestKind, len: usize) -> Result<(), Error> {
    let sent = bytes(len);
    let reply = client.call(Request::new(kind, sent), SOON)?;
    assert!(reply.into_answer().unwrap().into_vec() == sent);
    Ok(())
}

/// Requests that wait for their answers, with what they sent.
#[derive(Default)]
pub(crate) struct Asked(BTreeMap<RequestId, &'static [u8]>);

impl Asked {
    pub(crate) fn ask(&mut self, client: &mut Client, kind: RequestKind, len: usize) -> RequestId {
        let sent = bytes(len);
        let id = client.submit(Request::new(kind, sent), SOON).unwrap();
        self.0.insert(id, sent);
        id
    }

    pub(crate) fn take_one(&mut self, client: &mut Client) {
        let reply = client.next_reply(SOON).unwrap().expect("an answer in time");
        let sent = self.0.remove(&reply.id()).expect("answered once");
        assert!(reply.into_answer().unwrap().into_vec() == sent);
    }

    /// One that is not waited for any more.
    pub(crate) fn take_back(&mut self, id: RequestId) {
        self.0.remove(&id);
    }

    /// Every answer comes, with the right bytes, and once.
    pub(crate) fn take_all(mut self, client: &mut Client) {
        while !self.0.is_empty() {
            self.take_one(client);
        }
        assert_eq!(client.outstanding(), 0);
    }
}

/// A client that comes now is let in and served, here and where it is directed to.
pub(crate) fn a_new_client_is_served(at: &Path) {
    let mut client = connect(at, "svc");
    call(&mut client, ECHO, 8).unwrap();
    call(&mut client, FAR, 9).unwrap();
    assert_eq!(client.unwanted(), 0);
}

/// What this process holds of a directory, and what stands there.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Holdings {
    descriptors: usize,
    mappings: usize,
    files: Vec<PathBuf>,
}

impl Holdings {
    pub(crate) fn of(at: &Path) -> Holdings {
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let place = at.to_str().unwrap();
        Holdings {
            descriptors: fs::read_dir("/proc/self/fd").unwrap().count(),
            mappings: maps.lines().filter(|line| line.contains(place)).count(),
            // The folder for what is being made comes and goes, empty.
            files: files(at)
                .into_iter()
                .filter(|file| *file != at.join(".tmp"))
                .collect(),
        }
    }

    /// Waits until it is as it was: who serves in other threads is not done at once.
    pub(crate) fn await_again(&self, at: &Path) {
        let end = Instant::now() + SOON;
        loop {
            let now = Holdings::of(at);
            if now == *self {
                return;
            }
            if Instant::now() > end {
                assert_eq!(now, *self);
            }
            std::thread::yield_now();
        }
    }
}

/// Everything below a directory.
fn files(at: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    // What is removed meanwhile is not there.
    for entry in fs::read_dir(at).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(files(&entry.path()));
        }
        found.push(entry.path());
    }
    found.sort();
    found
}
