//! What was found, as tables in Markdown, and against the goals.

use std::fmt;
use std::time::Duration;

use crate::beat::Cost;
use crate::machine;

/// The goals of an idle machine, in nanoseconds.
const TOLD_MEDIAN: u64 = 300_000;
const TOLD_P99: u64 = 3_000_000;
const SERVED_P99: u64 = 50_000_000;
/// A beat, in reads of the clock.
const BEAT: f64 = 3.0;

/// How long something took, again and again.
pub(crate) struct Delay {
    pub(crate) rule: &'static str,
    pub(crate) is_ours: bool,
    pub(crate) name: String,
    pub(crate) bound: Option<Duration>,
    /// The looks in time that must follow a late one.
    pub(crate) looks: Duration,
    /// In nanoseconds.
    pub(crate) times: Vec<u64>,
    /// How much of each the watchdog knows to have looked late.
    pub(crate) lost: Vec<u64>,
    pub(crate) wrong_causes: Vec<String>,
}

/// What was told wrongly.
pub(crate) struct Mistakes {
    pub(crate) condition: &'static str,
    pub(crate) rule: &'static str,
    pub(crate) is_ours: bool,
    /// For how long it was watched, in nanoseconds, as all times here.
    pub(crate) time: u64,
    /// How long each mistake lasted.
    pub(crate) mistakes: Vec<u64>,
    /// How many of them went as far as to call it hung.
    pub(crate) hung: u64,
    /// How often it was killed for one.
    pub(crate) restarts: u64,
}

#[derive(Default)]
pub(crate) struct Tables {
    pub(crate) beat: Option<Cost>,
    pub(crate) faults: Vec<Delay>,
    pub(crate) mistakes: Vec<Mistakes>,
}

impl Delay {
    pub(crate) fn push(&mut self, time: u64, lost: u64) {
        self.times.push(time);
        self.lost.push(lost);
    }

    /// The time under which this part of all stay.
    fn at(&self, percent: usize) -> u64 {
        let mut times = self.times.clone();
        times.sort_unstable();
        times
            .get((times.len() * percent).div_ceil(100).max(1) - 1)
            .copied()
            .unwrap_or(0)
    }

    fn missed(&self) -> Vec<String> {
        let goals: &[(usize, u64)] = match &*self.name {
            "kill -9" => &[(50, TOLD_MEDIAN), (99, TOLD_P99)],
            "kill -9, a client asks: served again" => &[(99, SERVED_P99)],
            _ => &[],
        };
        let late = goals
            .iter()
            .filter(|(percent, goal)| self.times.len() >= 20 && self.at(*percent) > *goal);
        let late = late.map(|(percent, goal)| {
            let (rule, name, at) = (self.rule, &self.name, millis(self.at(*percent)));
            format!(
                "{rule}, {name}: {percent} % within {} instead of {}",
                at,
                millis(*goal)
            )
        });
        let overdue = (self.overdue() > 0)
            .then(|| format!("{}, {}: {} too late", self.rule, self.name, self.overdue()));
        let wrong = self.wrong_causes.iter();
        let wrong = wrong.map(|cause| format!("{}, {}: called {cause}", self.rule, self.name));
        late.chain(overdue).chain(wrong).collect()
    }

    /// How often it was told later than it should, and the watchdog's own lateness does not explain it.
    fn overdue(&self) -> usize {
        let bound = self.bound.map_or(u64::MAX, nanos);
        let times = self.times.iter().zip(&self.lost);
        let most = |lost| match lost {
            0 => bound,
            lost => bound.saturating_add(lost + nanos(self.looks)),
        };
        times.filter(|(time, lost)| **time > most(**lost)).count()
    }
}

/// A time in nanoseconds.
pub(crate) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap()
}

impl Mistakes {
    fn hours(&self) -> f64 {
        self.time as f64 / 3600e9
    }

    /// The part of the time in which the right thing was said: P_A.
    fn accuracy(&self) -> f64 {
        1.0 - self.mistakes.iter().sum::<u64>() as f64 / self.time.max(1) as f64
    }

    fn mean(&self) -> u64 {
        self.mistakes.iter().sum::<u64>() / u64::try_from(self.mistakes.len().max(1)).unwrap()
    }

