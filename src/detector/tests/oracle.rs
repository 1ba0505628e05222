//! The verdict, recomputed from the whole history at every look: slow, and plain enough to be read as the
//! specification.

use super::*;

/// One look and what was planned before it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) look: Look,
    pub(super) planned: Option<u64>,
    /// When the process was challenged, right after this look.
    pub(super) challenged: Option<u64>,
}

pub(super) const PERIOD: u64 = 10 * MS;
const MEMORY: usize = 12;

/// The settings that the numbers below assume.
pub(super) fn config() -> Config {
    Config {
        longest_budget: Duration::from_millis(400),
        start_within: Duration::from_millis(300),
        stop_within: Duration::from_millis(200),
        challenge_every: Some(Duration::from_millis(100)),
        challenge_within: Duration::from_millis(60),
        starved_cap: Duration::from_millis(500),
        dump_within: Duration::from_millis(150),
        window: MEMORY,
        ..quick()
    }
}

/// The words that a beat changes.
fn words(look: &Look) -> Option<(u64, Phase)> {
    match look.pulse {
        Pulse::Missing => None,
        Pulse::Read(s) | Pulse::Unlinked(s) if s.farewell => Some((s.count, Phase::Stopping)),
        Pulse::Read(s) | Pulse::Unlinked(s) => Some((s.count, s.phase)),
    }
}

fn allowance(phase: Phase, challenged: bool) -> Option<u64> {
    match phase {
        Phase::Starting => Some(300 * MS),
        Phase::Stopping => Some(200 * MS),
        Phase::Idle if challenged => Some(60 * MS),
        Phase::Idle => None,
        Phase::Working { budget } if budget.is_zero() => Some(250 * MS),
        Phase::Working { budget } => Some(nanos(budget).clamp(PERIOD, 400 * MS)),
    }
}

/// What a look adds to the watched clock, and whether it was (in time, late, after a suspension).
fn credit(history: &[Entry], n: usize) -> (u64, bool, bool, bool) {
    let Entry { look, planned, .. } = history[n];
    let Some(before) = n.checked_sub(1).map(|n| history[n]) else {
        return (0, false, false, false);
    };
    if look.suspended >= before.look.suspended + 50 * MS {
        return (0, false, false, true);
    }
    let Some(planned) = planned else {
        return (0, false, false, false);
    };
    let since = before.challenged.unwrap_or(before.look.now);
    let in_time = (planned..=planned + PERIOD / 4).contains(&look.now);
    let late = look.now > planned + PERIOD / 4;
    (
        if late { planned } else { look.now } - since,
        in_time,
        late,
        false,
    )
}

fn stretch(history: &[Entry]) -> u64 {
    let mut score: u64 = 0;
    for n in 0..history.len() {
        let (_, in_time, late, _) = credit(history, n);
        score = if late {
            (score + 1).min(7)
        } else {
            score.saturating_sub(u64::from(in_time))
        };
    }
    score + 1
}

/// Silence, looks in time, whether a challenge is open, at the look `n`, for looks that all saw a running
/// process.
fn silence(history: &[Entry], n: usize) -> (u64, usize, bool) {
    let (mut silent, mut looks, mut since) = (0, Vec::new(), n);
    let open = |n: usize| history[n].challenged.is_some();
    // Back to the look that began it.
    while since > 0 && words(&history[since].look) == words(&history[since - 1].look) {
        let (credit, in_time, late, resumed) = credit(history, since);
        if resumed {
            break;
        }
        silent += credit;
        looks.push((in_time, late));
        since -= 1;
        if open(since) {
            return (silent, in_a_row(&looks), true);
        }
    }
    // The challenge may be older than a suspension.
    let mut first = since;
    let mut challenged = false;
    while first > 0 && words(&history[first].look) == words(&history[first - 1].look) {
        first -= 1;
        challenged |= open(first);
    }
    (silent, in_a_row(&looks), challenged)
}

/// Looks in time, newest first, up to a late one.
fn in_a_row(looks: &[(bool, bool)]) -> usize {
    looks
        .iter()
        .take_while(|(_, late)| !late)
        .filter(|(in_time, _)| *in_time)
        .count()
}

fn convicted_at(history: &[Entry], n: usize) -> bool {
    let Some(allowed) = allowed_at(history, n) else {
        return false;
    };
    let (silent, looks, _) = silence(history, n);
    (silent >= allowed * stretch(&history[..=n]) && looks >= 3) || silent >= allowed * 8
}

fn allowed_at(history: &[Entry], n: usize) -> Option<u64> {
    let phase = words(&history[n].look).map_or(Phase::Starting, |(_, phase)| phase);
    allowance(phase, silence(history, n).2)
}

/// Whether any look since the last beat or suspension or challenge found it too long.
fn convicted(history: &[Entry]) -> bool {
    let mut n = history.len() - 1;
    loop {
        if convicted_at(history, n) {
            return true;
        }
        let begins = n == 0
            || words(&history[n].look) != words(&history[n - 1].look)
            || credit(history, n).3;
        if begins || history[n - 1].challenged.is_some() {
            return false;
        }
        n -= 1;
    }
}

fn phi(history: &[Entry], allowed: u64) -> f64 {
    let mut intervals: Vec<f64> = Vec::new();
    for n in 1..history.len() {
        let (before, now) = (words(&history[n - 1].look), words(&history[n].look));
        let (credit, .., resumed) = credit(history, n);
        let works = |words| matches!(words, Some((_, Phase::Working { .. })));
        if works(before) && works(now) && before != now && !resumed {
            let (silent, ..) = silence(history, n - 1);
            intervals.push((silent + credit).min(allowed_at(history, n - 1).unwrap()) as f64);
        }
    }
    let last = &intervals[intervals.len().saturating_sub(MEMORY)..];
    let (silent, _, challenged) = silence(history, history.len() - 1);
    let (mean, deviation) = if last.len() < 10 || challenged {
        (allowed as f64 / 2.0, allowed as f64 / 16.0)
    } else {
        let mean = last.iter().sum::<f64>() / last.len() as f64;
        (
            mean,
            (last.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / last.len() as f64).sqrt(),
        )
    };
    let y = (silent as f64 - mean) / deviation.max(PERIOD as f64 / 2.0);
    let e = (-y * (1.5976 + 0.070566 * y * y)).exp();
    let phi = if y > 0.0 {
        -(e / (1.0 + e)).log10()
    } else {
        -(1.0 - 1.0 / (1.0 + e)).log10()
    };
    phi.min(999.0)
}

/// The verdict (its cause aside), and phi where it matters.
pub(super) fn verdict(history: &[Entry]) -> (&'static str, f64) {
    let last = history.last().unwrap().look;
    let Some(allowed) = allowed_at(history, history.len() - 1) else {
        return ("alive", 0.0);
    };
    let phase = words(&last).map_or(Phase::Starting, |(_, phase)| phase);
    let (silent, ..) = silence(history, history.len() - 1);
    let phi = phi(history, allowed);
    let verdict = match phase {
        _ if convicted(history) => "hung",
        Phase::Starting => "starting",
        Phase::Stopping => "alive",
        _ if phi >= 8.0 || silent >= allowed => "suspect",
        _ => "alive",
    };
    (verdict, phi)
}
