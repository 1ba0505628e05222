//! Servers that die of some of their requests, simulated: who is charged, who is poisoned, who is answered.

use std::collections::BTreeSet;

use super::*;

/// Numbers that look random, from a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

const NEVER: u64 = u64::MAX;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    New,
    /// Begun by some server, and charged with so many attempts.
    Started(u32),
    Done,
    Poisoned,
}

#[derive(Debug)]
struct Job {
    kills: bool,
    arrives: u64,
    /// From its beginning to its answer or its kill.
    work: u64,
    fate: Fate,
    /// When it ends, while it is in hand.
    ends: Option<u64>,
    /// Who caused the deaths that it is charged with.
    charged_by: Vec<(usize, usize)>,
}

/// Sessions with their jobs in order, and the servers that come one after the other.
#[derive(Debug)]
struct World {
    limit: u32,
    trial: u64,
    sessions: Vec<Vec<Job>>,
    now: u64,
    deaths: usize,
}

/// The server of the present.
struct Epoch {
    quarantine: Quarantine,
    admitted: Option<usize>,
    alone: Option<(usize, usize)>,
    acquitted: Vec<(usize, usize)>,
    /// Begun for the first time by this server.
    fresh: BTreeSet<(usize, usize)>,
}

impl World {
    fn job(&mut self, (session, n): (usize, usize)) -> &mut Job {
        &mut self.sessions[session][n]
    }

    /// Serves a session until its next job is not to be begun now.
    fn walk(&mut self, session: usize, epoch: &mut Epoch) {
        let now = self.now;
        for n in 0..self.sessions[session].len() {
            let job = &mut self.sessions[session][n];
            match job.fate {
                Fate::Done | Fate::Poisoned => continue,
                Fate::New if job.arrives > now => return,
                _ if job.ends.is_some() => continue,
                Fate::New => {
                    epoch.fresh.insert((session, n));
                    job.fate = Fate::Started(1);
                }
                Fate::Started(deaths) if epoch.quarantine.is_poisoned(deaths) => {
                    job.fate = Fate::Poisoned;
                    continue;
                }
                Fate::Started(deaths) if epoch.admitted == Some(session) => {
                    epoch.admitted = None;
                    epoch.alone = Some((session, n));
                    job.fate = Fate::Started(deaths + 1);
                }
                Fate::Started(deaths) => {
                    epoch
                        .quarantine
                        .put_aside(u32::try_from(session).unwrap(), deaths);
                    return;
                }
            }
            job.ends = Some(now.saturating_add(job.work));
        }
    }

    fn step(&mut self, epoch: &mut Epoch) {
        while let Some(step) = epoch.quarantine.step(self.now) {
            match step {
                Step::Call(session) => {
                    assert_eq!((epoch.alone, epoch.admitted), (None, None), "two alone");
                    epoch.admitted = Some(session as usize);
                    self.walk(session as usize, epoch);
                    assert!(
                        epoch.alone.is_some(),
                        "one was called that had nothing to run"
                    );
                }
                Step::Acquit => {
                    let alone = epoch.alone.take().unwrap();
                    let job = self.job(alone);
                    let Fate::Started(attempts) = job.fate else {
                        unreachable!()
                    };
                    job.fate = Fate::Started(attempts - 1);
                    epoch.acquitted.push(alone);
                }
            }
        }
    }

