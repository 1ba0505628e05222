//! The rules themselves: each takes sources and gives what breaks it, a line each.

use super::paths::{Path, paths};
use super::source::{Source, Token};

/// The only files in which `unsafe` may stand.
pub(crate) const UNSAFE: &[&str] = &[
    "src/segment/typed.rs",
    "src/sys/biased/lock.rs",
    "src/sys/copy/blocks.rs",
    "src/sys/fork.rs",
    "src/sys/inherit.rs",
    "src/sys/lock.rs",
    "src/sys/map.rs",
    "src/sys/pidfd.rs",
    "src/sys/prefetch.rs",
    "src/sys/shutdown.rs",
    "src/sys/signal.rs",
];

/// The same for the examples.
pub(crate) const EXAMPLES_UNSAFE: &[&str] = &["examples/shared/locale.rs"];

/// The same for the tests.
pub(crate) const TESTS_UNSAFE: &[&str] = &["tests/crashes/trace.rs", "tests/verdicts.rs"];

/// The layer of each module; of a module inside another where it differs.
pub(crate) const LAYERS: &[(&[&str], u8)] = &[
    (&["error"], 0),
    (&["layout"], 0),
    (&["request"], 0),
    (&["faq"], 0),
    (&["detector"], 0),
    (&["restart"], 0),
    (&["quarantine"], 0),
    (&["ring", "corrupt"], 0),
    (&["ring", "cursor"], 0),
    (&["ring", "record"], 0),
    (&["ring", "sleep"], 0),
    (&["ring", "word"], 0),
    (&["sys"], 1),
    (&["segment"], 2),
    (&["fifo"], 2),
    (&["directory"], 2),
    (&["ring"], 3),
    (&["heartbeat"], 3),
    (&["session"], 4),
    (&["server"], 5),
    (&["client"], 5),
    (&["monitor"], 5),
    (&["supervisor"], 5),
];

/// Who may use a module of its own layer. The pairs must not form a circle.
pub(crate) const SIDEWAYS: &[(&str, &str)] = &[
    // The named things are made in a directory.
    ("segment", "directory"),
    ("fifo", "directory"),
    // A policy by cause names the causes.
    ("restart", "detector"),
    // The probe takes the path that clients take; the supervisor acts on what the monitor says.
    ("monitor", "client"),
    ("supervisor", "monitor"),
    // It tells the clients of a service that it has given up.
    ("supervisor", "server"),
];

/// The crates that the library is built on.
pub(crate) const DEPENDENCIES: &[&str] = &[
    "crossbeam-utils",
    "libc",
    "rustix",
    "static_assertions",
    "thiserror",
];

/// Types of the door's crates that may be named outside it.
const NAMEABLE: &[&[&str]] = &[
    &["rustix", "io", "Errno"],
    &["rustix", "io", "Result"],
    &["rustix", "fd"],
];

/// What a pure module must not touch. Errors carry an operating system's, so `error` is excepted.
const IMPURE: &[&str] = &["env", "fs", "io", "net", "os", "process", "thread"];

/// The most lines of code of a file.
pub(crate) const MOST_LINES: usize = 250;

/// Files that are longer, and how long they may be until they are split. Only ever made shorter.
pub(crate) const LONGER: &[(&str, usize)] = &[("src/sys/map.rs", 280)];

/// `unsafe` stands only in files of the list, each of which says so at its beginning.
pub(crate) fn unsafe_is_on_the_list(sources: &[Source], list: &[&str]) -> Vec<String> {
    let mut broken = Vec::new();
    for source in sources {
        let tokens = source.all_tokens();
        let path = &source.path;
        let beginning: String = tokens.iter().take(8).map(|token| &token.text[..]).collect();
        let allowed = beginning == "#![allow(unsafe_code)]" || beginning == "#![allow(unsafe_code,";
        let used = tokens.iter().any(|token| token.text == "unsafe");
        let is_mention = |text: &str| text == "unsafe" || text == "unsafe_code";
        if !list.contains(&&path[..]) {
            if let Some(token) = tokens.iter().find(|token| is_mention(&token.text)) {
                let Token { text, line } = token;
                broken.push(format!("{path}:{line}: `{text}` outside the allow-list"));
            }
        } else if used && !allowed {
            broken.push(format!(
                "{path}: does not begin with #![allow(unsafe_code)]"
            ));
        } else if allowed && !used {
            broken.push(format!("{path}: allows unsafe code and has none"));
        }
    }
    broken
}

