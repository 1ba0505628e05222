//! The verdicts, one rule a test.

use super::*;

#[test]
fn a_process_that_is_not_there_is_no_peer_and_needs_no_look() {
    let mut watcher = Watcher::new(&quick());
    let judgement = watcher.look(Process::Absent, Pulse::Missing);
    assert_eq!(
        (judgement.verdict, judgement.reason),
        (Verdict::NoPeer, Reason::NotFound)
    );
    assert_eq!(watcher.detector.next_look(watcher.now), None);
    assert_eq!(
        watcher.look(ASLEEP, Pulse::Missing).verdict,
        Verdict::Starting
    );
}

#[test]
fn a_death_that_the_kernel_proves_is_told_at_once_and_for_good() {
    let mut watcher = Watcher::new(&quick());
    assert_eq!(watcher.look(ASLEEP, working(1)).verdict, Verdict::Alive);
    let how = Death::Killed {
        signal: 9,
        dumped: false,
    };
    assert_eq!(
        watcher.look(Process::Ended(how), working(1)).verdict,
        Verdict::Dead { how }
    );
    assert_eq!(
        watcher.look(ASLEEP, working(2)).verdict,
        Verdict::Dead { how }
    );
    assert_eq!(watcher.detector.next_look(watcher.now), None);
}

#[test]
fn a_farewell_tells_how_it_ended_only_where_the_kernel_does_not() {
    let end = |how, farewell| {
        let mut watcher = Watcher::new(&quick());
        let sample = Sample {
            count: 1,
            phase: Phase::Stopping,
            progress: 0,
            farewell,
        };
        watcher.look(ASLEEP, Pulse::Read(sample));
        watcher.look(Process::Ended(how), Pulse::Missing).verdict
    };
    assert_eq!(
        end(Death::Unknown, true),
        Verdict::Dead {
            how: Death::Farewell
        }
    );
    assert_eq!(
        end(Death::Unknown, false),
        Verdict::Dead {
            how: Death::Unknown
        }
    );
    assert_eq!(
        end(Death::Exited(3), true),
        Verdict::Dead {
            how: Death::Exited(3)
        }
    );
}

#[test]
fn a_zombie_thread_is_no_proof_of_death() {
    let (judgement, _) = Watcher::new(&quick()).until(
        |_| (thread(b'Z', 0, 0), working(1)),
        |judgement| judgement.actionable,
    );
    assert_eq!(judgement.verdict, hung(Cause::Ended));
}

#[test]
fn a_core_dump_is_waited_for_within_its_limit() {
    let mut watcher = Watcher::new(&quick());
    watcher.look(ASLEEP, working(1));
    let first = watcher.look(Process::Dumping, working(1));
    assert_eq!((first.verdict, first.actionable), (Verdict::Dying, false));
    let dumping = |_| (Process::Dumping, working(1));
    let (last, time) = watcher.until(dumping, |judgement| judgement.actionable);
    assert_eq!((last.verdict, time), (Verdict::Dying, 30_000 * MS));
    assert_eq!(watcher.detector.next_look(watcher.now), None);
}

#[test]
fn each_phase_has_its_own_patience() {
    let config = quick();
    let silent = |phase| {
        Watcher::new(&config)
            .until(|_| (ASLEEP, pulse(1, phase)), is_hung)
            .1
            / MS
    };
    assert_eq!(silent(Phase::Starting), 90_000);
    assert_eq!(silent(Phase::Stopping), 90_000);
    assert_eq!(
        silent(Phase::Working {
            budget: Duration::ZERO
        }),
        250
    );
    assert_eq!(
        silent(Phase::Working {
            budget: Duration::from_millis(700)
        }),
        700
    );
    assert_eq!(
        silent(Phase::Working {
            budget: Duration::MAX
        }),
        600_000
    );
    assert_eq!(
        silent(Phase::Working {
            budget: Duration::from_nanos(1)
        }),
        10
    );
}

