//! Keeps the promises of the source tree that no compiler keeps: where `unsafe` stands, which way imports point,
//! who calls the operating system, how long a file is, what the library depends on. Each rule is also tried on
//! samples that break it, since a checker that sees nothing would pass for ever.

#![allow(clippy::expect_used, reason = "what a test does not expect ends it")]

#[path = "rules/paths.rs"]
mod paths;
#[path = "rules/rules.rs"]
mod rules;
#[path = "rules/source.rs"]
mod source;

use std::fs;
use std::path::{Path, PathBuf};

use rules::{
    DEPENDENCIES, EXAMPLES_UNSAFE, LAYERS, LONGER, MOST_LINES, SIDEWAYS, TESTS_UNSAFE, UNSAFE,
};
use source::Source;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The sources below a folder of the package.
fn sources_in(folder: &str) -> Vec<Source> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries {
            let path: PathBuf = entry.expect("a directory entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a readable source");
                let name = path.strip_prefix(root()).expect("below the root");
                found.push(Source::new(&name.to_string_lossy(), &text));
            }
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}

fn library() -> Vec<Source> {
    let sources = sources_in("src");
    assert!(sources.iter().any(|source| source.path == "src/lib.rs"));
    sources
}

#[track_caller]
fn none(broken: Vec<String>) {
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

#[test]
fn unsafe_stands_only_where_it_is_allowed() {
    none(rules::unsafe_is_on_the_list(&library(), UNSAFE));
    none(rules::unsafe_is_on_the_list(
        &sources_in("examples"),
        EXAMPLES_UNSAFE,
    ));
    let mut tests = sources_in("tests");
    // A package of its own, built on a checker's unsafe cells.
    tests.retain(|source| !source.path.starts_with("tests/models/"));
    none(rules::unsafe_is_on_the_list(&tests, TESTS_UNSAFE));
}

#[test]
fn imports_point_down_the_layers() {
    none(rules::imports_point_down(&library(), LAYERS, SIDEWAYS));
    none(rules::sideways_has_no_circle(SIDEWAYS));
}

#[test]
fn only_sys_calls_the_operating_system_and_the_clock() {
    none(rules::the_system_has_one_door(&library(), LAYERS));
}

#[test]
fn no_source_has_more_than_250_lines_of_code() {
    none(rules::files_are_short(&library(), MOST_LINES, LONGER));
    none(rules::files_are_short(
        &sources_in("examples"),
        MOST_LINES,
        &[],
    ));
}

#[test]
fn the_root_module_holds_no_logic() {
    none(rules::the_root_has_no_logic(&library()));
}

#[test]
fn the_library_has_exactly_its_five_dependencies() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("the manifest");
    none(rules::dependencies_are(&manifest, DEPENDENCIES));
}

/// The rules on samples that break them, and beside each sample one that does not.
mod samples {
    use super::rules;
    use super::rules::{LAYERS, SIDEWAYS};
    use super::source::Source;

    fn found(broken: &[String], expected: &[&str]) {
        assert_eq!(broken.len(), expected.len(), "{broken:#?}");
        for (line, start) in broken.iter().zip(expected) {
            assert!(
                line.starts_with(start),
                "{line:?} does not begin with {start:?}"
            );
        }
    }

    fn one(path: &str, text: &str) -> [Source; 1] {
        [Source::new(path, text)]
    }

    #[test]
    fn unsafe_code_outside_the_list_is_found() {
        let rule = |path: &str, text: &str| {
            rules::unsafe_is_on_the_list(&one(path, text), &["src/sys/map.rs"])
        };
        found(
            &rule("src/ring/mod.rs", "// a\nfn f() {\n    unsafe { g() }\n}"),
            &["src/ring/mod.rs:3: `unsafe`"],
        );
        found(
            &rule("src/ring/mod.rs", "#[allow(unsafe_code)]\nfn f() {}"),
            &["src/ring/mod.rs:1: `unsafe_code`"],
        );
        found(
            &rule(
                "src/ring/mod.rs",
                "#[cfg(test)]\nmod tests { unsafe fn f() {} }",
            ),
            &["src/ring/mod.rs:2: `unsafe`"],
        );
        found(
            &rule("src/sys/map.rs", "fn f() { unsafe { g() } }"),
            &["src/sys/map.rs: does not begin"],
        );
        found(
            &rule("src/sys/map.rs", "#![allow(unsafe_code)]\nfn f() {}"),
            &["src/sys/map.rs: allows unsafe code and has none"],
        );
        let good = "//! unsafe\n\n#![allow(unsafe_code)]\nfn f() { unsafe { g() } }";
        found(&rule("src/sys/map.rs", good), &[]);
        let hidden = "/// unsafe\nfn f() -> &'static str { /* unsafe /* unsafe */ */ r#\"unsafe \" unsafe\"# }\n\
            fn g<'a>(c: &'a char) -> bool { *c == '\"' || \"\\\"unsafe\".is_empty() || *c == '\\'' }";
        found(&rule("src/ring/mod.rs", hidden), &[]);
    }

