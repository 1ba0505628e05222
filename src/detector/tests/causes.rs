//! Why it is silent: the cause of a hang, and what may be done about it.

use super::*;

/// Watches a silence with looks in time until `done`, at `quick` pace.
fn silence(
    config: &Config,
    see: impl Fn(u64) -> Process,
    done: impl Fn(&Judgement) -> bool,
) -> (Judgement, u64) {
    let mut detector = Detector::new(config);
    let mut now = 0;
    for _ in 0..100_000 {
        let process = if detector.wants_thread() {
            see(now)
        } else {
            Process::Running(Thread::Unread)
        };
        let judgement = detector.look(&Look {
            now,
            suspended: 0,
            process,
            pulse: working(1),
        });
        if done(&judgement) {
            return (judgement, now / MS);
        }
        now = detector.next_look(now).expect("a beat is owed");
    }
    panic!("nothing came of it");
}

fn cause(see: impl Fn(u64) -> Process) -> (Cause, bool) {
    let (judgement, time) = silence(&quick(), see, |judgement| {
        matches!(judgement.verdict, Verdict::Hung { .. })
    });
    assert_eq!(time, 250);
    let Verdict::Hung { cause } = judgement.verdict else {
        panic!("{judgement:?}")
    };
    (cause, judgement.actionable)
}

fn facts(state: ThreadState, change: impl Fn(&mut ThreadFacts)) -> Process {
    let mut facts = ThreadFacts {
        tid: 7,
        state,
        tracer: 0,
        frozen: false,
        cpu: 0,
        waited: 0,
    };
    change(&mut facts);
    Process::Running(Thread::Seen(facts))
}

#[test]
fn the_thread_tells_the_cause() {
    assert_eq!(cause(|_| thread(b'S', 5, 5)), (Cause::Blocked, true));
    assert_eq!(cause(|_| thread(b'D', 5, 5)), (Cause::Blocked, true));
    assert_eq!(cause(|now| thread(b'R', now, 5)), (Cause::Spinning, true));
    assert_eq!(cause(|_| thread(b'R', 5, 5)), (Cause::Starved, false));
    assert_eq!(cause(|_| thread(b'T', 5, 5)), (Cause::Stopped, true));
    assert_eq!(cause(|_| thread(b't', 5, 5)), (Cause::Traced, false));
    assert_eq!(cause(|_| thread(b'X', 5, 5)), (Cause::Ended, true));
    assert_eq!(cause(|_| thread(b'?', 5, 5)), (Cause::Blocked, true));
    assert_eq!(
        cause(|_| Process::Running(Thread::Gone)),
        (Cause::Ended, true)
    );
    assert_eq!(
        cause(|_| Process::Running(Thread::Unread)),
        (Cause::Unknown, false)
    );
    let frozen = |_| facts(ThreadState::Sleeping, |facts| facts.frozen = true);
    assert_eq!(cause(frozen), (Cause::Stopped, true));
    let debugged = |now| {
        facts(ThreadState::Runnable, |facts| {
            (facts.tracer, facts.cpu) = (99, now)
        })
    };
    assert_eq!(cause(debugged), (Cause::Traced, false));
}

#[test]
fn a_traced_process_may_be_killed_only_if_that_was_asked_for() {
    let config = Config {
        act_on_traced: true,
        ..quick()
    };
    let (judgement, time) = silence(
        &config,
        |_| thread(b't', 0, 0),
        |judgement| judgement.actionable,
    );
    assert_eq!(
        (judgement.verdict, time),
        (
            Verdict::Hung {
                cause: Cause::Traced
            },
            250
        )
    );
}

#[test]
fn a_starved_process_may_be_killed_only_at_the_hard_cap() {
    let (judgement, time) = silence(
        &quick(),
        |_| thread(b'R', 0, 0),
        |judgement| judgement.actionable,
    );
    assert_eq!(
        (judgement.verdict, time),
        (
            Verdict::Hung {
                cause: Cause::Starved
            },
            60_000
        )
    );
}

#[test]
fn a_livelock_on_a_busy_machine_is_starved_until_it_has_had_half_of_its_time() {
    let eighth = |now: u64| thread(b'R', now / 8, now * 7 / 8);
    let (_, time) = silence(&quick(), eighth, |judgement| judgement.actionable);
    assert!((1_000..1_050).contains(&time), "{time}");
}

