//! Which of the records that were read may be freed: answers come in any order, room is given back in order.

use std::collections::VecDeque;

/// The records that were read from a ring and not released yet, oldest first.
///
/// Kept privately, so that what a peer does to the headers meanwhile frees nothing. It holds at most as many
/// entries as the ring holds records.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Apart from the others, as mostly there are none. It is not done: then it is not here any more.
    first: Option<Span>,
    /// Behind the first; none without it.
    rest: VecDeque<Later>,
}

/// Where a record begins and ends.
#[derive(Debug)]
struct Span {
    at: u64,
    end: u64,
}

#[derive(Debug)]
struct Later {
    span: Span,
    done: bool,
}

impl Ledger {
    /// Notes the record that begins at index `at` and ends at `end`, behind all that are noted.
    #[inline]
    pub(crate) fn begin(&mut self, at: u64, end: u64) {
        let span = Span { at, end };
        match &self.first {
            None => self.first = Some(span),
            Some(first) => {
                let before = self.rest.back().map_or(first.end, |last| last.span.end);
                debug_assert_eq!(before, at);
                self.rest.push_back(Later { span, done: false });
            }
        }
    }

    /// Notes that the record at index `at` is done with (answered, cancelled or dropped). Gives the index up to
    /// which the ring may be released, if that has moved.
    #[inline]
    pub(crate) fn finish(&mut self, at: u64) -> Option<u64> {
        let first = self.first.as_ref()?;
        let (oldest, mut upto) = (first.at, first.end);
        if oldest != at {
            self.finish_later(at, oldest);
            return None;
        }
        if self.rest.is_empty() {
            // Mostly: then nothing is moved.
            self.first = None;
            return Some(upto);
        }
        self.first = loop {
            match self.rest.pop_front() {
                Some(next) if next.done => upto = next.span.end,
                next => break next.map(|next| next.span),
            }
        };
        Some(upto)
    }

    fn finish_later(&mut self, at: u64, oldest: u64) {
        let age = at.wrapping_sub(oldest);
        let index = self
            .rest
            .binary_search_by_key(&age, |later| later.span.at.wrapping_sub(oldest));
        if let Some(later) = index.ok().and_then(|index| self.rest.get_mut(index)) {
            later.done = true;
        }
    }

    /// Where the oldest record begins that is not done.
    #[inline]
    pub(crate) fn oldest(&self) -> Option<u64> {
        self.first.as_ref().map(|first| first.at)
    }

    /// The number of records that were begun and not yet released; done ones behind an open one count.
    pub(crate) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.len()
    }

    /// The indices of the records that are not done, oldest first.
    #[cfg(test)]
    pub(crate) fn unfinished(&self) -> impl Iterator<Item = u64> {
        let later = self.rest.iter().filter(|later| !later.done);
        let first = self.first.iter().map(|first| first.at);
        first.chain(later.map(|later| later.span.at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_given_back_in_order_whatever_the_order_of_the_answers() {
        let mut ledger = Ledger::default();
        // The indices wrap on the way.
        let starts: Vec<u64> = (0..6)
            .map(|n| (u64::MAX - 63).wrapping_add(n * 32))
            .collect();
        for at in &starts {
            ledger.begin(*at, at.wrapping_add(32));
        }
        assert_eq!(ledger.finish(starts[2]), None);
        assert_eq!(ledger.finish(starts[1]), None);
        assert_eq!(ledger.finish(starts[4]), None);
        assert_eq!(ledger.finish(starts[4]), None, "twice is once");
        let unfinished: Vec<u64> = ledger.unfinished().collect();
        assert_eq!(unfinished, [starts[0], starts[3], starts[5]]);
        assert_eq!(ledger.finish(starts[0]), Some(starts[3]));
        assert_eq!(ledger.finish(starts[0]), None, "it is not there any more");
        assert_eq!(ledger.finish(starts[3]), Some(starts[5]));
        assert_eq!(ledger.finish(starts[5] + 8), None, "no record begins there");
        assert_eq!(ledger.finish(starts[5]), Some(starts[5].wrapping_add(32)));
        assert_eq!((ledger.finish(0), ledger.len()), (None, 0));
    }
}