    /// One server: `true` if it died, `false` if there was nothing left to do.
    fn serve(&mut self, soon: u32) -> bool {
        let mut epoch = Epoch {
            quarantine: Quarantine::new(self.limit, self.trial, soon, self.deaths as u64),
            admitted: None,
            alone: None,
            acquitted: Vec::new(),
            fresh: BTreeSet::new(),
        };
        loop {
            for session in 0..self.sessions.len() {
                self.walk(session, &mut epoch);
            }
            self.step(&mut epoch);
            let all = || self.sessions.iter().flatten();
            let next = all()
                .filter_map(|job| job.ends)
                .chain(all().map(|job| job.arrives).filter(|at| *at > self.now))
                .chain(epoch.quarantine.next_look())
                .min();
            let Some(next) = next.filter(|next| *next < NEVER) else {
                return false;
            };
            self.now = next;
            let ended = self
                .sessions
                .iter()
                .enumerate()
                .find_map(|(session, jobs)| {
                    let n = jobs
                        .iter()
                        .position(|job| job.ends.is_some_and(|ends| ends <= next))?;
                    Some((session, n))
                });
            let Some(ended) = ended else { continue };
            let job = self.job(ended);
            if job.kills {
                self.die(ended, &epoch);
                return true;
            }
            job.fate = Fate::Done;
            job.ends = None;
            if epoch.alone.take_if(|alone| *alone == ended).is_some() {
                epoch.quarantine.alone_is_over();
            }
            let before = epoch.acquitted.len();
            epoch.acquitted.retain(|acquitted| *acquitted != ended);
            epoch
                .quarantine
                .acquitted_are_over(before - epoch.acquitted.len());
        }
    }

    fn die(&mut self, culprit: (usize, usize), epoch: &Epoch) {
        self.deaths += 1;
        for (session, jobs) in self.sessions.iter_mut().enumerate() {
            for (n, job) in jobs.iter_mut().enumerate() {
                let charged =
                    epoch.fresh.contains(&(session, n)) || epoch.alone == Some((session, n));
                if job.ends.take().is_some() && charged {
                    job.charged_by.push(culprit);
                }
                if let Fate::Started(attempts) = job.fate {
                    assert_eq!(attempts as usize, job.charged_by.len());
                }
            }
        }
    }

    fn random(dice: &mut Dice, culprits: u64, slow: bool) -> World {
        let trial = 1 + dice.below(30);
        let mut world = World {
            limit: u32::try_from(dice.below(5)).unwrap(),
            trial,
            sessions: Vec::new(),
            now: 0,
            deaths: 0,
        };
        for _ in 0..1 + dice.below(6) {
            let jobs = (0..1 + dice.below(5)).map(|_| Job {
                kills: false,
                arrives: dice.below(2) * dice.below(60),
                work: if dice.below(8) == 0 {
                    NEVER
                } else {
                    dice.below(50)
                },
                fate: Fate::New,
                ends: None,
                charged_by: Vec::new(),
            });
            world.sessions.push(jobs.collect());
        }
        for _ in 0..culprits {
            let session = usize::try_from(dice.below(world.sessions.len() as u64)).unwrap();
            let n = usize::try_from(dice.below(world.sessions[session].len() as u64)).unwrap();
            let job = world.job((session, n));
            job.kills = true;
            job.work = match slow {
                true => trial * (1 + dice.below(15)),
                false => dice.below(trial),
            };
        }
        // In the order of arrival.
        for jobs in &mut world.sessions {
            let mut latest = 0;
            for job in jobs {
                latest = latest.max(job.arrives);
                job.arrives = latest;
            }
        }
        world
    }

    fn jobs(&self) -> impl Iterator<Item = &Job> {
        self.sessions.iter().flatten()
    }
}

