//! iceoryx2's request-response, polled: it has no way to wait for a request but to look again.

use std::any::Any;
use std::hint::spin_loop;
use std::thread::yield_now;

use iceoryx2::port::client::Client;
use iceoryx2::port::server::Server;
use iceoryx2::prelude::Node;
use iceoryx2::service::port_factory::request_response::PortFactory;

use super::iceoryx::{Service, aligned, named, node};
use crate::connects::Connects;
use crate::contender::{Contender, Kind, Left, Outcome, Place, Right};
use crate::ends::{Caller, Calls, Echo, Echoes};

pub(crate) struct Requests {
    pub(crate) kind: Waiting,
}

/// What an end does when it finds nothing.
#[derive(Clone, Copy)]
pub(crate) enum Waiting {
    Busy,
    /// Gives the core away, for when there are more ends than cores.
    Yielding,
}

impl Waiting {
    #[inline(always)]
    fn once(self) {
        match self {
            Waiting::Busy => spin_loop(),
            Waiting::Yielding => yield_now(),
        }
    }
}

impl Contender for Requests {
    fn name(&self) -> &'static str {
        match self.kind {
            Waiting::Busy => "iceoryx2 request-response",
            Waiting::Yielding => "iceoryx2 request-response, yielding",
        }
    }

    fn right(&self, place: &Place) -> Outcome<Box<dyn Right>> {
        let node = node(place)?;
        let service = service(&node, place)?;
        let server = service
            .server_builder()
            .initial_max_slice_len(place.job.size)
            .create()?;
        Echoes::boxed(
            Answering {
                server,
                waiting: self.kind,
                _node: node,
            },
            place,
        )
    }

    fn left(&self, place: &Place) -> Outcome<Box<dyn Left>> {
        if place.job.kind == Kind::Connect {
            let (own, waiting) = (place.clone(), self.kind);
            return Connects::boxed(move || Asking::connect(&own, waiting), place);
        }
        Calls::boxed(Asking::connect(place, self.kind)?, place)
    }

    fn idlers(&self, place: &Place) -> Outcome<Box<dyn Any>> {
        let node = node(place)?;
        let service = service(&node, place)?;
        let clients: Result<Vec<_>, _> = (0..place.job.idle)
            .map(|_| {
                service
                    .client_builder()
                    .initial_max_slice_len(place.job.size)
                    .create()
            })
            .collect();
        Ok(Box::new((clients?, node)))
    }
}

type Bytes = PortFactory<Service, [u8], (), [u8], ()>;

fn service(node: &Node<Service>, place: &Place) -> Outcome<Bytes> {
    let ends = place.job.clients + place.job.idle + 8;
    let builder = node
        .service_builder(&named("requests")?)
        .request_response::<[u8], [u8]>();
    Ok(builder
        .request_payload_alignment(aligned()?)
        .response_payload_alignment(aligned()?)
        .max_clients(ends)
        .max_nodes(ends)
        .open_or_create()?)
}

struct Answering {
    server: Server<Service, [u8], (), [u8], ()>,
    waiting: Waiting,
    _node: Node<Service>,
}

impl Echo for Answering {
    #[inline(always)]
    fn echo(&mut self, payload: &mut [u8]) -> Outcome<()> {
        loop {
            let Some(request) = self.server.receive()? else {
                self.waiting.once();
                continue;
            };
            payload.copy_from_slice(request.payload());
            let response = request.loan_slice_uninit(payload.len())?;
            response.write_from_slice(payload).send()?;
            return Ok(());
        }
    }
}

struct Asking {
    client: Client<Service, [u8], (), [u8], ()>,
    waiting: Waiting,
    _node: Node<Service>,
}

impl Asking {
    /// A node, a client: all that a program makes before its first request.
    fn connect(place: &Place, waiting: Waiting) -> Outcome<Asking> {
        let node = node(place)?;
        let service = service(&node, place)?;
        let client = service
            .client_builder()
            .initial_max_slice_len(place.job.size)
            .create()?;
        Ok(Asking {
            client,
            waiting,
            _node: node,
        })
    }
}

impl Caller for Asking {
    #[inline(always)]
    fn call(&mut self, request: &[u8], reply: &mut [u8]) -> Outcome<()> {
        let loan = self.client.loan_slice_uninit(request.len())?;
        let pending = loan.write_from_slice(request).send()?;
        loop {
            if let Some(response) = pending.receive()? {
                reply.copy_from_slice(response.payload());
                return Ok(());
            }
            self.waiting.once();
        }
    }
}
