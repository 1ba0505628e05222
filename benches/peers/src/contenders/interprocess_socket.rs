//! interprocess: its local socket, which is a Unix stream socket here.

use std::io::{Read, Write};

use interprocess::local_socket::traits::{Listener as _, Stream as _};
use interprocess::local_socket::{
    GenericFilePath, Listener, ListenerOptions, Name, Stream, ToFsName,
};

use crate::contender::{Contender, Kind, Left, Outcome, Place, Right};
use crate::ends::{Caller, Calls, Echo, Echoes, Receiver, Receives, Sender, Sends};

pub(crate) struct LocalSocket;

impl Contender for LocalSocket {
    fn name(&self) -> &'static str {
        "interprocess local socket"
    }

    fn right(&self, place: &Place) -> Outcome<Box<dyn Right>> {
        let listener = ListenerOptions::new().name(name(place)?).create_sync()?;
        let end = Accepting {
            listener,
            stream: None,
        };
        match place.job.kind {
            Kind::Stream => Receives::boxed(end, place),
            _ => Echoes::boxed(end, place),
        }
    }

    fn left(&self, place: &Place) -> Outcome<Box<dyn Left>> {
        let stream = Stream::connect(name(place)?)?;
        match place.job.kind {
            Kind::Stream => Sends::boxed(Connected(stream), place),
            _ => Calls::boxed(Connected(stream), place),
        }
    }
}

fn name(place: &Place) -> Outcome<Name<'static>> {
    Ok(place
        .dir
        .join("socket")
        .to_fs_name::<GenericFilePath>()?
        .into_owned())
}

struct Connected(Stream);

impl Caller for Connected {
    fn call(&mut self, request: &[u8], reply: &mut [u8]) -> Outcome<()> {
        self.0.write_all(request)?;
        Ok(self.0.read_exact(reply)?)
    }
}

impl Sender for Connected {
    fn send(&mut self, message: &[u8]) -> Outcome<()> {
        Ok(self.0.write_all(message)?)
    }
}

struct Accepting {
    listener: Listener,
    stream: Option<Stream>,
}

impl Accepting {
    fn stream(&mut self) -> Outcome<&mut Stream> {
        match self.stream {
            Some(ref mut stream) => Ok(stream),
            ref mut none => Ok(none.insert(self.listener.accept()?)),
        }
    }
}

impl Echo for Accepting {
    fn echo(&mut self, payload: &mut [u8]) -> Outcome<()> {
        let stream = self.stream()?;
        stream.read_exact(payload)?;
        Ok(stream.write_all(payload)?)
    }
}

impl Receiver for Accepting {
    fn receive(&mut self, message: &mut [u8]) -> Outcome<()> {
        Ok(self.stream()?.read_exact(message)?)
    }
}
