//! A process that owes no beat, and what a challenge tells of it.

use super::*;

#[test]
fn an_idle_process_is_alive_until_a_challenge_goes_unanswered() {
    let mut watcher = Watcher::new(&quick());
    let idle = pulse(1, Phase::Idle);
    assert_eq!(watcher.look(ASLEEP, idle).reason, Reason::NothingOwed);
    assert_eq!(
        watcher.detector.next_look(0),
        Some(3_000 * MS),
        "one look, when the challenge is due"
    );
    assert!(watcher.next(0, ASLEEP, idle).challenge);
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
fn an_idle_process_that_answers_costs_two_looks_a_challenge() {
    let mut watcher = Watcher::new(&quick());
    watcher.look(ASLEEP, pulse(0, Phase::Idle));
    let mut looks = 0;
    for count in 1..=100 {
        let judgement = watcher.next(0, ASLEEP, pulse(count - 1, Phase::Idle));
        assert!(judgement.challenge);
        watcher.detector.challenged(watcher.now);
        assert_eq!(
            watcher.next(0, ASLEEP, pulse(count, Phase::Idle)).verdict,
            Verdict::Alive
        );
        looks += 2;
    }
    assert_eq!(looks, 200);
    assert_eq!(watcher.now, 1_000 * MS + 100 * 2_010 * MS);
}

#[test]
fn an_idle_process_that_may_not_be_challenged_is_left_alone() {
    let config = Config {
        challenge_every: None,
        ..quick()
    };
    let mut watcher = Watcher::new(&config);
    watcher.look(ASLEEP, pulse(1, Phase::Idle));
    assert_eq!(watcher.detector.next_look(watcher.now), None);
    watcher.now += 3_600_000 * MS;
    let judgement = watcher.look(ASLEEP, pulse(1, Phase::Idle));
    assert_eq!(
        (judgement.verdict, judgement.challenge),
        (Verdict::Alive, false)
    );
}
