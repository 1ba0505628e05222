//! The cause against an oracle that recomputes it from all that was seen of the thread.

use super::super::witness::Witness;
use super::*;

/// What a look saw, and the watched time since the look before.
type Seen = (Thread, u64);

fn is_held(facts: &ThreadFacts) -> bool {
    let stopped = matches!(facts.state, ThreadState::Stopped | ThreadState::TracingStop);
    stopped || facts.frozen || facts.tracer != 0
}

/// The cause, as [`Witness`] describes it.
fn plain(looks: &[Seen], allowed: u64) -> Cause {
    let last = match looks.last().unwrap().0 {
        Thread::Unread => return Cause::Unknown,
        Thread::Gone => return Cause::Ended,
        Thread::Seen(facts) => facts,
    };
    let facts = |n: usize| match looks[n].0 {
        Thread::Seen(facts) => Some(facts),
        _ => None,
    };
    // Since this thread was seen first, and no other since.
    let is_other = |n: &usize| facts(*n).is_some_and(|seen| seen.tid != last.tid);
    let begin = (0..looks.len()).rev().find(is_other).map_or(0, |n| n + 1);
    let begin = (begin..looks.len()).find(|n| facts(*n).is_some()).unwrap();
    let first = facts(begin).unwrap();

    let was_held = |n: usize| {
        let before = (begin..n).rev().find_map(facts);
        before.is_some_and(|before| is_held(&before))
    };
    let held_now = |n: usize| facts(n).is_some_and(|seen| is_held(&seen));
    let sum = |until: usize, counts: &dyn Fn(usize) -> bool| -> u64 {
        let counted = (begin + 1..=until).filter(|n| counts(*n));
        counted.map(|n| looks[n].1).sum()
    };
    let surely_held = sum(looks.len() - 1, &|n| held_now(n) && was_held(n));
    let asleep = (begin + 1..looks.len()).rev().find(|n| {
        facts(*n).is_some_and(|seen| !is_held(&seen) && seen.state != ThreadState::Runnable)
    });
    let own = match asleep {
        Some(n) => {
            let seen = facts(n).unwrap();
            let either = |n: usize| facts(n).is_some() && (held_now(n) || was_held(n));
            let lost = seen.waited - first.waited + sum(n, &either);
            sum(n, &|_| true).saturating_sub(lost) + last.cpu - seen.cpu
        }
        None => last.cpu - first.cpu,
    };
    let (is_own, is_stopped) = (own >= allowed / 2, surely_held >= allowed / 2);
    match last.state {
        _ if last.tracer != 0 => Cause::Traced,
        ThreadState::TracingStop => Cause::Traced,
        ThreadState::Ended => Cause::Ended,
        ThreadState::Stopped if is_own || is_stopped => Cause::Stopped,
        _ if last.frozen && (is_own || is_stopped) => Cause::Stopped,
        _ if !is_own => Cause::Starved,
        ThreadState::Runnable => Cause::Spinning,
        _ => Cause::Blocked,
    }
}

#[test]
fn the_cause_agrees_with_an_oracle_that_recomputes_it_from_all_looks() {
    let mut found = std::collections::BTreeMap::new();
    for seed in 0..4000 {
        let mut random = Random(seed);
        let allowed = random.between(10, 400) * MS;
        let letters = random.pick(&[&b"RS"[..], b"RT", b"ST", b"T", b"RRRSTtZ"]);
        let rare = random.pick(&[8, 1000]);
        let mut facts = ThreadFacts {
            tid: 7,
            state: ThreadState::Runnable,
            tracer: 0,
            frozen: false,
            cpu: random.next() >> 8,
            waited: random.next() >> 8,
        };
        let mut witness = Witness::default();
        let mut looks: Vec<Seen> = Vec::new();
        for _ in 0..random.between(1, 40) {
            let credit = random.below(allowed / 5);
            facts.state = ThreadState::from_letter(random.pick(letters));
            match facts.state {
                ThreadState::Runnable if random.one_in(2) => facts.cpu += credit,
                ThreadState::Runnable => facts.waited += credit,
                _ => {}
            }
            facts.tid += u32::from(random.one_in(rare * 4));
            facts.tracer = u32::from(random.one_in(rare * 4));
            facts.frozen = random.one_in(rare * 2);
            let thread = match random.below(rare) {
                0 => Thread::Unread,
                1 if random.one_in(4) => Thread::Gone,
                _ => Thread::Seen(facts),
            };
            witness.observe(thread, credit);
            looks.push((thread, credit));
            let expected = plain(&looks, allowed);
            assert_eq!(
                witness.cause(allowed),
                expected,
                "seed {seed}, allowed {allowed}: {looks:?}"
            );
            *found.entry(expected.to_string()).or_insert(0) += 1;
        }
    }
    for cause in ["blocked", "spinning", "stopped", "starved", "traced"] {
        assert!(
            found.get(cause).is_some_and(|n| *n > 500),
            "the scripts meet all causes: {found:?}"
        );
    }
}
