//! Who is late? A watcher that is late, stopped or woken early, and a machine that was suspended.

use super::*;

#[test]
fn a_watcher_that_was_stopped_together_with_the_process_convicts_nobody() {
    let mut watcher = Watcher::new(&quick());
    watcher.look(ASLEEP, working(1));
    for count in 1..200 {
        let judgement = watcher.next(1_000 * MS, ASLEEP, working(count));
        assert!(!is_hung(&judgement), "{}", judgement.reason);
        assert_eq!(judgement.late_by, Duration::from_secs(1));
        for _ in 0..20 {
            assert!(!is_hung(&watcher.next(0, ASLEEP, working(count))));
        }
    }
}

#[test]
fn a_late_look_convicts_nobody_and_stretches_the_patience() {
    let mut watcher = Watcher::new(&quick());
    watcher.look(ASLEEP, working(1));
    for _ in 0..24 {
        assert!(!is_hung(&watcher.next(0, ASLEEP, working(1))));
    }
    // Silent for 240 ms; due for conviction at the next look.
    let judgement = watcher.next(5 * MS, ASLEEP, working(1));
    let Reason::Waiting(wait) = judgement.reason else {
        panic!("{judgement:?}")
    };
    assert_eq!(
        (wait.silent, wait.stretch, wait.looks),
        (Duration::from_millis(250), 2, 0)
    );
    // Three more looks in time, and the watcher trusts itself again.
    assert!(!is_hung(&watcher.next(0, ASLEEP, working(1))));
    assert!(!is_hung(&watcher.next(0, ASLEEP, working(1))));
    assert!(is_hung(&watcher.next(0, ASLEEP, working(1))));
}

#[test]
fn a_watcher_that_is_late_for_ever_still_finds_a_hang_after_the_greatest_stretch() {
    let mut watcher = Watcher::new(&quick());
    watcher.look(ASLEEP, working(1));
    for looks in 1.. {
        if is_hung(&watcher.next(30 * MS, ASLEEP, working(1))) {
            assert_eq!(looks, 8 * 25, "each late look counts once");
            break;
        }
    }
}

#[test]
fn a_suspension_gives_everybody_a_new_start() {
    let mut watcher = Watcher::new(&quick());
    watcher.look(ASLEEP, working(1));
    for _ in 0..50 {
        for _ in 0..24 {
            assert!(!is_hung(&watcher.next(0, ASLEEP, working(1))));
        }
        watcher.suspended += 3_600_000 * MS;
        assert_eq!(watcher.next(0, ASLEEP, working(1)).verdict, Verdict::Alive);
    }
    assert_eq!(
        watcher.until(|_| (ASLEEP, working(1)), is_hung).0.verdict,
        hung(Cause::Blocked)
    );
}

#[test]
fn two_clocks_that_are_read_one_after_the_other_make_no_suspension() {
    let mut watcher = Watcher::new(&quick());
    let mut random = Random(1);
    watcher.look(ASLEEP, working(1));
    let start = watcher.now;
    while !is_hung(&{
        watcher.suspended = 100 * MS + random.below(49 * MS);
        watcher.next(0, ASLEEP, working(1))
    }) {}
    assert!(watcher.now - start <= 265 * MS);
}

#[test]
fn early_looks_count_for_nothing_and_put_nothing_off() {
    let mut watcher = Watcher::new(&quick());
    let start = watcher.now;
    watcher.look(ASLEEP, working(1));
    while !is_hung(&watcher.look(ASLEEP, working(1))) {
        watcher.now += MS / 3;
        assert!(watcher.now < start + 260 * MS);
    }
    assert!(watcher.now >= start + 250 * MS);
}

#[test]
fn a_clock_that_steps_back_lets_no_time_count_twice() {
    let mut watcher = Watcher::new(&quick());
    watcher.look(ASLEEP, working(1));
    for _ in 0..30 {
        watcher.now -= 30 * MS;
        watcher.look(ASLEEP, working(1));
        let judgement = watcher.next(0, ASLEEP, working(1));
        assert!(!is_hung(&judgement), "{}", judgement.reason);
    }
}