#[test]
fn time_in_the_queue_and_time_stopped_are_not_a_sleepers_own() {
    // Queued for 200 ms, then asleep: hung only when it has slept for 125 ms.
    let queued = |now: u64| {
        if now < 200 * MS {
            thread(b'R', 0, 0)
        } else {
            thread(b'S', 0, 200 * MS)
        }
    };
    let (judgement, time) = silence(&quick(), queued, |judgement| judgement.actionable);
    assert_eq!(
        judgement.verdict,
        Verdict::Hung {
            cause: Cause::Blocked
        }
    );
    assert!((325..=370).contains(&time), "{time}");

    let stopped = |now: u64| thread(if now < 240 * MS { b'T' } else { b'S' }, 0, 0);
    let (judgement, time) = silence(&quick(), stopped, |judgement| judgement.actionable);
    assert_eq!(
        judgement.verdict,
        Verdict::Hung {
            cause: Cause::Blocked
        }
    );
    assert!((325..=370).contains(&time), "{time}");
}

#[test]
fn who_was_starved_and_is_stopped_for_a_moment_is_still_starved() {
    let queued_then_stopped = |stopped_at: u64| {
        move |now: u64| match now < stopped_at {
            true => thread(b'R', 0, 0),
            false => thread(b'T', 0, 0),
        }
    };
    assert_eq!(
        cause(queued_then_stopped(250 * MS)),
        (Cause::Starved, false)
    );
    assert_eq!(
        cause(queued_then_stopped(240 * MS)),
        (Cause::Starved, false)
    );
    assert_eq!(cause(queued_then_stopped(100 * MS)), (Cause::Stopped, true));
    let (judgement, time) = silence(&quick(), queued_then_stopped(240 * MS), |judgement| {
        judgement.actionable
    });
    assert_eq!(judgement.verdict, hung(Cause::Stopped));
    assert!((365..=390).contains(&time), "{time}");
}

#[test]
fn who_was_stopped_and_goes_on_is_given_time_to_run() {
    let continued = |now: u64| thread(if now < 240 * MS { b'T' } else { b'R' }, 0, 0);
    assert_eq!(cause(continued), (Cause::Starved, false));
}

#[test]
fn time_that_it_ran_before_it_slept_is_counted_once() {
    // It runs for 90 ms, sleeps for 50 ms, and then waits for a CPU: less than half of its time was its own.
    let see = |now: u64| match now / MS {
        0..90 => thread(b'R', now, 0),
        90..140 => thread(b'S', 90 * MS, 0),
        _ => thread(b'R', 90 * MS, 0),
    };
    assert_eq!(cause(see), (Cause::Starved, false));
}

#[test]
fn one_look_and_a_budget_of_one_period_are_enough_for_the_cause() {
    let config = Config {
        looks: 1,
        ..Config::new(Duration::from_millis(10), Duration::from_millis(10))
    };
    let (judgement, time) = silence(
        &config,
        |_| thread(b'S', 0, 0),
        |judgement| judgement.actionable,
    );
    assert_eq!(judgement.verdict.to_string(), "hung (blocked)");
    assert_eq!(time, 10);
}

#[test]
fn the_silence_allowed_to_who_names_no_budget_is_not_cut() {
    let config = Config {
        longest_budget: Duration::from_millis(20),
        ..quick()
    };
    let (_, time) = silence(
        &config,
        |_| thread(b'S', 0, 0),
        |judgement| judgement.actionable,
    );
    assert!(time >= 250, "{time}");
}

#[test]
fn another_threads_clocks_are_not_compared() {
    let changes = |now: u64| {
        let tid = u32::try_from(now / (100 * MS)).unwrap();
        facts(ThreadState::Runnable, |facts| {
            (facts.tid, facts.cpu) = (tid, u64::from(tid) << 40)
        })
    };
    let (judgement, _) = silence(&quick(), changes, |judgement| {
        matches!(judgement.verdict, Verdict::Hung { .. })
    });
    assert_eq!(
        judgement.verdict,
        Verdict::Hung {
            cause: Cause::Starved
        }
    );
}

#[test]
fn a_verdict_says_how_it_is_known() {
    let (judgement, _) = silence(
        &quick(),
        |now| thread(b'R', now, 5),
        |judgement| judgement.actionable,
    );
    assert_eq!(judgement.verdict.to_string(), "hung (spinning)");
    assert_eq!(
        judgement.reason.to_string(),
        "no beat for 250.0ms while it works, 250.0ms allowed, seen by 25 looks in time, progress 0; \
         thread 7 is runnable; in 210.0ms it ran 210.0ms and waited 0.0ns for a CPU"
    );
}
