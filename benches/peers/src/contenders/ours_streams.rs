//! osps-ipc's streams: the bare ring, pipelined requests, one-way messages.

use std::hint::spin_loop;

use osps_ipc::ring::{Consumer, PopError, Producer, PushError};
use osps_ipc::{Client, Directory, Event, Name, ReplyBatch, Request, Server, Wait};

use super::ours::{ECHO, PATIENCE, Serving, client, echo, next, options, runtime, serve};
use crate::contender::{Contender, GO, LAST, Left, Outcome, Place, Right, Slice, Span};
use crate::ends::{Receiver, Receives, Sender, Sends};
use crate::sys::clock::now;

/// The ring type, without a session around it.
pub(crate) struct Ring {
    /// Records that are published together.
    pub(crate) batch: u64,
}

/// Pauses of a consumer that found the ring empty, as of the plain ring that is the fastest: a batch gathers.
const BACK_OFF: u32 = 64;

impl Contender for Ring {
    fn name(&self) -> &'static str {
        if self.batch == 1 {
            "osps-ipc ring"
        } else {
            "osps-ipc ring, batches"
        }
    }

    fn right(&self, place: &Place) -> Outcome<Box<dyn Right>> {
        let directory = Directory::create(runtime(place))?;
        let consumer = Consumer::create(&directory, &Name::new("ring")?, place.job.capacity)?;
        if self.batch == 1 {
            Receives::boxed(Popping(consumer), place)
        } else {
            Ok(Box::new(Draining(consumer)))
        }
    }

    fn left(&self, place: &Place) -> Outcome<Box<dyn Left>> {
        let directory = Directory::open(runtime(place))?;
        let producer = Producer::open(&directory, &Name::new("ring")?)?;
        if self.batch == 1 {
            return Sends::boxed(Pushing(producer), place);
        }
        Ok(Box::new(Batches {
            producer,
            message: vec![0; place.job.size],
            batch: self.batch,
        }))
    }
}

struct Pushing(Producer);

