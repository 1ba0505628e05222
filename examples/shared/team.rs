//! The secondaries of a primary: which of them runs, how busy each is, and which clients are on their way there.

use std::error::Error;
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

use osps_ipc::{
    Client, ClientOptions, Name, Pollable, Question, Reply, Request, RequestId, Server, Status,
};

use crate::child::Child;
use crate::secondary::turns::Turns;
use crate::secondary::{PLAY, START, STOP, WATCH};

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// How long a secondary may take to start.
const TO_START: Duration = Duration::from_secs(5);
/// How long it may take to acknowledge a client before another one is asked.
const TO_ANSWER: Duration = Duration::from_secs(2);
/// A secondary that ends is started again, but not more often than this.
const PAUSE: Duration = Duration::from_secs(1);

/// A secondary that runs: a control session with it, over which the primary is its client.
pub(crate) struct Secondary {
    pub(crate) name: Name,
    /// `None` for one that a primary before this one has started, and that outlived it.
    pub(crate) child: Option<Child>,
    control: Client,
    /// The request that it answers when its number of clients has changed.
    watch: Option<RequestId>,
    clients: u64,
    /// How often a client was sent there, to take turns among those that are equally busy.
    given: u64,
    /// It let an acknowledgement wait for too long, and has not been heard since.
    silent: bool,
    /// Why it cannot be asked any more.
    lost: Option<osps_ipc::Error>,
    asked: Vec<Asked>,
}

/// A client's question that waits for the acknowledgement of the secondary that it is to be sent to.
struct Asked {
    id: RequestId,
    question: Question,
    until: Instant,
}

impl Secondary {
    /// Starts a secondary of this name, unless one runs, and waits until it serves.
    fn start(name: &Name, idle: u64) -> Result<Secondary> {
        // A call to a dead secondary is to fail, so that another can be asked.
        let options = ClientOptions::new().fail_fast();
        let connect = |wait| options.clone().connect(name.as_str(), wait);
        let (child, control) = match connect(Duration::ZERO) {
            Err(osps_ipc::Error::NotRunning { .. }) => {
                let idle = idle.to_string();
                let arguments = ["--service", name.as_str(), "--idle", &idle];
                let mut child = Child::start("secondary", &arguments)?;
                let until = Instant::now() + TO_START;
                let control = loop {
                    match connect(TO_START / 20) {
                        Ok(control) => break control,
                        Err(error) if Instant::now() >= until => return Err(error.into()),
                        Err(_) => {}
                    }
                    if let Some(status) = child.wait(Duration::ZERO) {
                        return Err(format!("it ended at once ({status})").into());
                    }
                };
                (Some(child), control)
            }
            Err(error) if !error.is_timeout() => return Err(error.into()),
            _ => (None, connect(TO_START)?),
        };
        Ok(Secondary {
            name: name.clone(),
            child,
            control,
            watch: None,
            clients: 0,
            given: 0,
            silent: false,
            lost: None,
            asked: Vec::new(),
        })
    }

    /// Plays the course's steps 1 and 2: what the other one wrote in each round, and how long the round took.
    pub(crate) fn play(&mut self, server: &Server, rounds: u32) -> Result<Vec<(String, Duration)>> {
        let directory = server.directory();
        // What a primary that was killed in a game has left there has another name.
        let name = Name::new(format!("turns-{:x}-{}", server.epoch(), self.name))?;
        let mut turns = Turns::create(directory, &name)?;
        let path = directory.path().join(name.as_str());
        let play = Request::new(PLAY, path.as_os_str().as_bytes());
        self.control.submit(play, TO_START)?;
        turns.await_other(directory, &name)?;
        let played = (0..rounds)
            .map(|_| turns.ping())
            .collect::<osps_ipc::Result<_>>()?;
        turns.end()?;
        if let Some(reply) = self.control.next_reply(TO_START)? {
            reply.into_answer()?;
        }
        Ok(played)
    }

    /// Asks to be told of its number of clients.
    fn watch(&mut self) -> osps_ipc::Result<()> {
        let watch = Request::new(WATCH, "");
        // Without a deadline that the secondary would see: the answer may take days.
        self.watch = Some(self.control.submit(watch, Duration::MAX)?);
        Ok(())
    }

