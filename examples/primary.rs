//! The primary: starts and supervises the secondaries, plays ping-pong with each, then directs every client to the
//! least busy one.
//!
//!     cargo run --release --example primary -- --help
//!
//! The data go from the client to the secondary and back; none of them pass through here.

#[path = "shared/control.rs"]
mod control;
#[path = "shared/role.rs"]
pub(crate) mod role;
#[path = "secondary.rs"]
mod secondary;
#[path = "shared/team.rs"]
mod team;

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Arg, ArgAction, Command, value_parser};
use control::Result;
use osps_ipc::{Event, Pollable, Question, Server, ServerOptions, Shutdown, supervisor, wait_any};
use team::Team;

/// How long clients that are being directed may take when the primary ends.
const GRACE: Duration = Duration::from_secs(3);
/// The loop comes round in this time: what takes longest is to connect to a secondary that does not answer (50 ms).
const BUDGET: Duration = Duration::from_secs(1);
/// How long the secondaries may take to be there. One that comes later is used from then on.
const TO_START: Duration = Duration::from_secs(5);
/// When nothing is to be waited for but events.
const LONG: Duration = Duration::from_secs(1 << 20);

pub(crate) fn main() -> ExitCode {
    if role::is("secondary") {
        return secondary::main();
    }
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("primary: {error}");
            // A watchdog goes on with a primary that runs already.
            ExitCode::from(error.downcast_ref().map_or(1, supervisor::exit_code))
        }
    }
}

struct Options {
    service: String,
    secondaries: u32,
    rounds: u32,
    exit: bool,
    idle: u64,
}

impl Options {
    fn parse() -> Options {
        let number = |name: &'static str, default: &'static str, least: i64, help: &'static str| {
            let argument = Arg::new(name)
                .long(name)
                .value_name("N")
                .default_value(default);
            let parser = value_parser!(u32).range(least..);
            argument.value_parser(parser).help(help)
        };
        let service = Arg::new("service").long("service").value_name("NAME");
        let exit = Arg::new("exit").long("exit").action(ArgAction::SetTrue);
        let matches = Command::new("primary")
            .about("Starts secondaries, plays ping-pong with each, and directs clients to them")
            .arg(
                service
                    .default_value("primary")
                    .help("The name to serve under"),
            )
            .arg(number(
                "secondaries",
                "2",
                1,
                "How many secondaries to start",
            ))
            .arg(number(
                "rounds",
                "14",
                0,
                "How many rounds of ping-pong to play with each",
            ))
            .arg(exit.help("End after the rounds, instead of serving clients"))
            .arg(number(
                "idle",
                "60",
                1,
                "Seconds without anybody after which a secondary ends",
            ))
            .get_matches();
        let number = |name| matches.get_one::<u32>(name).copied().unwrap_or(0);
        Options {
            service: matches
                .get_one::<String>("service")
                .cloned()
                .unwrap_or_default(),
            secondaries: number("secondaries"),
            rounds: number("rounds"),
            exit: matches.get_flag("exit"),
            idle: number("idle").into(),
        }
    }
}

/// Prints a line, whether or not anybody reads it: a primary does not end because its log has.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn run(options: &Options) -> Result<()> {
    let mut shutdown = Shutdown::install()?;
    // Until it is first asked for an event it counts as starting: the games come before.
    let options_of_server = ServerOptions::new().directs().heartbeat(BUDGET);
    let mut server = options_of_server.bind(&options.service)?;
    let mut team = Team::new(server.service(), options.secondaries, options.idle)?;
    team.assemble(&mut shutdown, TO_START, say)?;
    for place in &mut team.places {
        let pid = place.pid().unwrap_or_default();
        let (name, rounds) = (&place.name, options.rounds);
        let played = match &mut place.control {
            Some(control) => control.play(&server, rounds),
            None => Err("it has not started".into()),
        };
        match played {
            Ok(played) => {
                say(&format!(
                    "secondary {name} (process {pid}): {rounds} rounds"
                ));
                print_rounds(&played);
            }
            Err(error) if options.exit => return Err(error),
            Err(error) => say(&format!("secondary {name}: no rounds: {error}")),
        }
    }
    if !options.exit {
        let place = server.directory().path().display();
        say(&format!(
            "serving {:?} in {place}; Ctrl-C ends",
            options.service
        ));
        serve(&mut server, &mut team, &mut shutdown)?;
        say("ending");
    }
    Ok(())
}

fn print_rounds(rounds: &[(String, Duration)]) {
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    let Some(slowest) = rounds.iter().map(|(_, time)| *time).max() else {
        return;
    };
    say("  round  wrote  read  round trip");
    for (number, (word, time)) in (1..).zip(rounds) {
        say(&format!(
            "  {number:5}  ping   {word:4}  {:7.1} µs",
            micros(*time)
        ));
    }
    let mut times: Vec<_> = rounds.iter().map(|(_, time)| *time).collect();
    times.sort_unstable();
    let median = times[times.len() / 2];
    say(&format!(
        "  median {:.1} µs, slowest {:.1} µs",
        micros(median),
        micros(slowest)
    ));
}

/// Directs clients until the end is asked for, and then those that are here already.
fn serve(server: &mut Server, team: &mut Team, shutdown: &mut Shutdown) -> Result<()> {
    let mut draining = false;
    loop {
        if shutdown.is_requested() && !draining {
            draining = true;
            server.drain(GRACE);
        }
        team.hear(say)?;
        match server.try_next()? {
            Some(Event::Question(question)) => direct(question, team),
            Some(Event::Request(request)) => {
                let _ = request.fail(0, "ask where to send it: the primary only directs");
            }
            Some(Event::Drained) => return Ok(()),
            Some(_) => {}
            None => {
                let left = team.time_left().unwrap_or(LONG);
                let mut events: Vec<&mut dyn Pollable> = vec![server];
                events.extend(team.pollables());
                if !draining {
                    // Once it was requested, it is no news any more.
                    events.push(shutdown);
                }
                wait_any(&mut events, if draining { left.min(GRACE) } else { left })?;
            }
        }
    }
}

/// Where requests of the kind that a client declares go.
fn direct(question: Question, team: &mut Team) {
    if secondary::KINDS.contains(&question.kind()) {
        return team.direct(question);
    }
    // A client that has gone meanwhile is its own affair.
    let _ = question.unknown_kind(&secondary::KINDS);
}
