#![allow(unsafe_code)]
//! shmem-ipc: its shared ring, one each way, of items as long as a cache line.
//!
//! `unsafe` because its interface hands out raw pointers: a pointer and how many items may be
//! written or read there, for the length of a closure.

use std::hint::spin_loop;
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::ptr;

use shmem_ipc::sharedring;

use crate::contender::{Contender, Kind, Left, Outcome, Place, Right};
use crate::ends::{Caller, Calls, Echo, Echoes, Receiver, Receives, Sender, Sends};
use crate::sys::pass;

pub(crate) struct Rings {
    /// Look again instead of sleeping on the ring's eventfd, and signal nobody.
    pub(crate) spin: bool,
}

const ITEM: usize = 64;
type Item = [u8; ITEM];

impl Contender for Rings {
    fn name(&self) -> &'static str {
        if self.spin {
            "shmem-ipc, spun on"
        } else {
            "shmem-ipc"
        }
    }

    fn right(&self, place: &Place) -> Outcome<Box<dyn Right>> {
        let listener = UnixListener::bind(place.dir.join("socket"))?;
        let items = items(place);
        let end = Accepting {
            listener,
            items,
            ends: None,
            spin: self.spin,
        };
        match place.job.kind {
            Kind::Stream => Receives::boxed(end, place),
            _ => Echoes::boxed(end, place),
        }
    }

    fn left(&self, place: &Place) -> Outcome<Box<dyn Left>> {
        let out = sharedring::Sender::new(items(place))?;
        let back = sharedring::Receiver::new(items(place))?;
        let fds = [
            out.memfd().as_file().as_fd(),
            out.empty_signal().as_fd(),
            out.full_signal().as_fd(),
            back.memfd().as_file().as_fd(),
            back.empty_signal().as_fd(),
            back.full_signal().as_fd(),
        ];
        pass::send(&UnixStream::connect(place.dir.join("socket"))?, &fds)?;
        let ends = Ends {
            out,
            back,
            spin: self.spin,
        };
        match place.job.kind {
            Kind::Stream => Sends::boxed(ends, place),
            _ => Calls::boxed(ends, place),
        }
    }
}

fn items(place: &Place) -> usize {
    place.job.capacity.max(place.job.size) / ITEM
}

struct Ends {
    out: sharedring::Sender<Item>,
    back: sharedring::Receiver<Item>,
    spin: bool,
}

impl Ends {
    #[inline(always)]
    fn put(&mut self, mut bytes: &[u8]) -> Outcome<()> {
        while !bytes.is_empty() {
            let mut copied = 0;
            let write = |to: *mut Item, room: usize| {
                let items = room.min(bytes.len() / ITEM);
                copied = items * ITEM;
                // SAFETY: `room` items may be written at `to`, and `items` is no more.
                unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), to.cast(), copied) };
                items
            };
            if self.spin {
                // A look writes nothing; a send into a full ring would take the counter's line.
                if self.out.sender_mut().write_count()? > 0 {
                    self.out.sender_mut().send(write)?;
                }
            } else {
                self.out.send_raw(write)?;
            }
            bytes = &bytes[copied..];
            match (copied, self.spin) {
                (0, true) => spin_loop(),
                (0, false) => drop(self.out.block_until_writable()?),
                _ => {}
            }
        }
        Ok(())
    }

    #[inline(always)]
    fn take(&mut self, bytes: &mut [u8]) -> Outcome<()> {
        let mut have = 0;
        while have < bytes.len() {
            let mut copied = 0;
            let rest = &mut bytes[have..];
            let read = |from: *const Item, ready: usize| {
                let items = ready.min(rest.len() / ITEM);
                copied = items * ITEM;
                // SAFETY: `ready` items may be read at `from`, and `items` is no more.
                unsafe { ptr::copy_nonoverlapping(from.cast(), rest.as_mut_ptr(), copied) };
                items
            };
            if self.spin {
                if self.back.receiver_mut().read_count()? > 0 {
                    self.back.receiver_mut().recv(read)?;
                } else {
                    spin_loop();
                }
            } else {
                self.back.block_until_readable()?;
                self.back.receive_raw(read)?;
            }
            have += copied;
        }
        Ok(())
    }
}

impl Caller for Ends {
    fn call(&mut self, request: &[u8], reply: &mut [u8]) -> Outcome<()> {
        self.put(request)?;
        self.take(reply)
    }
}

impl Sender for Ends {
    fn send(&mut self, message: &[u8]) -> Outcome<()> {
        self.put(message)
    }
}

struct Accepting {
    listener: UnixListener,
    items: usize,
    ends: Option<Ends>,
    spin: bool,
}

impl Accepting {
    #[inline(always)]
    fn ends(&mut self) -> Outcome<&mut Ends> {
        if self.ends.is_none() {
            self.ends = Some(self.accept()?);
        }
        self.ends
            .as_mut()
            .ok_or_else(|| "nobody has connected".into())
    }

    fn accept(&self) -> Outcome<Ends> {
        let files = pass::receive(&self.listener.accept()?.0)?;
        let [there, empty, full, back, back_empty, back_full] =
            <[_; 6]>::try_from(files).map_err(|_| "six descriptors make two rings")?;
        Ok(Ends {
            out: sharedring::Sender::open(self.items, back, back_empty, back_full)?,
            back: sharedring::Receiver::open(self.items, there, empty, full)?,
            spin: self.spin,
        })
    }
}

impl Echo for Accepting {
    fn echo(&mut self, payload: &mut [u8]) -> Outcome<()> {
        let ends = self.ends()?;
        ends.take(payload)?;
        ends.put(payload)
    }
}

impl Receiver for Accepting {
    fn receive(&mut self, message: &mut [u8]) -> Outcome<()> {
        self.ends()?.take(message)
    }
}
