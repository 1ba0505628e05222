//! Unix stream sockets as the standard library has them: blocking, one connection.

use std::io::{BufReader, BufWriter, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};

use crate::contender::{Contender, Kind, Left, Outcome, Place, Right};
use crate::ends::{Caller, Calls, Echo, Echoes, Receiver, Receives, Sender, Sends};

pub(crate) struct UnixStreams {
    /// Bytes gathered before a system call, for streams; 0 = none.
    pub(crate) batch: usize,
}

impl Contender for UnixStreams {
    fn name(&self) -> &'static str {
        if self.batch == 0 {
            "Unix stream"
        } else {
            "Unix stream, 64 KiB batches"
        }
    }

    fn right(&self, place: &Place) -> Outcome<Box<dyn Right>> {
        let listener = UnixListener::bind(place.dir.join("socket"))?;
        let end = Accepting {
            listener,
            batch: self.batch,
            stream: None,
        };
        match place.job.kind {
            Kind::Stream => Receives::boxed(end, place),
            _ => Echoes::boxed(end, place),
        }
    }

    fn left(&self, place: &Place) -> Outcome<Box<dyn Left>> {
        let stream = UnixStream::connect(place.dir.join("socket"))?;
        match place.job.kind {
            Kind::Stream => {
                let stream = BufWriter::with_capacity(self.batch, stream);
                Sends::boxed(Sending(stream), place)
            }
            _ => Calls::boxed(Calling(stream), place),
        }
    }
}

struct Calling(UnixStream);

impl Caller for Calling {
    fn call(&mut self, request: &[u8], reply: &mut [u8]) -> Outcome<()> {
        self.0.write_all(request)?;
        Ok(self.0.read_exact(reply)?)
    }
}

struct Sending(BufWriter<UnixStream>);

impl Sender for Sending {
    fn send(&mut self, message: &[u8]) -> Outcome<()> {
        Ok(self.0.write_all(message)?)
    }

    fn flush(&mut self) -> Outcome<()> {
        Ok(self.0.flush()?)
    }
}

struct Accepting {
    listener: UnixListener,
    batch: usize,
    stream: Option<BufReader<UnixStream>>,
}

impl Accepting {
    fn stream(&mut self) -> Outcome<&mut BufReader<UnixStream>> {
        match self.stream {
            Some(ref mut stream) => Ok(stream),
            ref mut none => {
                let stream = self.listener.accept()?.0;
                Ok(none.insert(BufReader::with_capacity(self.batch, stream)))
            }
        }
    }
}

impl Echo for Accepting {
    fn echo(&mut self, payload: &mut [u8]) -> Outcome<()> {
        let stream = self.stream()?.get_mut();
        stream.read_exact(payload)?;
        Ok(stream.write_all(payload)?)
    }
}

impl Receiver for Accepting {
    fn receive(&mut self, message: &mut [u8]) -> Outcome<()> {
        Ok(self.stream()?.read_exact(message)?)
    }
}
