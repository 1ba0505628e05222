//! A process that owes no beat, and what a challenge tells of it.

use super::*;

#[test]
fn an_idle_process_is_alive_until_a_challenge_goes_unanswered() {
    let mut watcher = Watcher::new(&quick());
    let idle = pulse(1, Phase::Idle);
    assert_eq!(watcher.look(ASLEEP, idle).reason, Reason::NothingOwed);
    let (judgement, time) = watcher.until(|_| (ASLEEP, idle), |judgement| judgement.challenge);
    assert_eq!((judgement.verdict, time), (Verdict::Alive, 2_000 * MS));
    watcher.detector.challenged(watcher.now);
    watcher.detector.challenged(watcher.now + MS);
    let (judgement, time) = watcher.until(|_| (ASLEEP, idle), is_hung);
    assert_eq!(
        (judgement.verdict, time),
        (hung(Cause::Blocked), 1_000 * MS)
    );
    let Reason::Overdue(
        Wait {
            owed: Owed::Challenge,
            ..
        },
        _,
    ) = judgement.reason
    else {
        panic!("{judgement:?}")
    };
}

#[test]
fn an_idle_process_that_answers_is_left_alone_until_the_next_challenge() {
    let mut watcher = Watcher::new(&quick());
    for count in 0..100 {
        let idle = pulse(count, Phase::Idle);
        let (judgement, time) = watcher.until(|_| (ASLEEP, idle), |judgement| judgement.challenge);
        assert_eq!((judgement.verdict, time), (Verdict::Alive, 2_000 * MS));
        watcher.detector.challenged(watcher.now);
        let answer = watcher.next(0, ASLEEP, pulse(count + 1, Phase::Idle));
        assert_eq!(answer.reason, Reason::NothingOwed);
    }
}

#[test]
fn one_that_hangs_at_the_first_work_after_a_long_rest_is_told_as_soon_as_any_other() {
    for challenge_every in [None, quick().challenge_every] {
        let mut watcher = Watcher::new(&Config {
            challenge_every,
            ..quick()
        });
        let begins = 1_999 * MS;
        let (judgement, time) = watcher.until(
            |since| match since < begins {
                true => (ASLEEP, pulse(1, Phase::Idle)),
                false => (ASLEEP, working(2)),
            },
            is_hung,
        );
        assert_eq!(judgement.verdict, hung(Cause::Blocked));
        assert!(time <= begins + 265 * MS, "{time}");
    }
}

#[test]
fn an_idle_process_that_may_not_be_challenged_is_looked_at_and_left_alone() {
    let config = Config {
        challenge_every: None,
        ..quick()
    };
    let mut watcher = Watcher::new(&config);
    watcher.look(ASLEEP, pulse(1, Phase::Idle));
    for _ in 0..100_000 {
        let judgement = watcher.next(0, ASLEEP, pulse(1, Phase::Idle));
        assert_eq!(
            (judgement.reason, judgement.challenge),
            (Reason::NothingOwed, false)
        );
    }
}
