//! What the README shows: the figures, and under them the machine, the day and the command.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use super::{Report, markdown};
use crate::contender::Outcome;

const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md");
/// Where a run for the README leaves its files, seen from there.
const RESULTS: &str = "benches/peers/results";
const BEGIN: &str = "<!-- figures: written by benches/peers -->\n";
const END: &str = "<!-- end of figures -->\n";

/// The part of the README between its two marks.
pub(super) fn text(report: &Report<'_>) -> Outcome<String> {
    let mut text = String::new();
    markdown::figures(&mut text, report.judged)?;
    writeln!(text, "{}; {}.", report.machine.text(), report.form)?;
    writeln!(
        text,
        "\n[All times]({RESULTS}/peers.md), [as JSON]({RESULTS}/peers.json).\n\n\
         ![Time of one operation, of this crate, its peers and the bare limits]({RESULTS}/peers.svg)"
    )?;
    if report.machine.is_busy() {
        writeln!(text, "{}", markdown::BUSY)?;
    }
    Ok(text)
}

/// Puts the part in its place, and nothing else into the README.
pub(super) fn put(part: &str) -> Outcome<()> {
    let readme = fs::read_to_string(README)?;
    let changed = between_marks(&readme, part).ok_or("README.md has no place for the figures")?;
    fs::write(Path::new(README), changed)?;
    Ok(())
}

fn between_marks(readme: &str, part: &str) -> Option<String> {
    let (before, rest) = readme.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{part}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_between_the_marks_is_replaced() {
        let readme = format!("a\n{BEGIN}old\n{END}b\n");
        let once = between_marks(&readme, "new\n");
        assert_eq!(once, Some(format!("a\n{BEGIN}\nnew\n\n{END}b\n")));
        assert_eq!(
            between_marks(&once.unwrap_or_default(), "old\n").map(|text| text.len()),
            Some(readme.len() + 2)
        );
        assert_eq!(between_marks("no marks", "new"), None);
    }

    #[test]
    fn the_readme_has_a_place_for_the_figures() -> Outcome<()> {
        let readme = fs::read_to_string(README)?;
        assert!(between_marks(&readme, "").is_some());
        Ok(())
    }
}