impl Sender for Pushing {
    #[inline(always)]
    fn send(&mut self, message: &[u8]) -> Outcome<()> {
        loop {
            match self.0.try_push(0, message) {
                Ok(()) => return Ok(()),
                Err(PushError::Full) => spin_loop(),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

struct Popping(Consumer);

impl Receiver for Popping {
    #[inline(always)]
    fn receive(&mut self, message: &mut [u8]) -> Outcome<()> {
        loop {
            match self.0.try_pop_slice(message) {
                Ok(_) => return Ok(()),
                Err(PopError::Empty) => back_off(),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn back_off() {
    for _ in 0..BACK_OFF {
        spin_loop();
    }
}

struct Batches {
    producer: Producer,
    message: Vec<u8>,
    batch: u64,
}

impl Left for Batches {
    fn run(&mut self, slice: Slice) -> Outcome<Span> {
        let Slice::Count(count) = slice else {
            return Err("a stream is counted".into());
        };
        self.message[0] = GO;
        let from = now();
        let mut sent = 0;
        while sent < count {
            let mut batch = self.producer.batch();
            let end = count.min(sent + self.batch);
            while sent < end {
                if sent + 1 == count {
                    self.message[0] = LAST;
                }
                match batch.try_push(0, &self.message) {
                    Ok(()) => sent += 1,
                    Err(PushError::Full) => break,
                    Err(error) => return Err(error.into()),
                }
            }
            batch.publish();
            if sent < end {
                spin_loop();
            }
        }
        Ok(Span {
            from,
            until: now(),
            count,
        })
    }
}

struct Draining(Consumer);

impl Right for Draining {
    fn run(&mut self, lasts: usize) -> Outcome<u64> {
        let (mut seen, mut count) = (0, 0);
        while seen < lasts {
            let look = |_, message: &[u8]| seen += usize::from(message.first() == Some(&LAST));
            match self.0.drain(usize::MAX, look) {
                Ok(taken) => count += taken as u64,
                Err(PopError::Empty) => back_off(),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(count)
    }
}

/// Requests of which many are on their way; every one is answered.
pub(crate) struct Submit {
    /// Requests, and answers, that are shown to the other side together.
    pub(crate) batch: u64,
}

/// Requests that are on their way at most.
const WINDOW: u64 = 1024;

impl Contender for Submit {
    fn name(&self) -> &'static str {
        if self.batch == 1 {
            "osps-ipc, submit / next_reply"
        } else {
            "osps-ipc, submit / next_reply, batches"
        }
    }

    fn right(&self, place: &Place) -> Outcome<Box<dyn Right>> {
        let server = serve(place, Wait::default())?;
        if self.batch == 1 {
            return Ok(Box::new(Serving {
                server,
                payload: vec![0; place.job.size],
                answer: echo,
            }));
        }
        let batch = ReplyBatch::new();
        Ok(Box::new(Answering { server, batch }))
    }

    fn left(&self, place: &Place) -> Outcome<Box<dyn Left>> {
        Ok(Box::new(Pipelined {
            client: connect(place)?,
            request: vec![0; place.job.size],
            batch: self.batch,
        }))
    }
}

/// Answers in batches, as they come: the server shows them.
struct Answering {
    server: Server,
    batch: ReplyBatch,
}

impl Right for Answering {
    fn run(&mut self, lasts: usize) -> Outcome<u64> {
        let (mut seen, mut count) = (0, 0);
        while seen < lasts {
            let Event::Request(mut request) = next(&mut self.server)? else {
                return Err("a message that wants no answer".into());
            };
            let asked = request.take_payload();
            let bytes = asked.as_slice().ok_or("a large one")?;
            seen += usize::from(bytes.first() == Some(&LAST));
            request.reply_in(&mut self.batch, bytes)?;
            count += 1;
        }
        self.batch.publish();
        Ok(count)
    }
}

fn connect(place: &Place) -> Outcome<Client> {
    let capacity = place.job.capacity;
    client(options(place, Wait::default()).capacity(capacity, capacity))
}

struct Pipelined {
    client: Client,
    request: Vec<u8>,
    batch: u64,
}

impl Pipelined {
    /// Asks up to the window's end.
    fn ask(&mut self, sent: &mut u64, answered: u64, count: u64) -> Outcome<()> {
        let end = count.min(answered + WINDOW);
        while *sent < end {
            if self.batch == 1 {
                *sent += 1;
                if *sent == count {
                    self.request[0] = LAST;
                }
                self.client
                    .submit(Request::new(ECHO, &self.request), PATIENCE)?;
                continue;
            }
            let mut batch = self.client.batch(PATIENCE);
            for _ in 0..self.batch.min(end - *sent) {
                *sent += 1;
                if *sent == count {
                    self.request[0] = LAST;
                }
                batch.submit(Request::new(ECHO, &self.request))?;
            }
        }
        Ok(())
    }
}

impl Left for Pipelined {
    fn run(&mut self, slice: Slice) -> Outcome<Span> {
        let Slice::Count(count) = slice else {
            return Err("a stream is counted".into());
        };
        self.request[0] = GO;
        let from = now();
        let (mut sent, mut answered) = (0, 0);
        while answered < count {
            self.ask(&mut sent, answered, count)?;
            // Half of the window, so that the server has something to do meanwhile.
            let enough = if sent < count { WINDOW / 2 } else { 0 };
            while sent - answered > enough {
                let reply = self.client.next_reply(PATIENCE)?.ok_or("no reply")?;
                reply.into_answer()?;
                answered += 1;
            }
        }
        Ok(Span {
            from,
            until: now(),
            count,
        })
    }
}

/// Messages that want no answer, through a client and a server.
pub(crate) struct Notify {
    /// Messages that are shown to the server together.
    pub(crate) batch: u64,
}

impl Contender for Notify {
    fn name(&self) -> &'static str {
        if self.batch == 1 {
            "osps-ipc, notify"
        } else {
            "osps-ipc, notify, batches"
        }
    }

    fn right(&self, place: &Place) -> Outcome<Box<dyn Right>> {
        Receives::boxed(Told(serve(place, Wait::default())?), place)
    }

    fn left(&self, place: &Place) -> Outcome<Box<dyn Left>> {
        let client = connect(place)?;
        if self.batch == 1 {
            return Sends::boxed(Telling(client), place);
        }
        Ok(Box::new(TellingTogether {
            client,
            message: vec![0; place.job.size],
            batch: self.batch,
        }))
    }
}

struct TellingTogether {
    client: Client,
    message: Vec<u8>,
    batch: u64,
}

impl Left for TellingTogether {
    fn run(&mut self, slice: Slice) -> Outcome<Span> {
        let Slice::Count(count) = slice else {
            return Err("a stream is counted".into());
        };
        self.message[0] = GO;
        let from = now();
        let mut sent = 0;
        while sent < count {
            let mut batch = self.client.batch(PATIENCE);
            let end = count.min(sent + self.batch);
            while sent < end {
                if sent + 1 == count {
                    self.message[0] = LAST;
                }
                if batch.notify(Request::new(ECHO, &self.message))? {
                    sent += 1;
                } else {
                    spin_loop();
                }
            }
        }
        Ok(Span {
            from,
            until: now(),
            count,
        })
    }
}

struct Telling(Client);

impl Sender for Telling {
    #[inline(always)]
    fn send(&mut self, message: &[u8]) -> Outcome<()> {
        while !self.0.notify(Request::new(ECHO, message))? {
            spin_loop();
        }
        Ok(())
    }
}

struct Told(Server);

impl Receiver for Told {
    #[inline(always)]
    fn receive(&mut self, message: &mut [u8]) -> Outcome<()> {
        let Event::Notify(notification) = next(&mut self.0)? else {
            return Err("a request that wants an answer".into());
        };
        Ok(notification.payload().read_at(0, message)?)
    }
}
