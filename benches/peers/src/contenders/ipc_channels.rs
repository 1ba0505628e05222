//! ipc-channel: byte channels for a pair, one receiver set for a crowd.

use std::collections::HashMap;
use std::fs;

use ipc_channel::ipc::{
    self, IpcBytesReceiver, IpcBytesSender, IpcOneShotServer, IpcReceiver, IpcReceiverSet,
    IpcSelectionResult, IpcSender,
};

use crate::contender::{Contender, Kind, LAST, Left, Outcome, Place, Right};
use crate::ends::{Caller, Calls, Receiver, Sender, Sends, until_last};

pub(crate) struct Channels;

impl Contender for Channels {
    fn name(&self) -> &'static str {
        "ipc-channel"
    }

    fn right(&self, place: &Place) -> Outcome<Box<dyn Right>> {
        if place.job.kind == Kind::Crowd {
            return Ok(Box::new(Crowd {
                doors: doors(place)?,
                set: None,
            }));
        }
        Ok(Box::new(Pair {
            doors: doors(place)?,
            ends: None,
            job: place.job.kind,
        }))
    }

    fn left(&self, place: &Place) -> Outcome<Box<dyn Left>> {
        let name = fs::read_to_string(place.dir.join(place.index.to_string()))?;
        match place.job.kind {
            Kind::Crowd => {
                let (request, there) = ipc::channel()?;
                let (back, reply) = ipc::channel()?;
                IpcSender::connect(name)?.send((there, back))?;
                Calls::boxed(Member { request, reply }, place)
            }
            kind => {
                let (request, there) = ipc::bytes_channel()?;
                let (back, reply) = ipc::bytes_channel()?;
                IpcSender::connect(name)?.send((there, back))?;
                let ends = Ends {
                    out: request,
                    back: reply,
                };
                if kind == Kind::Stream {
                    Sends::boxed(ends, place)
                } else {
                    Calls::boxed(ends, place)
                }
            }
        }
    }
}

/// One-shot servers, one a client, whose names stand in files.
fn doors<T>(place: &Place) -> Outcome<Vec<IpcOneShotServer<T>>>
where
    T: for<'a> serde::Deserialize<'a> + serde::Serialize,
{
    (0..place.job.clients)
        .map(|index| {
            let (door, name) = IpcOneShotServer::new()?;
            fs::write(place.dir.join(index.to_string()), name)?;
            Ok(door)
        })
        .collect()
}

struct Ends {
    out: IpcBytesSender,
    back: IpcBytesReceiver,
}

impl Caller for Ends {
    fn call(&mut self, request: &[u8], reply: &mut [u8]) -> Outcome<()> {
        self.out.send(request)?;
        keep_last(request, reply, &self.back.recv()?);
        Ok(())
    }
}

impl Sender for Ends {
    fn send(&mut self, message: &[u8]) -> Outcome<()> {
        Ok(self.out.send(message)?)
    }
}

impl Receiver for Ends {
    fn receive(&mut self, message: &mut [u8]) -> Outcome<()> {
        message.copy_from_slice(&self.back.recv()?);
        Ok(())
    }
}

struct Pair {
    doors: Vec<IpcOneShotServer<(IpcBytesReceiver, IpcBytesSender)>>,
    ends: Option<(IpcBytesReceiver, IpcBytesSender)>,
    job: Kind,
}

impl Right for Pair {
    fn run(&mut self, lasts: usize) -> Outcome<u64> {
        if let Some(door) = self.doors.pop() {
            self.ends = Some(door.accept()?.1);
        }
        let (requests, replies) = self.ends.as_ref().ok_or("nobody has connected")?;
        until_last(lasts, || {
            let payload = requests.recv()?;
            if self.job != Kind::Stream {
                replies.send(&payload)?;
            }
            Ok(payload[0])
        })
    }
}

struct Member {
    request: IpcSender<Vec<u8>>,
    reply: IpcReceiver<Vec<u8>>,
}

impl Caller for Member {
    fn call(&mut self, request: &[u8], reply: &mut [u8]) -> Outcome<()> {
        self.request.send(request.to_vec())?;
        keep_last(request, reply, &self.reply.recv()?);
        Ok(())
    }
}

/// What is received is in private memory already: copied is only what will be compared.
fn keep_last(request: &[u8], reply: &mut [u8], received: &[u8]) {
    if request[0] == LAST {
        reply.copy_from_slice(received);
    }
}

/// A client's requests, and the way back to it.
type Way = (IpcReceiver<Vec<u8>>, IpcSender<Vec<u8>>);

type Ways = HashMap<u64, IpcSender<Vec<u8>>>;

struct Crowd {
    doors: Vec<IpcOneShotServer<Way>>,
    set: Option<(IpcReceiverSet, Ways)>,
}

impl Crowd {
    /// Takes the clients in, in the order in which they are launched.
    fn accept(&mut self) -> Outcome<()> {
        let mut set = IpcReceiverSet::new()?;
        let mut ways = HashMap::new();
        for door in self.doors.drain(..) {
            let (_, (requests, replies)) = door.accept()?;
            ways.insert(set.add(requests)?, replies);
        }
        self.set = Some((set, ways));
        Ok(())
    }
}

impl Right for Crowd {
    fn run(&mut self, lasts: usize) -> Outcome<u64> {
        if !self.doors.is_empty() {
            self.accept()?;
        }
        let (set, ways) = self.set.as_mut().ok_or("nobody has connected")?;
        let (mut seen, mut count) = (0, 0);
        while seen < lasts {
            for event in set.select()? {
                let IpcSelectionResult::MessageReceived(id, message) = event else {
                    return Err("a client hung up".into());
                };
                let payload: Vec<u8> = message.to()?;
                seen += usize::from(payload[0] == LAST);
                count += 1;
                ways.get(&id).ok_or("a stranger's message")?.send(payload)?;
            }
        }
        Ok(count)
    }
}
