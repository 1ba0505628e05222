//! The policy in simulated time: when (`schedule`), and whether (`decisions`).

mod decisions;
mod schedule;

use super::*;
use crate::detector;

const SECOND: u64 = 1_000_000_000;
const CRASH: ExitCause = ExitCause::Died(detector::Death::Killed {
    signal: 9,
    dumped: false,
});

fn exit(code: i32) -> ExitCause {
    ExitCause::Died(detector::Death::Exited(code))
}

/// Runs a service that ends `lives` after each start, by `cause`, until it is not restarted any more (or
/// 200 times). Returns the reports.
fn run(policy: Policy, seed: u64, lives: u64, cause: ExitCause) -> Vec<Report> {
    let mut restarts = Restarts::new(policy, seed);
    let mut reports = Vec::new();
    let mut now = 0;
    while reports.len() < 200 {
        restarts.healthy(now);
        now += lives;
        let report = restarts.ended(now, cause);
        reports.push(report);
        match report.decision {
            Decision::RestartNow => {}
            Decision::RestartAfter(delay) => now += nanos(delay),
            _ => break,
        }
    }
    reports
}

fn delays(reports: &[Report]) -> Vec<u64> {
    let delay = |report: &Report| match report.decision {
        Decision::RestartNow => Some(0),
        Decision::RestartAfter(delay) => Some(nanos(delay)),
        _ => None,
    };
    reports.iter().filter_map(delay).collect()
}
