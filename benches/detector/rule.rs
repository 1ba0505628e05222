//! The rules by which a server is watched.

use std::time::Duration;

use osps_ipc::detector::Config;

const fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// This crate's, at the pace at which detection is to be shown.
    Quick,
    /// This crate's, as it is set if nothing is said.
    Defaults,
    /// A ping a second with a timeout of 5 s; three misses in a row.
    Course,
    /// systemd's: messages at half of a fixed time, and the end of the process.
    Systemd,
}

impl Rule {
    pub(crate) const ALL: [Rule; 4] = [Rule::Quick, Rule::Defaults, Rule::Course, Rule::Systemd];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Rule::Quick => "quick",
            Rule::Defaults => "defaults",
            Rule::Course => "course",
            Rule::Systemd => "systemd",
        }
    }

    pub(crate) fn parse(word: &str) -> Rule {
        let is_it = |rule: &Rule| rule.word() == word;
        Rule::ALL.into_iter().find(is_it).unwrap()
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Rule::Quick => "osps-ipc, 250 ms",
            Rule::Defaults => "osps-ipc, defaults",
            Rule::Course => "a ping a second, 3 misses of 5 s",
            Rule::Systemd => "WATCHDOG_USEC of 250 ms",
        }
    }

    /// How patient the detector is.
    pub(crate) fn config(self) -> Config {
        if self != Rule::Quick {
            return Config::default();
        }
        let mut config = Config::new(millis(10), millis(250));
        config.challenge_every = Some(millis(200));
        config.challenge_within = millis(250);
        config
    }

    /// The time to the next beat that the server promises.
    pub(crate) fn budget(self) -> Duration {
        self.config().hang_after
    }

    /// Whether the rule is this crate's.
    pub(crate) fn is_ours(self) -> bool {
        matches!(self, Rule::Quick | Rule::Defaults)
    }
}