/// A module uses only modules of lower layers, its own, and those that it may use sideways.
pub(crate) fn imports_point_down(
    sources: &[Source],
    layers: &[(&[&str], u8)],
    sideways: &[(&str, &str)],
) -> Vec<String> {
    let root_names = root_names(sources);
    let mut broken = Vec::new();
    for source in shipped(sources) {
        let module = source.module();
        let Some(from) = module.first() else { continue };
        let Some(from_layer) = layer(&module, layers) else {
            broken.push(format!("{}: module `{from}` has no layer", source.path));
            continue;
        };
        for Path { parts, line } in paths(source, &[]) {
            let mut target = parts[1..].to_vec();
            if let Some((_, home)) = root_names
                .iter()
                .find(|(name, _)| Some(name) == target.first())
            {
                target.splice(0..1, home.iter().cloned());
            }
            let at = format!("{}:{line}: `{}`", source.path, parts.join("::"));
            let Some(to) = target.first() else { continue };
            let Some(to_layer) = layer(&target, layers) else {
                broken.push(format!("{at} leads to `{to}`, which has no layer"));
                continue;
            };
            let may = to_layer < from_layer
                || to_layer == from_layer
                    && (from == to || to == "error" || sideways.contains(&(from, to)));
            if !may {
                broken.push(format!(
                    "{at} points from layer {from_layer} to `{to}` in layer {to_layer}"
                ));
            }
        }
    }
    broken
}

/// Only `src/sys` calls the operating system or asks for the time, and layer 0 touches nothing outside memory.
pub(crate) fn the_system_has_one_door(sources: &[Source], layers: &[(&[&str], u8)]) -> Vec<String> {
    let mut broken = Vec::new();
    for source in shipped(sources) {
        let module = source.module();
        if module.first().is_some_and(|first| first == "sys") {
            continue;
        }
        let pure = layer(&module, layers) == Some(0) && module != ["error"];
        for Path { parts, line } in paths(source, &["rustix", "libc", "std", "core"]) {
            let parts: Vec<&str> = parts.iter().map(|part| &part[..]).collect();
            let fault = match parts[..] {
                ["rustix" | "libc", ..] if !NAMEABLE.iter().any(|name| parts.starts_with(name)) => {
                    "a system call outside src/sys"
                }
                ["std", "time", "Instant" | "SystemTime", ..] | ["std", "time", "*"] => {
                    "a clock outside src/sys"
                }
                ["std", "thread", "sleep" | "sleep_until" | "*", ..] => "a bare sleep",
                ["std", part, ..] if pure && IMPURE.contains(&part) => "not pure, in layer 0",
                _ => continue,
            };
            broken.push(format!(
                "{}:{line}: `{}`: {fault}",
                source.path,
                parts.join("::")
            ));
        }
    }
    broken
}

/// No file is longer than one can keep in mind, and none is an exception without need.
pub(crate) fn files_are_short(
    sources: &[Source],
    most: usize,
    longer: &[(&str, usize)],
) -> Vec<String> {
    let mut broken = Vec::new();
    for source in shipped(sources) {
        let (path, lines) = (&source.path, source.code_lines());
        let exception = longer
            .iter()
            .find(|(name, _)| name == path)
            .map(|(_, most)| *most);
        if lines > exception.unwrap_or(most) {
            broken.push(format!(
                "{path}: {lines} lines of code, at most {}",
                exception.unwrap_or(most)
            ));
        } else if exception.is_some() && lines <= most {
            broken.push(format!(
                "{path}: {lines} lines of code are no longer an exception"
            ));
        }
    }
    broken
}

