//! What the program is asked for.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Arg, ArgAction, Command, value_parser};

use crate::limit;
use crate::mistakes::Condition;
use crate::rule::Rule;

pub(crate) struct Options {
    only: Vec<String>,
    pub(crate) kills: usize,
    pub(crate) repeat: usize,
    pub(crate) each: Duration,
    pub(crate) ours: bool,
    pub(crate) check: bool,
    pub(crate) out: Option<PathBuf>,
}

impl Options {
    pub(crate) fn parse() -> Options {
        let parts = Rule::ALL.map(Rule::word).into_iter();
        let parts = parts.chain(Condition::ALL.map(Condition::word));
        let parts: Vec<&str> = parts.chain(["beat", limit::WORD]).collect();
        let number = |name: &'static str, value: &'static str, help: &'static str| {
            let arg = Arg::new(name).long(name).value_name("N");
            arg.default_value(value).help(help)
        };
        let matches = Command::new("detector")
            .about("How soon an end and a hang are told, and how often one is told wrongly")
            .arg(
                Arg::new("only")
                    .long("only")
                    .value_name("NAME")
                    .action(ArgAction::Append)
                    .value_parser(parts)
                    .help("Measure only this part; may be given again"),
            )
            .arg(
                number("kills", "100", "How often the server is killed")
                    .value_parser(value_parser!(u16).range(1..)),
            )
            .arg(
                number("repeat", "20", "How often each other fault is tried")
                    .value_parser(value_parser!(u16).range(1..)),
            )
            .arg(
                number(
                    "minutes",
                    "0.25",
                    "How long mistakes are waited for under each condition",
                )
                .value_parser(value_parser!(f64)),
            )
            .arg(
                Arg::new("ours")
                    .long("ours")
                    .action(ArgAction::SetTrue)
                    .help("Leave the rules out that are not this crate's"),
            )
            .arg(
                Arg::new("check")
                    .long("check")
                    .action(ArgAction::SetTrue)
                    .help("Exit with 1 if a goal is missed"),
            )
            .arg(
                Arg::new("out")
                    .long("out")
                    .value_name("FILE")
                    .value_parser(value_parser!(PathBuf))
                    .help("Write the tables to this file too"),
            )
            // Given by cargo.
            .arg(
                Arg::new("bench")
                    .long("bench")
                    .action(ArgAction::SetTrue)
                    .hide(true),
            )
            .get_matches();
        let minutes = *matches.get_one::<f64>("minutes").unwrap();
        let count = |name| usize::from(*matches.get_one::<u16>(name).unwrap());
        Options {
            only: matches
                .get_many::<String>("only")
                .map(|only| only.cloned().collect())
                .unwrap_or_default(),
            kills: count("kills"),
            repeat: count("repeat"),
            each: Duration::try_from_secs_f64(minutes * 60.0).unwrap_or(Duration::ZERO),
            ours: matches.get_flag("ours"),
            check: matches.get_flag("check"),
            out: matches.get_one("out").cloned(),
        }
    }

    /// Whether this part is to be measured.
    pub(crate) fn wants(&self, part: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == part)
    }
}
