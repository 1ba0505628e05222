//! Servers that are well are left alone, whatever happens to them and to their watchdog; and one that hangs as soon as it
//! is given work is found.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what a test does not expect ends it"
)]

mod common;

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::{Helper, SOON, Scratch, tell};
use osps_ipc::detector::{Cause, Config, Verdict};
use osps_ipc::supervisor::Event::{Ended, Ready};
use osps_ipc::{
    Client, ClientOptions, Directory, Event, MonitorOptions, Reply, Request, RequestKind,
    ServerOptions, SupervisorOptions,
};
use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};
use rustix::time::{ClockId, clock_gettime};

/// Takes CPU time without a beat, and answers with the number of its process.
const WORK: RequestKind = RequestKind::new("work");
const SPIN: RequestKind = RequestKind::new("spin");

const BUDGET: Duration = Duration::from_millis(100);
/// Less than half of the budget: it is no fault of its own if a beat is late.
const WORK_TIME: Duration = Duration::from_millis(20);
const ROUNDS: u32 = 4;

fn config() -> Config {
    let mut config = Config::new(Duration::from_millis(10), BUDGET);
    config.challenge_every = Some(BUDGET);
    config.challenge_within = BUDGET;
    config
}

/// The other processes of these tests.
#[test]
fn play() {
    match common::role() {
        Some((role, place)) if role == "serve" => serve(&place),
        Some((_, place)) => watch(&place),
        None => {}
    }
}

fn serve(place: &Directory) {
    // Its watchdog is killed in the end.
    set_parent_process_death_signal(Some(Signal::KILL)).unwrap();
    let options = ServerOptions::new().directory(place.path());
    let mut server = options.heartbeat(BUDGET).bind("svc").unwrap();
    loop {
        let Some(Event::Request(request)) = server.next_timeout(SOON).unwrap() else {
            continue;
        };
        if request.kind() == SPIN {
            loop {
                std::hint::spin_loop();
            }
        }
        let start = cpu_time();
        while cpu_time().saturating_sub(start) < WORK_TIME {
            std::hint::spin_loop();
        }
        request.reply(&std::process::id().to_le_bytes()).unwrap();
    }
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap()
}

/// A watchdog that tells who serves, and each end.
fn watch(place: &Directory) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "play", "--nocapture", "--include-ignored"])
        .env("OSPS_IPC_TEST_ROLE", "serve")
        .stdout(Stdio::null());
    let options = SupervisorOptions::new(command).directory(place.path());
    let mut supervisor = options.config(config()).supervise("svc").unwrap();
    while !supervisor.is_over() {
        match supervisor.next_timeout(SOON).unwrap() {
            Some(Ready { pid, .. }) => tell(&pid.to_string()),
            Some(ended @ Ended { .. }) => tell(&ended.to_string()),
            _ => {}
        }
    }
}

fn client(place: &Scratch) -> Client {
    let options = ClientOptions::new().directory(place.path());
    options.connect("svc", SOON).unwrap()
}

/// Who has answered.
fn answered(reply: Reply) -> u32 {
    let answer = reply.into_answer().unwrap().into_vec();
    u32::from_le_bytes(answer.try_into().unwrap())
}

fn signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), signal).unwrap();
}

/// Lets a server work under a watchdog, and sees that it is the same one in the end.
fn is_left_alone(disturb: impl Fn(u32, u32, &mut Client) -> Option<Reply>) {
    let place = Scratch::new();
    let watchdog = Helper::start("play", "watch", place.path());
    let server: u32 = watchdog.line().parse().unwrap();
    let mut client = client(&place);
    for _ in 0..ROUNDS {
        client.submit(Request::new(WORK, ""), SOON).unwrap();
        let early = disturb(watchdog.pid(), server, &mut client);
        let reply = early.or_else(|| client.next_reply(SOON).unwrap());
        assert_eq!(answered(reply.unwrap()), server);
        let again = client.call(Request::new(WORK, ""), SOON).unwrap();
        assert_eq!(
            answered(again),
            server,
            "it was killed: {}",
            watchdog.line()
        );
    }
}

#[test]
fn a_watchdog_that_is_stopped_again_and_again_kills_nobody() {
    is_left_alone(|watchdog, _, client| {
        signal(watchdog, Signal::STOP);
        for _ in 0..6 {
            let answer = client.next_reply(SOON).unwrap();
            assert!(answer.is_some());
            client.submit(Request::new(WORK, ""), SOON).unwrap();
        }
        signal(watchdog, Signal::CONT);
        None
    });
}

#[test]
fn a_watchdog_that_is_stopped_together_with_its_server_kills_nobody() {
    is_left_alone(|watchdog, server, client| {
        signal(server, Signal::STOP);
        signal(watchdog, Signal::STOP);
        // Longer than it may be silent.
        let early = client.next_reply(BUDGET * 2).unwrap();
        signal(watchdog, Signal::CONT);
        signal(server, Signal::CONT);
        early
    });
}

#[test]
fn a_server_beside_sixteen_busy_loops_is_not_killed_for_the_time_that_they_take() {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        // Also if it fails: the threads are waited for.
        let _end = Ends(&over);
        is_left_alone(|_, _, _| None);
    });
}

struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_server_that_hangs_at_its_first_work_after_a_rest_is_found_without_a_challenge() {
    let place = Scratch::new();
    let _server = Helper::start("play", "serve", place.path());
    let mut config = config();
    config.challenge_every = None;
    let options = MonitorOptions::new().directory(place.path());
    let mut monitor = options.config(config).watch("svc").unwrap();
    let mut client = client(&place);
    client.call(Request::new(WORK, ""), SOON).unwrap();
    let start = Instant::now();
    let mut until = |wanted: Verdict| {
        while monitor.last().map(osps_ipc::Report::verdict) != Some(wanted) {
            assert!(start.elapsed() < SOON, "{:?}", monitor.last());
            let _ = monitor.next_timeout(BUDGET).unwrap();
        }
    };
    until(Verdict::Alive);
    client.submit(Request::new(SPIN, ""), SOON).unwrap();
    until(Verdict::Hung {
        cause: Cause::Spinning,
    });
}
