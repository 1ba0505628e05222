//! How soon an end and a hang are told, with real processes.
//!
//!     cargo bench --bench detector -- [KILLS]
//!
//! The program supervises itself in the role of a server, makes it die or hang, and prints how long it took to be told
//! of that, and to be served again. The machine should be idle.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a program of its own: what it does not expect ends it"
)]

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use osps_ipc::detector::{Cause, Config};
use osps_ipc::restart::{ExitCause, Policy};
use osps_ipc::supervisor::Event;
use osps_ipc::{
    Client, ClientOptions, Directory, Request, RequestKind, ServerOptions, Shutdown, Supervisor,
    SupervisorOptions, wait_any,
};

const ECHO: RequestKind = RequestKind::new("echo");
const SPIN: RequestKind = RequestKind::new("spin");
const BLOCK: RequestKind = RequestKind::new("block");

const ROLE: &str = "OSPS_IPC_BENCH_DIRECTORY";
const SOON: Duration = Duration::from_secs(20);
const PERIOD: Duration = Duration::from_millis(10);
const BUDGET: Duration = Duration::from_millis(250);
/// How often each way to hang is tried.
const HANGS: u32 = 5;

fn main() -> ExitCode {
    if let Some(place) = std::env::var_os(ROLE) {
        serve(Path::new(&place));
        return ExitCode::SUCCESS;
    }
    let kills = std::env::args().find_map(|word| word.parse().ok());
    let place = std::env::temp_dir().join(format!("osps-ipc-bench-{}", std::process::id()));
    let directory = Directory::create(place).unwrap();
    measure(directory.path(), kills.unwrap_or(100));
    std::fs::remove_dir_all(directory.path()).unwrap();
    ExitCode::SUCCESS
}

fn serve(place: &Path) {
    let mut shutdown = Shutdown::install().unwrap();
    let options = ServerOptions::new().directory(place).heartbeat(BUDGET);
    let mut server = options.bind("bench").unwrap();
    while !shutdown.is_requested() {
        wait_any(&mut [&mut server, &mut shutdown], SOON).unwrap();
        while let Some(event) = server.try_next().unwrap() {
            let osps_ipc::Event::Request(request) = event else {
                continue;
            };
            match request.kind() {
                // Its next server is to have nothing to do with it.
                SPIN if !request.is_redelivered() => loop {
                    std::hint::spin_loop();
                },
                BLOCK if !request.is_redelivered() => loop {
                    std::thread::park();
                },
                _ => request.reply("").unwrap(),
            }
        }
    }
}

fn measure(place: &Path, kills: u32) {
    let mut config = Config::new(PERIOD, BUDGET);
    config.challenge_every = Some(Duration::from_millis(200));
    config.challenge_within = BUDGET;
    let mut policy = Policy::default();
    policy.first_delay = Duration::ZERO;
    policy.window = Duration::ZERO;
    println!(
        "policy: neither backs off nor gives up; period {PERIOD:?}, budget {BUDGET:?}, challenge every 200ms within {BUDGET:?}"
    );
    let mut command = Command::new("/proc/self/exe");
    command.env(ROLE, place).stdout(Stdio::null());
    let mut supervisor = SupervisorOptions::new(command)
        .directory(place)
        .config(config)
        .policy(policy)
        .supervise("bench")
        .unwrap();
    let mut pid = until(&mut supervisor, ready);
    let mut client = connect(place);

    let (mut told, mut served) = (Vec::new(), Vec::new());
    for _ in 0..kills {
        client.call(Request::new(ECHO, ""), SOON).unwrap();
        // The supervisor sleeps in its own thread's wait: as in a program.
        let started = std::thread::scope(|scope| {
            let watching = scope.spawn(|| {
                until(&mut supervisor, dead);
                let told = Instant::now();
                (told, until(&mut supervisor, ready))
            });
            wait_for_sleep();
            let killed = Instant::now();
            signal("KILL", pid);
            client.call(Request::new(ECHO, ""), SOON).unwrap();
            served.push(killed.elapsed());
            let (at, next) = watching.join().unwrap();
            told.push(at.saturating_duration_since(killed));
            next
        });
        pid = started;
    }
    row("kill -9: told", &mut told);
    row("kill -9: served again", &mut served);
    for (name, fault, wanted) in [
        ("livelock: told", Some(SPIN), Cause::Spinning),
        ("deadlock: told", Some(BLOCK), Cause::Blocked),
        ("SIGSTOP while idle: told", None, Cause::Stopped),
    ] {
        let mut told = Vec::new();
        for _ in 0..HANGS {
            let begun = Instant::now();
            match fault {
                Some(kind) => drop(client.submit(Request::new(kind, ""), SOON).unwrap()),
                None => signal("STOP", pid),
            }
            let cause = until(&mut supervisor, |event| match event {
                Event::Ended { report, .. } => Some(report.end.cause),
                _ => None,
            });
            told.push(begun.elapsed());
            assert_eq!(cause, ExitCause::KilledAsHung(wanted));
            pid = until(&mut supervisor, ready);
        }
        row(name, &mut told);
    }
    supervisor.stop();
    while !supervisor.is_over() {
        let _ = supervisor.next_timeout(SOON).unwrap();
    }
}

fn connect(place: &Path) -> Client {
    let options = ClientOptions::new().directory(place);
    options.connect("bench", SOON).unwrap()
}

fn ready(event: &Event) -> Option<u32> {
    match event {
        Event::Ready { pid, .. } => Some(*pid),
        _ => None,
    }
}

fn dead(event: &Event) -> Option<()> {
    matches!(event, Event::Ended { .. }).then_some(())
}

fn until<T>(supervisor: &mut Supervisor, wanted: impl Fn(&Event) -> Option<T>) -> T {
    loop {
        let event = supervisor.next_timeout(SOON).unwrap();
        if let Some(wanted) = wanted(&event.expect("an event in time")) {
            return wanted;
        }
    }
}

/// Long enough for the other thread to sleep.
fn wait_for_sleep() {
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(5) {
        std::thread::yield_now();
    }
}

fn signal(name: &str, pid: u32) {
    use rustix::process::{Pid, Signal, kill_process};
    let signal = match name {
        "KILL" => Signal::KILL,
        _ => Signal::STOP,
    };
    kill_process(Pid::from_raw(pid.try_into().unwrap()).unwrap(), signal).unwrap();
}

fn row(name: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let at = |part: usize| times[(times.len() - 1) * part / 100];
    println!(
        "{name:26} n {:4}  p50 {:>10.1?}  p99 {:>10.1?}  most {:>10.1?}",
        times.len(),
        at(50),
        at(99),
        at(100)
    );
}
