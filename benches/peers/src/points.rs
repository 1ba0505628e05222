//! Numbers that are taken once and not in slices: what idle sessions cost, and what a build does.

use std::fs;

use crate::build_time;
use crate::contender::{Job, Kind, Outcome};
use crate::contenders;
use crate::crew::{Crew, Pins, Stage};
use crate::entry::{EPOLL, OURS, REQUESTS};
use crate::figures::FIGURES;
use crate::member::rest;
use crate::options::Options;
use crate::run::stopped;
use crate::sys::clock::{millis, now};

/// A number with a name, or why there is none.
pub(crate) struct Point {
    pub(crate) name: String,
    pub(crate) unit: &'static str,
    pub(crate) value: Outcome<f64>,
}

/// The names that `--only` knows.
pub(crate) const NAMES: [&str; 4] = ["idle-cpu", "idle-switches", "mapped", "build"];

const IDLE: usize = 100;

/// Takes all points that are wanted.
pub(crate) fn take(options: &Options, stage: &mut Stage<'_>) -> Outcome<Vec<Point>> {
    let mut points = Vec::new();
    let wants = |name: &str| options.wants_point(name, FIGURES);
    if wants("idle-cpu") || wants("idle-switches") || wants("mapped") {
        for contender in [OURS, EPOLL, REQUESTS] {
            eprintln!("{IDLE} idle sessions: {contender}");
            let cost = idle(contender, options.plan().idle, stage);
            stopped(stage.stop)?;
            let mut add = |name: &str, unit, number: fn(&Cost) -> f64| {
                let value = cost
                    .as_ref()
                    .map(number)
                    .map_err(|error| error.to_string().into());
                points.push(Point {
                    name: format!("{name} {contender}"),
                    unit,
                    value,
                });
            };
            add("idle-cpu", "% of one CPU", |cost| cost.cpu);
            add("idle-switches", "context switches", |cost| cost.switches);
            add("mapped", "KiB a session", |cost| cost.mapped);
        }
    }
    if wants("build") {
        points.extend(build_time::take(options, stage.stop)?);
    }
    Ok(points)
}

struct Cost {
    cpu: f64,
    switches: f64,
    mapped: f64,
}

/// What [`IDLE`] connected sessions cost while nobody asks for anything.
fn idle(contender: &str, nanos: u64, stage: &mut Stage<'_>) -> Outcome<Cost> {
    let contender = contenders::find(contender).ok_or("not in this build")?;
    let job = Job::new(Kind::RoundTrip, 64).idle(IDLE);
    let stop = stage.stop;
    let mut crew = Crew::launch(contender, job, Pins::Free, stage)?;
    let mapped = mapped(crew.idlers_pid().ok_or("no idle sessions")?)? / 1024.0 / IDLE as f64;
    crew.resting(|crew| {
        let pids = crew.pids();
        // Whoever spins before sleeping shall be asleep when the clock starts.
        rest(now() + millis(500), stop)?;
        let (before, from) = (Used::by(&pids)?, now());
        rest(from + nanos, stop)?;
        let (after, until) = (Used::by(&pids)?, now());
        let cpu = 100.0 * (after.nanos - before.nanos) as f64 / (until - from) as f64;
        Ok(Cost {
            cpu,
            switches: (after.switches - before.switches) as f64,
            mapped,
        })
    })
}

/// What the threads of some processes have used so far.
#[derive(Default)]
struct Used {
    nanos: u64,
    switches: u64,
}

impl Used {
    fn by(pids: &[u32]) -> Outcome<Used> {
        let mut used = Used::default();
        for pid in pids {
            for task in fs::read_dir(format!("/proc/{pid}/task"))? {
                let task = task?.path();
                let schedule = fs::read_to_string(task.join("schedstat"))?;
                let nanos = schedule.split(' ').next().unwrap_or_default();
                used.nanos += nanos.parse::<u64>()?;
                let status = fs::read_to_string(task.join("status"))?;
                for line in status
                    .lines()
                    .filter(|line| line.contains("ctxt_switches:"))
                {
                    let count = line.rsplit_once(':').map_or("", |(_, count)| count.trim());
                    used.switches += count.parse::<u64>()?;
                }
            }
        }
        Ok(used)
    }
}

/// Bytes of a process's shared mappings.
fn mapped(pid: u32) -> Outcome<f64> {
    let mut bytes = 0;
    for line in fs::read_to_string(format!("/proc/{pid}/maps"))?.lines() {
        let mut words = line.split(' ');
        let (range, mode) = (
            words.next().unwrap_or_default(),
            words.next().unwrap_or_default(),
        );
        let (from, until) = range.split_once('-').ok_or("a mapping without a range")?;
        if mode.ends_with('s') {
            bytes += u64::from_str_radix(until, 16)? - u64::from_str_radix(from, 16)?;
        }
    }
    Ok(bytes as f64)
}
