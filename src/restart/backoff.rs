//! How long to wait before the n-th restart in a row.

use super::policy::Policy;
use crate::detector::nanos;

/// The delay, in nanoseconds, before restart `n` (counted from 0) of a row: none, then
/// `first_delay` · 2ⁿ⁻¹ and a part of that by chance, never more than `longest_delay`.
///
/// The doubling ends early enough that the greatest delay leaves room for chance too.
pub(crate) fn delay(policy: &Policy, n: u32, chance: u64) -> u64 {
    if n == 0 {
        return 0;
    }
    let percent = u128::from(policy.jitter_percent.min(100));
    let first = u128::from(nanos(policy.first_delay));
    let longest = u128::from(nanos(policy.longest_delay)).max(first);
    let ceiling = (longest * 100 / (100 + percent)).max(first);
    let doubled = (first << (n - 1).min(63)).min(ceiling);
    let jitter = ((doubled * percent / 100) * u128::from(chance)) >> 64;
    u64::try_from((doubled + jitter).min(longest)).unwrap_or(u64::MAX)
}

/// The next number of a sequence that only its seed decides (Steele, Lea and Flood's SplitMix64).
pub(crate) fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
