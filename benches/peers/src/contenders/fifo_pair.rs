//! Two named pipes, one each way: `poll`, then `read`; the payload travels in the pipe.

use std::fs::File;

use crate::contender::{Contender, Kind, Left, Outcome, Place, Right};
use crate::ends::{Caller, Calls, Echo, Echoes, Receiver, Receives, Sender, Sends};
use crate::sys::fifo;

pub(crate) struct FifoPair;

impl Contender for FifoPair {
    fn name(&self) -> &'static str {
        "FIFO pair, poll"
    }

    fn right(&self, place: &Place) -> Outcome<Box<dyn Right>> {
        let (there, back) = (place.dir.join("there"), place.dir.join("back"));
        fifo::make(&there)?;
        fifo::make(&back)?;
        let ends = Ends {
            read: fifo::open(&there)?,
            write: fifo::open(&back)?,
        };
        match place.job.kind {
            Kind::Stream => Receives::boxed(ends, place),
            _ => Echoes::boxed(ends, place),
        }
    }

    fn left(&self, place: &Place) -> Outcome<Box<dyn Left>> {
        let (there, back) = (place.dir.join("there"), place.dir.join("back"));
        let ends = Ends {
            read: fifo::open(&back)?,
            write: fifo::open(&there)?,
        };
        match place.job.kind {
            Kind::Stream => Sends::boxed(ends, place),
            _ => Calls::boxed(ends, place),
        }
    }
}

struct Ends {
    read: File,
    write: File,
}

impl Caller for Ends {
    fn call(&mut self, request: &[u8], reply: &mut [u8]) -> Outcome<()> {
        fifo::write_all(&self.write, request)?;
        Ok(fifo::read_exact(&self.read, reply)?)
    }
}

impl Echo for Ends {
    fn echo(&mut self, payload: &mut [u8]) -> Outcome<()> {
        fifo::read_exact(&self.read, payload)?;
        Ok(fifo::write_all(&self.write, payload)?)
    }
}

impl Sender for Ends {
    fn send(&mut self, message: &[u8]) -> Outcome<()> {
        Ok(fifo::write_all(&self.write, message)?)
    }
}

impl Receiver for Ends {
    fn receive(&mut self, message: &mut [u8]) -> Outcome<()> {
        Ok(fifo::read_exact(&self.read, message)?)
    }
}
