//! All processes of one contender: a right end, its left ends, and perhaps a process of idle sessions.

use crate::child::Role;
use crate::contender::{Contender, Job, Kind, Outcome, Place, Span};
use crate::member::Member;
use crate::sys::clock::{millis, now};
use crate::sys::process::Stop;
use crate::sys::scratch::Scratch;

/// Where the ends run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pins {
    /// All left ends on the first core, the right end on the second.
    Two,
    /// All ends on the first core.
    One,
    /// Wherever the kernel puts them.
    Free,
}

impl Pins {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Pins::Two => "left ends on one core, right end on the other",
            Pins::One => "both ends on one core",
            Pins::Free => "unpinned",
        }
    }
}

/// How long the coordinator waits for one slice before it gives a contender up.
const PATIENCE: u64 = millis(20_000);
/// How long all clients get to be at work before their window opens.
const HEAD_START: u64 = millis(15);

/// What all runs share.
pub(crate) struct Stage<'a> {
    pub(crate) scratch: &'a mut Scratch,
    pub(crate) stop: &'a Stop,
    /// The two cores.
    pub(crate) cores: [usize; 2],
}

/// A contender at work. Dropping it ends its processes.
pub(crate) struct Crew<'a> {
    lefts: Vec<Member>,
    idlers: Option<Member>,
    right: Member,
    job: Job,
    stop: &'a Stop,
}

impl<'a> Crew<'a> {
    /// Starts all ends and makes one operation of each left end, so that all are connected.
    pub(crate) fn launch(
        contender: &dyn Contender,
        job: Job,
        pins: Pins,
        stage: &mut Stage<'a>,
    ) -> Outcome<Crew<'a>> {
        let place = Place {
            job,
            dir: stage.scratch.directory()?,
            index: 0,
        };
        let [first, second] = stage.cores;
        let (left_core, right_core) = match pins {
            Pins::Two => (Some(first), Some(second)),
            Pins::One => (Some(first), Some(first)),
            Pins::Free => (None, None),
        };
        let stop = stage.stop;
        let right = Member::launch(Role::Right, contender.name(), &place, right_core)?;
        let mut crew = Crew {
            lefts: Vec::new(),
            idlers: None,
            right,
            job,
            stop,
        };
        let launched = crew.gather(contender, &place, left_core);
        if launched.is_err() {
            crew.right.give_up();
        }
        launched.map(|()| crew)
    }

    fn gather(
        &mut self,
        contender: &dyn Contender,
        place: &Place,
        core: Option<usize>,
    ) -> Outcome<()> {
        self.right.hear("ready", now() + PATIENCE, self.stop)?;
        self.serve(self.job.clients)?;
        if self.job.idle > 0 {
            let mut idlers = Member::launch(Role::Idlers, contender.name(), place, core)?;
            idlers.hear("ready", now() + PATIENCE, self.stop)?;
            self.idlers = Some(idlers);
        }
        for index in 0..self.job.clients {
            let place = Place {
                index,
                ..place.clone()
            };
            let mut left = Member::launch(Role::Left, contender.name(), &place, core)?;
            // A right end that takes its clients in one by one has told why, if one cannot begin.
            left.hear("ready", now() + PATIENCE, self.stop)?;
            self.lefts.push(left);
        }
        self.ask("count 1")?;
        self.finish()?;
        Ok(())
    }

    fn serve(&mut self, lasts: usize) -> Outcome<()> {
        self.right.tell(&format!("serve {lasts}"))?;
        self.right.hear("serving", now() + PATIENCE, self.stop)?;
        Ok(())
    }

    fn ask(&mut self, line: &str) -> Outcome<()> {
        self.lefts.iter_mut().try_for_each(|left| left.tell(line))
    }

    fn finish(&mut self) -> Outcome<(Vec<Span>, Span)> {
        let done = self.collect();
        if done.is_err() {
            // A left end that hears nothing waits for a right end that failed, or the other way.
            self.give_up();
        }
        done
    }

    fn collect(&mut self) -> Outcome<(Vec<Span>, Span)> {
        let deadline = now() + PATIENCE;
        let mut spans = Vec::with_capacity(self.lefts.len());
        for left in &mut self.lefts {
            match left.numbers("span", deadline, self.stop) {
                Ok([from, until, count]) => spans.push(Span { from, until, count }),
                Err(error) => {
                    let right = self.right.hear("did", now() + millis(10), self.stop);
                    return Err(right
                        .err()
                        .map_or_else(|| error.to_string(), |right| format!("{error}; {right}"))
                        .into());
                }
            }
        }
        let [count, until] = self.right.numbers("did", deadline, self.stop)?;
        Ok((
            spans,
            Span {
                from: 0,
                until,
                count,
            },
        ))
    }

    /// Nanoseconds of one operation, over `count` of them.
    pub(crate) fn count(&mut self, count: u64) -> Outcome<f64> {
        self.serve(self.lefts.len())?;
        self.ask(&format!("count {count}"))?;
        let (spans, right) = self.finish()?;
        let mut span = *spans.first().ok_or("no left end")?;
        if self.job.kind == Kind::Stream {
            if right.count != count {
                return Err(format!("{count} sent, {} received", right.count).into());
            }
            span.until = span.until.max(right.until);
        }
        Ok(span.nanos_each())
    }

    /// Nanoseconds of one operation while all left ends work at once for `nanos`.
    pub(crate) fn window(&mut self, nanos: u64) -> Outcome<f64> {
        self.serve(self.lefts.len())?;
        let from = now() + HEAD_START;
        self.ask(&format!("window {from} {}", from + nanos))?;
        let (spans, _) = self.finish()?;
        let count = spans.iter().map(|span| span.count).sum();
        Ok(Span {
            from,
            until: from + nanos,
            count,
        }
        .nanos_each())
    }

    /// Has the right end wait for requests while `look` goes on, then ends that with one operation.
    pub(crate) fn resting<T>(&mut self, look: impl FnOnce(&Crew<'_>) -> Outcome<T>) -> Outcome<T> {
        self.serve(self.lefts.len())?;
        let seen = look(self)?;
        self.ask("count 1")?;
        self.finish()?;
        Ok(seen)
    }

    /// The processes: the right end, the idle sessions', the left ends.
    pub(crate) fn pids(&self) -> Vec<u32> {
        let idlers = self.idlers.iter();
        [&self.right]
            .into_iter()
            .chain(idlers)
            .chain(&self.lefts)
            .map(Member::pid)
            .collect()
    }

    /// The process that holds the idle sessions.
    pub(crate) fn idlers_pid(&self) -> Option<u32> {
        self.idlers.as_ref().map(Member::pid)
    }

    fn give_up(&mut self) {
        self.right.give_up();
        self.lefts.iter_mut().for_each(Member::give_up);
    }
}

impl Drop for Crew<'_> {
    fn drop(&mut self) {
        // All at once first, so that the waits for each overlap; the right end last.
        self.lefts.iter_mut().for_each(Member::dismiss);
        self.lefts.clear();
        self.idlers = None;
    }
}
