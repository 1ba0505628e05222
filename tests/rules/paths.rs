//! The paths that a source names, resolved to modules of the crate or to other crates.

use super::source::{Source, Token};

/// A path such as `["crate", "ring", "cursor", "Cursor"]` or `["rustix", "fs", "openat"]`, and where it stands.
#[derive(Debug, PartialEq)]
pub(crate) struct Path {
    pub(crate) parts: Vec<String>,
    pub(crate) line: usize,
}

/// Every path in the code (without unit tests) that begins with `crate`, `self`, `super` or one of `crates`. The
/// first three are resolved, so that paths into this crate all begin with `crate`.
pub(crate) fn paths(source: &Source, crates: &[&str]) -> Vec<Path> {
    let tokens = source.shipped_tokens();
    let mut inline: Vec<(String, usize)> = Vec::new();
    let mut depth = 0;
    let mut found = Vec::new();
    for at in 0..tokens.len() {
        match &*tokens[at].text {
            "{" => depth += 1,
            "}" => {
                depth -= 1;
                inline.retain(|(_, outside)| *outside < depth);
            }
            "mod" if text(&tokens, at + 2) == "{" => {
                inline.push((text(&tokens, at + 1).to_owned(), depth));
            }
            _ => {}
        }
        if !begins_path(&tokens, at, crates) {
            continue;
        }
        let mut module = source.module();
        module.extend(inline.iter().map(|(name, _)| name.clone()));
        let mut expanded = Vec::new();
        expand(&tokens, at, &[], &mut expanded);
        for (parts, line) in expanded {
            found.extend(resolve(parts, &module).map(|parts| Path { parts, line }));
        }
    }
    found
}

fn text(tokens: &[Token], at: usize) -> &str {
    tokens.get(at).map_or("", |token| &token.text)
}

fn begins_path(tokens: &[Token], at: usize, crates: &[&str]) -> bool {
    let root = text(tokens, at);
    let before = |back: usize| at.checked_sub(back).map_or("", |i| text(tokens, i));
    let continues =
        before(1) == "::" && before(2).ends_with(|c: char| c.is_alphanumeric() || c == '>');
    let is_path = text(tokens, at + 1) == "::";
    match root {
        "crate" | "self" | "super" => is_path && !continues,
        // `use libc;` and `use libc as c;` name the crate too.
        _ => crates.contains(&root) && !continues && (is_path || before(1) == "use"),
    }
}

/// Follows a path from `at`, through its groups; gives where it stopped.
fn expand(
    tokens: &[Token],
    mut at: usize,
    prefix: &[String],
    found: &mut Vec<(Vec<String>, usize)>,
) -> usize {
    let line = tokens.get(at).map_or(0, |token| token.line);
    let mut parts = prefix.to_vec();
    loop {
        match text(tokens, at) {
            "{" => {
                at += 1;
                while !matches!(text(tokens, at), "}" | "") {
                    at = expand(tokens, at, &parts, found);
                    while !matches!(text(tokens, at), "," | "}" | "") {
                        at += 1;
                    }
                    if text(tokens, at) == "," {
                        at += 1;
                    }
                }
                return at + 1;
            }
            part => parts.push(part.to_owned()),
        }
        at += 1;
        let next = text(tokens, at + 1);
        let goes_on = next == "{"
            || next == "*"
            || next.starts_with(|c: char| c.is_alphanumeric() || c == '_');
        if text(tokens, at) != "::" || !goes_on {
            break;
        }
        at += 1;
    }
    found.push((parts, line));
    at
}

/// Makes a path begin with `crate` or with another crate's name. `None` for what stays inside the file's own module.
fn resolve(parts: Vec<String>, module: &[String]) -> Option<Vec<String>> {
    let supers = parts.iter().take_while(|part| *part == "super").count();
    let skipped = match parts[0].as_str() {
        "super" => supers,
        "self" => {
            1 + parts[1..]
                .iter()
                .take_while(|part| *part == "super")
                .count()
        }
        _ => return Some(parts),
    };
    let up = skipped - usize::from(parts[0] == "self");
    let kept = module.len().saturating_sub(up);
    let mut resolved = vec!["crate".to_owned()];
    resolved.extend(module[..kept].iter().cloned());
    resolved.extend(parts[skipped..].iter().cloned());
    Some(resolved)
}
