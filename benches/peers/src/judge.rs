//! Holds what was measured against the figures.

use crate::figures::{Beside, Bound, Figure};
use crate::groups::Pace;
use crate::placement::{PLACEMENTS, Placement};
use crate::points::Point;
use crate::run::PAIRS;
use crate::samples::{Ran, Series, Spread};

/// Fewer samples than this of one placement judge nothing.
const FEWEST: usize = 5;

/// A figure, and what became of it.
pub(crate) struct Judged {
    pub(crate) figure: &'static Figure,
    /// The ratio in each placement that came up.
    pub(crate) ratios: Vec<(Placement, f64)>,
    pub(crate) verdict: Verdict,
}

pub(crate) enum Verdict {
    Met {
        value: f64,
        by: String,
    },
    Missed {
        value: f64,
        by: String,
    },
    /// And why.
    NotMeasured(String),
}

impl Verdict {
    fn of(bound: Bound, value: f64, by: String) -> Verdict {
        let met = match bound {
            Bound::Time(most) | Bound::Most(most) => value <= most,
            Bound::Rate(least) => value >= least,
        };
        if met {
            Verdict::Met { value, by }
        } else {
            Verdict::Missed { value, by }
        }
    }
}

pub(crate) fn judge(figure: &'static Figure, ran: &[Ran], points: &[Point]) -> Judged {
    let mut ratios = Vec::new();
    let verdict = match figure.beside {
        Beside::Group {
            group,
            ours,
            others,
        } => judge_group(
            figure,
            ran.iter().find(|ran| ran.group.id == group),
            ours,
            others,
            &mut ratios,
        ),
        Beside::Points { ours, other } => judge_points(figure, points, ours, other),
    };
    let verdict = verdict.unwrap_or_else(Verdict::NotMeasured);
    Judged {
        figure,
        ratios,
        verdict,
    }
}

fn judge_group(
    figure: &Figure,
    ran: Option<&Ran>,
    ours: &str,
    others: &[&str],
    ratios: &mut Vec<(Placement, f64)>,
) -> Result<Verdict, String> {
    let ran = ran.ok_or("its group did not run")?;
    let ours = live(ran, ours)?;
    let others = others
        .iter()
        .map(|other| live(ran, other))
        .collect::<Result<Vec<_>, _>>()?;
    let (value, by) = if ran.group.pace == Pace::Paired {
        paired(ours, &others, ratios)
    } else {
        by_placement(figure, ours, &others, ratios)
    }
    .ok_or("too few samples of any placement")?;
    Ok(Verdict::of(figure.bound, value, by))
}

fn live<'a>(ran: &'a Ran, name: &str) -> Result<&'a Series, String> {
    let series = ran
        .series(name)
        .ok_or_else(|| format!("{name} is not in the group"))?;
    match &series.absent {
        Some(why) => Err(format!("{name}: {why}")),
        None => Ok(series),
    }
}

/// The ratio of medians: near if it came up, else where there are most samples.
fn by_placement(
    figure: &Figure,
    ours: &Series,
    others: &[&Series],
    ratios: &mut Vec<(Placement, f64)>,
) -> Option<(f64, String)> {
    let mut best: Option<(usize, f64, Placement)> = None;
    for placement in PLACEMENTS {
        let spread = |series: &Series| {
            series
                .spread(placement)
                .filter(|spread| spread.count >= FEWEST)
        };
        let Some(ours) = spread(ours) else { continue };
        let others: Option<Vec<f64>> = others
            .iter()
            .map(|other| spread(other).map(|spread| spread.median))
            .collect();
        let Some(other) = others.and_then(|others| others.into_iter().reduce(f64::min)) else {
            continue;
        };
        let time = ours.median / other;
        let ratio = if matches!(figure.bound, Bound::Rate(_)) {
            1.0 / time
        } else {
            time
        };
        ratios.push((placement, ratio));
        let weight = if placement == Placement::Near {
            usize::MAX
        } else {
            ours.count
        };
        if best.is_none_or(|(most, ..)| weight > most) {
            best = Some((weight, ratio, placement));
        }
    }
    best.map(|(_, ratio, placement)| (ratio, placement.text().to_owned()))
}

