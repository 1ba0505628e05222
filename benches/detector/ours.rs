//! The watchdog by this crate's rule.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use osps_ipc::SupervisorOptions;
use osps_ipc::detector::{Reason, Verdict};
use osps_ipc::restart::Policy;
use osps_ipc::supervisor::Event;

use crate::lines::{Told, now, tell};
use crate::rule::Rule;
use crate::table::nanos;
use crate::{SERVICE, machine};

/// Neither backs off nor gives up: what is measured is the detector.
pub(crate) fn policy() -> Policy {
    let mut policy = Policy::default();
    policy.first_delay = Duration::ZERO;
    policy.longest_delay = Duration::ZERO;
    policy.window = Duration::ZERO;
    policy
}

pub(crate) fn watch(rule: Rule, place: &Path) -> ExitCode {
    let command = machine::command(format!("serve {}", rule.word()), place);
    let mut supervisor = SupervisorOptions::new(command)
        .directory(place)
        .config(rule.config())
        .policy(policy())
        .supervise(SERVICE)
        .unwrap();
    while !supervisor.is_over() {
        let event = supervisor.next_timeout(Duration::from_secs(3600)).unwrap();
        if let Some(told) = event.as_ref().and_then(in_a_word) {
            tell(now(), told);
        }
        if let (Some(event), Some(_)) = (event, std::env::var_os("OSPS_IPC_BENCH_LOG")) {
            eprintln!("{event}");
        }
    }
    ExitCode::SUCCESS
}

fn in_a_word(event: &Event) -> Option<Told> {
    Some(match event {
        Event::Started { pid } => Told::Started(*pid),
        Event::Ready { .. } => Told::Ready,
        Event::Ended { .. } => Told::Ended,
        Event::Verdict(report) => match report.verdict() {
            Verdict::Alive => Told::Alive,
            Verdict::Suspect { .. } => Told::Suspect,
            Verdict::Hung { cause } => {
                let silent = match report.judgement.reason {
                    Reason::Overdue(wait, _) => nanos(wait.silent),
                    _ => 0,
                };
                Told::Hung(silent, cause.to_string())
            }
            Verdict::Dead { .. } => Told::Dead,
            _ => return None,
        },
        _ => return None,
    })
}
