//! ln(1 + eˣ), in this crate's own arithmetic.
//!
//! The functions of `std` are those of `libm`, and nothing else here needs that: a process that maps a library less
//! starts sooner, and ends sooner, which is the time until its death can be known (`benches/detector`, the limit).

use std::f64::consts::LN_2;

/// ln 2 in two parts, the first so short that its product with a small whole number is exact (Cody and Waite, 1980).
const LN_2_HIGH: f64 = f64::from_bits(LN_2.to_bits() >> 21 << 21);
const LN_2_LOW: f64 = 1.908_214_929_270_588e-10;

/// ln(1 + eˣ), to about 15 digits; no number for none.
pub(crate) fn softplus(x: f64) -> f64 {
    // Where the second summand tells is where the first is small: nothing is lost, and nothing overflows.
    x.max(0.0) + ln_1p(exp_of_minus(x.abs()))
}

/// e⁻ᵃ for a ≥ 0: 2⁻ᵏ e⁻ʳ with a = k ln 2 + r, 0 ≤ r < ln 2, and the series of e⁻ʳ. Below the least normal number: 0.
fn exp_of_minus(a: f64) -> f64 {
    if a.is_nan() {
        return a;
    }
    if a > 708.0 {
        return 0.0;
    }
    #[allow(clippy::cast_possible_truncation, reason = "at most 1021")]
    let k = (a / LN_2) as u32;
    let r = a - f64::from(k) * LN_2_HIGH - f64::from(k) * LN_2_LOW;
    // The first term left out is below 10⁻¹⁷.
    let series = (1..=16)
        .rev()
        .fold(1.0, |sum, n| 1.0 - sum * r / f64::from(n));
    let power = f64::from_bits(u64::from(1023 - k) << 52);
    series * power
}

/// ln(1 + t) for 0 ≤ t ≤ 1: 2 artanh(s) with s = t / (2 + t) ≤ ⅓, and the series of artanh.
fn ln_1p(t: f64) -> f64 {
    let s = t / (2.0 + t);
    let square = s * s;
    // The first term left out is below 10⁻¹⁸.
    let terms = (0..=17).rev().map(|n| 1.0 / f64::from(2 * n + 1));
    2.0 * s * terms.fold(0.0, |sum, term| sum * square + term)
}
