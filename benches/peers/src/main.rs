//! osps-ipc, its peers and the bare limits of the machine, side by side in one run.
//!
//! `cargo run --release` in this folder; `--help` lists the options. Reading order: `contender` (what
//! takes part), `ends` (the loops that they share), `child` and `crew` (the processes), `placement`
//! and `run` (how slices are taken), `entry`, `groups` and `figures`
//! (what is compared), `judge`, `report`.

mod build_time;
mod child;
mod connects;
mod contender;
mod contenders;
mod crew;
mod ends;
mod entry;
mod figures;
mod groups;
mod judge;
mod member;
mod options;
mod placement;
mod points;
mod report;
mod run;
mod samples;
mod sys;

use std::process::ExitCode;

use contender::Outcome;
use crew::Stage;
use figures::FIGURES;
use groups::GROUPS;
use judge::{Judged, Verdict};
use options::Options;
use placement::Prober;
use report::{Machine, Report};
use sys::cpu;
use sys::process::Stop;
use sys::scratch::Scratch;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some((first, rest)) = arguments.split_first()
        && first == child::CHILD
    {
        return match child::live(rest) {
            Ok(()) => ExitCode::SUCCESS,
            // The coordinator was told already.
            Err(_) => ExitCode::FAILURE,
        };
    }
    match Options::parse(arguments).and_then(|options| coordinate(&options)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(3)
        }
    }
}

fn coordinate(options: &Options) -> Outcome<ExitCode> {
    if options.help {
        print!("{}", options::HELP);
        return Ok(ExitCode::SUCCESS);
    }
    if options.list {
        list();
        return Ok(ExitCode::SUCCESS);
    }
    let machine = Machine::look()?;
    let [first, second, ..] = cpu::allowed()?[..] else {
        return Err("this bench needs two cores".into());
    };
    // What is not pinned to one of them may use both, and no third.
    cpu::keep_to(&[first, second])?;
    let stop = Stop::watch()?;
    let mut scratch = Scratch::create()?;
    let mut stage = Stage {
        scratch: &mut scratch,
        stop: &stop,
        cores: [first, second],
    };
    let (ran, points) = measure(options, &mut stage)?;
    let judged: Vec<Judged> = FIGURES
        .iter()
        .filter(|figure| options.wants_figure(figure))
        .map(|figure| judge::judge(figure, &ran, &points))
        .collect();
    let form = if options.quick {
        "the quick form"
    } else {
        "the full form"
    };
    let report = Report {
        machine: &machine,
        form,
        ran: &ran,
        points: &points,
        judged: &judged,
    };
    report::publish(&report, &options.out(), options.readme)?;
    Ok(if options.check {
        check(&judged)
    } else {
        ExitCode::SUCCESS
    })
}

fn measure(
    options: &Options,
    stage: &mut Stage<'_>,
) -> Outcome<(Vec<samples::Ran>, Vec<points::Point>)> {
    let plan = options.plan();
    let mut prober = Prober::launch(stage)?;
    let mut ran = Vec::new();
    for group in GROUPS
        .iter()
        .filter(|group| options.wants_group(group, FIGURES))
    {
        eprintln!("{}: {}", group.id, group.title);
        ran.push(run::run(group, &plan, &mut prober, stage)?);
    }
    drop(prober);
    Ok((ran, points::take(options, stage)?))
}

/// Names what is missed or could not be measured.
fn check(judged: &[Judged]) -> ExitCode {
    let (mut missed, mut unknown) = (false, false);
    for Judged {
        figure, verdict, ..
    } in judged
    {
        match verdict {
            Verdict::Met { .. } => {}
            Verdict::Missed { value, by } => {
                missed = true;
                let bound = figure.bound;
                eprintln!(
                    "missed: {} ({}): {value:.3} ({by}), bound {bound:?}",
                    figure.id, figure.what
                );
            }
            Verdict::NotMeasured(why) => {
                unknown = true;
                eprintln!("not measured: {} ({}): {why}", figure.id, figure.what);
            }
        }
    }
    match (missed, unknown) {
        (true, _) => ExitCode::from(1),
        (false, true) => ExitCode::from(2),
        (false, false) => ExitCode::SUCCESS,
    }
}

fn list() {
    println!("groups:");
    GROUPS
        .iter()
        .for_each(|group| println!("  {:18} {}", group.id, group.title));
    println!("figures:");
    FIGURES
        .iter()
        .for_each(|figure| println!("  {:18} {}", figure.id, figure.what));
    println!("points:");
    points::NAMES.iter().for_each(|name| println!("  {name}"));
}
