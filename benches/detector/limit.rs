//! How soon anybody could know of a `kill -9`: whoever sends the signal polls the pidfd, and nothing else.
//!
//! What it takes is the kernel's: the end of the process (its pages, then its descriptors) comes before the pidfd shows it.

use std::process::{Command, Stdio};
use std::time::Duration;

use osps_ipc::{ClientOptions, Request};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::lines::now;
use crate::machine::{Held, Random, command, pause};
use crate::rule::Rule;
use crate::scene::{Place, SOON};
use crate::table::Delay;
use crate::{SERVICE, served};

/// The part's name on the command line.
pub(crate) const WORD: &str = "limit";

/// Kills a process that does nothing, and the server that is watched elsewhere, in turns.
pub(crate) fn measure(times: usize) -> Vec<Delay> {
    let mut sleep = delay("kill -9 of `sleep`");
    let mut server = delay("kill -9 of the same server");
    let place = Place::create();
    let options = ClientOptions::new().directory(place.path());
    let mut client = None;
    let mut random = Random(0);
    for _ in 0..times {
        let child = Command::new("sleep")
            .arg("3600")
            .stdin(Stdio::null())
            .spawn();
        sleep.push(kill(Held(child.unwrap()), &mut random), 0);
        let role = format!("serve {}", Rule::Quick.word());
        let child = Held(command(role, place.path()).spawn().unwrap());
        let client = client.get_or_insert_with(|| options.clone().connect(SERVICE, SOON).unwrap());
        client.call(Request::new(served::ECHO, ""), SOON).unwrap();
        server.push(kill(child, &mut random), 0);
    }
    vec![sleep, server]
}

fn delay(name: &str) -> Delay {
    Delay {
        rule: "a bare poll of its pidfd",
        is_ours: false,
        name: name.to_owned(),
        bound: None,
        looks: Duration::ZERO,
        times: Vec::new(),
        lost: Vec::new(),
        wrong_causes: Vec::new(),
    }
}

/// Lets it fall asleep, kills it, and gives the time until its pidfd shows that.
fn kill(held: Held, random: &mut Random) -> u64 {
    let pidfd = pidfd_open(Pid::from_child(&held.0), PidfdFlags::empty()).unwrap();
    pause(random.between(Duration::from_millis(10), Duration::from_millis(30)));
    let at = now();
    pidfd_send_signal(&pidfd, Signal::KILL).unwrap();
    poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], None).unwrap();
    now() - at
}
