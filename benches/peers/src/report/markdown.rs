//! The table.

use std::fmt::Write;

use super::{Report, digits, shown};
use crate::contender::Outcome;
use crate::entry::Class;
use crate::figures::Bound;
use crate::groups::Pace;
use crate::judge::{Judged, Verdict};
use crate::placement::{PLACEMENTS, Placement};
use crate::samples::{Ran, Series};

/// Said where others had the cores.
pub(super) const BUSY: &str =
    "**The machine was busy with something else: these numbers mean little.**";

pub(crate) fn text(report: &Report<'_>) -> Outcome<String> {
    let mut text = String::new();
    writeln!(text, "# osps-ipc and its peers\n")?;
    writeln!(text, "{}; {}.\n", report.machine.text(), report.form)?;
    writeln!(
        text,
        "Medians, with the tenth and ninetieth percentile in brackets and the number of samples.\n\
         Every sample lies between two probes of the cores' placement; those whose probe moved are\n\
         thrown away, and ratios compare only samples of one placement. \"× limit\" and \"× peer\" are\n\
         times of one operation, over that of the best bare limit and of the best peer beside it.\n"
    )?;
    if report.machine.is_busy() {
        writeln!(text, "{BUSY}\n")?;
    }
    if !report.judged.is_empty() {
        writeln!(text, "## Figures\n")?;
        figures(&mut text, report.judged)?;
    }
    for ran in report.ran {
        group(&mut text, ran)?;
    }
    points(&mut text, report)?;
    Ok(text)
}

/// A line for each figure.
pub(super) fn figures(text: &mut String, judged: &[Judged]) -> Outcome<()> {
    writeln!(
        text,
        "| figure | what | bound | measured | judged by | in each placement | verdict |"
    )?;
    writeln!(text, "|---|---|---|---|---|---|---|")?;
    for Judged {
        figure,
        ratios,
        verdict,
    } in judged
    {
        let bound = bound(figure.bound);
        let each = in_each(ratios);
        let (measured, by, verdict) = match verdict {
            Verdict::Met { value, by } => (digits(*value), by.as_str(), "met"),
            Verdict::Missed { value, by } => (digits(*value), by.as_str(), "**missed**"),
            Verdict::NotMeasured(why) => (String::new(), why.as_str(), "not measured"),
        };
        let (id, what) = (figure.id, figure.what);
        writeln!(
            text,
            "| {id} | {what} | {bound} | {measured} | {by} | {each} | {verdict} |"
        )?;
    }
    writeln!(text)?;
    Ok(())
}

/// The ratio in each of the three placements; a dash where it did not come up.
fn in_each(ratios: &[(Placement, f64)]) -> String {
    let ratio = |wanted| ratios.iter().find(|(known, _)| *known == wanted);
    let cells = |placement: Placement, needed: bool| {
        let found = ratio(placement).map(|(_, ratio)| digits(*ratio));
        let shown = found.or_else(|| needed.then(|| "–".to_owned()))?;
        Some(format!("{} {shown}", placement.text()))
    };
    let pinned_apart = ratios.iter().any(|(known, _)| *known != Placement::OneCore);
    let each: Vec<String> = PLACEMENTS
        .into_iter()
        .filter_map(|placement| cells(placement, pinned_apart && placement != Placement::OneCore))
        .collect();
    each.join(", ")
}

fn bound(bound: Bound) -> String {
    match bound {
        Bound::Time(most) => format!("≤ {most} × the time"),
        Bound::Rate(least) => format!("≥ {least} × the rate"),
        Bound::Most(most) => format!("≤ {most}"),
    }
}

fn group(text: &mut String, ran: &Ran) -> Outcome<()> {
    let group = ran.group;
    let placements: Vec<Placement> = PLACEMENTS
        .into_iter()
        .filter(|&placement| {
            ran.series
                .iter()
                .any(|series| series.of(placement).count() > 0)
        })
        .collect();
    writeln!(text, "## {}\n", group.title)?;
    let paired = if group.pace == Pace::Paired {
        ", in alternating pairs"
    } else {
        ""
    };
    writeln!(text, "`{}`, {}{paired}.\n", group.id, group.pins.text())?;
    write!(text, "| |")?;
    for placement in &placements {
        write!(text, " {} | × limit | × peer |", placement.text())?;
    }
    writeln!(text, " thrown away |")?;
    writeln!(text, "|---|{}---|", "---|---|---|".repeat(placements.len()))?;
    for series in &ran.series {
        write!(text, "| {} |", series.entry.name())?;
        for &placement in &placements {
            write!(text, " {} |", cells(ran, series, placement))?;
        }
        let thrown = series
            .absent
            .clone()
            .unwrap_or_else(|| series.thrown.to_string());
        writeln!(text, " {thrown} |")?;
    }
    writeln!(text)?;
    Ok(())
}

/// Median and spread, and how many times the time of the best limit and the best peer.
fn cells(ran: &Ran, series: &Series, placement: Placement) -> String {
    let Some(spread) = series.spread(placement) else {
        return " | | ".to_owned();
    };
    let times = |class: Class| {
        let others = ran
            .series
            .iter()
            .filter(|other| other.entry.class() == class);
        let medians = others.filter_map(|other| Some(other.spread(placement)?.median));
        medians
            .reduce(f64::min)
            .map_or_else(String::new, |best| digits(spread.median / best))
    };
    let (low, high) = (
        shown(series.entry, spread.low),
        shown(series.entry, spread.high),
    );
    let median = shown(series.entry, spread.median);
    let (limit, peer) = (times(Class::Limit), times(Class::Peer));
    format!(
        "{median} ({low} – {high}; {}) | {limit} | {peer}",
        spread.count
    )
}

fn points(text: &mut String, report: &Report<'_>) -> Outcome<()> {
    if report.points.is_empty() {
        return Ok(());
    }
    writeln!(text, "## Weight\n\n| | | |\n|---|---|---|")?;
    for point in report.points {
        let value = point
            .value
            .as_ref()
            .map_or_else(ToString::to_string, |value| digits(*value));
        writeln!(text, "| {} | {value} | {} |", point.name, point.unit)?;
    }
    writeln!(text)?;
    Ok(())
}
