//! When a restart comes, and how many there may be.

use super::*;

#[test]
fn a_program_that_exits_at_once_is_restarted_on_the_schedule_and_given_up() {
    let policy = Policy {
        jitter_percent: 0,
        ..Policy::default()
    };
    let reports = run(policy, 1, 0, exit(1));
    let millis: Vec<u64> = delays(&reports)
        .iter()
        .map(|delay| delay / 1_000_000)
        .collect();
    assert_eq!(millis, [0, 100, 200, 400, 800]);
    let left: Vec<u32> = reports.iter().map(|report| report.left).collect();
    assert_eq!(left, [4, 3, 2, 1, 0, 0]);
    let last = reports.last().unwrap();
    assert_eq!(last.decision, Decision::GiveUp);
    assert_eq!(
        last.to_string(),
        "exited with code 1, healthy for 0.0ns: given up after 6 crashes in a row, 0 of 5 restarts left in 60.0s"
    );
}

#[test]
fn delays_double_up_to_the_longest_and_vary_by_chance_within_their_bounds() {
    let policy = Policy {
        budget: 1000,
        ..Policy::default()
    };
    let delays = delays(&run(policy, 7, 0, CRASH));
    assert_eq!(delays.len(), 200);
    assert_eq!(delays[0], 0);
    let mut plain = 100_000_000;
    for (n, delay) in delays[1..].iter().enumerate() {
        assert!(
            (plain..=plain * 5 / 4).contains(delay),
            "delay {n}: {delay} for {plain}"
        );
        plain = (plain * 2).min(24 * SECOND);
    }
    let late = &delays[20..];
    assert!(
        late.iter()
            .all(|delay| (24 * SECOND..=30 * SECOND).contains(delay))
    );
    let (least, most) = (late.iter().min().unwrap(), late.iter().max().unwrap());
    assert!(
        most - least > 4 * SECOND,
        "chance moves the longest delay too: {least} to {most}"
    );
}

#[test]
fn the_seed_alone_decides_the_jitter() {
    let jittery = || Policy {
        budget: 50,
        ..Policy::default()
    };
    let schedule = |seed| delays(&run(jittery(), seed, 0, CRASH));
    assert_eq!(schedule(3), schedule(3));
    assert_ne!(schedule(3), schedule(4));
}

#[test]
fn a_minute_of_health_begins_the_row_anew() {
    let reports = run(Policy::default(), 1, 60 * SECOND, CRASH);
    assert_eq!(reports.len(), 200, "never given up");
    assert!(
        reports
            .iter()
            .all(|report| report.decision == Decision::RestartNow)
    );
    assert!(reports.iter().all(|report| report.in_a_row == 1));
    let reports = run(Policy::default(), 1, 60 * SECOND - 1, CRASH);
    assert_eq!(
        reports.len(),
        200,
        "restarts so far apart never use the budget up"
    );
    assert_ne!(reports[1].decision, Decision::RestartNow);
}

#[test]
fn time_before_it_was_ready_is_no_health() {
    let mut restarts = Restarts::new(Policy::default(), 1);
    assert_eq!(restarts.ended(0, CRASH).decision, Decision::RestartNow);
    let report = restarts.ended(1000 * SECOND, ExitCause::NotReady);
    assert_eq!(report.end.healthy_for, None);
    assert_eq!(report.in_a_row, 2);
}

#[test]
fn the_budget_is_a_sliding_window() {
    let policy = Policy {
        budget: 2,
        jitter_percent: 0,
        ..Policy::default()
    };
    let mut restarts = Restarts::new(policy, 1);
    assert_eq!(restarts.ended(0, CRASH).left, 1);
    assert_eq!(restarts.ended(30 * SECOND, CRASH).left, 0);
    assert_eq!(restarts.left(59 * SECOND), 0);
    assert_eq!(
        restarts.left(60 * SECOND),
        1,
        "the first restart is a minute old"
    );
    // Due 200 ms later, when the first one counts no longer.
    assert_ne!(
        restarts.ended(60 * SECOND - 100_000_000, CRASH).decision,
        Decision::GiveUp
    );
    assert_eq!(
        restarts.ended(61 * SECOND, CRASH).decision,
        Decision::GiveUp
    );
}

#[test]
fn a_budget_of_nothing_gives_up_at_once_and_a_window_of_nothing_never_does() {
    let none = Policy {
        budget: 0,
        ..Policy::default()
    };
    assert_eq!(run(none, 1, 0, CRASH)[0].decision, Decision::GiveUp);
    let endless = Policy {
        window: Duration::ZERO,
        ..Policy::default()
    };
    assert_eq!(delays(&run(endless, 1, 0, CRASH)).len(), 200);
}

#[test]
fn a_service_that_is_always_to_run_is_restarted_after_a_clean_end_within_the_budget() {
    let policy = Policy {
        after_clean_end: AfterCleanEnd::Restart,
        ..Policy::default()
    };
    let reports = run(policy, 1, 0, exit(0));
    assert_eq!(delays(&reports).len(), 5);
    assert_eq!(reports[5].decision, Decision::GiveUp);
}
