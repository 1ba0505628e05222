//! The command line.

use std::path::PathBuf;

use crate::contender::Outcome;
use crate::figures::{Beside, Figure};
use crate::groups::Group;
use crate::sys::clock::millis;

pub(crate) const HELP: &str = "\
Runs osps-ipc, its peers and the limits of the machine side by side.

  --quick        under two minutes; else it takes as long as good figures need
  --check        exit with 1 and name each figure that is missed; with 2 if none is missed but
                 some could not be measured
  --only NAME    only groups, figures and points whose name contains NAME (may be repeated)
  --seconds N    seconds for each group, instead of what the form of the run says
  --out DIR      where peers.md, peers.json, peers.svg and figures.md go (results/ for a whole
                 run, else target/results/)
  --readme       put the figures into their place in README.md too; implies --out results/
  --list         name the groups, figures and points, and run nothing
";

/// How a run is to be.
#[derive(Debug, Default)]
pub(crate) struct Options {
    pub(crate) quick: bool,
    pub(crate) check: bool,
    pub(crate) list: bool,
    pub(crate) help: bool,
    pub(crate) readme: bool,
    only: Vec<String>,
    seconds: Option<u64>,
    out: Option<PathBuf>,
}

impl Options {
    pub(crate) fn parse(arguments: impl IntoIterator<Item = String>) -> Outcome<Options> {
        let mut options = Options::default();
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "--quick" => options.quick = true,
                "--check" => options.check = true,
                "--readme" => options.readme = true,
                "--list" => options.list = true,
                "--help" | "-h" => options.help = true,
                "--only" => options.only.push(value()?),
                "--seconds" => options.seconds = Some(value()?.parse()?),
                "--out" => options.out = Some(value()?.into()),
                _ => return Err(format!("unknown argument {argument}\n\n{HELP}").into()),
            }
        }
        Ok(options)
    }

    /// Where the results go.
    pub(crate) fn out(&self) -> PathBuf {
        let whole = !self.quick && self.only.is_empty() && self.seconds.is_none();
        if self.readme {
            return concat!(env!("CARGO_MANIFEST_DIR"), "/results").into();
        }
        self.out
            .clone()
            .unwrap_or_else(|| if whole { "results" } else { "target/results" }.into())
    }

    fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| name.contains(only.as_str()))
    }

    pub(crate) fn wants_figure(&self, figure: &Figure) -> bool {
        self.wants(figure.id)
            || match figure.beside {
                Beside::Group { group, .. } => self.wants(group),
                Beside::Points { ours, .. } => self.wants(ours),
            }
    }

    pub(crate) fn wants_group(&self, group: &Group, figures: &[Figure]) -> bool {
        let judged = |figure: &Figure| matches!(figure.beside, Beside::Group { group: id, .. } if id == group.id);
        self.wants(group.id)
            || figures
                .iter()
                .any(|figure| judged(figure) && self.wants(figure.id))
    }

    pub(crate) fn wants_point(&self, name: &str, figures: &[Figure]) -> bool {
        let judged = |figure: &Figure| {
            matches!(figure.beside, Beside::Points { ours, other }
                if ours.starts_with(name) || other.is_some_and(|other| other.starts_with(name)))
        };
        self.wants(name)
            || figures
                .iter()
                .any(|figure| judged(figure) && self.wants(figure.id))
    }

    /// How long each thing may take.
    pub(crate) fn plan(&self) -> Plan {
        let mut plan = if self.quick { Plan::QUICK } else { Plan::FULL };
        if let Some(seconds) = self.seconds {
            plan.budget = millis(1000 * seconds);
            plan.limit = plan.budget;
        }
        plan
    }
}

/// Times of a run, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// A counted slice.
    pub(crate) slice: u64,
    /// A slice of a crowd.
    pub(crate) window: u64,
    /// What the number of launches of a group is divided by.
    pub(crate) fewer_launches: u64,
    /// A group's measuring, and how far it is stretched if the near placement did not come up.
    pub(crate) budget: u64,
    pub(crate) limit: u64,
    /// Samples of each contender in the near placement that make stretching needless.
    pub(crate) enough: usize,
    /// How long idle sessions are looked at.
    pub(crate) idle: u64,
}

impl Plan {
    const QUICK: Plan = Plan {
        slice: millis(6),
        window: millis(70),
        fewer_launches: 4,
        budget: millis(2_800),
        limit: millis(4_000),
        enough: 8,
        idle: millis(5_000),
    };
    const FULL: Plan = Plan {
        slice: millis(10),
        window: millis(300),
        fewer_launches: 1,
        budget: millis(30_000),
        limit: millis(120_000),
        enough: 30,
        idle: millis(30_000),
    };
}
