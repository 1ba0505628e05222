#![allow(unsafe_code)]
//! iceoryx2's publish-subscribe, lossless and polled: one topic each way.
//!
//! `unsafe` for one thing: a loan whose bytes are left as they are must be declared initialized.

use std::hint::spin_loop;

use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::prelude::{BackpressureStrategy, Node};

use super::iceoryx::{Service, aligned, named, node};
use crate::contender::{Contender, Kind, Left, Outcome, Place, Right};
use crate::ends::{Caller, Calls, Echo, Echoes, Receiver, Receives, Sender, Sends};

pub(crate) struct Topics;

impl Contender for Topics {
    fn name(&self) -> &'static str {
        "iceoryx2 publish-subscribe"
    }

    fn right(&self, place: &Place) -> Outcome<Box<dyn Right>> {
        let ends = Ends::open(place, "back", "there")?;
        match place.job.kind {
            Kind::Stream => Receives::boxed(ends, place),
            _ => Echoes::boxed(ends, place),
        }
    }

    fn left(&self, place: &Place) -> Outcome<Box<dyn Left>> {
        let ends = Ends::open(place, "there", "back")?;
        match place.job.kind {
            Kind::Stream => Sends::boxed(ends, place),
            _ => Calls::boxed(ends, place),
        }
    }
}

struct Ends {
    publisher: Publisher<Service, [u8], ()>,
    subscriber: Subscriber<Service, [u8], ()>,
    untouched: bool,
    _node: Node<Service>,
}

impl Ends {
    fn open(place: &Place, out: &str, back: &str) -> Outcome<Ends> {
        let node = node(place)?;
        let size = place.job.size;
        let queue = (place.job.capacity / size).clamp(2, 1024);
        let topic = |name: &str| -> Outcome<_> {
            let builder = node
                .service_builder(&named(name)?)
                .publish_subscribe::<[u8]>();
            Ok(builder
                .payload_alignment(aligned()?)
                .enable_safe_overflow(false)
                .subscriber_max_buffer_size(queue)
                .max_publishers(1)
                .max_subscribers(1)
                .open_or_create()?)
        };
        let publisher = topic(out)?
            .publisher_builder()
            .initial_max_slice_len(size)
            .backpressure_strategy(BackpressureStrategy::RetryUntilDelivered)
            .create()?;
        let subscriber = topic(back)?
            .subscriber_builder()
            .buffer_size(queue)
            .create()?;
        let untouched = place.job.kind == Kind::Untouched;
        Ok(Ends {
            publisher,
            subscriber,
            untouched,
            _node: node,
        })
    }

    #[inline(always)]
    fn publish(&self, bytes: &[u8]) -> Outcome<()> {
        let mut loan = self.publisher.loan_slice_uninit(bytes.len())?;
        let sample = if self.untouched {
            loan.payload_mut()[0].write(bytes[0]);
            // SAFETY: any byte is a valid `u8`, and the memory is a mapped file's: never
            // uninitialized for the compiler that made this crate, which cannot see it.
            unsafe { loan.assume_init() }
        } else {
            loan.write_from_slice(bytes)
        };
        sample.send()?;
        Ok(())
    }

    #[inline(always)]
    fn take(&self, bytes: &mut [u8]) -> Outcome<()> {
        loop {
            let Some(sample) = self.subscriber.receive()? else {
                spin_loop();
                continue;
            };
            if self.untouched {
                bytes[0] = sample.payload()[0];
            } else {
                bytes.copy_from_slice(sample.payload());
            }
            return Ok(());
        }
    }
}

impl Caller for Ends {
    #[inline(always)]
    fn call(&mut self, request: &[u8], reply: &mut [u8]) -> Outcome<()> {
        self.publish(request)?;
        self.take(reply)
    }
}

impl Echo for Ends {
    #[inline(always)]
    fn echo(&mut self, payload: &mut [u8]) -> Outcome<()> {
        self.take(payload)?;
        self.publish(payload)
    }
}

impl Sender for Ends {
    #[inline(always)]
    fn send(&mut self, message: &[u8]) -> Outcome<()> {
        self.publish(message)
    }
}

impl Receiver for Ends {
    #[inline(always)]
    fn receive(&mut self, message: &mut [u8]) -> Outcome<()> {
        self.take(message)
    }
}
