use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::*;
use crate::detector::Phase;
use crate::directory::Name;
use crate::directory::testing::Scratch;
use crate::error::Error;
use crate::sys::clock;
use crate::sys::fork::{fork_for_test, wait_for_test};
use crate::sys::testing::alone;

fn name() -> Name {
    Name::new("heart").unwrap()
}

fn both(dir: &Scratch) -> (Heartbeat, HeartbeatView) {
    let heart = Heartbeat::create(dir, &name()).unwrap();
    let view = HeartbeatView::open(dir, &name()).unwrap();
    (heart, view)
}

#[test]
fn what_is_beaten_is_read_with_its_phase_progress_and_thread() {
    let dir = Scratch::new();
    let (mut heart, view) = both(&dir);
    let first = view.read().unwrap();
    assert_eq!(
        (first.sample.count, first.sample.phase),
        (1, Phase::Starting)
    );
    assert_eq!(first.pid, std::process::id());
    let budget = Duration::from_millis(250);
    for (n, phase) in [Phase::Working { budget }, Phase::Idle, Phase::Stopping]
        .into_iter()
        .enumerate()
    {
        heart.set_progress(n as u64 + 7);
        assert_eq!(heart.enter(phase), Beat::Published);
        let read = view.read().unwrap();
        assert_eq!(read.sample.phase, phase);
        assert_eq!(read.sample.progress, n as u64 + 7);
        assert_eq!(read.sample.count, n as u64 + 2);
        assert_eq!(read.thread, first.thread);
        assert!(!read.sample.farewell);
    }
    std::thread::scope(|scope| {
        scope.spawn(|| assert_eq!(heart.beat(), Beat::Published));
    });
    assert_ne!(view.read().unwrap().thread, first.thread);
    assert_eq!(view.read().unwrap().statistics.intervals, 4);
}

#[test]
fn a_beater_killed_in_the_middle_leaves_its_last_whole_beat() {
    let dir = Scratch::new();
    let (mut heart, view) = both(&dir);
    for progress in 0..4 {
        heart.set_progress(progress);
        assert_eq!(heart.beat(), Beat::Published);
        let before = view.read().unwrap();
        // What the next beat writes before its count, and then is killed.
        let next = &heart.page().words[usize::from((before.sample.count + 1) % 2 == 1)];
        for killed_after in 0..layout::WORDS {
            next.of[killed_after].store(u64::MAX, Ordering::Relaxed);
            assert_eq!(view.read(), Some(before), "after {killed_after} words");
        }
    }
}

#[test]
fn a_reader_never_sees_half_of_a_beat() {
    let dir = Scratch::new();
    let (mut heart, view) = both(&dir);
    let end = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !end.load(Ordering::Relaxed) {
                heart.set_progress(heart.count() + 1);
                assert_eq!(heart.beat(), Beat::Published);
            }
        });
        let begun = Instant::now();
        let mut read = 0;
        // On a busy machine the reader may have had no look at a beat by then.
        while begun.elapsed() < Duration::from_millis(100)
            || (read == 0 && begun.elapsed() < Duration::from_secs(20))
        {
            if let Some(reading) = view.read().filter(|reading| reading.sample.count > 1) {
                assert_eq!(reading.sample.progress, reading.sample.count);
                read += 1;
            }
        }
        end.store(true, Ordering::Relaxed);
        assert!(read > 0);
    });
}

#[test]
fn one_process_beats_at_a_time_and_the_name_of_a_dead_one_is_free() {
    let dir = Scratch::new();
    let (heart, view) = both(&dir);
    let refused = Heartbeat::create(&dir, &name()).unwrap_err();
    assert!(
        matches!(&refused, Error::AlreadyBeating { by, .. } if by.contains(&std::process::id().to_string())),
        "{refused}"
    );
    drop(heart);
    let mut heart = Heartbeat::create(&dir, &name()).unwrap();
    assert_eq!(heart.enter(Phase::Idle), Beat::Published);
    assert_eq!(view.read().unwrap().sample.phase, Phase::Idle);
}