#[test]
fn an_innocent_request_is_charged_with_no_more_deaths_than_there_are_culprits() {
    for seed in 0..20_000 {
        let dice = &mut Dice(seed);
        let culprits = dice.below(4);
        let mut world = World::random(dice, culprits, false);
        let kills = world.jobs().filter(|job| job.kills).count();
        let most = kills * (world.limit as usize + 1);
        while world.serve(0) {
            assert!(world.deaths <= most, "{seed}: it never ends: {world:#?}");
        }
        for job in world.jobs() {
            let different: BTreeSet<_> = job.charged_by.iter().collect();
            match job.kills {
                // Exactly as many deaths as it takes, if others were not at fault too.
                true => {
                    assert_eq!(job.fate, Fate::Poisoned, "{seed}");
                    assert_eq!(job.charged_by.len(), world.limit as usize + 1, "{seed}");
                }
                false => {
                    assert_eq!(different.len(), job.charged_by.len(), "{seed}: {world:#?}");
                    let is_poisoned = job.charged_by.len() > world.limit as usize;
                    let expected = match job.work {
                        _ if is_poisoned => Fate::Poisoned,
                        NEVER => job.fate,
                        _ => Fate::Done,
                    };
                    assert_eq!(job.fate, expected, "{seed}");
                    assert!(job.fate != Fate::Poisoned || is_poisoned);
                }
            }
        }
        if kills == 1 && world.limit > 0 {
            assert_eq!(world.deaths, world.limit as usize + 1, "{seed}");
        }
    }
}

#[test]
fn a_culprit_that_takes_its_time_is_found_out_beside_requests_that_never_end() {
    let mut most = 0;
    for seed in 0..20_000 {
        let dice = &mut Dice(seed);
        let mut world = World::random(dice, 1, true);
        let mut soon = 0;
        while world.serve(soon) {
            soon += 1;
            assert!(world.deaths < 60, "{seed}: it never ends: {world:#?}");
        }
        most = most.max(world.deaths);
        for job in world.jobs().filter(|job| job.kills) {
            assert_eq!(job.fate, Fate::Poisoned, "{seed}");
        }
    }
    assert!(most < 30, "{most}");
}

#[test]
fn one_is_alone_until_it_is_over_or_its_trial_is_and_another_waits() {
    let mut quarantine = Quarantine::new(3, 100, 0, 7);
    assert!(quarantine.is_empty());
    quarantine.put_aside(1, 2);
    quarantine.put_aside(2, 1);
    quarantine.put_aside(2, 1);
    assert_eq!(
        quarantine.step(0),
        Some(Step::Call(2)),
        "the fewest deaths first"
    );
    assert_eq!(
        (quarantine.step(99), quarantine.next_look()),
        (None, Some(100))
    );
    assert_eq!(quarantine.step(100), Some(Step::Acquit));
    assert_eq!(quarantine.step(100), Some(Step::Call(1)));
    assert_eq!(
        (quarantine.step(199), quarantine.next_look()),
        (None, Some(200))
    );
    quarantine.acquitted_are_over(1);
    // It is the only one: there is nobody to make room for.
    assert_eq!(
        (quarantine.step(1000), quarantine.next_look()),
        (None, None)
    );
    quarantine.put_aside(3, 1);
    quarantine.take_out(3);
    assert_eq!(quarantine.step(1000), None);
    assert!(!quarantine.is_empty());
    quarantine.alone_is_over();
    assert!(quarantine.is_empty());
}

#[test]
fn a_trial_is_longer_after_each_death_and_never_beyond_the_clock() {
    for (soon, trial, expected) in [
        (0, 100, 100),
        (3, 100, 800),
        (99, 100, 3200),
        (9, NEVER, NEVER),
    ] {
        let mut quarantine = Quarantine::new(3, trial, soon, 7);
        quarantine.put_aside(1, 1);
        quarantine.put_aside(2, 1);
        assert!(matches!(quarantine.step(0), Some(Step::Call(_))));
        assert_eq!(quarantine.next_look(), Some(expected));
    }
}

#[test]
fn among_equals_the_order_differs_from_epoch_to_epoch() {
    let first = |salt| {
        let mut quarantine = Quarantine::new(3, 100, 0, salt);
        (0..8).for_each(|session| quarantine.put_aside(session, 1));
        quarantine.step(0)
    };
    let orders: BTreeSet<_> = (0..64).map(|salt| format!("{:?}", first(salt))).collect();
    assert_eq!(
        orders.len(),
        8,
        "each is the first one now and then: {orders:?}"
    );
}
