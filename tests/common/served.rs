//! A server that is watched, in a process of its own, and those that watch it: for tests that do bad things to it.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    reason = "shared by test binaries that use parts of it; what a test does not expect ends it"
)]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use osps_ipc::detector::{Cause, Config, Verdict};
use osps_ipc::restart::{ExitCause, Policy};
use osps_ipc::{
    Client, ClientOptions, Error, Event, Monitor, MonitorOptions, Report, RequestKind,
    ServerOptions, Shutdown, Supervisor, SupervisorOptions, supervisor, wait_any,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::common::{Helper, SOON, Scratch, in_role};

pub(crate) const ECHO: RequestKind = RequestKind::new("echo");
/// What the server does when it is asked to.
pub(crate) const SPIN: RequestKind = RequestKind::new("spin");
pub(crate) const BLOCK: RequestKind = RequestKind::new("block");
pub(crate) const EXIT: RequestKind = RequestKind::new("exit");
pub(crate) const DUMP: RequestKind = RequestKind::new("dump");
/// Answers nothing any more, and goes on to beat.
pub(crate) const HOLD: RequestKind = RequestKind::new("hold");

/// A hang is told after this time and one and a half periods.
pub(crate) const BUDGET: Duration = Duration::from_millis(250);
pub(crate) const PERIOD: Duration = Duration::from_millis(10);

pub(crate) fn config() -> Config {
    let mut config = Config::new(PERIOD, BUDGET);
    config.challenge_every = Some(Duration::from_millis(200));
    config.challenge_within = BUDGET;
    config
}

/// Looks again and again until it sees what it waits for.
pub(crate) fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(start.elapsed() < SOON, "it does not come");
        std::thread::yield_now();
    }
}

/// The server, in a process of its own: to be called by the test `serve` of the binary. Its role is to serve, or to exit
/// with a code at once.
pub(crate) fn serve() {
    let Some((role, place)) = crate::common::role() else {
        return;
    };
    if role != "serve" {
        std::process::exit(role.parse().unwrap());
    }
    let mut shutdown = Shutdown::install().unwrap();
    let bound = ServerOptions::new()
        .directory(place.path())
        .heartbeat(BUDGET)
        .bind("svc");
    let mut server = match bound {
        Ok(server) => server,
        Err(Error::AlreadyRunning { .. }) => {
            std::process::exit(osps_ipc::restart::EXIT_ALREADY_RUNNING)
        }
        Err(error) => panic!("{error}"),
    };
    // From then on nothing is answered.
    let mut holds = false;
    let mut held = Vec::new();
    while !shutdown.is_requested() {
        wait_any(&mut [&mut server, &mut shutdown], SOON).unwrap();
        while let Some(event) = server.try_next().unwrap() {
            let Event::Request(request) = event else {
                continue;
            };
            match request.kind() {
                SPIN => loop {
                    std::hint::spin_loop();
                },
                BLOCK => loop {
                    std::thread::park();
                },
                EXIT => {
                    let code = request.payload().as_slice().unwrap();
                    std::process::exit(String::from_utf8_lossy(code).parse().unwrap())
                }
                DUMP => dump(request.payload().as_slice().unwrap()),
                ECHO => request.reply("").unwrap(),
                HOLD => holds = true,
                _ if holds => held.push(request),
                _ => request.unknown_kind(&[ECHO]).unwrap(),
            }
        }
    }
    if holds {
        // It ends when those are gone who wait for answers.
        server.drain(SOON);
        while !matches!(server.next_timeout(SOON).unwrap(), Some(Event::Drained)) {}
    }
}

/// Dies of SIGABRT, with as many megabytes to dump as it is told.
pub(crate) fn dump(megabytes: &[u8]) {
    let len: usize = String::from_utf8_lossy(megabytes).parse().unwrap();
    let memory = vec![1_u8; len << 20];
    let limit = getrlimit(Resource::Core);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Core, raised).unwrap();
    assert_eq!(memory.last(), Some(&1));
    std::process::abort();
}