/// `lib.rs` holds modules, re-exports and compile-time checks, and no logic.
pub(crate) fn the_root_has_no_logic(sources: &[Source]) -> Vec<String> {
    let root = sources.iter().filter(|source| source.path == "src/lib.rs");
    let tokens = root.flat_map(Source::shipped_tokens);
    let logic = tokens.filter(|token| {
        matches!(
            &token.text[..],
            "fn" | "impl" | "struct" | "enum" | "static"
        )
    });
    logic
        .map(|token| format!("src/lib.rs:{}: `{}`", token.line, token.text))
        .collect()
}

/// The manifest's dependencies at run time are those of the list, and none is built at build time or for one target.
pub(crate) fn dependencies_are(manifest: &str, list: &[&str]) -> Vec<String> {
    let mut broken = Vec::new();
    let mut found = Vec::new();
    let mut table = String::new();
    for line in manifest
        .lines()
        .map(|line| line.split('#').next().unwrap_or("").trim())
    {
        if let Some(name) = line.strip_prefix('[') {
            table = name.trim_end_matches(']').trim().to_owned();
            if table.contains("build-dependencies") || table.starts_with("target.") {
                broken.push(format!(
                    "[{table}]: no dependencies but [dependencies] and [dev-dependencies]"
                ));
            }
            if let Some(name) = table.strip_prefix("dependencies.") {
                found.push(name.to_owned());
            }
        } else if table == "dependencies"
            && let Some((name, _)) = line.split_once('=')
        {
            found.push(name.split('.').next().unwrap_or(name).trim().to_owned());
        }
    }
    for name in &found {
        if !list.contains(&&name[..]) {
            broken.push(format!("`{name}` is not one of the dependencies agreed on"));
        }
    }
    for name in list {
        if !found.iter().any(|other| other == name) {
            broken.push(format!("`{name}` is missing"));
        }
    }
    broken
}

/// The pairs form no circle.
pub(crate) fn sideways_has_no_circle(sideways: &[(&str, &str)]) -> Vec<String> {
    let mut broken = Vec::new();
    for (start, _) in sideways {
        let mut reached = vec![*start];
        let mut next = 0;
        while next < reached.len() {
            let from = reached[next];
            next += 1;
            for (_, to) in sideways.iter().filter(|(who, _)| *who == from) {
                if to == start {
                    broken.push(format!("`{start}` reaches itself"));
                } else if !reached.contains(to) {
                    reached.push(to);
                }
            }
        }
    }
    broken
}

/// The sources that are not unit tests in files of their own.
fn shipped(sources: &[Source]) -> impl Iterator<Item = &Source> {
    let tests: Vec<Vec<String>> = sources.iter().flat_map(Source::test_modules).collect();
    sources.iter().filter(move |source| {
        let module = source.module();
        !tests.iter().any(|test| module.starts_with(test))
    })
}

/// The layer of the longest entry that the path begins with.
fn layer(path: &[String], layers: &[(&[&str], u8)]) -> Option<u8> {
    let begins =
        |entry: &[&str]| entry.len() <= path.len() && entry.iter().zip(path).all(|(a, b)| a == b);
    let entries = layers.iter().filter(|(entry, _)| begins(entry));
    entries
        .max_by_key(|(entry, _)| entry.len())
        .map(|(_, layer)| *layer)
}

/// What `lib.rs` re-exports, with the module that it comes from.
fn root_names(sources: &[Source]) -> Vec<(String, Vec<String>)> {
    let Some(root) = sources.iter().find(|source| source.path == "src/lib.rs") else {
        return Vec::new();
    };
    let tokens = root.shipped_tokens();
    let modules: Vec<String> = tokens
        .windows(2)
        .filter(|pair| pair[0].text == "mod")
        .map(|pair| pair[1].text.clone())
        .collect();
    let names: Vec<&str> = modules.iter().map(|name| &name[..]).collect();
    let reexports = paths(root, &names).into_iter().filter_map(|path| {
        let start = usize::from(path.parts[0] == "crate");
        let (name, home) = path.parts[start..].split_last()?;
        (!home.is_empty()).then(|| (name.clone(), home.to_vec()))
    });
    reexports.collect()
}
