//! Clients that are sent to services which have ended, are dead, or never were.

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, mpsc};
use std::thread;

use osps_ipc::{Name, Status};

use super::*;
use crate::common::Scratch;

/// Serves under a name in a thread until it is dropped; `handle` sees every event.
struct Serving {
    stop: Option<mpsc::Sender<bool>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Serving {
    fn start(
        at: &Path,
        name: &str,
        directs: bool,
        mut handle: impl FnMut(Event) + Send + 'static,
    ) -> Serving {
        let options = ServerOptions::new().directory(at);
        let options = if directs { options.directs() } else { options };
        let mut server = options.bind(name).unwrap();
        let (stop, stopped) = mpsc::channel();
        let thread = thread::spawn(move || {
            let dies = loop {
                match stopped.try_recv() {
                    Ok(dies) => break dies,
                    Err(mpsc::TryRecvError::Disconnected) => break false,
                    Err(mpsc::TryRecvError::Empty) => {}
                }
                if let Some(event) = server.next_timeout(Duration::from_millis(10)).unwrap() {
                    handle(event);
                }
            };
            if dies {
                let died = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    let _dropped_in_a_panic = server;
                    std::panic::resume_unwind(Box::new("a crash"));
                }));
                assert!(died.is_err());
            }
        });
        Serving {
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    fn worker(at: &Path, name: &'static str) -> Serving {
        Serving::start(at, name, false, move |event| {
            if let Event::Request(request) = event {
                let _ = request.reply(name);
            }
        })
    }

    /// Directs the n-th question to the n-th name, and all later ones to the last.
    fn director(at: &Path, names: &'static [&'static str]) -> (Serving, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        let serving = Serving::start(at, "svc", true, move |event| {
            if let Event::Question(question) = event {
                let n = counted.fetch_add(1, Ordering::SeqCst);
                let name = names[n.min(names.len() - 1)];
                question.redirect(&Name::new(name).unwrap()).unwrap();
            }
        });
        (serving, asked)
    }

    /// Directs to the first name, and once the switch is on to the second. A client on a busy machine may ask more often
    /// than it has to.
    fn switch(at: &Path, names: [&'static str; 2]) -> (Serving, Arc<AtomicBool>) {
        let on = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&on);
        let serving = Serving::start(at, "svc", true, move |event| {
            if let Event::Question(question) = event {
                let name = names[usize::from(seen.load(Ordering::SeqCst))];
                question.redirect(&Name::new(name).unwrap()).unwrap();
            }
        });
        (serving, on)
    }

    /// Redirects every request.
    fn redirects(at: &Path, name: &str, to: &'static str) -> Serving {
        Serving::start(at, name, false, move |event| {
            if let Event::Request(request) = event {
                let _ = request.redirect(&Name::new(to).unwrap());
            }
        })
    }

    /// Ends as a crash would.
    fn die(mut self) {
        self.stop.take().unwrap().send(true).unwrap();
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn answer(client: &mut Client) -> String {
    let reply = client.call(Request::new(ECHO, "x"), SOON).unwrap();
    String::from_utf8(reply.into_answer().unwrap().into_vec()).unwrap()
}

#[test]
fn a_client_that_is_sent_to_a_service_that_is_not_there_asks_again() {
    let place = Scratch::new();
    let at = place.path();
    let _there = Serving::worker(at, "there");
    let (_director, asked) = Serving::director(at, &["missing", "missing", "there"]);
    let mut client = client(at);
    assert_eq!(answer(&mut client), "there");
    let before = asked.load(Ordering::SeqCst);
    assert!(before >= 3);
    // What it found is remembered.
    assert_eq!(answer(&mut client), "there");
    assert_eq!(asked.load(Ordering::SeqCst), before);
}

#[test]
fn a_service_that_never_comes_is_named_at_the_callers_own_deadline() {
    let place = Scratch::new();
    let at = place.path();
    let (_director, asked) = Serving::director(at, &["missing"]);
    let mut client = client(at);
    // On a busy machine the director is late too.
    let mut patience = Duration::from_millis(200);
    let error = loop {
        match client.call(Request::new(ECHO, "x"), patience) {
            Ok(reply) if reply.status() == Status::Expired => {}
            Err(Error::TimedOut { .. }) => {}
            other => break other.unwrap_err(),
        }
        assert!(patience < SOON);
        patience *= 2;
    };
    assert!(
        matches!(&error, Error::NotRunning { service, .. } if service == "missing"),
        "{error}"
    );
    assert!(asked.load(Ordering::SeqCst) > 1);
}

#[test]
fn a_client_whose_service_has_ended_asks_where_to_go() {
    let place = Scratch::new();
    let at = place.path();
    let first = Serving::worker(at, "first");
    let _second = Serving::worker(at, "second");
    let (_director, on) = Serving::switch(at, ["first", "second"]);
    let mut client = client(at);
    assert_eq!(answer(&mut client), "first");
    on.store(true, Ordering::SeqCst);
    // As long as it is there, nobody is asked.
    assert_eq!(answer(&mut client), "first");
    drop(first);
    assert_eq!(answer(&mut client), "second");
}

#[test]
fn a_client_whose_service_is_dead_asks_where_to_go() {
    let place = Scratch::new();
    let at = place.path();
    let first = Serving::worker(at, "first");
    let _second = Serving::worker(at, "second");
    let (_director, on) = Serving::switch(at, ["first", "second"]);
    let mut client = client(at);
    assert_eq!(answer(&mut client), "first");
    on.store(true, Ordering::SeqCst);
    first.die();
    assert_eq!(answer(&mut client), "second");
}

#[test]
fn a_client_that_is_sent_to_the_dead_service_again_waits_for_its_next_server() {
    let place = Scratch::new();
    let at = place.path();
    let first = Serving::worker(at, "first");
    let (_director, asked) = Serving::director(at, &["first"]);
    let mut client = client(at);
    assert_eq!(answer(&mut client), "first");
    first.die();
    thread::scope(|scope| {
        let calling = scope.spawn(|| answer(&mut client));
        let end = Instant::now() + SOON;
        while asked.load(Ordering::SeqCst) < 2 {
            assert!(Instant::now() < end, "it does not ask");
            thread::yield_now();
        }
        let _next = Serving::worker(at, "first");
        assert_eq!(calling.join().unwrap(), "first");
    });
    assert!(asked.load(Ordering::SeqCst) < 6, "it asks without end");
}

#[test]
fn a_chain_of_redirects_is_followed() {
    let place = Scratch::new();
    let at = place.path();
    let _end = Serving::worker(at, "end");
    let _middle = Serving::redirects(at, "middle", "end");
    let (_director, asked) = Serving::director(at, &["middle"]);
    let mut client = client(at);
    assert_eq!(answer(&mut client), "end");
    let before = asked.load(Ordering::SeqCst);
    for _ in 0..2 {
        assert_eq!(answer(&mut client), "end");
    }
    assert_eq!(asked.load(Ordering::SeqCst), before);
}

#[test]
fn redirects_without_end_are_an_error_and_forgotten() {
    for (name, loops) in [
        ("left", vec![("left", "right"), ("right", "left")]),
        ("own", vec![("own", "own")]),
    ] {
        let place = Scratch::new();
        let at = place.path();
        let serving: Vec<Serving> = loops
            .iter()
            .map(|(from, to)| Serving::redirects(at, from, to))
            .collect();
        let (_director, on) = Serving::switch(at, [name, "end"]);
        let _end = Serving::worker(at, "end");
        let mut client = client(at);
        let error = client.call(Request::new(ECHO, "x"), SOON).unwrap_err();
        assert!(matches!(error, Error::RedirectLoop { .. }), "{error}");
        on.store(true, Ordering::SeqCst);
        assert_eq!(answer(&mut client), "end");
        drop(serving);
    }
}

#[test]
fn a_service_that_redirects_to_itself_is_an_error() {
    let place = Scratch::new();
    let at = place.path();
    let _own = Serving::redirects(at, "svc", "svc");
    let error = client(at).call(Request::new(ECHO, "x"), SOON).unwrap_err();
    assert!(matches!(error, Error::RedirectLoop { .. }), "{error}");
}