    /// What can be said of false restarts in an hour: where none was seen, fewer than this, at 95 % (e⁻³ is 5 %).
    fn restarts(&self) -> String {
        match self.restarts {
            0 => format!("0 (under {:.0} an hour)", (3.0 / self.hours()).ceil()),
            n => format!("**{n}** ({:.0} an hour)", n as f64 / self.hours()),
        }
    }
}

impl Tables {
    /// The goals that were missed.
    pub(crate) fn missed(&self) -> Vec<String> {
        let ours = self.faults.iter().filter(|delay| delay.is_ours);
        let mut missed: Vec<String> = ours.flat_map(Delay::missed).collect();
        let wrong = self
            .mistakes
            .iter()
            .filter(|found| found.is_ours && found.restarts > 0);
        missed.extend(
            wrong.map(|found| format!("{}: {} false restarts", found.condition, found.restarts)),
        );
        if let Some(cost) = self.beat
            && cost.beat > BEAT * cost.clock
        {
            missed.push(format!("a beat costs {:.1} ns", cost.beat));
        }
        missed
    }
}

impl fmt::Display for Tables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}.\n", machine::describe())?;
        if let Some(Cost { beat, clock }) = self.beat {
            writeln!(
                f,
                "A beat takes {beat:.1} ns, a read of `CLOCK_MONOTONIC` {clock:.1} ns: {:.2} of it.\n",
                beat / clock
            )?;
        }
        if !self.faults.is_empty() {
            writeln!(
                f,
                "From the fault until it is told. osps-ipc restarts at once, with a policy that neither backs off (delays of 0) \
                 nor gives up (a window of 0); 250 ms: a look every 10 ms, an idle server challenged every 200 ms to beat within \
                 250 ms; defaults: 5 s, 100 ms, every 2 s, within 1 s. Bound: the time configured and one and a half periods; what the watchdog \
                 itself looked late, at most, comes on top, and the three looks in time that must follow a late one.\n"
            )?;
            writeln!(
                f,
                "| watched by | fault | times | p50 | p99 | longest | bound | looked late | told right |"
            )?;
            writeln!(
                f,
                "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |"
            )?;
            self.faults.iter().try_for_each(|delay| delay.row(f))?;
            writeln!(f)?;
        }
        if !self.mistakes.is_empty() {
            writeln!(
                f,
                "A server that is well: its requests take 1 to 100 ms of CPU time. A mistake is whatever else is told of it, \
                 a suspicion too; P_A is the part of the time without. False restarts with what a run that saw none proves at 95 %.\n"
            )?;
            writeln!(
                f,
                "| condition | watched by | minutes | mistakes an hour | each lasts | P_A | called hung | false restarts |"
            )?;
            writeln!(f, "| --- | --- | ---: | ---: | ---: | ---: | ---: | --- |")?;
            self.mistakes.iter().try_for_each(|found| found.row(f))?;
            writeln!(f)?;
        }
        Ok(())
    }
}

impl Delay {
    fn row(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bound = self
            .bound
            .map_or("–".to_owned(), |bound| millis(nanos(bound)));
        let lost = match self.lost.iter().max() {
            Some(lost) if *lost > 0 => millis(*lost),
            _ => "–".to_owned(),
        };
        let right = match (self.is_ours, self.wrong_causes.len()) {
            (false, _) => "–".to_owned(),
            (true, 0) => "yes".to_owned(),
            (true, n) => format!("**{n} wrong**"),
        };
        let (p50, p99, longest) = (
            millis(self.at(50)),
            millis(self.at(99)),
            millis(self.at(100)),
        );
        writeln!(
            f,
            "| {} | {} | {} | {p50} | {p99} | {longest} | {bound} | {lost} | {right} |",
            self.rule,
            self.name,
            self.times.len(),
        )
    }
}

impl Mistakes {
    fn row(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| {} | {} | {:.1} | {:.0} | {} | {:.4} | {} | {} |",
            self.condition,
            self.rule,
            self.time as f64 / 60e9,
            self.mistakes.len() as f64 / self.hours(),
            millis(self.mean()),
            self.accuracy(),
            self.hung,
            self.restarts()
        )
    }
}

fn millis(nanos: u64) -> String {
    let millis = nanos as f64 / 1e6;
    match nanos {
        0..10_000_000 => format!("{millis:.2} ms"),
        10_000_000..1_000_000_000 => format!("{millis:.0} ms"),
        _ => format!("{:.2} s", millis / 1e3),
    }
}
