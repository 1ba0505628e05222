//! From what was seen to a verdict: the rules, in the order in which they win.
//!
//! 1. An end that the kernel proves, then a core dump, whatever the heartbeat says.
//! 2. A silence that is too long, by the phase's allowance.
//! 3. A heartbeat whose name is gone.
//! 4. A silence that is unusual.

use std::time::Duration;

use super::Detector;
use super::observation::{Death, Look, Phase, Process, Pulse, Thread};
use super::silence::{self, Silence};
use super::verdict::{Cause, Judgement, Owed, Reason, Verdict, Wait};
use super::watch::{MOST_STRETCH, Step};

impl Detector {
    pub(super) fn judge(&mut self, look: &Look, step: Step) -> Judgement {
        if let Pulse::Read(sample) | Pulse::Unlinked(sample) = look.pulse {
            self.farewell = sample.farewell;
        }
        if let (None, Process::Ended(how)) = (self.ended, look.process) {
            let clean = how == Death::Unknown && self.farewell;
            self.ended = Some(if clean { Death::Farewell } else { how });
        }
        if let Some(how) = self.ended {
            return plain(Verdict::Dead { how }, Reason::Ended(how));
        }
        match look.process {
            Process::Absent | Process::Ended(_) => {
                self.silence = Silence::default();
                self.allowed = None;
                plain(Verdict::NoPeer, Reason::NotFound)
            }
            Process::Dumping => self.judge_dump(step),
            Process::Running(thread) => {
                self.dumping = None;
                self.judge_pulse(look.pulse, thread, step)
            }
        }
    }

    /// A core dump is waited for, within its limit.
    fn judge_dump(&mut self, step: Step) -> Judgement {
        let since = self
            .dumping
            .map_or(0, |since| since.saturating_add(step.credit));
        self.dumping = Some(since);
        self.allowed = None;
        let limit = self.limits.dump_within;
        let reason = Reason::Dumping {
            since: Duration::from_nanos(since),
            allowed: Duration::from_nanos(limit),
        };
        Judgement {
            actionable: since >= limit,
            ..plain(Verdict::Dying, reason)
        }
    }

    fn judge_pulse(&mut self, pulse: Pulse, thread: Thread, step: Step) -> Judgement {
        let (sample, unlinked) = match pulse {
            Pulse::Missing if self.silence.has_heartbeat() => {
                // It was there: the process may beat where we cannot see it.
                self.allowed = None;
                return plain(Verdict::Orphaned, Reason::Unlinked);
            }
            Pulse::Missing => (None, false),
            Pulse::Read(sample) => (Some(sample), false),
            Pulse::Unlinked(sample) => (Some(sample), true),
        };
        let words = sample.as_ref().and_then(silence::words_of);
        let phase = words.map_or(Phase::Starting, |(_, phase)| phase);
        let ended = self.silence.note(words, thread, step);
        if let (
            Some((interval, Some((_, Phase::Working { .. })))),
            Phase::Working { .. },
            Some(allowed),
        ) = (ended, phase, self.allowed)
        {
            // A hang that was overcome must not make the next one usual.
            self.intervals.push(interval.min(allowed));
        }
        self.allowed = self.limits.allowed(phase, self.silence.challenged);
        self.idle = self.allowed.is_none();
        let judgement = match self.allowed {
            Some(allowed) => {
                self.judge_silence(phase, allowed, sample.map_or(0, |sample| sample.progress))
            }
            None => Judgement {
                challenge: self
                    .limits
                    .challenge_every
                    .is_some_and(|every| self.silence.silent >= every),
                ..plain(Verdict::Alive, Reason::NothingOwed)
            },
        };
        match judgement.verdict {
            Verdict::Hung { .. } => judgement,
            _ if unlinked => Judgement {
                verdict: Verdict::Orphaned,
                reason: Reason::Unlinked,
                ..judgement
            },
            _ => judgement,
        }
    }

    /// A beat is owed within `allowed`.
    fn judge_silence(&mut self, phase: Phase, allowed: u64, progress: u64) -> Judgement {
        let stretch = self.watch.stretch();
        let silence = &mut self.silence;
        silence.convicted |= silence.is_over(allowed, stretch, self.limits.looks, MOST_STRETCH);
        let silence = &self.silence;
        let owed = match phase {
            Phase::Starting => Owed::Start,
            Phase::Idle => Owed::Challenge,
            Phase::Working { .. } => Owed::Work,
            Phase::Stopping => Owed::Stop,
        };
        let wait = Wait {
            owed,
            silent: Duration::from_nanos(silence.silent),
            allowed: Duration::from_nanos(allowed),
            stretch,
            looks: silence.looks,
            progress,
        };
        if silence.convicted {
            let cause = silence.witness.cause(allowed);
            let actionable = match cause {
                Cause::Blocked | Cause::Spinning | Cause::Stopped | Cause::Ended => true,
                Cause::Traced => self.limits.act_on_traced,
                Cause::Starved | Cause::Unknown => silence.silent >= self.limits.starved_cap,
            };
            let reason = Reason::Overdue(wait, silence.witness.evidence());
            return Judgement {
                actionable,
                ..plain(Verdict::Hung { cause }, reason)
            };
        }
        let phi = self.phi();
        let suspect = phi >= self.limits.threshold || silence.silent >= allowed;
        let verdict = match owed {
            Owed::Start => Verdict::Starting,
            Owed::Work | Owed::Challenge if suspect => Verdict::Suspect { phi },
            Owed::Work | Owed::Challenge | Owed::Stop => Verdict::Alive,
        };
        plain(verdict, Reason::Waiting(wait))
    }
}

/// A judgement that asks for nothing.
fn plain(verdict: Verdict, reason: Reason) -> Judgement {
    Judgement {
        verdict,
        reason,
        actionable: false,
        challenge: false,
        late_by: Duration::ZERO,
    }
}
