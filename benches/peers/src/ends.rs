//! Loops that most contenders share, so that each only says how one message travels.

use crate::contender::{GO, Kind, LAST, Left, Outcome, Place, Right, Slice, Span};
use crate::sys::clock::now;

/// Private memory for a payload.
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    len: usize,
}

impl Buffer {
    /// Begins at a multiple of 64, as the fastest copies want it.
    pub(crate) fn aligned(len: usize) -> Buffer {
        let bytes = vec![0; len + 64];
        let start = bytes.as_ptr().align_offset(64).min(64);
        Buffer { bytes, start, len }
    }

    /// Begins wherever `Vec` puts it, as most programs have it.
    pub(crate) fn heap(len: usize) -> Buffer {
        Buffer {
            bytes: vec![0; len],
            start: 0,
            len,
        }
    }

    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + self.len]
    }
}

/// Sends a request and waits for its reply.
pub(crate) trait Caller {
    fn call(&mut self, request: &[u8], reply: &mut [u8]) -> Outcome<()>;
}

/// A [`Left`] end that makes calls, one after the other. What comes back is compared with what
/// went out, once a slice.
pub(crate) struct Calls<C> {
    caller: C,
    request: Buffer,
    reply: Buffer,
    warm: u64,
    echoed: usize,
}

impl<C: Caller + 'static> Calls<C> {
    pub(crate) fn boxed(caller: C, place: &Place) -> Outcome<Box<dyn Left>> {
        let size = place.job.size;
        Ok(Box::new(Calls::with(
            caller,
            place,
            Buffer::aligned(size),
            Buffer::aligned(size),
        )))
    }

    /// With buffers as `Vec` gives them.
    pub(crate) fn boxed_heap(caller: C, place: &Place) -> Outcome<Box<dyn Left>> {
        let size = place.job.size;
        Ok(Box::new(Calls::with(
            caller,
            place,
            Buffer::heap(size),
            Buffer::heap(size),
        )))
    }

    /// For a caller whose payload does not travel.
    pub(crate) fn boxed_unechoed(caller: C, place: &Place) -> Outcome<Box<dyn Left>> {
        let size = place.job.size;
        let mut calls = Calls::with(caller, place, Buffer::aligned(size), Buffer::aligned(size));
        calls.echoed = 0;
        Ok(Box::new(calls))
    }

    fn with(caller: C, place: &Place, mut request: Buffer, reply: Buffer) -> Calls<C> {
        for (index, byte) in request.bytes().iter_mut().enumerate() {
            *byte = (index % 251) as u8;
        }
        let echoed = if place.job.kind == Kind::Untouched {
            1
        } else {
            place.job.size
        };
        let warm = if place.job.size >= 1 << 20 { 1 } else { 8 };
        Calls {
            caller,
            request,
            reply,
            warm,
            echoed,
        }
    }

    fn call(&mut self) -> Outcome<()> {
        self.caller.call(self.request.bytes(), self.reply.bytes())
    }

    fn count(&mut self, count: u64) -> Outcome<Span> {
        for _ in 0..self.warm {
            self.call()?;
        }
        let from = now();
        for _ in 1..count {
            self.call()?;
        }
        self.request.bytes()[0] = LAST;
        self.call()?;
        Ok(Span {
            from,
            until: now(),
            count,
        })
    }

    /// The window is the same for all clients, also for one that gets no core in it: rates add up only then.
    fn window(&mut self, begin: u64, end: u64) -> Outcome<Span> {
        while now() < begin {
            self.call()?;
        }
        let mut count = 0;
        while now() < end {
            self.call()?;
            count += 1;
        }
        self.request.bytes()[0] = LAST;
        self.call()?;
        Ok(Span {
            from: begin,
            until: end,
            count,
        })
    }
}

