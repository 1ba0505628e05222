//! Judges what was written down. Pure: lines in, a count of what went wrong out.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::AddAssign;

use osps_ipc::Status;

use super::history::{Delivered, Kind, Told, answer, payload, sum};

const DONE: u16 = Status::Done.number();
const POISONED: u16 = Status::Poisoned.number();

/// What became of requests. Of the fields below `redelivered` each must be 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Requests that were sent.
    pub(crate) asked: u64,
    pub(crate) answered: u64,
    /// Taken back by the client.
    pub(crate) cancelled: u64,
    /// Unanswered when their client was killed.
    pub(crate) orphaned: u64,
    /// Second answers, which the library has dropped.
    pub(crate) unwanted: u64,
    pub(crate) delivered: u64,
    pub(crate) redelivered: u64,
    /// Not answered, though the client waited for it.
    pub(crate) lost: u64,
    /// Answered twice.
    pub(crate) doubled: u64,
    /// Answered with other bytes.
    pub(crate) wrong: u64,
    /// Answered with something else than "done".
    pub(crate) refused: u64,
    /// Answered, or executed, though nobody had asked, or no longer.
    pub(crate) invented: u64,
    pub(crate) poisoned: u64,
    /// Handed out before one that was made earlier in the same session.
    pub(crate) disordered: u64,
    /// Lines that nobody can have written.
    pub(crate) unreadable: u64,
}

impl Tally {
    /// What is wrong, each with its number.
    pub(crate) fn faults(&self) -> Vec<(&'static str, u64)> {
        let all = [
            ("lost", self.lost),
            ("doubled", self.doubled),
            ("wrong bytes", self.wrong),
            ("refused", self.refused),
            ("invented", self.invented),
            ("poisoned", self.poisoned),
            ("out of order", self.disordered),
            ("unreadable", self.unreadable),
        ];
        all.into_iter().filter(|(_, count)| *count > 0).collect()
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.asked += other.asked;
        self.answered += other.answered;
        self.cancelled += other.cancelled;
        self.orphaned += other.orphaned;
        self.unwanted += other.unwanted;
        self.delivered += other.delivered;
        self.redelivered += other.redelivered;
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.wrong += other.wrong;
        self.refused += other.refused;
        self.invented += other.invented;
        self.poisoned += other.poisoned;
        self.disordered += other.disordered;
        self.unreadable += other.unreadable;
    }
}

/// The lines of a process's text. Its last one is torn if the process was killed in the middle of it.
fn lines<'a, L: 'a>(
    text: &'a str,
    parse: impl Fn(&str) -> Option<L> + 'a,
) -> impl Iterator<Item = Result<L, ()>> + 'a {
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(move |line| parse(line).ok_or(()))
}

/// What is known of a request.
struct Made {
    kind: Kind,
    len: u64,
    state: State,
}

#[derive(PartialEq, Eq)]
enum State {
    Made,
    Open,
    Answered,
    Cancelled,
    Failed,
}

/// The history of one client, and how many requests it made.
pub(crate) fn client(number: u64, text: &str) -> (Tally, u64) {
    let mut tally = Tally::default();
    let mut made: Vec<Made> = Vec::new();
    let mut left = None;
    for told in lines(text, Told::parse) {
        let Ok(told) = told else {
            tally.unreadable += 1;
            continue;
        };
        let seq = match told {
            Told::Ask { seq, kind, len } => {
                let state = State::Made;
                made.push(Made { kind, len, state });
                tally.unreadable += u64::from(seq + 1 != made.len() as u64);
                continue;
            }
            Told::Left { open, unwanted } => {
                tally.unwanted += unwanted;
                left = Some(open);
                continue;
            }
            Told::Sent { seq }
            | Told::Got { seq, .. }
            | Told::Cancelled { seq }
            | Told::Error { seq } => seq,
        };
        let request = usize::try_from(seq).ok().and_then(|seq| made.get_mut(seq));
        let Some(request) = request else {
            tally.invented += 1;
            continue;
        };
        match (&request.state, told) {
            (State::Made, Told::Sent { .. }) => {
                tally.asked += 1;
                request.state = State::Open;
            }
            (State::Made, Told::Error { .. }) => {
                tally.lost += 1;
                request.state = State::Failed;
            }
            (State::Open, Told::Cancelled { .. }) => {
                tally.cancelled += 1;
                request.state = State::Cancelled;
            }
            (State::Open, Told::Got { status, sum, .. }) => {
                request.state = State::Answered;
                match status {
                    DONE => {
                        tally.answered += 1;
                        let right = expected(number, seq, request.kind, request.len);
                        tally.wrong += u64::from(sum != right);
                    }
                    POISONED => tally.poisoned += 1,
                    _ => tally.refused += 1,
                }
            }
            (State::Answered, Told::Got { .. }) => tally.doubled += 1,
            (_, Told::Got { .. }) => tally.invented += 1,
            _ => tally.unreadable += 1,
        }
    }
    let open = made.iter().filter(|request| request.state == State::Open);
    let open = open.count() as u64;
    match left {
        // The larger one, if it and we do not agree on what is open.
        Some(told) => tally.lost += open.max(told),
        None => tally.orphaned += open,
    }
    (tally, made.len() as u64)
}