#[test]
fn a_process_without_a_heartbeat_is_starting_and_hung_when_that_takes_too_long() {
    let mut watcher = Watcher::new(&quick());
    assert_eq!(
        watcher.look(ASLEEP, Pulse::Missing).verdict,
        Verdict::Starting
    );
    let (judgement, time) = watcher.until(|_| (ASLEEP, Pulse::Missing), is_hung);
    assert_eq!(
        (judgement.verdict, time),
        (hung(Cause::Blocked), 90_000 * MS)
    );
}

#[test]
fn a_look_between_the_words_of_a_change_of_phase_convicts_nobody() {
    let mut watcher = Watcher::new(&quick());
    watcher.until(
        |_| (ASLEEP, pulse(1, Phase::Idle)),
        |judgement| judgement.challenge,
    );
    // Its phase says that it works, its count is not raised yet.
    assert_eq!(watcher.next(0, ASLEEP, working(1)).verdict, Verdict::Alive);
    assert_eq!(watcher.next(0, ASLEEP, working(2)).verdict, Verdict::Alive);
}

#[test]
fn a_beat_takes_a_hang_back() {
    let mut watcher = Watcher::new(&quick());
    watcher.until(|_| (ASLEEP, working(1)), is_hung);
    assert!(is_hung(&watcher.next(0, ASLEEP, working(1))));
    assert!(
        is_hung(&watcher.next(90 * MS, ASLEEP, working(1))),
        "a late look does not"
    );
    assert_eq!(
        watcher.next(0, ASLEEP, working(0)).verdict,
        Verdict::Alive,
        "any other count is a beat"
    );
}

#[test]
fn a_counter_that_wraps_beats_like_any_other() {
    let mut watcher = Watcher::new(&quick());
    watcher.look(ASLEEP, working(u64::MAX - 51));
    for beat in 0..100 {
        let judgement = watcher.next(0, ASLEEP, working((u64::MAX - 50).wrapping_add(beat)));
        assert_eq!(judgement.verdict, Verdict::Alive);
    }
    assert_eq!(
        watcher.detector.intervals(),
        (Duration::from_millis(10), Duration::ZERO, 100)
    );
}

#[test]
fn a_removed_name_makes_an_orphan_but_a_hung_orphan_is_hung() {
    let mut watcher = Watcher::new(&quick());
    let unlinked = |count| match working(count) {
        Pulse::Read(sample) => Pulse::Unlinked(sample),
        other => other,
    };
    let judgement = watcher.look(ASLEEP, unlinked(1));
    assert_eq!(
        (judgement.verdict, judgement.reason),
        (Verdict::Orphaned, Reason::Unlinked)
    );
    let (judgement, time) = watcher.until(|_| (ASLEEP, unlinked(1)), is_hung);
    assert_eq!((judgement.actionable, time), (true, 250 * MS));
    assert_eq!(
        watcher.look(ASLEEP, Pulse::Missing).verdict,
        Verdict::Orphaned
    );
}

#[test]
fn suspicion_rises_with_the_silence_and_is_no_leave_to_act() {
    let mut watcher = Watcher::new(&quick());
    let (judgement, time) = watcher.until(
        |since| (ASLEEP, working((since / (10 * MS)).min(100))),
        |judgement| matches!(judgement.verdict, Verdict::Suspect { .. }),
    );
    assert!(!judgement.actionable);
    assert!((1_030 * MS..=1_060 * MS).contains(&time), "{time}");
    let (mean, deviation, known) = watcher.detector.intervals();
    assert_eq!(
        (mean, deviation, known),
        (Duration::from_millis(10), Duration::ZERO, 100)
    );
    let mut before = watcher.detector.phi();
    for _ in 0..15 {
        let judgement = watcher.next(0, ASLEEP, working(100));
        let Verdict::Suspect { phi } = judgement.verdict else {
            panic!("{judgement:?}")
        };
        assert!(phi >= before && !judgement.actionable);
        before = phi;
    }
}