    #[test]
    fn an_import_that_points_up_or_sideways_is_found() {
        let rule = |path: &str, text: &str| {
            let sources = [
                Source::new(
                    "src/lib.rs",
                    "mod error;\nmod client;\npub use error::{Error, Result};\npub use client::Client as C;\npub use client::{Call, inner::Deep};",
                ),
                Source::new(path, text),
            ];
            rules::imports_point_down(&sources, LAYERS, SIDEWAYS)
        };
        let up = "points from layer";
        for (path, text, broken) in [
            ("src/sys/map.rs", "use crate::segment::SharedSegment;", up),
            ("src/sys/map.rs", "fn f() { crate::segment::f() }", up),
            ("src/sys/map.rs", "use super::super::segment;", up),
            (
                "src/sys/map/inner.rs",
                "use self::super::super::super::ring::f;",
                up,
            ),
            (
                "src/segment/mod.rs",
                "use crate::{sys::map, error, ring::Ring};",
                up,
            ),
            (
                "src/segment/mod.rs",
                "use crate::{sys::{map, file}, session::{self}};",
                up,
            ),
            (
                "src/segment/mod.rs",
                "mod inner { use super::super::client::x; }",
                up,
            ),
            (
                "src/segment/mod.rs",
                "mod inner {}\nuse super::client::x;",
                up,
            ),
            ("src/segment/mod.rs", "use crate::Call;", up),
            ("src/segment/mod.rs", "use crate::Deep;", up),
            ("src/segment/mod.rs", "type X = Vec<crate::client::X>;", up),
            ("src/directory/mod.rs", "use crate::segment::X;", up),
            ("src/server/mod.rs", "use crate::client::X;", up),
            ("src/ring/cursor.rs", "use super::Producer;", up),
            ("src/ring/cursor.rs", "use crate::ring::Producer;", up),
            ("src/request.rs", "use crate::detector::X;", up),
            ("src/extra.rs", "fn f() {}", "module `extra` has no layer"),
            ("src/ring/mod.rs", "use crate::extra::X;", "has no layer"),
        ] {
            let found = rule(path, text);
            assert_eq!(found.len(), 1, "{path} {text}: {found:#?}");
            assert!(found[0].contains(broken), "{path} {text}: {found:#?}");
        }
        for (path, text) in [
            (
                "src/segment/mod.rs",
                "use crate::{Error, sys::map, directory::Directory};",
            ),
            (
                "src/segment/mod.rs",
                "pub(crate) fn f() {}\npub(in crate::segment) fn g() {}",
            ),
            (
                "src/segment/mod.rs",
                "// use crate::client\nfn f() { g(\"crate::client\") }",
            ),
            (
                "src/segment/mod.rs",
                "#[cfg(test)]\nmod tests {\n use crate::client::X;\n}",
            ),
            (
                "src/segment/typed.rs",
                "use super::header;\nuse self::header::X;",
            ),
            (
                "src/ring/mod.rs",
                "use self::cursor::X;\nuse crate::ring::sleep;",
            ),
            (
                "src/ring/record.rs",
                "use super::{corrupt::Corrupt, word::Word};",
            ),
            (
                "src/request/reply.rs",
                "use crate::error::Error;\nuse super::VERSION;",
            ),
            ("src/monitor/mod.rs", "use crate::client::Client;"),
            (
                "src/session/mod.rs",
                "mod inner { use super::x; use other::crate_::y; }",
            ),
        ] {
            assert_eq!(rule(path, text), [""; 0], "{path} {text}");
        }
    }

    #[test]
    fn a_unit_test_in_a_file_of_its_own_is_left_alone() {
        let sources = [
            Source::new("src/sys/fifo.rs", "fn f() {}\n#[cfg(test)]\nmod tests;"),
            Source::new("src/sys/fifo/tests.rs", "use crate::client::X;"),
            Source::new("src/sys/fifo/others.rs", "use crate::client::X;"),
        ];
        found(
            &rules::imports_point_down(&sources, LAYERS, SIDEWAYS),
            &["src/sys/fifo/others.rs:1: `crate::client::X` points from layer 1"],
        );
    }

    #[test]
    fn a_system_call_or_a_clock_outside_sys_is_found() {
        let rule =
            |path: &str, text: &str| rules::the_system_has_one_door(&one(path, text), LAYERS);
        for (path, text, broken) in [
            (
                "src/fifo/mod.rs",
                "use rustix::fs::openat;",
                "a system call",
            ),
            (
                "src/fifo/mod.rs",
                "use rustix::io::{Errno, read};",
                "a system call",
            ),
            ("src/fifo/mod.rs", "use rustix::io;", "a system call"),
            (
                "src/fifo/mod.rs",
                "fn f() { ::libc::getpid() }",
                "a system call",
            ),
            ("src/fifo/mod.rs", "use libc as c;", "a system call"),
            (
                "src/session/mod.rs",
                "fn f() { let t = std::time::Instant::now(); }",
                "a clock",
            ),
            (
                "src/session/mod.rs",
                "use std::time::{Duration, SystemTime};",
                "a clock",
            ),
            (
                "src/session/mod.rs",
                "fn f() { std::thread::sleep(d) }",
                "a bare sleep",
            ),
            ("src/detector/mod.rs", "use std::fs::File;", "not pure"),
            (
                "src/ring/cursor.rs",
                "use std::{sync::atomic, thread};",
                "not pure",
            ),
        ] {
            let found = rule(path, text);
            assert_eq!(found.len(), 1, "{path} {text}: {found:#?}");
            assert!(found[0].contains(broken), "{path} {text}: {found:#?}");
        }
        for (path, text) in [
            (
                "src/sys/file.rs",
                "use rustix::fs::openat;\nuse std::time::Instant;",
            ),
            (
                "src/fifo/mod.rs",
                "use rustix::io::Errno;\nfn f(e: rustix::io::Errno) {}",
            ),
            (
                "src/fifo/mod.rs",
                "use std::os::fd::OwnedFd;\nuse std::time::Duration;",
            ),
            ("src/ring/mod.rs", "use std::thread;\nuse std::io;"),
            ("src/error.rs", "use std::io;"),
        ] {
            assert_eq!(rule(path, text), [""; 0], "{path} {text}");
        }
    }

