//! How suspicious a silence is: the accrual of Hayashibara and others (2004).
//!
//! Phi is minus the decimal logarithm of the probability that a beat comes still later than now, if
//! intervals are spread normally: at phi 1 the suspicion is wrong once in ten, at 8 once in 10⁸. The tail
//! of the normal distribution is taken by the logistic approximation that Akka and its kin use, 1 / (1 +
//! eˣ) with x = y(1.5976 + 0.070566y²) for a silence of y deviations over the mean. They compute it in two
//! branches, one for each side of the mean, which run into 0 or infinity far out; both are the same ln(1 +
//! eˣ) / ln 10, and that form stays finite.

use std::f64::consts::LN_10;

use super::softplus::softplus;

/// No suspicion is greater: everything above says "certainly" anyway, and figures stay readable.
pub(crate) const GREATEST: f64 = 999.0;

/// The suspicion of a silence, given mean and standard deviation of the intervals (all in nanoseconds). It
/// is at least 0, at most [`GREATEST`], never falls as the silence grows, and is a number whatever goes in.
pub(crate) fn phi(silent: u64, mean: f64, deviation: f64) -> f64 {
    let y = (silent as f64 - mean) / deviation.max(1.0);
    let x = y * (1.5976 + 0.070566 * y * y);
    let softplus = softplus(x);
    // A mean that is no number leads here; `min` and `max` would hide it, `clamp` would pass it on.
    if softplus.is_nan() {
        0.0
    } else {
        (softplus / LN_10).clamp(0.0, GREATEST)
    }
}