    /// Deals with everything that it has said; gives back questions that it leaves unanswered.
    fn hear(&mut self) -> osps_ipc::Result<Vec<Question>> {
        if let Some(error) = self.lost.take() {
            return Err(error);
        }
        if self.watch.is_none() {
            self.watch()?;
        }
        while let Some(reply) = self.control.try_next_reply()? {
            self.silent = false;
            if Some(reply.id()) == self.watch {
                self.clients = number(&reply);
                self.watch()?;
            } else if let Some(at) = self.asked.iter().position(|asked| asked.id == reply.id()) {
                let Asked { question, .. } = self.asked.swap_remove(at);
                // A client that has gone meanwhile is its own affair.
                let _ = match reply.status() {
                    Status::Done => question.redirect(&self.name),
                    _ => question.fail(0, "the secondary refuses"),
                };
            }
        }
        let now = Instant::now();
        let late: Vec<_> = self
            .asked
            .extract_if(.., |asked| asked.until <= now)
            .collect();
        self.silent |= !late.is_empty();
        Ok(late.into_iter().map(|asked| asked.question).collect())
    }

    fn describe(&mut self) -> String {
        let end = self.child.as_mut().and_then(|child| child.wait(PAUSE));
        match end {
            Some(status) => format!("secondary {} has ended ({status})", self.name),
            None => format!("secondary {} is gone", self.name),
        }
    }
}

fn number(reply: &Reply) -> u64 {
    let bytes = reply.payload().as_slice().unwrap_or_default();
    bytes.try_into().map_or(0, u64::from_le_bytes)
}

/// A place for one secondary.
struct Place {
    name: Name,
    running: Option<Secondary>,
    /// Not to be started before.
    again: Instant,
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
        self.running()
            .map(|secondary| &mut secondary.control as &mut dyn Pollable)
    }

    /// Until when at most, because something is due then.
    pub(crate) fn due(&self) -> Option<Instant> {
        let starts = self.places.iter().filter(|place| place.running.is_none());
        let starts = starts.map(|place| place.again);
        let running = self
            .places
            .iter()
            .filter_map(|place| place.running.as_ref());
        let answers = running.flat_map(|secondary| secondary.asked.iter().map(|asked| asked.until));
        let now = Instant::now();
        let lost = self
            .places
            .iter()
            .filter_map(|place| place.running.as_ref());
        let lost = lost
            .filter(|secondary| secondary.lost.is_some())
            .map(|_| now);
        starts.chain(answers).chain(lost).min()
    }

    /// Has the least busy secondary acknowledge the client that asks; its answer sends the client there.
    pub(crate) fn direct(&mut self, question: Question) {
        let busy = |secondary: &&mut Secondary| {
            let clients = secondary.clients + secondary.asked.len() as u64;
            (secondary.silent, clients, secondary.given)
        };
        let running = self.places.iter_mut();
        let running = running.filter_map(|place| place.running.as_mut());
        let secondary = match running.min_by_key(busy) {
            Some(secondary) if !secondary.silent => secondary,
            Some(_) => return drop(question.fail(0, "no secondary answers at present")),
            None => return self.waiting.push(question),
        };
        let kind = question.kind();
        let start = Request::new(START, kind.as_str());
        match secondary.control.submit(start, TO_ANSWER) {
            Ok(id) => {
                secondary.given += 1;
                let until = Instant::now() + TO_ANSWER;
                secondary.asked.push(Asked {
                    id,
                    question,
                    until,
                });
            }
            Err(error) => {
                secondary.lost = Some(error);
                self.waiting.push(question);
            }
        }
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
                        let asked = secondary.asked.drain(..);
                        unanswered.extend(asked.map(|asked| asked.question));
                        place.running = None;
                    }
                }
            }
            if place.running.is_none() && place.again <= Instant::now() {
                place.again = Instant::now() + PAUSE;
                match Secondary::start(&place.name, self.idle) {
                    Ok(secondary) => {
                        news.push(format!("secondary {} is started again", place.name));
                        place.running = Some(secondary);
                    }
                    Err(why) => {
                        let why = failed(&place.name, &*why);
                        for question in unanswered.drain(..) {
                            let _ = question.fail(0, &why);
                        }
                        news.push(why);
                    }
                }
            }
        }
        for question in unanswered {
            self.direct(question);
        }
        news
    }

    /// Ends all secondaries: at the same time, and then waits for each.
    pub(crate) fn stop(mut self) {
        for secondary in self.running() {
            match &secondary.child {
                Some(child) => child.terminate(),
                None => drop(secondary.control.call(Request::new(STOP, ""), TO_ANSWER)),
            }
        }
    }
}

fn failed(name: &Name, why: &dyn Error) -> String {
    format!("secondary {name} does not start: {why}")
}
