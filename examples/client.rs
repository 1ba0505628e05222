//! A client: declares what kind of request it has, is directed to a secondary, sends its data there, and prints the
//! answer.
//!
//!     cargo run --release --example client -- --help

#[path = "shared/send.rs"]
mod send;

use std::fs::File;
use std::io::{self, BufRead, IsTerminal, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Arg, ArgMatches, Command, value_parser};
use osps_ipc::{Client, Error, Rejected, Reply, Request, RequestKind};
use send::{Problem, send};

/// The exit status: what went wrong, the worst of several.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Done = 0,
    Refused = 1,
    BadInput = 2,
    NoAnswer = 3,
}

/// What went wrong, and what it means.
type Failure = (Outcome, String);

fn main() -> ExitCode {
    let matches = command().get_matches();
    let outcome = match run(&matches) {
        Ok(outcome) => outcome,
        Err((outcome, message)) => {
            eprintln!("client: {message}");
            outcome
        }
    };
    ExitCode::from(outcome as u8)
}

fn command() -> Command {
    let seconds = |name: &'static str, default: &'static str| {
        let argument = Arg::new(name)
            .long(name)
            .value_name("SECONDS")
            .default_value(default);
        argument.value_parser(value_parser!(u32))
    };
    let service = Arg::new("service")
        .long("service")
        .value_name("NAME")
        .default_value("primary");
    Command::new("client")
        .about("Sends files to a service and prints its answers; without arguments it asks for the data")
        .arg(Arg::new("kind").value_name("KIND").help("The kind of request: digest, count, type1, type2"))
        .arg(
            Arg::new("files")
                .value_name("FILE")
                .num_args(0..)
                .value_parser(value_parser!(std::path::PathBuf))
                .help("What to send, one request each; - or none is standard input"),
        )
        .arg(service.help("The service that directs this client"))
        .arg(seconds("timeout", "30").help("How long to wait for each answer"))
        .arg(seconds("wait", "2").help("How long to wait for the service to be there"))
        .after_help(
            "Exit status: 0 answered, 1 answered with a failure or no room for the data, \
             2 bad usage or unreadable input, 3 no service or no answer in time.",
        )
}

fn run(matches: &ArgMatches) -> Result<Outcome, Failure> {
    let time =
        |name| Duration::from_secs(matches.get_one::<u32>(name).copied().unwrap_or(0).into());
    let timeout = time("timeout");
    let service = matches.get_one::<String>("service").map_or("", |name| name);
    let Some(kind) = matches.get_one::<String>("kind") else {
        if !io::stdin().is_terminal() {
            let usage = command().render_usage();
            return Err((
                Outcome::BadInput,
                format!("which kind of request?\n\n{usage}"),
            ));
        }
        return converse(&mut connect(service, time("wait"))?, timeout);
    };
    let kind = parse(kind)?;
    let mut client = connect(service, time("wait"))?;
    let declared = client.declare(kind, timeout).map_err(no_answer)?;
    declared.map_err(|rejected| (Outcome::Refused, rejected.to_string()))?;

    let files: Vec<_> = matches
        .get_many::<std::path::PathBuf>("files")
        .unwrap_or_default()
        .collect();
    let standard_input = std::path::PathBuf::from("-");
    let many = files.len() > 1;
    let mut worst = Outcome::Done;
    for path in if files.is_empty() {
        vec![&standard_input]
    } else {
        files
    } {
        let opened = if *path == standard_input {
            io::stdin().as_fd().try_clone_to_owned().map(File::from)
        } else {
            File::open(path)
        };
        let sent = opened.map_err(Problem::Input);
        let sent = sent.and_then(|file| send(&mut client, kind, file, timeout));
        let answer = sent.map_err(|problem| match problem {
            Problem::Input(error) => (Outcome::BadInput, error.to_string()),
            Problem::Call(error) => no_answer(error),
        });
        match answer.and_then(text) {
            Ok(answer) if many => print(&format!("{answer}  {}", path.display()))?,
            Ok(answer) => print(&answer)?,
            Err((outcome, message)) => {
                eprintln!("client: {}: {message}", path.display());
                worst = worst.max(outcome);
            }
        }
        if worst == Outcome::NoAnswer {
            break;
        }
    }
    Ok(worst)
}

fn connect(service: &str, wait: Duration) -> Result<Client, Failure> {
    Client::connect(service, wait).map_err(no_answer)
}

fn parse(kind: &str) -> Result<RequestKind, Failure> {
    kind.parse()
        .map_err(|error| (Outcome::BadInput, format!("kind {kind:?}: {error}")))
}

/// The answer as text, or why there is none.
fn text(reply: Reply) -> Result<String, Failure> {
    let answer = reply.into_answer();
    let answer = answer.map_err(|rejected: Rejected| (Outcome::Refused, rejected.to_string()))?;
    Ok(String::from_utf8_lossy(&answer.into_vec()).into_owned())
}

fn print(line: &str) -> Result<(), Failure> {
    writeln!(io::stdout(), "{line}")
        .map_err(|error| (Outcome::BadInput, format!("output: {error}")))
}

fn no_answer(error: Error) -> Failure {
    match error {
        Error::NotRunning { service, directory } => {
            let directory = directory.display();
            let start = match &service[..] {
                "primary" => String::new(),
                other => format!(" -- --service {other}"),
            };
            let message = format!(
                "nobody serves {service:?} in {directory}; start it with: \
                 cargo run --release --example primary{start}"
            );
            (Outcome::NoAnswer, message)
        }
        Error::BadName { .. } => (Outcome::BadInput, error.to_string()),
        Error::NoSpace { .. } => (Outcome::Refused, error.to_string()),
        other => (Outcome::NoAnswer, other.to_string()),
    }
}

/// Asks for kinds and data, as the course's client did, until an empty line or the end of the input.
fn converse(client: &mut Client, timeout: Duration) -> Result<Outcome, Failure> {
    while let Some(kind) = ask("kind of request (digest, count, type1, type2): ")? {
        let declared = match parse(&kind) {
            Ok(kind) => client
                .declare(kind, timeout)
                .map_err(no_answer)?
                .map(|()| kind),
            Err((_, message)) => {
                eprintln!("{message}");
                continue;
            }
        };
        let kind = match declared {
            Ok(kind) => kind,
            Err(rejected) => {
                eprintln!("{rejected}");
                continue;
            }
        };
        let Some(data) = ask("data: ")? else { break };
        let reply = client
            .call(Request::new(kind, &data), timeout)
            .map_err(no_answer)?;
        match text(reply) {
            Ok(answer) => print(&answer)?,
            Err((_, message)) => eprintln!("{message}"),
        }
    }
    Ok(Outcome::Done)
}

/// A line that is not empty.
fn ask(question: &str) -> Result<Option<String>, Failure> {
    let failed = |error: io::Error| (Outcome::BadInput, format!("input: {error}"));
    eprint!("{question}");
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).map_err(failed)?;
    let line = line.trim_end_matches(['\n', '\r']);
    Ok(Some(line.to_owned()).filter(|line| !line.is_empty()))
}