/// The median of the pairs' ratios, which are of one placement each: near if there are enough,
/// else all of them.
fn paired(
    ours: &Series,
    others: &[&Series],
    ratios: &mut Vec<(Placement, f64)>,
) -> Option<(f64, String)> {
    let pairs = ours.pairs(others.first()?);
    let median = |pairs: Vec<f64>, fewest| {
        Spread::of(pairs)
            .filter(|spread| spread.count >= fewest)
            .map(|spread| spread.median)
    };
    let of = |placement| {
        pairs
            .iter()
            .filter(move |pair| pair.0 == placement)
            .map(|pair| pair.1)
    };
    for placement in PLACEMENTS {
        if let Some(ratio) = median(of(placement).collect(), FEWEST) {
            ratios.push((placement, ratio));
        }
    }
    if let Some(ratio) = median(of(Placement::Near).collect(), PAIRS) {
        return Some((ratio, "near, pairs".to_owned()));
    }
    let ratio = median(pairs.iter().map(|pair| pair.1).collect(), PAIRS)?;
    Some((ratio, format!("{} pairs", pairs.len())))
}

fn judge_points(
    figure: &Figure,
    points: &[Point],
    ours: &str,
    other: Option<&str>,
) -> Result<Verdict, String> {
    let number = |name: &str| {
        let point = points.iter().find(|point| point.name == name);
        let point = point.ok_or_else(|| format!("{name} was not taken"))?;
        let told = |error: &_| format!("{name}: {error}");
        point.value.as_ref().copied().map_err(told)
    };
    let mut value = number(ours)?;
    if let Some(other) = other {
        value /= number(other)?;
    }
    Ok(Verdict::of(figure.bound, value, "once".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{EPOLL, OURS};
    use crate::figures::FIGURES;
    use crate::groups::GROUPS;
    use crate::samples::Sample;

    fn crowd(ours: &[(Placement, f64)], theirs: &[(Placement, f64)]) -> Ran {
        let group = GROUPS
            .iter()
            .find(|group| group.id == "crowd-8-free")
            .unwrap();
        let series = |name: &str, values: &[(Placement, f64)]| Series {
            entry: group
                .entries
                .iter()
                .find(|entry| entry.name() == name)
                .unwrap(),
            samples: (0..)
                .zip(values)
                .map(|(round, &(placement, nanos))| Sample {
                    round,
                    placement,
                    nanos,
                })
                .collect(),
            thrown: 0,
            absent: None,
        };
        Ran {
            group,
            series: vec![series(OURS, ours), series(EPOLL, theirs)],
        }
    }

    fn verdict(ran: Ran) -> Verdict {
        let figure = FIGURES
            .iter()
            .find(|figure| figure.id == "crowd-8-free")
            .unwrap();
        judge(figure, &[ran], &[]).verdict
    }

    #[test]
    fn near_decides_where_it_came_up() {
        let mut ours = vec![(Placement::Far, 500.0); 50];
        let mut theirs = vec![(Placement::Far, 500.0); 50];
        assert!(
            matches!(verdict(crowd(&ours, &theirs)), Verdict::Missed { value, .. } if value == 1.0)
        );
        ours.extend([(Placement::Near, 100.0); 6]);
        theirs.extend([(Placement::Near, 200.0); 6]);
        assert!(
            matches!(verdict(crowd(&ours, &theirs)), Verdict::Met { value, .. } if value == 2.0)
        );
    }

    #[test]
    fn different_placements_are_never_compared() {
        let ran = crowd(
            &[(Placement::Near, 100.0); 50],
            &[(Placement::Far, 500.0); 50],
        );
        assert!(matches!(verdict(ran), Verdict::NotMeasured(_)));
    }

    #[test]
    fn an_absent_contender_is_not_measured_and_not_missed() {
        let mut ran = crowd(&[], &[(Placement::Near, 500.0); 50]);
        ran.series[0].absent = Some("not in this build".to_owned());
        assert!(
            matches!(verdict(ran), Verdict::NotMeasured(why) if why.contains("not in this build"))
        );
    }

    #[test]
    fn every_figure_names_entries_that_exist() {
        for figure in FIGURES {
            let Beside::Group {
                group,
                ours,
                others,
            } = figure.beside
            else {
                continue;
            };
            let group = GROUPS.iter().find(|known| known.id == group);
            let group = group.unwrap_or_else(|| panic!("{} has no group", figure.id));
            for name in others.iter().chain([&ours]) {
                let known = group.entries.iter().any(|entry| entry.name() == *name);
                assert!(known, "{}: no {name} in {}", figure.id, group.id);
            }
        }
    }
}
