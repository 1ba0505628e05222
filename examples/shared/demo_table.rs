//! What the demo has seen, as a table.

use std::time::{Duration, Instant};

use super::load::{Sample, Sheet};
use super::stage::say;

/// A part of the play: a calm time, or a fault and the time until it was over.
pub(crate) struct Act {
    pub(crate) name: &'static str,
    pub(crate) begun: Instant,
    /// `None` for a fault that was not recovered from.
    pub(crate) ended: Option<Instant>,
    pub(crate) is_fault: bool,
}

impl Act {
    /// Whether a request was under way in it.
    fn has(&self, sample: &Sample) -> bool {
        sample.at + sample.took >= self.begun && self.ended.is_none_or(|ended| sample.at <= ended)
    }
}

/// All that is to be told.
pub(crate) struct Outcome {
    pub(crate) acts: Vec<Act>,
    pub(crate) sheet: Sheet,
    /// Requests that were handed out again because a secondary died that had begun them.
    pub(crate) redelivered: u64,
    /// What was left behind.
    pub(crate) left: Vec<String>,
}

impl Outcome {
    /// Whether every promise was kept. How long it took is none.
    pub(crate) fn is_good(&self) -> bool {
        let Sheet {
            sent,
            samples,
            lost,
            doubled,
            wrong,
            ..
        } = &self.sheet;
        lost.is_empty()
            && *doubled == 0
            && wrong.is_empty()
            && *sent == samples.len() as u64
            && self.left.is_empty()
            && self.acts.iter().all(|act| act.ended.is_some())
    }

    /// How long the requests of some parts took, the shortest first.
    fn times(&self, is_meant: impl Fn(&Act) -> bool) -> Vec<Duration> {
        let parts: Vec<_> = self.acts.iter().filter(|act| is_meant(act)).collect();
        let meant = |sample: &&Sample| parts.iter().any(|act| act.has(sample));
        let samples = self.sheet.samples.iter().filter(meant);
        let mut times: Vec<_> = samples.map(|sample| sample.took).collect();
        times.sort_unstable();
        times
    }
}

/// The time that so many of a thousand were not slower than.
fn quantile(times: &[Duration], thousandth: usize) -> Duration {
    let at = (times.len() * thousandth).div_ceil(1000).saturating_sub(1);
    times.get(at).copied().unwrap_or_default()
}

pub(crate) fn print(outcome: &Outcome) {
    let row = |name: &str, cells: [String; 5]| {
        let cells = cells.map(|cell| format!("{cell:>13}")).concat();
        say(&format!("{name:<18}{cells}"));
    };
    let titles = ["requests", "median", "p99", "slowest", "recovered in"];
    say("");
    row("", titles.map(str::to_owned));
    for act in &outcome.acts {
        let times = outcome.times(|other| std::ptr::eq(act, other));
        let time = |thousandth| format!("{:.2?}", quantile(&times, thousandth));
        let recovered = match act.ended {
            _ if !act.is_fault => String::new(),
            Some(ended) => format!("{:.1?}", ended - act.begun),
            None => "never".to_owned(),
        };
        let cells = [
            times.len().to_string(),
            time(500),
            time(990),
            time(1000),
            recovered,
        ];
        row(act.name, cells);
    }
    say("");

    let before = quantile(&outcome.times(|act| act.name == "before"), 990);
    let dead = outcome.times(|act| act.name == "primary killed" || act.name == "it is kept dead");
    let ratio = quantile(&dead, 990).as_secs_f64() / before.as_secs_f64();
    say(&format!(
        "while the primary was dead: {} requests, p99 {:.2?}, {ratio:.2} times that of before",
        dead.len(),
        quantile(&dead, 990),
    ));
    let sheet = &outcome.sheet;
    say(&format!(
        "sent {}, answered {}, lost {}, doubled {}, wrong {}; redelivered {}, second answers dropped {}",
        sheet.sent,
        sheet.samples.len(),
        sheet.lost.len(),
        sheet.doubled,
        sheet.wrong.len(),
        outcome.redelivered,
        sheet.dropped,
    ));
    let troubles = sheet.lost.iter().chain(&sheet.wrong).take(10);
    troubles.for_each(|trouble| say(&format!("  {trouble}")));
    match &outcome.left[..] {
        [] => say("left behind: no process, no file, no descriptor"),
        left => left
            .iter()
            .for_each(|what| say(&format!("left behind: {what}"))),
    }
    say(if outcome.is_good() {
        "every promise was kept"
    } else {
        "a promise was BROKEN"
    });
}
