use std::fs as stdfs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use super::*;
use crate::sys::clock::Deadline;
use crate::sys::poll::{Epoll, Events, Interest, Ready, wait_one};
use crate::sys::testing::{Scratch, role, run_in_role};

#[test]
fn a_fifo_is_made_once_with_mode_0600_and_opened_without_waiting() {
    let dir = Scratch::new();
    make_fifo(dir.fd(), "f").unwrap();
    assert_eq!(make_fifo(dir.fd(), "f"), Err(Errno::EXIST));
    let start = Instant::now();
    assert!(matches!(open_write_end(dir.fd(), "f"), Ok(None)));
    let read_end = open_read_end(dir.fd(), "f").unwrap();
    let write_end = open_write_end(dir.fd(), "f").unwrap().unwrap();
    assert!(start.elapsed() < Duration::from_secs(5));
    assert_eq!(write_nosignal(&write_end, b"abc"), Ok(3));
    let mut buffer = [0; 8];
    assert_eq!(read(&read_end, &mut buffer), Ok(3));
    assert_eq!(read(&read_end, &mut buffer), Err(Errno::AGAIN));
    drop(write_end);
    assert_eq!(read(&read_end, &mut buffer), Err(Errno::AGAIN));
    assert!(matches!(
        open_read_end(dir.fd(), "none"),
        Err(Refusal::Os(Errno::NOENT))
    ));
}

#[test]
fn two_fifos_are_made_with_mode_0600_whatever_the_umask() {
    const NAME: &str = "sys::fifo::tests::two_fifos_are_made_with_mode_0600_whatever_the_umask";
    if role().is_none() {
        return run_in_role(NAME, "umask");
    }
    let dir = Scratch::new();
    for (umask, names) in [(0o022, ["a", "b"]), (0o777, ["c", "d"])] {
        let before = rustix::process::umask(Mode::from_raw_mode(umask));
        let made = make_two(dir.fd(), names[0], names[1]);
        rustix::process::umask(before);
        assert!(open_write_end(dir.fd(), names[1]).unwrap().is_some());
        assert!(open_write_end(dir.fd(), names[0]).unwrap().is_none());
        drop(made.unwrap());
    }
    assert_eq!(
        make_two(dir.fd(), "e", "a").unwrap_err(),
        Refusal::Os(Errno::EXIST)
    );
}

#[test]
fn what_stands_in_a_fifos_place_is_refused_and_named() {
    let dir = Scratch::new();
    let refused = |name: &str| {
        let reading = open_read_end(dir.fd(), name).unwrap_err();
        let writing = open_write_end(dir.fd(), name).unwrap_err();
        (reading, writing)
    };
    make_fifo(dir.fd(), "f").unwrap();
    symlink("f", dir.path().join("link")).unwrap();
    assert_eq!(refused("link"), (Refusal::Link, Refusal::Link));
    stdfs::write(dir.path().join("regular"), b"data").unwrap();
    assert_eq!(refused("regular"), (Refusal::Kind, Refusal::Kind));
    assert_eq!(stdfs::read(dir.path().join("regular")).unwrap(), b"data");
    stdfs::create_dir(dir.path().join("directory")).unwrap();
    assert_eq!(refused("directory"), (Refusal::Kind, Refusal::Kind));
    let _listener = UnixListener::bind(dir.path().join("socket")).unwrap();
    assert_eq!(refused("socket").1, Refusal::Kind);
    make_fifo(dir.fd(), "open").unwrap();
    stdfs::set_permissions(
        dir.path().join("open"),
        stdfs::Permissions::from_mode(0o622),
    )
    .unwrap();
    assert_eq!(
        refused("open"),
        (Refusal::Mode(0o622), Refusal::Mode(0o622))
    );
    stdfs::hard_link(dir.path().join("f"), dir.path().join("second")).unwrap();
    assert_eq!(refused("f"), (Refusal::Links(2), Refusal::Links(2)));
    let uid = file::effective_uid();
    let status = file::status_at(dir.fd(), "open").unwrap();
    assert_eq!(check(&status, uid + 1), Err(Refusal::Owner(uid)));
    let error = Refusal::Mode(0o622).into_error(&dir.path().join("open"));
    let message = error.to_string();
    assert!(
        message.contains("/open") && message.contains("0622"),
        "{message}"
    );
}

#[test]
fn a_dead_reader_is_an_error_and_the_same_end_heals_with_a_new_reader() {
    let dir = Scratch::new();
    make_fifo(dir.fd(), "f").unwrap();
    let first = open_read_end(dir.fd(), "f").unwrap();
    let write_end = open_write_end(dir.fd(), "f").unwrap().unwrap();
    assert_eq!(write_nosignal(&write_end, b"x"), Ok(1));
    drop(first);
    assert_eq!(write_nosignal(&write_end, b"x"), Err(Errno::PIPE));
    let shown = wait_one(&write_end, Interest::ROOM, Deadline::never()).unwrap();
    assert!(shown.is_some_and(Ready::is_dead));
    let _second = open_read_end(dir.fd(), "f").unwrap();
    assert_eq!(write_nosignal(&write_end, b"x"), Ok(1));
    let shown = wait_one(&write_end, Interest::DEATH, Deadline::passed());
    assert_eq!(shown, Ok(None));
}