/// The server, started by these tests and not by a supervisor.
pub(crate) fn start(place: &Scratch) -> Helper {
    Helper::start("serve", "serve", place.path())
}

/// How a supervisor starts it.
pub(crate) fn command(role: &str, place: &Path) -> Command {
    let mut command = in_role("serve", role, place);
    // A core dump goes there.
    command
        .current_dir(place)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

pub(crate) fn client(place: &Scratch) -> Client {
    ClientOptions::new()
        .directory(place.path())
        .connect("svc", SOON)
        .unwrap()
}

pub(crate) fn signal(signal: &str, pid: u32) {
    let status = Command::new("kill")
        .args([signal, &pid.to_string()])
        .status();
    assert!(status.unwrap().success());
}

pub(crate) fn monitor(place: &Scratch) -> Monitor {
    MonitorOptions::new()
        .directory(place.path())
        .config(config())
        .watch("svc")
        .unwrap()
}

/// The first report that is wanted, and how long it took.
pub(crate) fn until_verdict(
    monitor: &mut Monitor,
    wanted: impl Fn(Verdict) -> bool,
) -> (Report, Duration) {
    let start = Instant::now();
    loop {
        assert!(start.elapsed() < SOON, "{:?}", monitor.last());
        if let Some(report) = monitor.next_timeout(SOON).unwrap()
            && wanted(report.verdict())
        {
            return (report, start.elapsed());
        }
    }
}

pub(crate) fn is_alive(verdict: Verdict) -> bool {
    verdict == Verdict::Alive
}

pub(crate) fn is_hung(cause: Cause) -> impl Fn(Verdict) -> bool {
    move |verdict| verdict == Verdict::Hung { cause }
}

/// A supervisor whose service ends with it.
pub(crate) struct Supervised(pub(crate) Supervisor);

impl Supervised {
    pub(crate) fn start(options: SupervisorOptions, place: &Scratch) -> Supervised {
        Supervised::with_config(options, place, config())
    }

    pub(crate) fn with_config(
        options: SupervisorOptions,
        place: &Scratch,
        config: Config,
    ) -> Supervised {
        Supervised(
            options
                .directory(place.path())
                .config(config)
                .grace(Duration::from_secs(2))
                .supervise("svc")
                .unwrap(),
        )
    }

    pub(crate) fn serving(place: &Scratch) -> Supervised {
        let mut policy = Policy::default();
        policy.window = Duration::ZERO;
        policy.first_delay = Duration::ZERO;
        let options = SupervisorOptions::new(command("serve", place.path())).policy(policy);
        Supervised::start(options, place)
    }

    /// The first event that is wanted.
    pub(crate) fn until<T>(&mut self, wanted: impl Fn(&supervisor::Event) -> Option<T>) -> T {
        let start = Instant::now();
        let mut seen = Vec::new();
        loop {
            assert!(start.elapsed() < SOON, "{seen:#?}");
            if let Some(event) = self.0.next_timeout(SOON).unwrap() {
                if let Some(wanted) = wanted(&event) {
                    return wanted;
                }
                seen.push(event.to_string());
            }
            assert!(!self.0.is_over(), "{seen:#?}");
        }
    }

    pub(crate) fn until_ready(&mut self) -> u32 {
        self.until(|event| match event {
            supervisor::Event::Ready { pid, .. } => Some(*pid),
            _ => None,
        })
    }

    pub(crate) fn until_ended(&mut self) -> ExitCause {
        self.until(|event| match event {
            supervisor::Event::Ended { report, .. } => Some(report.end.cause),
            _ => None,
        })
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        let start = Instant::now();
        self.0.stop();
        self.0.stop();
        while !self.0.is_over() && start.elapsed() < SOON {
            let _ = self.0.next_timeout(Duration::from_millis(100));
        }
    }
}