#[test]
fn a_forked_child_that_beats_by_accident_is_told_and_changes_nothing() {
    alone!(
        "a_forked_child_that_beats_by_accident_is_told_and_changes_nothing",
        || {
            let dir = Scratch::new();
            let (mut heart, view) = both(&dir);
            let before = view.read().unwrap();
            for past_the_handlers in [false, true] {
                let pid = fork_for_test(past_the_handlers, || {
                    i32::from(
                        heart.beat() != Beat::Forked || heart.enter(Phase::Idle) != Beat::Forked,
                    )
                });
                assert_eq!(wait_for_test(pid), 0);
            }
            assert_eq!(view.read(), Some(before));
            assert_eq!(heart.beat(), Beat::Published);
        }
    );
}

#[test]
fn a_second_writer_is_noticed_and_the_beats_go_on() {
    let dir = Scratch::new();
    let (mut heart, view) = both(&dir);
    heart.page().line.count.store(77, Ordering::Relaxed);
    assert_eq!(heart.beat(), Beat::Disturbed);
    assert_eq!(view.read().unwrap().sample.count, 78);
    assert_eq!(heart.beat(), Beat::Published);
}

#[test]
fn a_removed_name_is_seen_from_both_sides() {
    let dir = Scratch::new();
    let (mut heart, view) = both(&dir);
    assert!(!heart.is_orphaned().unwrap() && !view.is_unlinked().unwrap());
    std::fs::remove_file(dir.path().join("heart")).unwrap();
    assert!(heart.is_orphaned().unwrap() && view.is_unlinked().unwrap());
    assert_eq!(heart.beat(), Beat::Published);
    assert_eq!(view.read().unwrap().sample.count, 2);
    let other = Heartbeat::create(&dir, &name()).unwrap();
    assert!(heart.is_orphaned().unwrap());
    // It leaves alone what is another's.
    heart.farewell();
    assert!(!other.is_orphaned().unwrap());
}

#[test]
fn a_farewell_is_seen_after_the_name_is_gone() {
    let dir = Scratch::new();
    let (heart, view) = both(&dir);
    heart.farewell();
    assert!(view.is_unlinked().unwrap());
    let last = view.read().unwrap().sample;
    assert!(last.farewell && last.phase == Phase::Stopping);
    assert!(!dir.path().join("heart").exists());
}

#[test]
fn what_is_no_heartbeat_is_replaced() {
    let dir = Scratch::new();
    std::fs::write(dir.path().join("heart"), [7; 4096]).unwrap();
    let (_heart, view) = both(&dir);
    assert_eq!(view.read().unwrap().sample.count, 1);
}

#[test]
fn any_bytes_give_a_reading_or_none() {
    let dir = Scratch::new();
    let (heart, view) = both(&dir);
    let page = heart.page();
    for word in [0, 1, 0xff, 1 << 32, u64::MAX - 1, u64::MAX] {
        let all = page.owner.identity.iter();
        let all = all.chain(page.words.iter().flat_map(|words| &words.of));
        for at in all.chain([&page.line.count, &page.line.farewell]) {
            at.store(word, Ordering::Relaxed);
        }
        let read = view.read();
        assert_eq!(read.is_none(), word == 0, "{word:#x}: {read:?}");
    }
}

#[test]
fn a_beat_costs_no_more_than_three_reads_of_the_clock() {
    let dir = Scratch::new();
    let (mut heart, _view) = both(&dir);
    let mut ratios: Vec<f64> = (0..51)
        .map(|_| {
            const TURNS: u32 = 2000;
            let start = Instant::now();
            for _ in 0..TURNS {
                std::hint::black_box(clock::monotonic_ns());
            }
            let clock = start.elapsed();
            let start = Instant::now();
            for _ in 0..TURNS {
                assert_eq!(heart.beat(), Beat::Published);
            }
            start.elapsed().as_secs_f64() / clock.as_secs_f64()
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    let median = ratios[ratios.len() / 2];
    println!("a beat costs {median:.2} reads of the monotonic clock");
    assert!(median <= 3.0, "{median:.2} reads");
}
