//! The secondaries of a primary: each is supervised, and one of them is chosen for each client.

use std::process::Stdio;
use std::time::{Duration, Instant};

use osps_ipc::detector::Verdict;
use osps_ipc::restart::{AfterCleanEnd, Policy};
use osps_ipc::supervisor::{self, Event};
use osps_ipc::{Name, Pollable, Question, Shutdown, Supervisor, SupervisorOptions, wait_any};

use super::control::{Control, Result};
use super::role;

/// How long a secondary may take to end when it is asked to.
const GRACE: Duration = Duration::from_secs(6);
/// All are over by then: killed, if need be.
const TO_END: Duration = Duration::from_secs(8);
/// Between two tries to connect to one that should be ready.
const PAUSE: Duration = Duration::from_millis(200);

/// A place for one secondary, whichever process it is at the time.
pub(crate) struct Place {
    pub(crate) name: Name,
    supervisor: Supervisor,
    /// While it serves.
    pub(crate) control: Option<Control>,
    /// Not to be connected to before.
    again: Instant,
}

impl Place {
    /// Starts a secondary of this name, or adopts the one that an earlier primary has left.
    fn new(name: Name, idle: u64) -> osps_ipc::Result<Place> {
        let mut command = role::command("secondary");
        let idle = idle.to_string();
        command
            .args(["--service", name.as_str(), "--idle", &idle])
            .stdout(Stdio::null());
        let mut policy = Policy::default();
        // It has no reason to end while there is a primary: whoever has ended it, it is missed.
        policy.after_clean_end = AfterCleanEnd::Restart;
        let supervisor = SupervisorOptions::new(command)
            .policy(policy)
            .grace(GRACE)
            .supervise(name.as_str())?;
        Ok(Place {
            name,
            supervisor,
            control: None,
            again: Instant::now(),
        })
    }

    /// The process, if there is one.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.supervisor.pid()
    }

    /// Takes what the supervisor and the secondary tell; gives back questions that are left unanswered.
    fn hear(&mut self, say: &mut impl FnMut(&str)) -> osps_ipc::Result<Vec<Question>> {
        let mut unanswered = Vec::new();
        while let Some(event) = self.supervisor.try_next()? {
            if let Event::Ended { .. } = event {
                let control = self.control.take();
                unanswered.extend(control.into_iter().flat_map(Control::give_up));
            }
            let is_news = match &event {
                Event::Verdict(report) => matches!(report.verdict(), Verdict::Hung { .. }),
                _ => true,
            };
            if is_news {
                say(&format!("secondary {}: {event}", self.name));
            }
        }
        if let Some(control) = &mut self.control {
            match control.hear() {
                Ok(questions) => unanswered.extend(questions),
                // Its supervisor says why.
                Err(_) => {
                    let control = self.control.take();
                    unanswered.extend(control.into_iter().flat_map(Control::give_up));
                    self.again = Instant::now() + PAUSE;
                }
            }
        } else if self.supervisor.is_ready() && self.again <= Instant::now() {
            self.control = Control::connect(&self.name).ok();
            self.again = Instant::now() + PAUSE;
        }
        Ok(unanswered)
    }

    /// Until when at most, because something is due then.
    fn due(&self) -> Option<Instant> {
        match &self.control {
            Some(control) => control.due(),
            None => self.supervisor.is_ready().then_some(self.again),
        }
    }
}

/// All secondaries.
pub(crate) struct Team {
    pub(crate) places: Vec<Place>,
    /// Questions of clients that came while no secondary answered.
    waiting: Vec<Question>,
}

impl Team {
    /// `count` secondaries, named after the service.
    pub(crate) fn new(service: &Name, count: u32, idle: u64) -> Result<Team> {
        let place = |number| Ok(Place::new(Name::new(format!("{service}-{number}"))?, idle)?);
        Ok(Team {
            places: (1..=count).map(place).collect::<Result<_>>()?,
            waiting: Vec::new(),
        })
    }

    /// Waits until each is there or was given up, the end was asked for, or the time is up.
    pub(crate) fn assemble(
        &mut self,
        shutdown: &mut Shutdown,
        timeout: Duration,
        mut say: impl FnMut(&str),
    ) -> osps_ipc::Result<()> {
        let until = Instant::now() + timeout;
        loop {
            self.hear(&mut say)?;
            let is_settled = |place: &Place| place.control.is_some() || place.supervisor.is_over();
            let left = until.saturating_duration_since(Instant::now());
            let is_settled = self.places.iter().all(is_settled);
            if is_settled || left.is_zero() || shutdown.is_requested() {
                return Ok(());
            }
            let left = self.time_left().map_or(left, |due| due.min(left));
            let mut events: Vec<&mut dyn Pollable> = self.pollables().collect();
            events.push(shutdown);
            wait_any(&mut events, left)?;
        }
    }

    /// What is to be waited for to hear of the secondaries.
    pub(crate) fn pollables(&mut self) -> impl Iterator<Item = &mut dyn Pollable> {
        self.places.iter_mut().flat_map(|place| {
            let control = place.control.as_mut().map(Control::pollable);
            let supervisor: &mut dyn Pollable = &mut place.supervisor;
            control.into_iter().chain([supervisor])
        })
    }

    /// For how long at most, because something is due then.
    pub(crate) fn time_left(&self) -> Option<Duration> {
        let due = self.places.iter().filter_map(Place::due).min()?;
        Some(due.saturating_duration_since(Instant::now()))
    }

    /// Sends the client that asks to the least busy secondary, once that one has acknowledged it. While none answers the
    /// client waits: the supervisors are at work.
    pub(crate) fn direct(&mut self, question: Question) {
        let controls = self.places.iter_mut().flat_map(|place| &mut place.control);
        let least_busy = controls
            .filter(|control| control.answers())
            .min_by_key(|control| control.load());
        let left = match least_busy {
            Some(control) => control.ask(question),
            None => Some(question),
        };
        self.waiting.extend(left);
    }

    /// Hears all secondaries and their supervisors, and tells what happened.
    pub(crate) fn hear(&mut self, mut say: impl FnMut(&str)) -> osps_ipc::Result<()> {
        let mut unanswered = std::mem::take(&mut self.waiting);
        for place in &mut self.places {
            unanswered.extend(place.hear(&mut say)?);
        }
        let hopeless = self.places.iter().all(|place| place.supervisor.is_over());
        for question in unanswered {
            match hopeless {
                true => drop(question.fail(0, "every secondary was given up")),
                false => self.direct(question),
            }
        }
        Ok(())
    }
}

/// Ends all secondaries at the same time, and waits for it.
impl Drop for Team {
    fn drop(&mut self) {
        let places = self.places.iter_mut();
        let mut supervisors: Vec<_> = places.map(|place| &mut place.supervisor).collect();
        // What cannot be ended is for the next primary.
        let _ = supervisor::stop_all(&mut supervisors, TO_END);
    }
}
