//! Fresh connections, one after the other.

use crate::contender::{GO, LAST, Left, Outcome, Place, Slice, Span};
use crate::ends::Caller;
use crate::sys::clock::now;

/// A [`Left`] end that connects, makes one call, and drops the connection, again and again.
pub(crate) struct Connects<F> {
    connect: F,
    size: usize,
}

impl<C, F> Connects<F>
where
    C: Caller,
    F: Fn() -> Outcome<C> + 'static,
{
    pub(crate) fn boxed(connect: F, place: &Place) -> Outcome<Box<dyn Left>> {
        Ok(Box::new(Connects {
            connect,
            size: place.job.size,
        }))
    }
}

impl<C, F> Left for Connects<F>
where
    C: Caller,
    F: Fn() -> Outcome<C>,
{
    fn run(&mut self, slice: Slice) -> Outcome<Span> {
        let Slice::Count(count) = slice else {
            return Err("connections are counted".into());
        };
        let mut request = vec![0; self.size];
        let mut reply = vec![0; self.size];
        let from = now();
        for index in 1..=count {
            request[0] = if index == count { LAST } else { GO };
            (self.connect)()?.call(&request, &mut reply)?;
        }
        let span = Span {
            from,
            until: now(),
            count,
        };
        if reply == request {
            Ok(span)
        } else {
            Err("the reply is not what was asked".into())
        }
    }
}
