//! The plot: a panel a group, a bar a contender, on a logarithmic scale; the shorter, the faster.

use std::fmt::Write;

use super::{Report, shown};
use crate::contender::Outcome;
use crate::entry::Class;
use crate::placement::{PLACEMENTS, Placement};
use crate::samples::{Ran, Series, Spread};

const WIDTH: f64 = 900.0;
const NAMES: f64 = 310.0;
const VALUES: f64 = 90.0;
const ROW: f64 = 20.0;
const HEAD: f64 = 42.0;
const TOP: f64 = 76.0;

const STYLE: &str = "\
text { font: 13px system-ui, sans-serif; fill: #24292f }
.title { font-size: 17px; font-weight: 600 }
.panel { font-weight: 600 }
.note { fill: #6e7781; font-size: 12px }
.ours { fill: #1a7f37 }
.limit { fill: #8c959f }
.peer { fill: #54aeff }
.whisker { stroke: #24292f; stroke-width: 1.2 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .note { fill: #8d96a0 } .whisker { stroke: #e6edf3 }
}
";

pub(crate) fn text(report: &Report<'_>) -> Outcome<String> {
    let panels: Vec<Panel<'_>> = report.ran.iter().filter_map(Panel::of).collect();
    let height = TOP + panels.iter().map(Panel::height).sum::<f64>();
    let mut svg = String::new();
    writeln!(
        svg,
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">"#
    )?;
    writeln!(
        svg,
        "<title>osps-ipc, its peers and the limits of the machine</title>"
    )?;
    writeln!(svg, "<style>\n{STYLE}</style>")?;
    label(
        &mut svg,
        10.0,
        22.0,
        "title",
        "Time of one operation (logarithmic; shorter is faster)",
    )?;
    label(&mut svg, 10.0, 42.0, "note", &report.machine.text())?;
    let classes = [
        ("ours", "osps-ipc"),
        ("limit", "bare limits"),
        ("peer", "peers"),
    ];
    for (x, (class, name)) in [10.0, 110.0, 230.0].into_iter().zip(classes) {
        writeln!(
            svg,
            r#"<rect class="{class}" x="{x}" y="52" width="14" height="14" rx="2"/>"#
        )?;
        label(&mut svg, x + 20.0, 63.0, "note", name)?;
    }
    let mut y = TOP;
    for panel in &panels {
        panel.draw(&mut svg, y)?;
        y += panel.height();
    }
    writeln!(svg, "</svg>")?;
    Ok(svg)
}

/// One group in the placement that it is shown in.
struct Panel<'a> {
    ran: &'a Ran,
    placement: Placement,
    bars: Vec<(&'a Series, Spread)>,
}

impl Panel<'_> {
    /// Near if everyone has samples there, else where there are most.
    fn of(ran: &Ran) -> Option<Panel<'_>> {
        let live = ran
            .series
            .iter()
            .filter(|series| series.absent.is_none())
            .count();
        let samples = |placement: Placement| -> usize {
            let count = |series: &Series| series.of(placement).count();
            let all: usize = ran.series.iter().map(count).sum();
            if placement == Placement::Near && all >= 5 * live {
                usize::MAX
            } else {
                all
            }
        };
        let placement = PLACEMENTS
            .into_iter()
            .max_by_key(|&placement| samples(placement))?;
        let mut bars: Vec<_> = ran
            .series
            .iter()
            .filter_map(|series| Some((series, series.spread(placement)?)))
            .collect();
        bars.sort_by(|a, b| a.1.median.total_cmp(&b.1.median));
        (!bars.is_empty()).then_some(Panel {
            ran,
            placement,
            bars,
        })
    }

    fn height(&self) -> f64 {
        HEAD + ROW * self.bars.len() as f64 + 10.0
    }

    fn draw(&self, svg: &mut String, y: f64) -> Outcome<()> {
        let title = format!("{} ({})", self.ran.group.title, self.placement.text());
        label(svg, 10.0, y + 18.0, "panel", &title)?;
        let ends = self.bars.iter().map(|(_, spread)| spread);
        let low = ends
            .clone()
            .map(|spread| spread.low)
            .fold(f64::INFINITY, f64::min)
            / 1.6;
        let high = ends
            .map(|spread| spread.high)
            .fold(0.0, f64::max)
            .max(low * 2.0);
        let scale = |nanos: f64| {
            (nanos / low).ln().max(0.0) / (high / low).ln() * (WIDTH - NAMES - VALUES - 20.0)
        };
        for (row, (series, spread)) in self.bars.iter().enumerate() {
            let y = y + HEAD + ROW * row as f64;
            let name = series.entry.name();
            let value = shown(series.entry, spread.median);
            let (from, until) = (NAMES + scale(spread.low), NAMES + scale(spread.high));
            let (width, bar, middle) = (scale(spread.median), y - 11.0, y - 4.0);
            label(svg, 20.0, y, "", name)?;
            writeln!(
                svg,
                r#"<rect class="{}" x="{NAMES}" y="{bar}" width="{width:.1}" height="14" rx="2"/>"#,
                style(series.entry.class())
            )?;
            writeln!(
                svg,
                r#"<line class="whisker" x1="{from:.1}" y1="{middle}" x2="{until:.1}" y2="{middle}"/>"#
            )?;
            label(svg, until.max(NAMES + width) + 6.0, y, "", &value)?;
        }
        Ok(())
    }
}

fn style(class: Class) -> &'static str {
    match class {
        Class::Ours => "ours",
        Class::Limit | Class::Yardstick => "limit",
        Class::Peer => "peer",
    }
}

fn label(svg: &mut String, x: f64, y: f64, class: &str, text: &str) -> Outcome<()> {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    writeln!(
        svg,
        r#"<text x="{x:.1}" y="{y:.1}" class="{class}">{text}</text>"#
    )?;
    Ok(())
}