    #[test]
    fn a_file_that_is_too_long_is_found_by_its_code_alone() {
        let code = "fn f() {}\n".repeat(3);
        let rest =
            "\n// comment\n/* of\n two lines */\n\n#[cfg(test)]\nmod tests {\n fn g() {}\n}\n";
        let sources = one("src/fifo/mod.rs", &format!("//! doc\n\n{code}{rest}"));
        found(&rules::files_are_short(&sources, 3, &[]), &[]);
        found(
            &rules::files_are_short(&sources, 2, &[]),
            &["src/fifo/mod.rs: 3 lines of code, at most 2"],
        );
        let text = one("src/fifo/mod.rs", "const X: &str = \"\na\n\n\";\n");
        found(
            &rules::files_are_short(&text, 2, &[]),
            &["src/fifo/mod.rs: 3 lines"],
        );
        let helpers = "#[cfg(test)]\nuse a::{b, c};\n#[cfg(test)]\n#[allow(x, reason = \"]\")]\n\
            pub(crate) fn f(a: [u8; 4]) -> [u8; 4] {\n    a\n}\n#[cfg(test)]\nmod tests;\n\
            enum E {\n    A,\n    #[cfg(test)]\n    B,\n}\n";
        let helpers = one("src/fifo/mod.rs", helpers);
        found(&rules::files_are_short(&helpers, 5, &[]), &[]);
        found(
            &rules::files_are_short(&helpers, 4, &[]),
            &["src/fifo/mod.rs: 5 lines"],
        );
    }

    #[test]
    fn an_exception_for_a_long_file_holds_its_length_and_ends_when_it_is_short() {
        let sources = one("src/fifo/mod.rs", &"fn f() {}\n".repeat(4));
        let rule = |most, longer| rules::files_are_short(&sources, most, longer);
        found(&rule(3, &[("src/fifo/mod.rs", 4)]), &[]);
        found(
            &rule(2, &[("src/fifo/mod.rs", 3)]),
            &["src/fifo/mod.rs: 4 lines of code, at most 3"],
        );
        found(
            &rule(4, &[("src/fifo/mod.rs", 5)]),
            &["src/fifo/mod.rs: 4 lines of code are no longer an exception"],
        );
    }

    #[test]
    fn logic_in_the_root_module_is_found() {
        let rule = |text: &str| rules::the_root_has_no_logic(&one("src/lib.rs", text));
        found(&rule("mod a;\npub fn f() {}"), &["src/lib.rs:2: `fn`"]);
        found(&rule("mod a;\npub use a::f;\n// fn"), &[]);
    }

    #[test]
    fn a_dependency_too_many_or_too_few_is_found() {
        let rule = |text: &str| rules::dependencies_are(text, &["libc", "rustix"]);
        let good = "[dependencies]\nlibc = \"0.2\" # the C library\nrustix = { version = \"1\" }\n";
        found(&rule(good), &[]);
        found(
            &rule(&format!("{good}[dev-dependencies]\nx = \"1\"\n")),
            &[],
        );
        found(
            &rule("[dependencies]\nlibc.version = \"1\"\n"),
            &["`rustix` is missing"],
        );
        found(
            &rule(&format!("{good}serde = \"1\"\n")),
            &["`serde` is not"],
        );
        found(
            &rule(&format!("{good}[dependencies.serde]\nversion = \"1\"\n")),
            &["`serde` is not"],
        );
        found(
            &rule(&format!("{good}[build-dependencies]\ncc = \"1\"\n")),
            &["[build-dependencies]"],
        );
        found(
            &rule(&format!(
                "{good}[target.'cfg(unix)'.dependencies]\nnix = \"1\"\n"
            )),
            &["[target."],
        );
    }

    #[test]
    fn a_circle_among_the_sideways_pairs_is_found() {
        let rule = |pairs| rules::sideways_has_no_circle(pairs);
        found(&rule(&[("a", "b"), ("b", "c")]), &[]);
        found(
            &rule(&[("a", "b"), ("b", "a")]),
            &["`a` reaches", "`b` reaches"],
        );
    }
}
