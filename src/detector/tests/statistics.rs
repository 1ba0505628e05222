//! Window and phi against their definitions, computed the plain way.

use super::super::phi::{GREATEST, phi};
use super::super::softplus::softplus;
use super::super::window::Intervals;
use super::Random;

/// Mean and deviation as the textbook has them: twice over all the values.
fn plain(values: &[u64]) -> (f64, f64) {
    let n = values.len().max(1) as f64;
    let mean = values.iter().map(|x| *x as f64).sum::<f64>() / n;
    let variance = values
        .iter()
        .map(|x| (*x as f64 - mean).powi(2))
        .sum::<f64>()
        / n;
    (mean, variance.sqrt())
}

#[test]
fn the_window_agrees_with_mean_and_deviation_recomputed_from_all_its_values() {
    for seed in 0..200 {
        let mut random = Random(seed);
        let capacity = usize::try_from(random.between(1, 40)).unwrap();
        let mut window = Intervals::new(capacity);
        let mut all: Vec<u64> = Vec::new();
        let scale = random.pick(&[1, 1_000, 10_000_000, 3_600_000_000_000]);
        for _ in 0..random.between(0, 120) {
            let interval = random.between(0, scale);
            window.push(interval);
            all.push(interval);
            let last = &all[all.len().saturating_sub(capacity)..];
            let (mean, deviation) = window.mean_and_deviation();
            let (expected_mean, expected_deviation) = plain(last);
            let near = |a: f64, b: f64| (a - b).abs() <= 1e-9 * scale as f64;
            assert_eq!(window.len(), last.len());
            assert!(
                near(mean, expected_mean),
                "seed {seed}: {mean} {expected_mean}"
            );
            assert!(
                near(deviation, expected_deviation),
                "seed {seed}: {deviation} {expected_deviation}"
            );
        }
    }
}

#[test]
fn no_interval_and_no_number_of_them_makes_the_sums_overflow() {
    let mut window = Intervals::new(usize::MAX);
    assert_eq!(window.mean_and_deviation(), (0.0, 0.0));
    for n in 0..20_000u64 {
        window.push(if n % 2 == 0 { u64::MAX } else { 0 });
    }
    let (mean, deviation) = window.mean_and_deviation();
    assert_eq!((window.len(), mean, deviation), (4096, 1.8e12, 1.8e12));
}

/// The two branches that Akka and Pekko compute.
fn in_two_branches(y: f64) -> f64 {
    let e = (-y * (1.5976 + 0.070566 * y * y)).exp();
    if y > 0.0 {
        -(e / (1.0 + e)).log10()
    } else {
        -(1.0 - 1.0 / (1.0 + e)).log10()
    }
}

#[test]
fn phi_agrees_with_its_usual_two_branches_wherever_they_are_finite() {
    // Deviations from the mean, in hundredths, where the mean is ten deviations.
    for hundredths in 600..=1800u32 {
        let y = f64::from(hundredths) / 100.0 - 10.0;
        let expected = in_two_branches(y);
        let found = phi(u64::from(hundredths) * 100_000, 100e6, 10e6);
        assert!(
            (found - expected).abs() <= 1e-9 + 1e-4 * expected,
            "y {y}: {found} {expected}"
        );
    }
}

#[test]
fn softplus_is_that_of_the_standard_library() {
    let mut before = 0.0;
    for thousandths in -800_000..=800_000i32 {
        let x = f64::from(thousandths) / 1000.0;
        let expected = x.max(0.0) + (-x.abs()).exp().ln_1p();
        let found = softplus(x);
        let apart = (found - expected).abs();
        assert!(
            apart <= 1e-14 * expected + 1e-300,
            "{x}: {found} {expected}"
        );
        assert!(found >= before, "{x}: {found} after {before}");
        before = found;
    }
    assert_eq!(softplus(f64::NEG_INFINITY), 0.0);
    assert_eq!(softplus(f64::INFINITY), f64::INFINITY);
    assert!(softplus(f64::NAN).is_nan());
}

/// Values of the normal distribution from tables: the approximation is within 0.0002 of the probability.
#[test]
fn phi_is_minus_the_logarithm_of_the_normal_tail() {
    for (y, tail) in [(0, 0.5), (1, 0.158_655), (2, 0.022_750), (3, 0.001_350)] {
        let found = 10f64.powf(-phi((100 + y * 10) * 1_000_000, 100e6, 10e6));
        assert!((found - tail).abs() < 2e-4, "y {y}: {found} {tail}");
    }
}

#[test]
fn phi_is_a_bounded_number_that_never_falls_whatever_goes_in() {
    let odd = [
        0.0,
        -0.0,
        -1.0,
        1.0,
        1e300,
        f64::MAX,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
        f64::MIN_POSITIVE,
    ];
    for mean in odd {
        for deviation in odd {
            let mut before = 0.0;
            for silent in [0, 1, 1000, 1 << 40, u64::MAX] {
                let now = phi(silent, mean, deviation);
                assert!(
                    (before..=GREATEST).contains(&now),
                    "{silent} {mean} {deviation}: {before} {now}"
                );
                before = now;
            }
        }
    }
}
