//! A secondary: does the work. It serves two kinds of request under a name of its own, and takes a few more from
//! the primary, which directs clients here.
//!
//!     cargo run --release --example secondary -- --help

#[path = "shared/turns.rs"]
pub(crate) mod turns;
#[path = "shared/words.rs"]
mod words;

use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::{Arg, Command, value_parser};
use osps_ipc::{
    Directory, Event, Incoming, Name, Payload, RequestKind, ServerOptions, SessionId, Shutdown,
    supervisor, wait_any,
};
use sha2::{Digest, Sha256};

/// The SHA-256 of the payload, in hexadecimal.
const DIGEST: RequestKind = RequestKind::new("digest");
/// Lines, words and bytes of the payload, as `wc` prints them.
const COUNT: RequestKind = RequestKind::new("count");
/// The names that the course had for the two.
const TYPE1: RequestKind = RequestKind::new("type1");
const TYPE2: RequestKind = RequestKind::new("type2");

/// What clients may ask for.
pub(crate) const KINDS: [RequestKind; 4] = [DIGEST, COUNT, TYPE1, TYPE2];

/// From the primary: play ping-pong over the segment and the FIFO pair of this path.
pub(crate) const PLAY: RequestKind = RequestKind::new("play");
/// From the primary: a client that wants this kind is about to come.
pub(crate) const START: RequestKind = RequestKind::new("start");
/// From the primary: answer with the number of sessions when it has changed.
pub(crate) const WATCH: RequestKind = RequestKind::new("watch");

/// The loop comes round in this time: it leaves to its workers what is more than a few kilobytes.
const BUDGET: Duration = Duration::from_secs(1);
/// Requests that are worked on at a time; the others wait.
const WORKERS: usize = 4;
/// A payload is read in pieces of so many bytes: they stay in the core's cache.
const PIECE: usize = 64 << 10;
/// How long requests that have been begun may take when the secondary ends.
const GRACE: Duration = Duration::from_secs(5);
/// When nothing is to be waited for but events.
const LONG: Duration = Duration::from_secs(1 << 20);

pub(crate) fn main() -> ExitCode {
    let options = Command::new("secondary")
        .about("Serves the kinds digest (SHA-256) and count (as wc); type1 and type2 are the same")
        .arg(
            Arg::new("service")
                .long("service")
                .value_name("NAME")
                .default_value("secondary")
                .help("The name to serve under"),
        )
        .arg(
            Arg::new("idle")
                .long("idle")
                .value_name("SECONDS")
                .value_parser(value_parser!(u64))
                .default_value("60")
                .help("End when there was neither a primary nor a client for so long"),
        )
        .get_matches();
    let service = options.get_one::<String>("service").map_or("", |name| name);
    let idle = options.get_one("idle").copied().unwrap_or(0);
    match serve(service, Duration::from_secs(idle)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("secondary: {error}");
            // A primary goes on with a secondary that runs already.
            ExitCode::from(supervisor::exit_code(&error))
        }
    }
}

/// Serves until it is told to end, or nobody was there for the time `idle`.
fn serve(service: &str, idle: Duration) -> osps_ipc::Result<()> {
    let mut shutdown = Shutdown::install()?;
    let mut server = ServerOptions::new().heartbeat(BUDGET).bind(service)?;
    let place = server.directory().path().display();
    let _ = writeln!(io::stdout(), "serving {service:?} in {place}; Ctrl-C ends");
    let workers = workers();
    let mut primary = Primary::default();
    let mut idle_since = Instant::now();
    let mut draining = false;
    loop {
        if shutdown.is_requested() && !draining {
            draining = true;
            server.drain(GRACE);
        }
        if draining {
            // One that was asked for before the end would keep it waiting.
            primary.watch = None;
        }
        if server.sessions() > 0 {
            idle_since = Instant::now();
        }
        match server.try_next()? {
            Some(Event::Request(request)) => {
                if let Some(request) = primary.take(request) {
                    hand_over(request, &workers);
                }
                if draining {
                    // Asked just before: what is not answered would be waited for.
                    primary.watch = None;
                }
            }
            Some(Event::Disconnected(peer, _)) => primary.leave(peer.session()),
            Some(Event::Drained) => return Ok(()),
            Some(_) => {}
            None => {
                primary.tell(server.sessions());
                let left = match server.sessions() {
                    0 => idle.saturating_sub(idle_since.elapsed()),
                    _ => LONG,
                };
                if left.is_zero() {
                    return Ok(());
                }
                // Once it was requested, a shutdown is no news any more.
                match draining {
                    true => wait_any(&mut [&mut server], GRACE)?,
                    false => wait_any(&mut [&mut server, &mut shutdown], left)?,
                };
            }
        }
    }
}

