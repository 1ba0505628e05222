//! Why is it silent? What the kernel says of the thread that should beat.

use std::time::Duration;

use super::observation::{Thread, ThreadFacts, ThreadState};
use super::verdict::{Cause, Evidence};

/// What has been seen of the thread during one silence.
///
/// The thread's clocks are compared with what they showed when it was first seen in this silence. The cause
/// follows from the *half rule*: a silence is the thread's own fault only if it has had at least half of
/// the time allowed to itself. A program that needs less than that between two beats on an idle machine is
/// therefore never blamed for the load of the machine, while on an idle machine, where a thread has all the
/// time there is, the rule never delays a verdict.
///
/// The same goes for a thread that is found stopped: it has to have been stopped for half of that time, if it has not
/// had half of it to itself. Who was starved, and is stopped for a moment together with its watcher, is still starved.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Witness {
    latest: Option<Thread>,
    first: Option<ThreadFacts>,
    /// The watched time since `first`.
    over: u64,
    /// The part of it in which the thread may have been stopped, frozen or held by a tracer: it was seen so at one end,
    /// at least.
    held: u64,
    /// The part of it in which it surely was: it was seen so at both ends.
    surely_held: u64,
    /// Whether it was so when it was last seen.
    was_held: bool,
    /// The part of it that the thread had to itself, up to the last look that saw it asleep, and its CPU
    /// time then.
    own: u64,
    own_cpu: u64,
}

impl Witness {
    /// Takes note of the thread, `credit` of watched time after the look before.
    pub(crate) fn observe(&mut self, thread: Thread, credit: u64) {
        self.over = self.over.saturating_add(credit);
        self.latest = Some(thread);
        let Thread::Seen(facts) = thread else { return };
        if self.first.is_none_or(|first| first.tid != facts.tid) {
            *self = Self {
                latest: self.latest,
                first: Some(facts),
                own_cpu: facts.cpu,
                was_held: is_held(&facts),
                ..Self::default()
            };
            return;
        }
        let is_held = is_held(&facts);
        if is_held || self.was_held {
            self.held = self.held.saturating_add(credit);
        }
        if is_held && self.was_held {
            self.surely_held = self.surely_held.saturating_add(credit);
        }
        self.was_held = is_held;
        if !is_held && facts.state != ThreadState::Runnable {
            // It sleeps, so its waits for a CPU are over and counted: all the rest was its own.
            let (_, waited) = self.grown(&facts);
            self.own = self.over.saturating_sub(waited).saturating_sub(self.held);
            self.own_cpu = facts.cpu;
        }
    }

    /// The cause of the silence, where `allowed` was allowed.
    pub(crate) fn cause(&self, allowed: u64) -> Cause {
        let facts = match self.latest {
            None | Some(Thread::Unread) => return Cause::Unknown,
            Some(Thread::Gone) => return Cause::Ended,
            Some(Thread::Seen(facts)) => facts,
        };
        // How long it waits for a CPU now, nobody says; what it ran since it last slept is surely its own.
        let own = self
            .own
            .saturating_add(facts.cpu.saturating_sub(self.own_cpu));
        let half = allowed / 2;
        match facts.state {
            _ if facts.tracer != 0 => Cause::Traced,
            ThreadState::TracingStop => Cause::Traced,
            ThreadState::Ended => Cause::Ended,
            _ if own < half && self.surely_held < half => Cause::Starved,
            _ if facts.frozen => Cause::Stopped,
            ThreadState::Stopped => Cause::Stopped,
            // It was stopped, and runs on: it is to have its time.
            _ if own < half => Cause::Starved,
            ThreadState::Runnable => Cause::Spinning,
            _ => Cause::Blocked,
        }
    }

    /// What the cause was told by.
    pub(crate) fn evidence(&self) -> Evidence {
        let (Some(Thread::Seen(facts)), over) = (self.latest, self.over) else {
            return Evidence::default();
        };
        let (ran, waited) = self.grown(&facts);
        Evidence {
            tid: facts.tid,
            state: Some(facts.state),
            tracer: facts.tracer,
            frozen: facts.frozen,
            over: Duration::from_nanos(over),
            ran: Duration::from_nanos(ran),
            waited: Duration::from_nanos(waited),
            held: Duration::from_nanos(self.surely_held),
        }
    }

    /// By how much the thread's clocks have gone on: (ran, waited).
    fn grown(&self, facts: &ThreadFacts) -> (u64, u64) {
        let first = self.first.as_ref().unwrap_or(facts);
        (
            facts.cpu.saturating_sub(first.cpu),
            facts.waited.saturating_sub(first.waited),
        )
    }
}

fn is_held(facts: &ThreadFacts) -> bool {
    facts.tracer != 0
        || facts.frozen
        || matches!(facts.state, ThreadState::Stopped | ThreadState::TracingStop)
}
