//! osps-ipc's client and server: calls, from one client or many, and a hand-over.
//!
//! The server answers with the private copy of the payload that it was given, or, where the payload lies in a
//! segment, copies it to a buffer of its own and answers with a copy of that: each side copies in and
//! out once. Streams are in `ours_streams.rs`.

use std::any::Any;
use std::path::PathBuf;
use std::time::Duration;

use osps_ipc::{
    Client, ClientOptions, Directory, Event, Incoming, Request, RequestKind, Server, ServerOptions,
    Wait,
};

use crate::connects::Connects;
use crate::contender::{Contender, Kind, LAST, Left, Outcome, Place, Right};
use crate::ends::{Caller, Calls};
use crate::sys::process::lift_file_limit;

const SERVICE: &str = "bench";
pub(super) const ECHO: RequestKind = RequestKind::new("echo");
/// Of the last request of all, where the payload is not looked at.
const ENOUGH: RequestKind = RequestKind::new("enough");
/// Ends what would wait for ever; the coordinator's own patience ends first.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// A server that nobody asks for anything sleeps so long: a timeout that came up would be a wake-up.
const REST: Duration = Duration::from_secs(3600);
/// From this size on buffers are as `Vec` gives them.
const HEAP_FROM: usize = 4 << 10;

/// Calls with buffers of bytes.
pub(crate) struct Ours {
    pub(crate) wait: Wait,
}

impl Contender for Ours {
    fn name(&self) -> &'static str {
        match self.wait {
            Wait::Spin => "osps-ipc, Wait::Spin",
            Wait::Adaptive => "osps-ipc",
            Wait::Park => "osps-ipc, Wait::Park",
        }
    }

    fn right(&self, place: &Place) -> Outcome<Box<dyn Right>> {
        Ok(Box::new(Serving {
            server: serve(place, self.wait)?,
            payload: vec![0; place.job.size],
            answer: echo,
        }))
    }

    fn left(&self, place: &Place) -> Outcome<Box<dyn Left>> {
        let wait = self.wait;
        if place.job.kind == Kind::Connect {
            let own = place.clone();
            return Connects::boxed(move || connect(&own, wait), place);
        }
        let calling = connect(place, wait)?;
        if place.job.size >= HEAP_FROM {
            Calls::boxed_heap(calling, place)
        } else {
            Calls::boxed(calling, place)
        }
    }

    fn idlers(&self, place: &Place) -> Outcome<Box<dyn Any>> {
        lift_file_limit()?;
        let clients: Outcome<Vec<Calling>> = (0..place.job.idle)
            .map(|_| connect(place, self.wait))
            .collect();
        Ok(Box::new(clients?))
    }
}

/// A segment from the pool handed over both ways, which neither side touches: the mark of the last one is its kind.
pub(crate) struct HandOver;

impl Contender for HandOver {
    fn name(&self) -> &'static str {
        "osps-ipc, hand-over"
    }

    fn right(&self, place: &Place) -> Outcome<Box<dyn Right>> {
        Ok(Box::new(Serving {
            server: serve(place, Wait::default())?,
            payload: vec![0; 1],
            answer: hand_back,
        }))
    }

    fn left(&self, place: &Place) -> Outcome<Box<dyn Left>> {
        let Calling(client) = connect(place, Wait::default())?;
        Calls::boxed_unechoed(Handing(client), place)
    }
}

/// Where the services of a run are looked for.
pub(super) fn runtime(place: &Place) -> PathBuf {
    place.dir.join("runtime")
}

pub(super) fn serve(place: &Place, wait: Wait) -> Outcome<Server> {
    lift_file_limit()?;
    Directory::create(runtime(place))?;
    let options = ServerOptions::new().directory(runtime(place)).wait(wait);
    Ok(options.bind(SERVICE)?)
}

pub(super) fn options(place: &Place, wait: Wait) -> ClientOptions {
    ClientOptions::new().directory(runtime(place)).wait(wait)
}

pub(super) fn client(options: ClientOptions) -> Outcome<Client> {
    Ok(options.connect(SERVICE, PATIENCE)?)
}

fn connect(place: &Place, wait: Wait) -> Outcome<Calling> {
    Ok(Calling(client(options(place, wait))?))
}

/// Waits for whatever comes next but connects and good-byes.
#[inline(always)]
pub(super) fn next(server: &mut Server) -> Outcome<Event> {
    loop {
        match server.next_timeout(REST)? {
            Some(event @ (Event::Request(_) | Event::Notify(_))) => return Ok(event),
            Some(_) => {}
            None => return Err("nobody asked for an hour".into()),
        }
    }
}

/// Answers one request, with the help of private memory; gives the payload's first byte.
type Answer = fn(Incoming, &mut [u8]) -> Outcome<u8>;

pub(super) struct Serving {
    pub(super) server: Server,
    pub(super) payload: Vec<u8>,
    pub(super) answer: Answer,
}

impl Right for Serving {
    fn run(&mut self, lasts: usize) -> Outcome<u64> {
        let (mut seen, mut count) = (0, 0);
        while seen < lasts {
            let Event::Request(request) = next(&mut self.server)? else {
                return Err("a message that wants no answer".into());
            };
            seen += usize::from((self.answer)(request, &mut self.payload)? == LAST);
            count += 1;
        }
        Ok(count)
    }
}

#[inline(always)]
pub(super) fn echo(mut request: Incoming, payload: &mut [u8]) -> Outcome<u8> {
    let asked = request.take_payload();
    let answer = match asked.as_slice() {
        Some(bytes) => bytes,
        None => {
            asked.read_at(0, payload)?;
            payload
        }
    };
    let mark = answer.first().copied().unwrap_or_default();
    request.reply(answer)?;
    Ok(mark)
}

fn hand_back(request: Incoming, _: &mut [u8]) -> Outcome<u8> {
    let mark = if request.kind() == ENOUGH { LAST } else { 0 };
    let lease = request.lease(request.payload().len())?;
    request.reply(lease)?;
    Ok(mark)
}

struct Calling(Client);

impl Caller for Calling {
    #[inline(always)]
    fn call(&mut self, request: &[u8], reply: &mut [u8]) -> Outcome<()> {
        let answer = self.0.call(Request::new(ECHO, request), PATIENCE)?;
        let answer = answer.into_answer()?;
        // A short one is a private copy already. What is compared, and what lies in shared memory, is copied out.
        if request[0] == LAST || answer.as_slice().is_none() {
            answer.read_at(0, reply)?;
        }
        Ok(())
    }
}

struct Handing(Client);

impl Caller for Handing {
    fn call(&mut self, request: &[u8], _: &mut [u8]) -> Outcome<()> {
        let kind = if request[0] == LAST { ENOUGH } else { ECHO };
        let lease = self.0.lease(kind, request.len() as u64, PATIENCE)?;
        let answer = self.0.call(Request::new(kind, lease), PATIENCE)?;
        let answer = answer.into_answer()?;
        if answer.len() != request.len() as u64 {
            return Err("the reply is not as long as what was asked".into());
        }
        Ok(())
    }
}