/// Large work goes to the workers, so that it holds up nobody; small work is done before one of them would be awake.
fn hand_over(request: Incoming, workers: &Sender<Incoming>) {
    if request.kind() != PLAY && request.payload().as_slice().is_some() {
        return work(request);
    }
    // There is always a worker; a request that found none would be answered as failed.
    let _ = workers.send(request);
}

/// Threads that do what is sent to them, and answer.
fn workers() -> Sender<Incoming> {
    let (sender, receiver) = mpsc::channel::<Incoming>();
    let receiver = Arc::new(Mutex::new(receiver));
    for _ in 0..WORKERS {
        let receiver = Arc::clone(&receiver);
        let next = move || {
            let receiver = receiver.lock().unwrap_or_else(PoisonError::into_inner);
            receiver.recv().ok()
        };
        std::thread::spawn(move || {
            while let Some(request) = next() {
                work(request);
            }
        });
    }
    sender
}

/// Does one request, and answers it. An error of that is that the client is gone, and its own affair.
fn work(request: Incoming) {
    if request.time_left() == Some(Duration::ZERO) {
        let _ = request.fail(0, "the time was up before it was begun");
        return;
    }
    let result = match request.kind() {
        DIGEST | TYPE1 => digest(request.payload()),
        COUNT | TYPE2 => count(request.payload()),
        PLAY => play(request.payload()),
        _ => {
            let _ = request.unknown_kind(&KINDS);
            return;
        }
    };
    let _ = match result {
        Ok(answer) => request.reply(&answer),
        Err(error) => request.fail(0, &error.to_string()),
    };
}

fn digest(payload: &Payload) -> osps_ipc::Result<String> {
    let mut hash = Sha256::new();
    in_pieces(payload, |piece| hash.update(piece))?;
    Ok(hash
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

fn count(payload: &Payload) -> osps_ipc::Result<String> {
    let mut counts = words::Counts::new();
    in_pieces(payload, |piece| counts.add(piece))?;
    Ok(counts.to_string())
}

/// A payload can be larger than what this process should hold, and is never copied whole.
fn in_pieces(payload: &Payload, mut each: impl FnMut(&[u8])) -> osps_ipc::Result<()> {
    if let Some(bytes) = payload.as_slice() {
        each(bytes);
        return Ok(());
    }
    let mut buffer = vec![0; PIECE];
    for offset in (0..payload.len()).step_by(PIECE) {
        let left = usize::try_from(payload.len() - offset).unwrap_or(PIECE);
        let piece = &mut buffer[..left.min(PIECE)];
        payload.read_at(offset, piece)?;
        each(piece);
    }
    Ok(())
}

fn play(payload: &Payload) -> osps_ipc::Result<String> {
    let path = Path::new(OsStr::from_bytes(payload.as_slice().unwrap_or_default()));
    let (folder, name) = (path.parent(), path.file_name());
    let directory = Directory::open(folder.unwrap_or(path))?;
    let name = Name::new(name.unwrap_or_default().to_string_lossy())?;
    turns::Turns::answer(&directory, &name).map(|rounds| rounds.to_string())
}

/// What is between this secondary and its primary.
#[derive(Default)]
struct Primary {
    session: Option<SessionId>,
    /// Answered when the number of sessions is another than was told last.
    watch: Option<Incoming>,
    told: Option<usize>,
}

impl Primary {
    /// Does what is the primary's to ask; gives back what is not.
    fn take(&mut self, request: Incoming) -> Option<Incoming> {
        match request.kind() {
            START => {
                // The record of a request that stays unanswered holds its place in the ring, and those of all
                // after it: so the watch is answered now and then even where nothing has changed.
                self.told = None;
                let _ = request.reply("");
            }
            WATCH => {
                self.session = Some(request.peer().session());
                self.watch = Some(request);
            }
            _ => return Some(request),
        }
        None
    }

    fn leave(&mut self, session: SessionId) {
        if self.session == Some(session) {
            *self = Primary::default();
        }
    }

    /// Answers the watch with the number of clients, if it is news.
    fn tell(&mut self, sessions: usize) {
        if self.told == Some(sessions) {
            return;
        }
        if let Some(watch) = self.watch.take() {
            self.told = Some(sessions);
            let clients = sessions.saturating_sub(usize::from(self.session.is_some()));
            let _ = watch.reply(&(clients as u64).to_le_bytes());
        }
    }
}
