//! What the primary has with one secondary: a control session, in which the primary is the client.

use std::error::Error;
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

use osps_ipc::{
    Client, ClientOptions, Name, Pollable, Question, Reply, Request, RequestId, Server, Status,
};

use super::secondary::turns::Turns;
use super::secondary::{PLAY, START, WATCH};

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// How long connecting may hold up the primary's loop. One that is ready lets a session in at once.
const TO_CONNECT: Duration = Duration::from_millis(50);
/// How long a secondary may take to join a game.
const TO_PLAY: Duration = Duration::from_secs(5);
/// How long it may take to acknowledge a client before another one is asked.
const TO_ANSWER: Duration = Duration::from_secs(2);

/// A control session. It lasts as long as the process that serves: the next one is to be told anew.
pub(crate) struct Control {
    name: Name,
    client: Client,
    /// The request that is answered when the number of clients has changed.
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

impl Control {
    /// Connects to a secondary that serves.
    pub(crate) fn connect(name: &Name) -> osps_ipc::Result<Control> {
        // A call to a dead secondary is to fail, so that another can be asked; one that has no room for another client
        // has room for this one.
        let options = ClientOptions::new().fail_fast().probe();
        Ok(Control {
            name: name.clone(),
            client: options.connect(name.as_str(), TO_CONNECT)?,
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
        self.client.submit(play, TO_PLAY)?;
        turns.await_other(directory, &name, || {
            // It answers when the game is over: what it says now is that it has died, or cannot play.
            match self.client.try_next_reply()? {
                Some(refused) => refused.into_answer().map(drop).map_err(Box::from),
                None => Result::Ok(()),
            }
        })?;
        let played = (0..rounds)
            .map(|_| turns.ping())
            .collect::<osps_ipc::Result<_>>()?;
        turns.end()?;
        if let Some(reply) = self.client.next_reply(TO_PLAY)? {
            reply.into_answer()?;
        }
        Ok(played)
    }

    /// Asks to be told of its number of clients.
    fn watch(&mut self) -> osps_ipc::Result<()> {
        let watch = Request::new(WATCH, "");
        // Without a deadline that the secondary would see: the answer may take days.
        self.watch = self.client.try_submit(watch, Duration::MAX)?;
        Ok(())
    }

    /// Deals with everything that it has said; gives back questions that it leaves unanswered.
    pub(crate) fn hear(&mut self) -> osps_ipc::Result<Vec<Question>> {
        if let Some(error) = self.lost.take() {
            return Err(error);
        }
        if self.watch.is_none() {
            self.watch()?;
        }
        while let Some(reply) = self.client.try_next_reply()? {
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

    /// Has it acknowledge the client that asks; the answer sends the client there. Gives the question back if it has
    /// enough to acknowledge, or is lost, which [`hear`](Control::hear) tells.
    pub(crate) fn ask(&mut self, question: Question) -> Option<Question> {
        let kind = question.kind();
        let start = Request::new(START, kind.as_str());
        match self.client.try_submit(start, TO_ANSWER) {
            Ok(Some(id)) => {
                self.given += 1;
                self.asked.push(Asked {
                    id,
                    question,
                    until: Instant::now() + TO_ANSWER,
                });
                return None;
            }
            Ok(None) => {}
            Err(error) => self.lost = Some(error),
        }
        Some(question)
    }

    /// The questions that it will not answer any more.
    pub(crate) fn give_up(self) -> impl Iterator<Item = Question> {
        self.asked.into_iter().map(|asked| asked.question)
    }

    /// Whether it answers at present.
    pub(crate) fn answers(&self) -> bool {
        !self.silent
    }

    /// How much it has to do, to be compared with others.
    pub(crate) fn load(&self) -> impl Ord + use<> {
        (self.clients + self.asked.len() as u64, self.given)
    }

    /// When it is to be heard, even if it says nothing.
    pub(crate) fn due(&self) -> Option<Instant> {
        match self.lost {
            Some(_) => Some(Instant::now()),
            None => self.asked.iter().map(|asked| asked.until).min(),
        }
    }

    /// What is to be waited for to hear of it.
    pub(crate) fn pollable(&mut self) -> &mut dyn Pollable {
        &mut self.client
    }
}

fn number(reply: &Reply) -> u64 {
    let bytes = reply.payload().as_slice().unwrap_or_default();
    bytes.try_into().map_or(0, u64::from_le_bytes)
}
