//! A world with its own clock: a process that beats (or falls ill), seen as the kernel and its heartbeat
//! would show it.

use std::collections::VecDeque;

use super::*;

/// How a process lives while it is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// One beat after the other, nearly the same time apart.
    Steady,
    /// Beats at any distance up to the longest.
    Jittery,
    /// It needs little time of its own, but waits for a CPU for up to five times the budget.
    Starved,
    /// It waits for work, and beats when challenged.
    Idle,
    /// It waits for work, works, and waits again; when it falls ill, it does so at work.
    Served,
}

/// How it falls ill: it never beats again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Illness {
    Blocked,
    Spinning,
    Stopped,
    Traced,
    ThreadEnded,
}

/// What the thread does for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    Running,
    Queueing,
    Sleeping,
}

pub(super) struct Beater {
    random: Random,
    life: Life,
    /// The longest time between two beats while it is well, and nothing stops or starves it.
    longest: u64,
    budget: u64,
    illness: Option<(u64, Illness)>,
    ill: Option<Illness>,
    /// Whether it owes a beat now.
    works: bool,
    doing: Doing,
    since: u64,
    until: u64,
    then: VecDeque<(Doing, u64)>,
    stopped_until: u64,
    count: u64,
    cpu: u64,
    waited: u64,
}

impl Beater {
    pub(super) fn new(
        seed: u64,
        life: Life,
        longest: u64,
        budget: u64,
        illness: Option<(u64, Illness)>,
    ) -> Self {
        let mut random = Random(seed);
        let count = random.next();
        let cpu = random.below(1 << 40);
        let mut beater = Self {
            random,
            life,
            longest,
            budget,
            illness,
            ill: None,
            works: false,
            doing: Doing::Sleeping,
            since: 0,
            until: 0,
            then: VecDeque::new(),
            stopped_until: 0,
            count,
            cpu,
            waited: 0,
        };
        beater.begin(0);
        beater
    }

    /// Lives on until `now`.
    pub(super) fn advance(&mut self, now: u64) {
        while self.ill.is_none() {
            let at_work = self.works || self.life != Life::Served;
            match self.illness.filter(|_| at_work) {
                Some((at, illness)) if at <= now && at <= self.until => {
                    let at = at.max(self.since);
                    self.account(at);
                    (self.ill, self.since, self.until) = (Some(illness), at, u64::MAX);
                }
                _ if self.until <= now => {
                    let at = self.until;
                    self.account(at);
                    match self.then.pop_front() {
                        Some((doing, time)) => {
                            (self.doing, self.since, self.until) = (doing, at, at + time)
                        }
                        None => {
                            self.count = self.count.wrapping_add(1);
                            self.begin(at);
                        }
                    }
                }
                _ => break,
            }
        }
    }

    /// Is stopped from `at` until `end`: whatever it does takes longer by that.
    pub(super) fn stop(&mut self, at: u64, end: u64) {
        self.advance(at);
        if self.ill.is_none() {
            self.account(at);
            self.since = end;
            self.until = self.until.saturating_add(end - at);
            self.stopped_until = end;
        }
    }

    /// Comes out of a suspension at `at`, slowly: it beats only after `delay`.
    pub(super) fn resume_slowly(&mut self, at: u64, delay: u64) {
        self.advance(at);
        if self.ill.is_none() && self.works {
            self.account(at);
            self.then.clear();
            (self.doing, self.since, self.until) = (Doing::Sleeping, at, at + delay);
        }
    }

    /// Its bell rings.
    pub(super) fn challenge(&mut self, at: u64) {
        self.advance(at);
        if self.ill.is_none() && !self.works {
            let time = self.random.below(self.longest);
            (self.doing, self.since, self.until) = (Doing::Running, at, at + time);
        }
    }

    /// Since when it has been ill.
    pub(super) fn ill_since(&self) -> Option<u64> {
        self.ill.map(|_| self.since)
    }

    /// What its heartbeat shows now.
    pub(super) fn pulse(&self) -> Pulse {
        let budget = Duration::from_nanos(self.budget);
        match self.works {
            true => pulse(self.count, Phase::Working { budget }),
            false => pulse(self.count, Phase::Idle),
        }
    }

    /// What the kernel shows of its thread at `now` (as of which it has lived).
    pub(super) fn process(&self, now: u64) -> Process {
        // The scheduler brings a running thread's clock up to date at its ticks.
        let tick = (self.budget / 8).clamp(1, 4 * MS);
        let runs = match self.ill {
            Some(illness) => illness == Illness::Spinning,
            None => self.doing == Doing::Running,
        };
        let running_for = if runs {
            now.saturating_sub(self.since) / tick * tick
        } else {
            0
        };
        let letter = match (self.ill, self.doing) {
            (Some(Illness::ThreadEnded), _) => return Process::Running(Thread::Gone),
            (Some(Illness::Blocked), _) => b'S',
            (Some(Illness::Spinning), _) => b'R',
            (Some(Illness::Stopped), _) => b'T',
            (Some(Illness::Traced), _) => b't',
            (None, _) if now < self.stopped_until => b'T',
            (None, Doing::Sleeping) => b'S',
            (None, Doing::Running | Doing::Queueing) => b'R',
        };
        thread(letter, self.cpu + running_for, self.waited)
    }

    /// Books the time up to `at` for what it has done.
    fn account(&mut self, at: u64) {
        let time = at.saturating_sub(self.since);
        match self.doing {
            Doing::Running => self.cpu += time,
            Doing::Queueing => self.waited += time,
            Doing::Sleeping => {}
        }
    }

    /// Begins another round, which ends with a beat.
    fn begin(&mut self, at: u64) {
        self.works = match self.life {
            Life::Idle => false,
            Life::Served => !self.works,
            Life::Steady | Life::Jittery | Life::Starved => true,
        };
        if !self.works {
            let rest = match self.life {
                Life::Served => self.random.between(1, 1500 * MS),
                _ => u64::MAX - at,
            };
            (self.doing, self.since, self.until) = (Doing::Sleeping, at, at + rest);
            return;
        }
        let own = match self.life {
            Life::Steady => self.longest / 2 + self.random.below(self.longest / 20),
            Life::Jittery | Life::Served | Life::Idle => self.random.between(1, self.longest),
            Life::Starved => self.random.between(1, self.budget * 2 / 5),
        };
        let run = self.random.between(0, own);
        self.then.clear();
        if self.life == Life::Starved {
            for part in 0..4 {
                self.then
                    .push_back((Doing::Queueing, self.random.below(self.budget * 5 / 4)));
                self.then
                    .push_back((Doing::Running, run / 4 + u64::from(part == 0)));
            }
        } else {
            self.then.push_back((Doing::Running, run));
        }
        (self.doing, self.since, self.until) = (Doing::Sleeping, at, at + own - run);
    }
}
