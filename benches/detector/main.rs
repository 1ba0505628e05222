//! How soon an end and a hang are told, and how often one is told wrongly, with real processes: the quality of service
//! of a failure detector by Chen, Toueg and Aguilera (2002), here and under two other rules.
//!
//!     cargo bench --bench detector -- --help
//!
//! The program executes itself in the roles of a server, of its watchdog by each rule, and of a busy loop. It makes the
//! server die or hang, and measures by one clock how long it takes until that is told, and until requests are served
//! again; and it lets the server live, and counts what is told wrongly. Where the machine is to be idle, nothing else
//! should run.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a program of its own: what it does not expect ends it"
)]

mod beat;
mod course;
mod faults;
mod limit;
mod lines;
mod machine;
mod mistakes;
mod options;
mod ours;
mod rule;
mod scene;
mod served;
mod systemd;
mod table;

use std::path::Path;
use std::process::ExitCode;

use options::Options;
use rule::Rule;
use table::Tables;

/// Says what a process of this program is to be: `serve RULE`, `watch RULE` or `burn`.
const ROLE: &str = "OSPS_IPC_BENCH_ROLE";
/// The runtime directory.
const PLACE: &str = "OSPS_IPC_BENCH_PLACE";
/// The service.
const SERVICE: &str = "bench";

fn main() -> ExitCode {
    match std::env::var(ROLE) {
        Ok(role) => play(&role),
        Err(_) => measure(&Options::parse()),
    }
}

fn play(role: &str) -> ExitCode {
    machine::die_with_the_parent();
    let place = std::env::var_os(PLACE).unwrap_or_default();
    let place = Path::new(&place);
    match role.split_once(' ') {
        Some(("serve", rule)) => served::serve(Rule::parse(rule), place),
        Some(("watch", rule)) => match Rule::parse(rule) {
            rule @ (Rule::Quick | Rule::Defaults) => ours::watch(rule, place),
            Rule::Course => course::watch(place),
            Rule::Systemd => systemd::watch(place),
        },
        _ => machine::burn(),
    }
}

fn measure(options: &Options) -> ExitCode {
    let mut tables = Tables::default();
    if options.wants("beat") {
        tables.beat = Some(beat::measure());
    }
    if options.wants(limit::WORD) {
        eprintln!("the limit of a kill");
        tables.faults.extend(limit::measure(options.kills));
    }
    for rule in Rule::ALL {
        if options.wants(rule.word()) && (rule.is_ours() || !options.ours) {
            eprintln!("faults: {}", rule.name());
            tables.faults.extend(faults::measure(rule, options));
        }
    }
    for condition in mistakes::Condition::ALL {
        if options.wants(condition.word()) {
            eprintln!("mistakes: {}", condition.name());
            tables
                .mistakes
                .extend(mistakes::measure(condition, options));
        }
    }
    let text = tables.to_string();
    print!("{text}");
    if let Some(file) = &options.out {
        std::fs::write(file, &text).unwrap();
    }
    let missed = tables.missed();
    for missed in &missed {
        println!("missed: {missed}");
    }
    match options.check && !missed.is_empty() {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}
