//! The client's steps.

use std::time::Duration;

use super::oracle::content;
use super::{Run, pick};
use crate::client::missed::ECHO;
use crate::client::{Request, RequestId};

const LONG: Duration = Duration::from_secs(3600);

impl Run<'_> {
    pub(super) fn step_of_client(&mut self) {
        match self.random.below(20) {
            0 | 1 if self.client.outstanding() < self.most.min(8) => self.ask_together(),
            2..8 if self.client.outstanding() < self.most => self.ask(),
            8..10 if self.most > 3 || self.random.below(3) == 0 => self.tell(),
            10 if self.random.below(3) == 0 => self.cancel(),
            11 => drop(self.client.arm().unwrap()),
            12.. => {
                for _ in 0..=self.random.below(3) {
                    self.take();
                }
            }
            _ => {}
        }
    }

    fn ask(&mut self) {
        let (number, len) = (self.oracle.next(), self.len());
        let hasty = self.random.below(40) == 0;
        let within = if hasty { Duration::ZERO } else { LONG };
        let bytes = content(number, len);
        let asked = self.client.try_submit(Request::new(ECHO, &bytes), within);
        if let Some(id) = asked.unwrap() {
            self.oracle.asked(id.0, hasty);
            self.steps.note(format!("ask {number}, {len} bytes"));
        }
    }

    /// Some short ones, which the server is shown together.
    fn ask_together(&mut self) {
        // Soon over if there is no room, which only a server makes.
        let mut batch = self.client.batch(Duration::from_millis(5));
        for _ in 0..self.random.below(4) {
            let (number, len) = (self.oracle.next(), 16 + self.random.below(300));
            let bytes = content(number, len);
            let request = Request::new(ECHO, &bytes);
            if self.random.below(4) == 0 {
                if batch.notify(request).unwrap() {
                    self.oracle.told();
                    self.steps.note(format!("tell {number} with others"));
                }
            } else if let Ok(id) = batch.submit(request) {
                self.oracle.asked(id.0, true);
                self.steps
                    .note(format!("ask {number} with others, {len} bytes"));
            }
        }
    }

    fn tell(&mut self) {
        let number = self.oracle.next();
        let bytes = content(number, 16 + self.random.below(200));
        if self.client.notify(Request::new(ECHO, &bytes)).unwrap() {
            self.oracle.told();
            self.steps.note(format!("tell {number}"));
        }
    }

    fn cancel(&mut self) {
        let open = self.oracle.open();
        if open.is_empty() {
            return;
        }
        let id = pick(&mut self.random, &open);
        let in_time = self.client.cancel(RequestId(id)).unwrap();
        self.oracle.cancelled(id, in_time);
        self.steps.note(format!("cancel id {id}: {in_time}"));
    }

    pub(super) fn take(&mut self) {
        if let Some(reply) = self.client.try_next_reply().unwrap() {
            let (id, status) = (reply.id().0, reply.status());
            self.steps.note(format!("take id {id}: {status:?}"));
            self.oracle.takes(&reply);
        }
    }
}
