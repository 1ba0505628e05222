//! A Unix stream socket server on epoll with any number of clients, as one writes it by hand.

use std::any::Any;
use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;

use crate::connects::Connects;
use crate::contender::{Contender, Kind, LAST, Left, Outcome, Place, Right};
use crate::ends::{Caller, Calls};
use crate::sys::process::lift_file_limit;

pub(crate) struct EpollServer;

impl Contender for EpollServer {
    fn name(&self) -> &'static str {
        "Unix stream, epoll server"
    }

    fn right(&self, place: &Place) -> Outcome<Box<dyn Right>> {
        lift_file_limit()?;
        let listener = UnixListener::bind(place.dir.join("socket"))?;
        listener.set_nonblocking(true)?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &listener, EventData::new_u64(DOOR), EventFlags::IN)?;
        let payload = vec![0; place.job.size];
        Ok(Box::new(Server {
            listener,
            epoll,
            clients: HashMap::new(),
            next: DOOR + 1,
            payload,
        }))
    }

    fn left(&self, place: &Place) -> Outcome<Box<dyn Left>> {
        if place.job.kind == Kind::Connect {
            let own = place.clone();
            return Connects::boxed(move || connect(&own), place);
        }
        Calls::boxed(connect(place)?, place)
    }

    fn idlers(&self, place: &Place) -> Outcome<Box<dyn Any>> {
        lift_file_limit()?;
        let clients: Outcome<Vec<Client>> = (0..place.job.idle).map(|_| connect(place)).collect();
        Ok(Box::new(clients?))
    }
}

const DOOR: u64 = 0;

struct Server {
    listener: UnixListener,
    epoll: OwnedFd,
    clients: HashMap<u64, Connection>,
    next: u64,
    payload: Vec<u8>,
}

/// A client, and the part of a request that has come so far (usually all of it at once).
struct Connection {
    stream: UnixStream,
    part: Vec<u8>,
}

impl Server {
    fn accept(&mut self) -> Outcome<()> {
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            stream.set_nonblocking(true)?;
            epoll::add(
                &self.epoll,
                &stream,
                EventData::new_u64(self.next),
                EventFlags::IN,
            )?;
            self.clients.insert(
                self.next,
                Connection {
                    stream,
                    part: Vec::new(),
                },
            );
            self.next += 1;
        }
    }

    /// Reads what is there and answers a whole request; returns its first byte.
    fn serve(&mut self, client: u64) -> Outcome<Option<u8>> {
        let Some(connection) = self.clients.get_mut(&client) else {
            return Ok(None);
        };
        let size = self.payload.len();
        let have = connection.part.len();
        let count = match connection.stream.read(&mut self.payload[have..]) {
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if count == 0 {
            epoll::delete(&self.epoll, connection.stream.as_fd())?;
            self.clients.remove(&client);
            return Ok(None);
        }
        if have + count < size {
            connection
                .part
                .extend_from_slice(&self.payload[have..have + count]);
            return Ok(None);
        }
        self.payload[..have].copy_from_slice(&connection.part);
        connection.part.clear();
        // A client waits for its reply before it asks again, so there is room for this.
        connection.stream.write_all(&self.payload)?;
        Ok(Some(self.payload[0]))
    }
}

impl Right for Server {
    fn run(&mut self, lasts: usize) -> Outcome<u64> {
        let (mut seen, mut count) = (0, 0);
        let mut space = [MaybeUninit::<epoll::Event>::uninit(); 64];
        while seen < lasts {
            let ready = match epoll::wait(&self.epoll, &mut space, None) {
                Ok((ready, _)) => ready,
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            for event in ready {
                if event.data.u64() == DOOR {
                    self.accept()?;
                } else if let Some(mark) = self.serve(event.data.u64())? {
                    seen += usize::from(mark == LAST);
                    count += 1;
                }
            }
        }
        Ok(count)
    }
}

struct Client(UnixStream);

fn connect(place: &Place) -> Outcome<Client> {
    Ok(Client(UnixStream::connect(place.dir.join("socket"))?))
}

impl Caller for Client {
    fn call(&mut self, request: &[u8], reply: &mut [u8]) -> Outcome<()> {
        self.0.write_all(request)?;
        Ok(self.0.read_exact(reply)?)
    }
}