fn expected(client: u64, seq: u64, kind: Kind, len: u64) -> u64 {
    sum(&answer(kind, &payload(client, seq, len)))
}

/// What all secondaries of one name have handed out, one after the other.
#[derive(Default)]
pub(crate) struct Order {
    /// The last request of each session that was handed out for the first time.
    last: BTreeMap<u64, u64>,
    /// How many requests a client must have made at least, by what was handed out.
    pub(crate) made: BTreeMap<u64, u64>,
}

impl Order {
    /// The next secondary's lines.
    pub(crate) fn secondary(&mut self, text: &str) -> Tally {
        let mut tally = Tally::default();
        let mut again: BTreeMap<u64, u64> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for delivered in lines(text, Delivered::parse) {
            let Ok(delivered) = delivered else {
                tally.unreadable += 1;
                continue;
            };
            let Delivered { session, id, .. } = delivered;
            tally.delivered += 1;
            tally.invented += u64::from(!delivered.whole);
            let made = self.made.entry(delivered.client).or_default();
            *made = (*made).max(delivered.seq + 1);
            // One that has died may have been handed one out without having written it down.
            let last = match delivered.attempts {
                1 => self.last.entry(session).or_default(),
                _ => {
                    tally.redelivered += 1;
                    again.entry(session).or_default()
                }
            };
            let twice = !seen.insert((session, id));
            tally.disordered += u64::from(twice || *last > id);
            *last = id;
        }
        tally
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: u64 = 7;

    fn sum_of(seq: u64, kind: Kind, len: u64) -> u64 {
        expected(CLIENT, seq, kind, len)
    }

    /// Three requests, of which the first two are answered, in another order.
    fn good() -> Vec<Told> {
        let (one, two) = (sum_of(0, Kind::Sum, 10), sum_of(1, Kind::Echo, 5000));
        vec![
            Told::Ask {
                seq: 0,
                kind: Kind::Sum,
                len: 10,
            },
            Told::Sent { seq: 0 },
            Told::Ask {
                seq: 1,
                kind: Kind::Echo,
                len: 5000,
            },
            Told::Sent { seq: 1 },
            Told::Ask {
                seq: 2,
                kind: Kind::Sum,
                len: 0,
            },
            Told::Sent { seq: 2 },
            Told::Got {
                seq: 1,
                status: DONE,
                sum: two,
            },
            Told::Got {
                seq: 0,
                status: DONE,
                sum: one,
            },
        ]
    }

    fn judge(told: &[Told]) -> Tally {
        let text: String = told.iter().map(|told| format!("{told}\n")).collect();
        client(CLIENT, &text).0
    }

    /// The good history and what is added to it.
    fn with(more: &[Told]) -> Vec<(&'static str, u64)> {
        judge(&[&good(), more].concat()).faults()
    }

    const LEFT: Told = Told::Left {
        open: 0,
        unwanted: 0,
    };

    #[test]
    fn a_history_reads_back_as_it_was_written() {
        for told in
            good()
                .into_iter()
                .chain([Told::Cancelled { seq: 3 }, Told::Error { seq: 4 }, LEFT])
        {
            assert_eq!(Told::parse(&told.to_string()), Some(told));
        }
        let line = delivered(1, 2, 3);
        assert_eq!(Delivered::parse(&line.to_string()), Some(line));
    }

    #[test]
    fn a_client_that_was_killed_waits_for_nothing() {
        let tally = judge(&good());
        assert_eq!(tally.faults(), []);
        assert_eq!((tally.asked, tally.answered, tally.orphaned), (3, 2, 1));
    }

    #[test]
    fn the_torn_last_line_of_a_killed_client_is_not_read() {
        let mut text: String = good().iter().map(|told| format!("{told}\n")).collect();
        text.push_str("got 2 16 99");
        let (tally, made) = client(CLIENT, &text);
        assert_eq!((tally.faults(), tally.orphaned, made), (vec![], 1, 3));
    }

    #[test]
    fn a_request_taken_back_is_not_missed() {
        let tally = judge(&[&good()[..], &[Told::Cancelled { seq: 2 }, LEFT]].concat());
        assert_eq!((tally.faults(), tally.cancelled), (vec![], 1));
    }

    #[test]
    fn an_answer_that_did_not_come_before_a_client_left_is_lost() {
        assert_eq!(with(&[LEFT]), [("lost", 1)]);
    }

    #[test]
    fn a_request_that_could_not_be_made_is_lost() {
        let ask = Told::Ask {
            seq: 3,
            kind: Kind::Sum,
            len: 1,
        };
        assert_eq!(with(&[ask, Told::Error { seq: 3 }]), [("lost", 1)]);
    }

    #[test]
    fn a_second_answer_is_doubled() {
        let again = Told::Got {
            seq: 0,
            status: DONE,
            sum: sum_of(0, Kind::Sum, 10),
        };
        assert_eq!(with(&[again]), [("doubled", 1)]);
    }

    #[test]
    fn another_request_s_answer_is_wrong() {
        let other = Told::Got {
            seq: 2,
            status: DONE,
            sum: sum_of(0, Kind::Sum, 10),
        };
        assert_eq!(with(&[other]), [("wrong bytes", 1)]);
    }

    #[test]
    fn an_answer_to_what_nobody_asked_is_invented() {
        let stray = |seq| Told::Got {
            seq,
            status: DONE,
            sum: 0,
        };
        assert_eq!(
            with(&[stray(super::super::history::STRAY)]),
            [("invented", 1)]
        );
        assert_eq!(with(&[stray(3)]), [("invented", 1)]);
        let taken_back = [Told::Cancelled { seq: 2 }, stray(2)];
        assert_eq!(with(&taken_back), [("invented", 1)]);
    }

    #[test]
    fn poison_and_refusals_have_columns_of_their_own() {
        let told = |status: Status| Told::Got {
            seq: 2,
            status: status.number(),
            sum: 0,
        };
        assert_eq!(with(&[told(Status::Poisoned)]), [("poisoned", 1)]);
        assert_eq!(with(&[told(Status::Failed)]), [("refused", 1)]);
    }

    #[test]
    fn lines_that_no_client_writes_are_told() {
        assert_eq!(with(&[Told::Sent { seq: 0 }]), [("unreadable", 1)]);
        let (tally, _) = client(CLIENT, "nonsense\n");
        assert_eq!(tally.faults(), [("unreadable", 1)]);
    }

    fn delivered(session: u64, id: u64, attempts: u32) -> Delivered {
        Delivered {
            session,
            id,
            client: CLIENT,
            seq: id,
            attempts,
            whole: true,
        }
    }

    /// The secondaries of one name, one after the other.
    fn order(lives: &[&[Delivered]]) -> Tally {
        let (mut order, mut tally) = (Order::default(), Tally::default());
        for life in lives {
            let text: String = life.iter().map(|line| format!("{line}\n")).collect();
            tally += order.secondary(&text);
        }
        tally
    }

    #[test]
    fn what_a_dead_secondary_had_begun_comes_again_before_what_is_new() {
        let tally = order(&[
            &[delivered(1, 0, 1), delivered(2, 0, 1), delivered(1, 1, 1)],
            &[delivered(1, 1, 2), delivered(2, 0, 2), delivered(1, 2, 1)],
        ]);
        assert_eq!((tally.faults(), tally.redelivered), (vec![], 2));
    }

    #[test]
    fn a_request_before_an_earlier_one_of_its_session_is_out_of_order() {
        let swapped = order(&[&[delivered(1, 2, 1), delivered(1, 1, 1)]]);
        assert_eq!(swapped.faults(), [("out of order", 1)]);
        let later = order(&[&[delivered(1, 2, 1)], &[delivered(1, 1, 1)]]);
        assert_eq!(later.faults(), [("out of order", 1)]);
        let again = order(&[&[delivered(1, 2, 2), delivered(1, 1, 2)]]);
        assert_eq!(again.faults(), [("out of order", 1)]);
    }

    #[test]
    fn a_request_that_one_secondary_is_given_twice_is_out_of_order() {
        let twice = order(&[&[delivered(1, 1, 1), delivered(1, 1, 2)]]);
        assert_eq!(twice.faults(), [("out of order", 1)]);
    }

    #[test]
    fn a_payload_that_no_client_sent_is_invented() {
        let whole = false;
        let tally = order(&[&[Delivered {
            whole,
            ..delivered(1, 1, 1)
        }]]);
        assert_eq!(tally.faults(), [("invented", 1)]);
    }
}
