//! The server that is watched: it does what it is asked to, also to die or to hang.

use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use osps_ipc::{
    Directory, Event, FifoPair, Incoming, Name, Pollable, Received, RequestKind, Server,
    ServerOptions, wait_any,
};

use crate::lines::{cpu_time, now};
use crate::rule::Rule;
use crate::table::nanos;
use crate::{SERVICE, course, systemd};

pub(crate) const ECHO: RequestKind = RequestKind::new("echo");
/// Takes as many microseconds of CPU time as its payload says.
pub(crate) const WORK: RequestKind = RequestKind::new("work");
/// Works for ever, and beats.
pub(crate) const TOIL: RequestKind = RequestKind::new("toil");
pub(crate) const SPIN: RequestKind = RequestKind::new("spin");
pub(crate) const BLOCK: RequestKind = RequestKind::new("block");
/// Answers, rests, and does not hear its door.
pub(crate) const DEAF: RequestKind = RequestKind::new("deaf");
pub(crate) const EXIT: RequestKind = RequestKind::new("exit");

const LONG: Duration = Duration::from_secs(3600);

pub(crate) fn serve(rule: Rule, place: &Path) -> ExitCode {
    let mut tie = Tie::new(rule, place);
    let options = ServerOptions::new().directory(place);
    let mut server = options.heartbeat(rule.budget()).bind(SERVICE).unwrap();
    tie.ready();
    loop {
        tie.step();
        match &mut tie {
            Tie::Heartbeat => wait_any(&mut [&mut server], LONG),
            Tie::Pings(pings) => wait_any(&mut [&mut server, &mut **pings], LONG),
            Tie::Notify { .. } => wait_any(&mut [&mut server], systemd::WATCHDOG / 2),
        }
        .unwrap();
        while let Some(event) = server.try_next().unwrap() {
            tie.step();
            if let Event::Request(request) = event {
                carry_out(&mut server, &mut tie, request);
            }
        }
    }
}

fn carry_out(server: &mut Server, tie: &mut Tie, request: Incoming) {
    let kind = request.kind();
    // The next server is to have nothing to do with what killed the one before.
    match kind {
        _ if request.is_redelivered() => request.reply("").unwrap(),
        WORK => {
            let micros = request
                .payload()
                .as_slice()
                .and_then(|bytes| bytes.try_into().ok());
            work(Duration::from_micros(u64::from_le_bytes(micros.unwrap())));
            request.reply("").unwrap();
        }
        TOIL => loop {
            let _ = server.heartbeat().unwrap().beat();
            tie.step();
            work(Duration::from_millis(1));
        },
        SPIN => loop {
            std::hint::spin_loop();
        },
        BLOCK => rest(),
        DEAF => {
            request.reply("").unwrap();
            while !server.arm().unwrap() {
                while server.try_next().unwrap().is_some() {}
            }
            rest();
        }
        EXIT => std::process::exit(3),
        _ => request.reply("").unwrap(),
    }
}

fn work(time: Duration) {
    let start = cpu_time();
    while Duration::from_nanos(cpu_time() - start) < time {
        std::hint::spin_loop();
    }
}

fn rest() -> ! {
    loop {
        std::thread::park();
    }
}

/// What ties the server to a watchdog of another kind.
enum Tie {
    Heartbeat,
    Pings(Box<Pings>),
    Notify { socket: UnixDatagram, last: u64 },
}

impl Tie {
    fn new(rule: Rule, place: &Path) -> Tie {
        match rule {
            Rule::Quick | Rule::Defaults => Tie::Heartbeat,
            Rule::Course => {
                let directory = Directory::open(place).unwrap();
                let name = Name::new(course::PIPES).unwrap();
                Tie::Pings(Box::new(Pings(FifoPair::open(&directory, &name).unwrap())))
            }
            Rule::Systemd => {
                let socket = UnixDatagram::unbound().unwrap();
                socket.connect(place.join(systemd::SOCKET)).unwrap();
                Tie::Notify { socket, last: 0 }
            }
        }
    }

    fn ready(&mut self) {
        if let Tie::Notify { socket, .. } = self {
            socket.send(b"READY=1").unwrap();
        }
    }

    /// Gives the sign of life that is due.
    fn step(&mut self) {
        match self {
            Tie::Heartbeat => {}
            Tie::Pings(pings) => pings.answer(),
            Tie::Notify { socket, last } => {
                let half = nanos(systemd::WATCHDOG / 2);
                if now() - *last >= half {
                    *last = now();
                    // Without a listener this process ends as well.
                    let _ = socket.send(b"WATCHDOG=1");
                }
            }
        }
    }
}

struct Pings(FifoPair);

impl Pings {
    fn answer(&mut self) {
        let mut frame = [0; 64];
        while let Ok(Received::Frame(len)) = self.0.try_recv(&mut frame) {
            let _ = self.0.try_send(&frame[..len]);
        }
    }
}

impl AsFd for Pings {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Pollable for Pings {
    fn arm(&mut self) -> osps_ipc::Result<bool> {
        Ok(true)
    }
}
