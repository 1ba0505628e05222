//! The detector against the oracle, look by look, over random scripts.

use super::oracle::{Entry, PERIOD, config, verdict};
use super::*;

fn name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Starting => "starting",
        Verdict::Alive => "alive",
        Verdict::Suspect { .. } => "suspect",
        Verdict::Hung { .. } => "hung",
        _ => "other",
    }
}

/// How a watcher of one script comes to its looks.
fn next_now(random: &mut Random, now: u64, due: Option<u64>, sloth: u64) -> u64 {
    let due = due.unwrap_or(now + random.between(1, 300 * MS));
    match random.below(12) {
        0 => now + random.below(due - now + 1),
        1 if random.below(10) < sloth => due + random.between(PERIOD / 4 + 1, 3_000 * MS),
        2..4 if random.below(10) < sloth => due + random.between(PERIOD / 4 + 1, 3 * PERIOD),
        _ => due + random.below(PERIOD / 4 + 1),
    }
}

#[test]
fn the_detector_agrees_with_an_oracle_that_recomputes_the_whole_history() {
    let budgets = [0, 20, 60, 250, 1000].map(Duration::from_millis);
    let mut found = std::collections::BTreeMap::new();
    for seed in 0..3000 {
        let mut random = Random(seed);
        let (beats_one_in, sloth) = (random.pick(&[1, 3, 10, 40]), random.pick(&[0, 2, 10]));
        let mut detector = Detector::new(&config());
        let mut history: Vec<Entry> = Vec::new();
        let (mut now, mut suspended, mut count) = (random.below(1 << 60), 0, random.next());
        let mut phase = Phase::Working {
            budget: Duration::ZERO,
        };
        let mut missing = random.one_in(3);
        for _ in 0..60 {
            if random.one_in(beats_one_in) {
                count = count.wrapping_add(random.pick(&[1, 1, 1, 5, u64::MAX]));
                missing &= !random.one_in(3);
            }
            if random.one_in(25) {
                let budget = random.pick(&budgets);
                phase = random.pick(&[
                    Phase::Starting,
                    Phase::Idle,
                    Phase::Stopping,
                    Phase::Working { budget },
                ]);
            }
            if random.one_in(50) {
                suspended += random.pick(&[MS, 60 * MS, 100_000 * MS]);
            }
            let planned = detector.next_look(0);
            now = next_now(&mut random, now, planned, sloth);
            let pulse = if missing {
                Pulse::Missing
            } else {
                pulse(count, phase)
            };
            let look = Look {
                now,
                suspended,
                process: thread(b'S', 0, 0),
                pulse,
            };
            let judgement = detector.look(&look);
            history.push(Entry {
                look,
                planned,
                challenged: None,
            });

            let (expected, phi) = verdict(&history);
            assert_eq!(
                name(judgement.verdict),
                expected,
                "seed {seed}, look {}: {}",
                history.len(),
                judgement.reason
            );
            let near = |a: f64| {
                a.is_infinite() || (a - phi).abs() < 1e-6 + 1e-6 * phi || phi.is_infinite()
            };
            assert!(
                near(detector.phi()) || phi > 250.0,
                "seed {seed}: {} {phi}",
                detector.phi()
            );
            *found.entry(expected).or_insert(0) += 1;
            if judgement.challenge && !random.one_in(4) {
                now += random.below(MS);
                detector.challenged(now);
                history.last_mut().unwrap().challenged = Some(now);
            }
        }
    }
    for verdict in ["alive", "starting", "suspect", "hung"] {
        assert!(
            found.get(verdict).is_some_and(|n| *n > 500),
            "the scripts meet all verdicts: {found:?}"
        );
    }
}
