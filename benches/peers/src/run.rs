//! Runs a group: all its contenders alive, one at work at a time, a probe between any two slices.

use crate::contender::Outcome;
use crate::contenders;
use crate::crew::{Crew, Pins, Stage};
use crate::entry::Entry;
use crate::groups::{Group, Pace};
use crate::member::Stopped;
use crate::options::Plan;
use crate::placement::{Placement, Prober};
use crate::samples::{Ran, Sample, Series};
use crate::sys::clock::{millis, now};
use crate::sys::process::Stop;

/// Sleeping contenders are compared over at least so many pairs of slices.
pub(crate) const PAIRS: usize = 20;

/// A contender that takes part.
struct Runner<'a> {
    crew: Crew<'a>,
    /// Operations of the next slice.
    count: u64,
    series: usize,
}

pub(crate) fn run<'a>(
    group: &'static Group,
    plan: &Plan,
    prober: &mut Prober<'_>,
    stage: &mut Stage<'a>,
) -> Outcome<Ran> {
    let none_yet = |entry| Series {
        entry,
        samples: Vec::new(),
        thrown: 0,
        absent: None,
    };
    let mut series: Vec<Series> = group.entries.iter().map(none_yet).collect();
    let mut runners = Vec::new();
    for index in 0..series.len() {
        enlist(index, group, plan, &mut runners, &mut series, stage)?;
    }
    let begun = now();
    let mut launches = 1;
    for round in 0.. {
        let elapsed = now() - begun;
        if done(group, plan, elapsed, &series, &runners) {
            break;
        }
        if elapsed >= between_launches(group, plan).saturating_mul(launches) {
            launches += 1;
            let ended: Vec<usize> = runners.drain(..).map(|runner| runner.series).collect();
            for index in ended {
                enlist(index, group, plan, &mut runners, &mut series, stage)?;
            }
        }
        take_turns(
            group,
            plan,
            round,
            &mut runners,
            &mut series,
            prober,
            stage.stop,
        )?;
    }
    Ok(Ran { group, series })
}

/// How long a contender is at work before it is launched anew.
fn between_launches(group: &Group, plan: &Plan) -> u64 {
    match group.pace {
        Pace::Counted { launches } => plan.budget / (launches / plan.fewer_launches).max(1),
        Pace::Paired | Pace::Windowed => u64::MAX,
    }
}

/// Launches a contender, or notes why it does not take part: what it has shown before does not count then.
fn enlist<'a>(
    index: usize,
    group: &Group,
    plan: &Plan,
    runners: &mut Vec<Runner<'a>>,
    series: &mut [Series],
    stage: &mut Stage<'a>,
) -> Outcome<()> {
    let of = &mut series[index];
    match launch(of.entry, group, plan, stage) {
        Ok((crew, count)) => runners.push(Runner {
            crew,
            count,
            series: index,
        }),
        Err(error) => {
            of.samples.clear();
            of.absent = Some(error.to_string());
        }
    }
    stopped(stage.stop)
}

/// One slice of each, forwards and backwards in turn so that a drift favours nobody.
fn take_turns(
    group: &Group,
    plan: &Plan,
    round: u32,
    runners: &mut Vec<Runner<'_>>,
    series: &mut [Series],
    prober: &mut Prober<'_>,
    stop: &Stop,
) -> Outcome<()> {
    let mut failed = None;
    let mut before = probe(group, prober)?;
    for turn in 0..runners.len() {
        let index = if round.is_multiple_of(2) {
            turn
        } else {
            runners.len() - 1 - turn
        };
        let runner = &mut runners[index];
        let series = &mut series[runner.series];
        let nanos = match group.pace {
            Pace::Windowed => runner.crew.window(plan.window),
            Pace::Counted { .. } | Pace::Paired => runner.crew.count(runner.count),
        };
        stopped(stop)?;
        let after = probe(group, prober)?;
        match nanos {
            Ok(nanos) => {
                // A slice that was disturbed says little of the next one. Without the bounds, a small count would keep
                // itself small: it measures the wake-ups at both of its ends.
                runner.count = operations(plan.slice, nanos)
                    .clamp(runner.count.div_ceil(2), runner.count.saturating_mul(4));
                match placement(group, prober, before, after) {
                    Some(placement) => series.samples.push(Sample {
                        round,
                        placement,
                        nanos,
                    }),
                    None => series.thrown += 1,
                }
            }
            Err(error) => {
                series.samples.clear();
                series.absent = Some(error.to_string());
                failed = Some(index);
                break;
            }
        }
        before = after;
    }
    if let Some(index) = failed {
        runners.remove(index);
    }
    Ok(())
}

fn probe(group: &Group, prober: &mut Prober<'_>) -> Outcome<f64> {
    if group.pins == Pins::One {
        Ok(0.0)
    } else {
        prober.probe()
    }
}

fn placement(group: &Group, prober: &mut Prober<'_>, before: f64, after: f64) -> Option<Placement> {
    if group.pins == Pins::One {
        Some(Placement::OneCore)
    } else {
        prober.between(before, after)
    }
}

/// Whether a group has all that it needs, or has had its time.
fn done(
    group: &Group,
    plan: &Plan,
    elapsed: u64,
    series: &[Series],
    runners: &[Runner<'_>],
) -> bool {
    let enough = if group.pace == Pace::Paired {
        PAIRS.max(plan.enough)
    } else {
        plan.enough
    };
    let wanted = if group.pins == Pins::One {
        Placement::OneCore
    } else {
        Placement::Near
    };
    let mut live = runners.iter().map(|runner| &series[runner.series]);
    let full = live.all(|series| series.of(wanted).count() >= enough);
    runners.is_empty() || elapsed >= plan.limit || elapsed >= plan.budget && full
}

fn launch<'a>(
    entry: &Entry,
    group: &Group,
    plan: &Plan,
    stage: &mut Stage<'a>,
) -> Outcome<(Crew<'a>, u64)> {
    let contender = contenders::find(entry.contender).ok_or("not in this build")?;
    let mut crew = Crew::launch(contender, entry.job, group.pins, stage)?;
    let count = match group.pace {
        Pace::Windowed => 0,
        Pace::Counted { .. } | Pace::Paired => calibrate(&mut crew, plan.slice)?,
    };
    Ok((crew, count))
}

/// How many operations fill a slice.
fn calibrate(crew: &mut Crew<'_>, slice: u64) -> Outcome<u64> {
    let mut count = 1;
    loop {
        let nanos = crew.count(count)?;
        let filled = nanos * count as f64;
        if filled >= slice as f64 / 8.0 || filled >= millis(5) as f64 {
            return Ok(operations(slice, nanos));
        }
        count *= 8;
    }
}

fn operations(slice: u64, nanos: f64) -> u64 {
    (slice as f64 / nanos.max(0.1)).ceil().max(1.0) as u64
}

/// An error once the run was told to end.
pub(crate) fn stopped(stop: &Stop) -> Outcome<()> {
    if stop.raised()? {
        Err(Box::new(Stopped))
    } else {
        Ok(())
    }
}
