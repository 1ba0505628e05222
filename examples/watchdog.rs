//! The watchdog: brings up the primary, which starts the secondaries, and keeps it running.
//!
//!     cargo run --release --example watchdog -- --help
//!
//! It can be killed: the service goes on, and the next watchdog goes on with that. With `--demo` it shows all of it.

#[path = "shared/demo.rs"]
mod demo;
#[path = "shared/notify.rs"]
mod notify;
#[path = "primary.rs"]
mod primary;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Arg, ArgAction, value_parser};
use notify::Notify;
use osps_ipc::detector::Verdict;
use osps_ipc::supervisor::Event;
use osps_ipc::{Pollable, Shutdown, Supervisor, SupervisorOptions, wait_any};
use primary::role;

/// How long the primary may take to end, with its secondaries.
const GRACE: Duration = Duration::from_secs(15);
/// The path that clients take is probed so often, and is to answer in as long.
const PROBE: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    if role::is("primary") || role::is("secondary") {
        return primary::main();
    }
    // As a child of the demo it is listed under its own name.
    role::is("watchdog");
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("watchdog: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> osps_ipc::Result<ExitCode> {
    let matches = clap::Command::new("watchdog")
        .about("Brings up the primary and its secondaries, and keeps the primary running")
        .arg(
            Arg::new("service")
                .long("service")
                .value_name("NAME")
                .default_value("primary")
                .help("The name that the primary serves under"),
        )
        .arg(
            Arg::new("primary")
                .last(true)
                .num_args(0..)
                .value_name("PRIMARY ARGS")
                .value_parser(value_parser!(OsString))
                .help("Passed on to the primary; see the help of that example"),
        )
        .arg(
            Arg::new("demo")
                .long("demo")
                .action(ArgAction::SetTrue)
                .help("Show all of it: 8 clients, while processes are killed and stopped"),
        )
        .arg(
            Arg::new("keep-dead")
                .long("keep-dead")
                .value_name("SECONDS")
                .value_parser(value_parser!(u64))
                .default_value("2")
                .requires("demo")
                .help("How long the demo keeps the primary dead"),
        )
        .arg(
            Arg::new("child-of")
                .long("child-of")
                .value_parser(value_parser!(i32))
                .hide(true),
        )
        .get_matches();
    if matches.get_flag("demo") {
        let seconds = matches.get_one("keep-dead").copied().unwrap_or(0);
        return Ok(demo::run(Duration::from_secs(seconds)));
    }
    if let Some(parent) = matches.get_one("child-of") {
        demo::end_with(*parent);
    }
    let service = matches.get_one::<String>("service").map_or("", |name| name);
    let arguments = matches.get_many::<OsString>("primary").unwrap_or_default();
    let mut command = role::command("primary");
    command.args(["--service", service]).args(arguments);

    let mut shutdown = Shutdown::install()?;
    let mut supervisor = SupervisorOptions::new(command)
        .grace(GRACE)
        .probe(PROBE, PROBE)
        .supervise(service)?;
    let mut log = Log::new();
    let notify = Notify::from_environment();
    let mut ending = false;
    loop {
        while let Some(event) = supervisor.try_next()? {
            log.note(&event);
            notify.send(&format!("STATUS={event}"));
            if let Event::Ready { .. } = event {
                notify.send("READY=1");
            }
        }
        if supervisor.is_over() {
            break;
        }
        if shutdown.is_requested() && !ending {
            ending = true;
            notify.send("STOPPING=1");
            log.say("asked to end");
            supervisor.stop();
            continue;
        }
        let mut events: Vec<&mut dyn Pollable> = vec![&mut supervisor];
        if !ending {
            // Once it was requested, it is no news any more.
            events.push(&mut shutdown);
        }
        wait_any(&mut events, notify.interval())?;
        notify.beat();
    }
    log.summarize(&supervisor);
    Ok(match supervisor.has_given_up() {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}

/// What has happened, with the time since the start.
struct Log {
    start: Instant,
    started: u32,
    ended: u32,
    /// How often the primary was found in each state.
    verdicts: BTreeMap<String, u32>,
}

impl Log {
    fn new() -> Log {
        Log {
            start: Instant::now(),
            started: 0,
            ended: 0,
            verdicts: BTreeMap::new(),
        }
    }

    /// Prints a line, whether or not anybody reads it.
    fn say(&self, line: &str) {
        let at = self.start.elapsed().as_secs_f64();
        let _ = writeln!(std::io::stdout(), "[{at:9.3}] {line}");
    }

    fn note(&mut self, event: &Event) {
        match event {
            Event::Started { .. } => self.started += 1,
            Event::Ended { pid: Some(_), .. } => self.ended += 1,
            Event::Verdict(report) => {
                let name = match report.verdict() {
                    Verdict::Suspect { .. } => "suspect".to_owned(),
                    other => other.to_string(),
                };
                *self.verdicts.entry(name).or_default() += 1;
            }
            _ => {}
        }
        self.say(&event.to_string());
    }

    fn summarize(&self, supervisor: &Supervisor) {
        let up = self.start.elapsed();
        self.say(&format!(
            "watched {:?} for {up:.1?}: started {} times, ended {} times, {} restarts left",
            supervisor.service().as_str(),
            self.started,
            self.ended,
            supervisor.restarts_left(),
        ));
        for end in supervisor.history() {
            let healthy = end.healthy_for.unwrap_or_default();
            self.say(&format!("  {}, healthy for {healthy:.1?}", end.cause));
        }
        for (verdict, count) in &self.verdicts {
            self.say(&format!("  found {verdict}: {count}"));
        }
    }
}
