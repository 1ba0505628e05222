//! Whether a restart comes at all.

use super::*;
use crate::detector::Cause;

#[test]
fn what_was_given_up_stays_so_until_it_is_forgiven() {
    let mut restarts = Restarts::new(
        Policy {
            budget: 1,
            ..Policy::default()
        },
        1,
    );
    restarts.ended(0, CRASH);
    assert_eq!(restarts.ended(1, CRASH).decision, Decision::GiveUp);
    assert_eq!(
        restarts.ended(1000 * SECOND, CRASH).decision,
        Decision::GiveUp
    );
    assert_eq!(
        restarts
            .ended(1000 * SECOND, ExitCause::AlreadyRunning)
            .decision,
        Decision::GiveUp
    );
    assert!(restarts.has_given_up());
    restarts.forgive();
    assert_eq!(
        restarts.ended(2000 * SECOND, CRASH).decision,
        Decision::RestartNow
    );
    assert_eq!(restarts.history().len(), 5);
}

#[test]
fn the_cause_decides() {
    let decide = |cause| Restarts::new(Policy::default(), 1).ended(0, cause).decision;
    let died = |death| decide(ExitCause::Died(death));
    let signal = |signal, dumped| died(detector::Death::Killed { signal, dumped });

    assert_eq!(decide(exit(0)), Decision::DoNotRestart(Why::Clean));
    assert_eq!(
        died(detector::Death::Farewell),
        Decision::DoNotRestart(Why::Clean)
    );
    assert_eq!(signal(15, false), Decision::DoNotRestart(Why::Clean));
    assert_eq!(
        decide(exit(EXIT_DO_NOT_RESTART)),
        Decision::DoNotRestart(Why::Final)
    );
    assert_eq!(
        decide(ExitCause::Stopped),
        Decision::DoNotRestart(Why::Stopped)
    );
    assert_eq!(decide(exit(EXIT_ALREADY_RUNNING)), Decision::Adopt);
    assert_eq!(decide(ExitCause::AlreadyRunning), Decision::Adopt);

    assert_eq!(died(detector::Death::Unknown), Decision::RestartNow);
    assert_eq!(
        signal(15, true),
        Decision::RestartNow,
        "a core was dumped: no clean end"
    );
    for cause in [
        exit(1),
        exit(-1),
        CRASH,
        ExitCause::KilledAsHung(Cause::Blocked),
        ExitCause::KilledInDump,
        ExitCause::KilledAsOrphan,
        ExitCause::PathFailed,
        ExitCause::NotReady,
        ExitCause::NotStarted,
        ExitCause::NotAdopted,
    ] {
        assert_eq!(decide(cause), Decision::RestartNow, "{cause}");
    }
}

#[test]
fn adopting_what_is_never_there_comes_to_an_end() {
    let mut restarts = Restarts::new(Policy::default(), 1);
    for _ in 0..5 {
        assert_eq!(
            restarts.ended(0, ExitCause::AlreadyRunning).decision,
            Decision::Adopt
        );
        assert_ne!(
            restarts.ended(0, ExitCause::NotAdopted).decision,
            Decision::GiveUp
        );
    }
    assert_eq!(
        restarts.ended(0, ExitCause::AlreadyRunning).decision,
        Decision::Adopt
    );
    assert_eq!(
        restarts.ended(0, ExitCause::NotAdopted).decision,
        Decision::GiveUp
    );
}

#[test]
fn the_last_ends_are_remembered_and_no_more() {
    let mut restarts = Restarts::new(
        Policy {
            history: 3,
            ..Policy::default()
        },
        1,
    );
    for at in 0..10 {
        restarts.ended(at * 1000 * SECOND, CRASH);
    }
    let at: Vec<u64> = restarts.history().map(|end| end.at / SECOND).collect();
    assert_eq!(at, [7000, 8000, 9000]);
}

/// Any policy, any times (also backwards), any causes: within any window there are never more restarts than the
/// budget, delays keep their bounds, and nothing overflows.
#[test]
fn no_policy_and_no_clock_breaks_the_budget() {
    let causes = [
        CRASH,
        exit(0),
        exit(1),
        exit(121),
        exit(125),
        ExitCause::NotAdopted,
        ExitCause::Stopped,
    ];
    for seed in 0..5000 {
        let mut state = seed;
        let mut below = |n: u64| backoff::next_random(&mut state) % n;
        let times = [0, 1, 50_000_000, SECOND, 40 * SECOND, u64::MAX];
        let mut time = || times[usize::try_from(below(6)).unwrap()];
        let policy = Policy {
            first_delay: Duration::from_nanos(time()),
            longest_delay: Duration::from_nanos(time()),
            reset_after: Duration::from_nanos(time()),
            window: Duration::from_nanos(time()),
            budget: u32::try_from(below(5)).unwrap(),
            jitter_percent: u32::try_from(below(300)).unwrap(),
            after_clean_end: [AfterCleanEnd::Stay, AfterCleanEnd::Restart]
                [usize::try_from(below(2)).unwrap()],
            history: usize::try_from(below(3)).unwrap(),
            ..Policy::default()
        };
        let mut restarts = Restarts::new(policy.clone(), seed);
        let (mut now, mut due) = (0u64, Vec::new());
        for _ in 0..40 {
            now = if below(20) == 0 {
                times[usize::try_from(below(6)).unwrap()]
            } else {
                now.saturating_add(below(3 * SECOND))
            };
            if below(2) == 0 {
                restarts.healthy(now);
            }
            let cause = causes[usize::try_from(below(7)).unwrap()];
            let report = restarts.ended(now, cause);
            assert!(!report.to_string().is_empty());
            assert!(report.left <= report.budget);
            match report.decision {
                Decision::RestartNow => due.push(now),
                Decision::RestartAfter(delay) => {
                    assert!(delay <= policy.longest_delay.max(policy.first_delay));
                    assert!(delay >= policy.first_delay.min(policy.longest_delay));
                    due.push(now.saturating_add(nanos(delay)));
                }
                _ => {}
            }
        }
        let monotonic = due.is_sorted();
        let window = nanos(policy.window);
        for (n, last) in due.iter().enumerate().filter(|_| monotonic) {
            let recent = due[..=n].iter().filter(|at| last - **at < window).count();
            assert!(
                recent <= policy.budget as usize,
                "seed {seed}: {recent} in a window"
            );
        }
    }
}