#[test]
fn frames_of_eight_writers_stay_whole() {
    const WRITERS: u8 = 8;
    const FRAMES: u32 = 2_500;
    let dir = Scratch::new();
    make_fifo(dir.fd(), "f").unwrap();
    let read_end = open_read_end(dir.fd(), "f").unwrap();
    let mut next = [0_u32; WRITERS as usize];
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let write_end = open_write_end(dir.fd(), "f").unwrap().unwrap();
            scope.spawn(move || {
                let deadline = Deadline::after(Duration::from_secs(60));
                for number in 0..FRAMES {
                    let len = frame_len(writer, number);
                    let mut frame = vec![writer; len];
                    frame[..4].copy_from_slice(&number.to_le_bytes());
                    while let Err(errno) = write_nosignal(&write_end, &frame) {
                        assert_eq!(errno, Errno::AGAIN);
                        let shown = wait_one(&write_end, Interest::ROOM, deadline).unwrap();
                        assert!(shown.is_some_and(Ready::is_writable));
                    }
                }
            });
        }
        let mut bytes = Vec::new();
        let mut buffer = [0; 65536];
        while next.iter().any(|&number| number < FRAMES) {
            let deadline = Deadline::after(Duration::from_secs(30));
            let shown = wait_one(&read_end, Interest::READ, deadline).unwrap();
            assert!(shown.is_some_and(Ready::is_readable));
            let got = read(&read_end, &mut buffer).unwrap();
            bytes.extend_from_slice(&buffer[..got]);
            let mut rest = &bytes[..];
            while let Some(&writer) = rest.get(4) {
                let number = &mut next[usize::from(writer)];
                let len = frame_len(writer, *number);
                if rest.len() < len {
                    break;
                }
                let (frame, behind) = rest.split_at(len);
                assert_eq!(frame[..4], number.to_le_bytes());
                assert!(frame[4..].iter().all(|&byte| byte == writer));
                *number += 1;
                rest = behind;
            }
            bytes = rest.to_vec();
        }
        assert!(bytes.is_empty());
    });
}

/// From 5 bytes to a whole page, different for each writer and number.
fn frame_len(writer: u8, number: u32) -> usize {
    5 + (number as usize * 613 + usize::from(writer) * 977) % (PIPE_BUF - 4)
}

#[test]
fn a_process_that_sigpipe_would_kill_survives_a_write_to_a_dead_reader() {
    const NAME: &str =
        "sys::fifo::tests::a_process_that_sigpipe_would_kill_survives_a_write_to_a_dead_reader";
    let Some(role) = role() else {
        for role in ["flag", "mask", "any"] {
            run_in_role(NAME, role);
        }
        return;
    };
    signal::test::let_sigpipe_kill();
    let dir = Scratch::new();
    make_fifo(dir.fd(), "f").unwrap();
    let read_end = open_read_end(dir.fd(), "f").unwrap();
    let write_end = open_write_end(dir.fd(), "f").unwrap().unwrap();
    drop(read_end);
    for _ in 0..3 {
        let result = match role.as_str() {
            "flag" => match write_with_flag(&write_end, &[IoSlice::new(b"x")]) {
                Err(Errno::OPNOTSUPP) => {
                    eprintln!("skipped: this kernel has no RWF_NOSIGNAL");
                    return;
                }
                result => result,
            },
            "mask" => write_with_mask(&write_end, &[IoSlice::new(b"x")]),
            _ => write_nosignal(&write_end, b"x"),
        };
        assert_eq!(result, Err(Errno::PIPE));
    }
}

#[test]
fn a_storm_of_signals_changes_no_wait() {
    const NAME: &str = "sys::fifo::tests::a_storm_of_signals_changes_no_wait";
    if role().is_none() {
        return run_in_role(NAME, "storm");
    }
    let dir = Scratch::new();
    make_fifo(dir.fd(), "f").unwrap();
    let read_end = open_read_end(dir.fd(), "f").unwrap();
    let epoll = Epoll::new().unwrap();
    let mut events = Events::new();
    let wanted = Duration::from_millis(60);
    let (took, signals) = signal::test::in_a_storm_of_signals(|| {
        let start = Instant::now();
        assert_eq!(epoll.wait(&mut events, Deadline::after(wanted)), Ok(0));
        let first = start.elapsed();
        let start = Instant::now();
        let shown = wait_one(&read_end, Interest::READ, Deadline::after(wanted));
        assert_eq!(shown, Ok(None));
        [first, start.elapsed()]
    });
    assert!(signals > 0, "no storm");
    for took in took {
        assert!(took >= wanted, "{took:?}");
        assert!(took < wanted * 10, "{took:?}");
    }
}
