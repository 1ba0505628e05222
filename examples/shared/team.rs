//! The secondaries of a primary: which of them runs, and which one a client is sent to.

use std::error::Error;
use std::time::{Duration, Instant};

use osps_ipc::{Name, Pollable, Question, Server};

use super::control::{Result, Secondary};

/// A secondary that ends is started again, but not more often than this.
const PAUSE: Duration = Duration::from_secs(1);

/// A place for one secondary.
struct Place {
    name: Name,
    running: Option<Secondary>,
    /// Not to be started before.
    again: Instant,
    /// Whether the last start of it failed.
    failed: bool,
}

/// All secondaries.
pub(crate) struct Team {
    places: Vec<Place>,
    /// Questions of clients that came while no secondary was running.
    waiting: Vec<Question>,
    /// After how many seconds without anybody a secondary ends by itself.
    idle: u64,
}

impl Team {
    /// Starts `count` secondaries, named after the service.
    pub(crate) fn start(service: &Name, count: u32, idle: u64) -> Result<Team> {
        let mut places = Vec::new();
        for number in 1..=count {
            let name = Name::new(format!("{service}-{number}"))?;
            places.push(Place {
                running: Some(Secondary::start(&name, idle).map_err(|why| failed(&name, &*why))?),
                name,
                again: Instant::now() + PAUSE,
                failed: false,
            });
        }
        Ok(Team {
            places,
            waiting: Vec::new(),
            idle,
        })
    }

    pub(crate) fn running(&mut self) -> impl Iterator<Item = &mut Secondary> {
        self.places
            .iter_mut()
            .filter_map(|place| place.running.as_mut())
    }

    /// What is to be waited for to hear of the secondaries.
    pub(crate) fn pollables(&mut self) -> impl Iterator<Item = &mut dyn Pollable> {
        self.running().map(Secondary::pollable)
    }

    /// Until when at most, because something is due then.
    pub(crate) fn due(&self) -> Option<Instant> {
        let due = |place: &Place| match &place.running {
            Some(secondary) => secondary.due(),
            None => Some(place.again),
        };
        self.places.iter().filter_map(due).min()
    }

    /// Sends the client that asks to the least busy secondary, once that one has acknowledged it.
    pub(crate) fn direct(&mut self, question: Question) {
        let least_busy = self.running().min_by_key(|secondary| secondary.load());
        let left = match least_busy {
            Some(secondary) if secondary.answers() => secondary.ask(question),
            Some(_) => return drop(question.fail(0, "no secondary answers at present")),
            None => Some(question),
        };
        self.waiting.extend(left);
    }

    /// Hears all secondaries, and starts those anew that have ended. What happened, a line each.
    pub(crate) fn hear(&mut self) -> Vec<String> {
        let mut news = Vec::new();
        let mut unanswered = std::mem::take(&mut self.waiting);
        for place in &mut self.places {
            if let Some(secondary) = &mut place.running {
                match secondary.hear() {
                    Ok(questions) => unanswered.extend(questions),
                    Err(_) => {
                        news.push(secondary.describe());
                        unanswered.extend(secondary.give_up());
                        place.running = None;
                    }
                }
            }
            if place.running.is_none() && place.again <= Instant::now() {
                place.again = Instant::now() + PAUSE;
                let started = Secondary::start(&place.name, self.idle);
                place.failed = started.is_err();
                match started {
                    Ok(secondary) => {
                        news.push(format!("secondary {} is started again", place.name));
                        place.running = Some(secondary);
                    }
                    Err(why) => {
                        news.push(failed(&place.name, &*why));
                    }
                }
            }
        }
        let hopeless = self.places.iter().all(|place| place.failed);
        for question in unanswered {
            match hopeless {
                true => drop(question.fail(0, "no secondary can be started")),
                false => self.direct(question),
            }
        }
        news
    }
}

/// Ends all secondaries: asks all at the same time, then waits for each.
impl Drop for Team {
    fn drop(&mut self) {
        self.running().for_each(Secondary::stop);
        for place in &mut self.places {
            place.running = None;
            // What one that was killed has left goes with the next server of its name. One that another primary has
            // started, and that does not end, keeps its own.
            drop(Server::bind(place.name.as_str()));
        }
    }
}

fn failed(name: &Name, why: &dyn Error) -> String {
    format!("secondary {name} does not start: {why}")
}
