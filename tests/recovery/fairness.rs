//! Turns: no clock, no thread; the server is driven step by step.

use super::*;
use crate::common::Scratch;

/// Requests that a session is given in one turn.
const TURN: usize = 32;

/// What stands in the polite client's requests; in those of the others, their number.
const POLITE: usize = usize::MAX;

/// One polite session, and so many that always have asked for more.
struct Stage {
    _place: Scratch,
    server: Server,
    polite: Client,
    flooders: Vec<Client>,
}

impl Stage {
    fn new(flooding: usize) -> Stage {
        let place = Scratch::new();
        let mut server = server(place.path());
        let polite = connect(&mut server, place.path());
        let flooders = (0..flooding)
            .map(|_| connect(&mut server, place.path()))
            .collect();
        let mut stage = Stage {
            _place: place,
            server,
            polite,
            flooders,
        };
        (0..flooding).for_each(|number| stage.flood(number));
        stage
    }

    /// Asks for much. The answers are taken off, so that there is room for them.
    fn flood(&mut self, number: usize) {
        let client = &mut self.flooders[number];
        while client.try_next_reply().unwrap().is_some() {}
        let body = number.to_le_bytes();
        while client.outstanding() < 200 {
            client.submit(Request::new(ECHO, &body), SOON).unwrap();
        }
    }

    /// Hands out one request, answers it, and lets its client ask again. Whose it was.
    fn step(&mut self) -> usize {
        for _ in 0..100_000 {
            if let Some(Event::Request(request)) = self.server.try_next().unwrap() {
                let body = request.payload().as_slice().unwrap().try_into().unwrap();
                echo(request);
                let number = usize::from_le_bytes(body);
                if number != POLITE {
                    self.flood(number);
                }
                return number;
            }
        }
        panic!("nothing is handed out");
    }

    /// How many requests each of the others was given at most between the polite one's becoming visible and its being
    /// handed out.
    fn most_before_the_polite(&mut self) -> usize {
        let body = POLITE.to_le_bytes();
        self.polite.submit(Request::new(ECHO, &body), SOON).unwrap();
        let mut served = vec![0; self.flooders.len()];
        loop {
            match self.step() {
                POLITE => break,
                number => served[number] += 1,
            }
            assert!(served.iter().sum::<usize>() < 100_000, "it is never served");
        }
        self.polite.next_reply(SOON).unwrap().unwrap();
        served.into_iter().max().unwrap_or(0)
    }
}

#[test]
fn nobody_is_served_more_than_one_turn_before_a_polite_client() {
    for (flooding, phases) in [(1, 40), (2, 40), (3, 40), (63, 8)] {
        let mut stage = Stage::new(flooding);
        for phase in 0..phases {
            // At all phases of the turns, and with the polite one gone cold and still watched.
            for _ in 0..(phase % 2) * (400 + TURN * flooding) + 37 * phase {
                let _ = stage.step();
            }
            let most = stage.most_before_the_polite();
            assert!(most <= TURN, "{most} of one of {flooding}, phase {phase}");
        }
    }
}
