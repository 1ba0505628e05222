//! Nonsense for input.

use super::*;

/// Any numbers at any time: no panic, no overflow, no verdict without a reason, no rest of nothing.
#[test]
fn hostile_words_and_impossible_clocks_are_survived() {
    let odd = [
        0,
        1,
        250 * MS,
        1 << 40,
        u64::MAX / 2,
        u64::MAX - 1,
        u64::MAX,
    ];
    for seed in 0..4000 {
        let mut random = Random(seed);
        let mut config = Config::new(
            Duration::from_nanos(random.pick(&odd)),
            Duration::from_nanos(random.pick(&odd)),
        );
        config.looks = random.pick(&[0, 1, 3, u32::MAX]);
        config.longest_budget = Duration::from_nanos(random.pick(&odd));
        config.start_within = random.pick(&[Duration::ZERO, Duration::MAX]);
        config.challenge_every = random.pick(&[None, Some(Duration::ZERO), Some(Duration::MAX)]);
        config.threshold = random.pick(&[f64::NAN, -1.0, f64::INFINITY, 8.0]);
        config.deviation_floor = random.pick(&[Duration::ZERO, Duration::MAX]);
        config.window = random.pick(&[0, 1, 10]);
        let mut detector = Detector::new(&config);
        for _ in 0..100 {
            let mut number = || {
                if random.one_in(2) {
                    random.pick(&odd)
                } else {
                    random.next()
                }
            };
            let sample = Sample {
                count: number() % 3,
                phase: Phase::from_word((number() << 8) | (number() % 6)),
                progress: number(),
                farewell: number() % 5 == 0,
            };
            let state = ThreadState::from_letter(number().to_le_bytes()[0]);
            let seen = ThreadFacts {
                tid: u32::try_from(number() % 3).unwrap(),
                state,
                tracer: u32::try_from(number() % 2).unwrap(),
                frozen: number() % 7 == 0,
                cpu: number(),
                waited: number(),
            };
            let (now, suspended) = (number(), number());
            let process = match number() % 40 {
                0 => Process::Ended(Death::Unknown),
                1..4 => Process::Absent,
                4..8 => Process::Dumping,
                8..12 => Process::Running(Thread::Gone),
                _ => Process::Running(Thread::Seen(seen)),
            };
            let pulse = match number() % 9 {
                0 => Pulse::Missing,
                1 => Pulse::Unlinked(sample),
                _ => Pulse::Read(sample),
            };
            let judgement = detector.look(&Look {
                now,
                suspended,
                process,
                pulse,
            });
            assert!(
                !judgement.reason.to_string().is_empty()
                    && !judgement.verdict.to_string().is_empty()
            );
            assert!(
                (0.0..=999.0).contains(&detector.phi()),
                "seed {seed}: {}",
                detector.phi()
            );
            assert!(detector.next_look(now).is_none_or(|next| next >= now));
            if judgement.challenge || number() % 3 == 0 {
                detector.challenged(number());
            }
        }
    }
}

#[test]
fn a_phase_survives_its_word_and_any_word_is_a_phase() {
    let budgets = [0, 1000, 250_000_000, 600_000_000_000].map(Duration::from_nanos);
    let working = budgets.map(|budget| Phase::Working { budget });
    for phase in [Phase::Starting, Phase::Idle, Phase::Stopping]
        .into_iter()
        .chain(working)
    {
        assert_eq!(Phase::from_word(phase.to_word()), phase);
    }
    let rounded = Phase::Working {
        budget: Duration::from_nanos(1),
    };
    assert_eq!(
        Phase::from_word(rounded.to_word()),
        Phase::Working {
            budget: Duration::from_micros(1)
        }
    );
    let endless = Phase::Working {
        budget: Duration::MAX,
    };
    assert_eq!(
        Phase::from_word(endless.to_word()).to_word(),
        endless.to_word()
    );
    for word in [0, 5, 0xff, u64::MAX, u64::MAX - 0xff] {
        assert_eq!(
            Phase::from_word(word),
            Phase::Working {
                budget: Duration::ZERO
            }
        );
    }
}
