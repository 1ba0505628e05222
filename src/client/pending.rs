//! The requests of one session that are not answered yet.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::session::handover::Segment;

/// A request on its way.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) id: u64,
    /// Where its record stands in the ring.
    pub(super) at: u64,
    /// Whether anybody still waits for the answer.
    pub(super) wanted: bool,
    answered: bool,
    /// Holds the request's payload.
    segment: Option<Arc<Segment>>,
}

impl Pending {
    #[inline(always)]
    fn new(id: u64, at: u64, segment: Option<Arc<Segment>>) -> Pending {
        Pending {
            id,
            at,
            wanted: true,
            answered: false,
            segment,
        }
    }

    /// Whether it is waited for, and holds nothing.
    #[inline(always)]
    fn is_plain(&self) -> bool {
        self.wanted && !self.answered && self.segment.is_none()
    }
}

/// Requests by id. Ids only grow, so that the queue is sorted; answers mostly come in order, so that the
/// first is mostly the one that is looked for.
#[derive(Debug, Default)]
pub(super) struct Requests {
    /// Apart from the others, as mostly there are none.
    first: Option<Pending>,
    /// Behind the first; none without it.
    rest: VecDeque<Pending>,
    unanswered: usize,
    /// The payloads of answered requests, by where their records stand: a server that dies before it has marked a record
    /// as answered leaves it to one that reads the payload again.
    read_again: Vec<(u64, Arc<Segment>)>,
}

impl Requests {
    /// `id` is greater than all before.
    #[inline(always)]
    pub(super) fn add(&mut self, id: u64, at: u64, segment: Option<Arc<Segment>>) {
        self.unanswered += 1;
        match &self.first {
            None => self.first = Some(Pending::new(id, at, segment)),
            Some(_) => self.add_behind(id, at, segment),
        }
    }

    #[inline(never)]
    fn add_behind(&mut self, id: u64, at: u64, segment: Option<Arc<Segment>>) {
        let last = self.rest.back().or(self.first.as_ref());
        debug_assert!(last.is_some_and(|last| last.id < id));
        self.rest.push_back(Pending::new(id, at, segment));
    }

    /// The request of this id, unless it is answered.
    #[inline]
    pub(super) fn get(&mut self, id: u64) -> Option<&mut Pending> {
        let found = match &mut self.first {
            Some(first) if first.id == id => first,
            _ => {
                let index = self.rest.binary_search_by_key(&id, |pending| pending.id);
                self.rest.get_mut(index.ok()?)?
            }
        };
        Some(found).filter(|pending| !pending.answered)
    }

    /// Whether the answer to this request is waited for.
    #[inline]
    pub(super) fn is_wanted(&mut self, id: u64) -> bool {
        self.get(id).is_some_and(|pending| pending.wanted)
    }

    /// Takes the request of this id off if its answer is waited for; whether it was.
    #[inline(always)]
    pub(super) fn answer_wanted(&mut self, id: u64) -> bool {
        match &self.first {
            Some(first) if first.id == id && first.is_plain() => {
                self.unanswered -= 1;
                self.first = None;
                if !self.rest.is_empty() {
                    self.move_up();
                }
                true
            }
            _ => self.is_wanted(id) && self.answer(id).is_some(),
        }
    }

    /// Takes the request of this id off: whether its answer was still wanted, or `None` if there is no such request
    /// (any more).
    #[inline]
    pub(super) fn answer(&mut self, id: u64) -> Option<bool> {
        let pending = self.get(id)?;
        let (wanted, at) = (pending.wanted, pending.at);
        pending.answered = true;
        if let Some(segment) = pending.segment.take() {
            self.read_again.push((at, segment));
        }
        self.unanswered -= 1;
        if self.first.as_ref().is_some_and(|first| first.answered) {
            self.move_up();
        }
        Some(wanted)
    }

    /// The first one is answered: the next one that is not is the first now.
    fn move_up(&mut self) {
        loop {
            self.first = self.rest.pop_front();
            if !self.first.as_ref().is_some_and(|first| first.answered) {
                break;
            }
        }
    }

    /// Lets go of the payloads of answered requests whose records no server will read again.
    pub(super) fn let_go(&mut self, mut is_over: impl FnMut(u64) -> bool) {
        self.read_again.retain(|(at, _)| !is_over(*at));
    }

    /// Those that are not answered.
    pub(super) fn ids(&self) -> Vec<u64> {
        let all = self.first.iter().chain(&self.rest);
        all.filter(|pending| !pending.answered)
            .map(|pending| pending.id)
            .collect()
    }

    /// How many are not answered.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.unanswered
    }

    pub(super) fn is_empty(&self) -> bool {
        self.unanswered == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_is_answered_once_in_whatever_order() {
        let mut requests = Requests::default();
        for id in [1, 2, 5, 9] {
            requests.add(id, id * 8, None);
        }
        assert_eq!(requests.answer(3), None);
        assert_eq!(requests.answer(5), Some(true));
        assert_eq!(requests.answer(5), None);
        requests.get(2).unwrap().wanted = false;
        assert_eq!(requests.answer(1), Some(true));
        assert_eq!(requests.answer(2), Some(false));
        assert_eq!(requests.len(), 1);
        assert_eq!(requests.get(9).unwrap().at, 72);
        assert_eq!(requests.answer(9), Some(true));
        assert!(requests.is_empty() && requests.first.is_none() && requests.rest.is_empty());
    }
}