impl<C: Caller + 'static> Left for Calls<C> {
    fn run(&mut self, slice: Slice) -> Outcome<Span> {
        let tag = now().to_le_bytes();
        let request = self.request.bytes();
        request[0] = GO;
        let end = request.len().min(9);
        request[1..end].copy_from_slice(&tag[..end - 1]);
        let span = match slice {
            Slice::Count(count) => self.count(count)?,
            Slice::Window { from, until } => self.window(from, until)?,
        };
        let same = self.request.bytes()[..self.echoed] == self.reply.bytes()[..self.echoed];
        if same {
            Ok(span)
        } else {
            Err("the reply is not what was asked".into())
        }
    }
}

/// Answers one request with its own bytes.
pub(crate) trait Echo {
    /// Waits for a request, copies it to `payload`, and answers with a copy of that.
    fn echo(&mut self, payload: &mut [u8]) -> Outcome<()>;
}

/// A [`Right`] end that echoes.
pub(crate) struct Echoes<E> {
    echo: E,
    payload: Buffer,
}

impl<E: Echo + 'static> Echoes<E> {
    pub(crate) fn boxed(echo: E, place: &Place) -> Outcome<Box<dyn Right>> {
        Ok(Box::new(Echoes {
            echo,
            payload: Buffer::aligned(place.job.size),
        }))
    }
}

impl<E: Echo + 'static> Right for Echoes<E> {
    fn run(&mut self, lasts: usize) -> Outcome<u64> {
        let payload = self.payload.bytes();
        until_last(lasts, || {
            self.echo.echo(payload)?;
            Ok(payload[0])
        })
    }
}

/// Calls `step` until it returned [`LAST`] so many times; returns how often it was called.
pub(crate) fn until_last(lasts: usize, mut step: impl FnMut() -> Outcome<u8>) -> Outcome<u64> {
    let (mut seen, mut count) = (0, 0);
    while seen < lasts {
        seen += usize::from(step()? == LAST);
        count += 1;
    }
    Ok(count)
}

/// Sends messages that nobody answers.
pub(crate) trait Sender {
    /// Copies `message` out, waiting for room; it may stay in a batch.
    fn send(&mut self, message: &[u8]) -> Outcome<()>;

    /// Makes whatever is still in a batch visible.
    fn flush(&mut self) -> Outcome<()> {
        Ok(())
    }
}

/// A [`Left`] end that sends.
pub(crate) struct Sends<S> {
    sender: S,
    message: Buffer,
}

impl<S: Sender + 'static> Sends<S> {
    pub(crate) fn boxed(sender: S, place: &Place) -> Outcome<Box<dyn Left>> {
        Ok(Box::new(Sends {
            sender,
            message: Buffer::aligned(place.job.size),
        }))
    }
}

impl<S: Sender + 'static> Left for Sends<S> {
    fn run(&mut self, slice: Slice) -> Outcome<Span> {
        let Slice::Count(count) = slice else {
            return Err("a stream is counted".into());
        };
        let message = self.message.bytes();
        message[0] = GO;
        let from = now();
        for _ in 1..count {
            self.sender.send(message)?;
        }
        message[0] = LAST;
        self.sender.send(message)?;
        self.sender.flush()?;
        Ok(Span {
            from,
            until: now(),
            count,
        })
    }
}

/// Receives messages that nobody answers.
pub(crate) trait Receiver {
    /// Waits for a message and copies it to `message`.
    fn receive(&mut self, message: &mut [u8]) -> Outcome<()>;

    /// Told after a slice's last message, for receivers that give room back in batches.
    fn settle(&mut self) {}
}

/// A [`Right`] end that receives.
pub(crate) struct Receives<R> {
    receiver: R,
    message: Buffer,
}

impl<R: Receiver + 'static> Receives<R> {
    pub(crate) fn boxed(receiver: R, place: &Place) -> Outcome<Box<dyn Right>> {
        Ok(Box::new(Receives {
            receiver,
            message: Buffer::aligned(place.job.size),
        }))
    }
}

impl<R: Receiver + 'static> Right for Receives<R> {
    fn run(&mut self, lasts: usize) -> Outcome<u64> {
        let message = self.message.bytes();
        let count = until_last(lasts, || {
            self.receiver.receive(message)?;
            Ok(message[0])
        })?;
        self.receiver.settle();
        Ok(count)
    }
}
