//! A client that cancels a request while the server starts it: exactly one of the two wins.

use loom::thread;
use std::sync::Arc;

use crate::parts::{Cell, NoExchange, Orders, Right, explore};
use crate::record::{Cancel, Start, State, answer, cancel, start};
use crate::word::Word;

fn race<O: Orders>() {
    let word = Arc::new(Cell::<O>::new(State::New.pack()));
    let servers = Arc::clone(&word);
    let server = thread::spawn(move || {
        let came_of_it = start(&*servers).unwrap();
        if came_of_it == Start::Started {
            answer(&*servers);
        }
        came_of_it
    });
    let cancelled = cancel(&*word).unwrap();
    let started = server.join().unwrap();
    let left = State::unpack(word.load_acquire()).unwrap();
    match cancelled {
        Cancel::Cancelled => {
            assert_eq!(
                started,
                Start::Cancelled,
                "started although it was cancelled"
            );
            assert_eq!(left, State::Cancelled);
        }
        Cancel::Started | Cancel::Answered => {
            assert_eq!(started, Start::Started, "neither won");
            assert_eq!(left, State::Answered);
        }
    }
}

#[test]
fn either_the_client_or_the_server_gets_a_record() {
    explore(None, race::<Right>);
}

#[test]
#[should_panic(expected = "although it was cancelled")]
fn twin_a_load_and_a_store_in_place_of_the_exchange_is_found() {
    explore(None, race::<NoExchange>);
}
