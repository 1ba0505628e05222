//! What a run says: a table in Markdown, the same and more in JSON, and a plot.

mod json;
mod machine;
mod markdown;
mod plot;
mod readme;

use std::fs;
use std::path::Path;

use crate::contender::{Kind, Outcome};
use crate::entry::Entry;
use crate::judge::Judged;
use crate::points::Point;
use crate::samples::Ran;

pub(crate) use machine::Machine;

/// Everything that a run has found.
pub(crate) struct Report<'a> {
    pub(crate) machine: &'a Machine,
    pub(crate) form: &'a str,
    pub(crate) ran: &'a [Ran],
    pub(crate) points: &'a [Point],
    pub(crate) judged: &'a [Judged],
}

/// Prints the table and writes the files into `out`, and the figures into the README if they are for it.
pub(crate) fn publish(report: &Report<'_>, out: &Path, for_readme: bool) -> Outcome<()> {
    let markdown = markdown::text(report)?;
    print!("{markdown}");
    fs::create_dir_all(out)?;
    fs::write(out.join("peers.md"), markdown)?;
    fs::write(out.join("peers.json"), json::text(report)?)?;
    fs::write(out.join("peers.svg"), plot::text(report)?)?;
    let part = readme::text(report)?;
    fs::write(out.join("figures.md"), &part)?;
    eprintln!(
        "written: {}/peers.md, peers.json, peers.svg, figures.md",
        out.display()
    );
    if for_readme {
        readme::put(&part)?;
        eprintln!("written: the figures in README.md");
    }
    Ok(())
}

/// A time or a rate as one reads it. `nanos` is the time of one operation of `entry`.
fn shown(entry: &Entry, nanos: f64) -> String {
    let rate = 1e9 / nanos;
    match entry.job.kind {
        Kind::RoundTrip | Kind::Untouched | Kind::Connect => time(nanos),
        Kind::Stream if entry.job.size >= 4096 => {
            format!("{} GB/s", digits(rate * entry.job.size as f64 / 1e9))
        }
        Kind::Stream => format!("{} M/s", digits(rate / 1e6)),
        Kind::Crowd => format!("{} k/s", digits(rate / 1e3)),
    }
}

fn time(nanos: f64) -> String {
    match nanos {
        _ if nanos < 1e3 => format!("{} ns", digits(nanos)),
        _ if nanos < 1e6 => format!("{} µs", digits(nanos / 1e3)),
        _ => format!("{} ms", digits(nanos / 1e6)),
    }
}

/// Three digits that count.
fn digits(number: f64) -> String {
    match number.abs() {
        size if size >= 99.95 => format!("{number:.0}"),
        size if size >= 9.995 => format!("{number:.1}"),
        size if size >= 0.095 || size == 0.0 => format!("{number:.2}"),
        _ => format!("{number:.4}"),
    }
}
