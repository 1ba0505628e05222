//! All of it in one play: a system is brought up, clients are served, processes are killed and stopped in the middle
//! of it, and what the clients have seen is counted.

#[path = "demo_load.rs"]
mod load;
#[path = "demo_stage.rs"]
mod stage;
#[path = "demo_table.rs"]
mod table;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use load::{Burst, PATIENCE, Payload, Sheet, Stop, connect};
use osps_ipc::{Directory, Figures, Name, RequestKind, Shutdown, wait_any};
use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use stage::{Stage, say};
use table::{Act, Outcome};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// As many as there are.
const CLIENTS: u32 = 8;
const SECONDARIES: [&str; 2] = ["primary-1", "primary-2"];
/// Before the first fault, and after the last.
const CALM: Duration = Duration::from_secs(3);
/// Between two faults.
const PAUSE: Duration = Duration::from_secs(1);
const DIGEST: RequestKind = RequestKind::new("digest");

/// Plays, with a primary that is kept dead for this time. Fails if a promise is broken, never for being slow.
pub(crate) fn run(keep_dead: Duration) -> ExitCode {
    match play(keep_dead) {
        Ok(Some(true)) => ExitCode::SUCCESS,
        Ok(Some(false)) => ExitCode::FAILURE,
        // As of a program that does not catch Ctrl-C.
        Ok(None) => ExitCode::from(130),
        Err(error) => {
            eprintln!("demo: {error}");
            ExitCode::FAILURE
        }
    }
}

/// In the watchdog of a demo: ends in good order when the demo was killed.
pub(crate) fn end_with(parent: i32) {
    let told = set_parent_process_death_signal(Some(Signal::TERM));
    let is_alive = getppid().is_some_and(|now| now.as_raw_nonzero().get() == parent);
    if told.is_err() || !is_alive {
        std::process::exit(1);
    }
}

/// Whether every promise was kept; `None` if it was interrupted.
fn play(keep_dead: Duration) -> Result<Option<bool>> {
    let mut shutdown = Shutdown::install()?;
    let descriptors = descriptors()?;
    let stage = Stage::set()?;
    say(&format!(
        "everything stands in {}",
        stage.runtime().display()
    ));
    answer_of_primary(&stage)?;
    let payloads = load::payloads();
    say(&format!("{CLIENTS} clients ask for digests and counts"));
    let stop = Stop::default();
    let mut script = Script {
        stage: &stage,
        shutdown: &mut shutdown,
        acts: Vec::new(),
        sheet: Sheet::default(),
    };
    let played = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let (stage, payloads, stop) = (&stage, &payloads, &stop);
                scope.spawn(move || load::client(stage.runtime(), number, payloads, stop))
            })
            .collect();
        let played = script.play(&payloads, keep_dead);
        stop.request();
        for client in clients {
            script
                .sheet
                .add(client.join().map_err(|_| "a client has panicked")?);
        }
        played
    });
    let Script { acts, sheet, .. } = script;
    if shutdown.is_requested() {
        stage.strike()?;
        return Ok(None);
    }
    played?;
    let redelivered = redelivered(&stage)?;
    let mut left = stage.strike()?;
    let more = self::descriptors()?.saturating_sub(descriptors);
    // The catcher of signals stays.
    left.extend((more > 0).then(|| format!("{more} descriptors")));
    let outcome = Outcome {
        acts,
        sheet,
        redelivered,
        left,
    };
    table::print(&outcome);
    Ok(Some(outcome.is_good()))
}

/// How many requests were handed out again, because who had begun them died.
fn redelivered(stage: &Stage) -> Result<u64> {
    let runtime = Directory::open(stage.runtime())?;
    let mut sum = 0;
    for service in SECONDARIES {
        sum += Figures::read(&runtime, &Name::new(service)?)?.redelivered;
    }
    Ok(sum)
}

fn descriptors() -> Result<usize> {
    Ok(std::fs::read_dir("/proc/self/fd")?.count())
}

/// The faults, one after the other.
struct Script<'a> {
    stage: &'a Stage,
    shutdown: &'a mut Shutdown,
    acts: Vec<Act>,
    sheet: Sheet,
}

impl Script<'_> {
    fn play(&mut self, payloads: &[Payload], keep_dead: Duration) -> Result<()> {
        let stage = self.stage;
        self.calm("before")?;

        let primary = stage.server("primary")?;
        say(&format!("kill -9 the primary, process {}", primary.number));
        let begun = Instant::now();
        primary.send(Signal::KILL);
        self.recover("primary killed", begun, answer_of_primary(stage))?;

        let primary = stage.server("primary")?;
        say(&format!(
            "kill -9 the primary, process {}, and stop the watchdog for {keep_dead:?}",
            primary.number
        ));
        let begun = Instant::now();
        stage.watchdog.send(Signal::STOP);
        primary.send(Signal::KILL);
        self.pause(keep_dead)?;
        stage.watchdog.send(Signal::CONT);
        self.recover("it is kept dead", begun, answer_of_primary(stage))?;

        for (name, service, flag, signal) in [
            ("secondary killed", SECONDARIES[0], "-9", Signal::KILL),
            ("secondary stopped", SECONDARIES[1], "-STOP", Signal::STOP),
        ] {
            let secondary = stage.server(service)?;
            let mut burst = Burst::new(stage.runtime(), service, payloads)?;
            say(&format!(
                "kill {flag} {service}, process {}",
                secondary.number
            ));
            burst.send()?;
            let begun = Instant::now();
            secondary.send(signal);
            let answered = burst.fetch();
            self.sheet.add(burst.sheet);
            self.recover(name, begun, answered)?;
        }

        self.calm("after")
    }

    /// Waits, unless the end is asked for.
    fn pause(&mut self, time: Duration) -> Result<()> {
        match wait_any(&mut [self.shutdown], time)? {
            true => Err("interrupted".into()),
            false => Ok(()),
        }
    }

    fn calm(&mut self, name: &'static str) -> Result<()> {
        let begun = Instant::now();
        self.pause(CALM)?;
        self.acts.push(Act {
            name,
            begun,
            ended: Some(Instant::now()),
            is_fault: false,
        });
        Ok(())
    }

    /// Notes how a fault ended, and lets some time pass.
    fn recover(&mut self, name: &'static str, begun: Instant, answer: Result<()>) -> Result<()> {
        let ended = answer.is_ok().then(Instant::now);
        if let Err(error) = answer {
            say(&format!("no recovery: {error}"));
        }
        self.acts.push(Act {
            name,
            begun,
            ended,
            is_fault: true,
        });
        self.pause(PAUSE)
    }
}

/// Has a new client directed, as soon as there is a primary that does.
fn answer_of_primary(stage: &Stage) -> Result<()> {
    let mut client = connect(stage.runtime(), "primary")?;
    client.declare(DIGEST, PATIENCE)??;
    Ok(())
}
