//! A Rust source text as the rules see it: without comments, without what stands in strings, cut into tokens.
//!
//! It understands just enough of the language for that: nested comments, all forms of string, characters against
//! lifetimes, inline modules, and unit-test modules.

/// One file.
pub(crate) struct Source {
    /// From the package's root, such as `src/ring/mod.rs`.
    pub(crate) path: String,
    /// Comments blanked, the insides of literals filled with quotes; the lines stand where they stood.
    masked: String,
    /// The same with unit-test modules blanked.
    shipped: String,
    /// Names of the files that hold unit tests: `#[cfg(test)] mod tests;`.
    test_modules: Vec<String>,
}

/// An identifier, `::`, or one other character that is not blank.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) line: usize,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Source {
        let masked = mask(text);
        let (shipped, test_modules) = without_unit_tests(&masked);
        Source {
            path: path.to_owned(),
            masked,
            shipped,
            test_modules,
        }
    }

    /// All code, unit tests included.
    pub(crate) fn all_tokens(&self) -> Vec<Token> {
        tokens(&self.masked)
    }

    /// The code without unit tests.
    pub(crate) fn shipped_tokens(&self) -> Vec<Token> {
        tokens(&self.shipped)
    }

    /// Lines that are neither blank, nor comment, nor unit test.
    pub(crate) fn code_lines(&self) -> usize {
        let lines = self.shipped.lines();
        lines.filter(|line| !line.trim().is_empty()).count()
    }

    /// The module that the file is: `src/ring/cursor.rs` is `["ring", "cursor"]`, `src/lib.rs` is `[]`.
    pub(crate) fn module(&self) -> Vec<String> {
        let inner = self.path.trim_start_matches("src/").trim_end_matches(".rs");
        let parts = inner.split('/').map(str::to_owned);
        let mut module: Vec<String> = parts.collect();
        if module
            .last()
            .is_some_and(|last| last == "mod" || last == "lib")
        {
            module.pop();
        }
        module
    }

    /// The modules of this file that are unit tests in files of their own.
    pub(crate) fn test_modules(&self) -> Vec<Vec<String>> {
        let named = self.test_modules.iter().map(|name| {
            let mut module = self.module();
            module.push(name.clone());
            module
        });
        named.collect()
    }
}

/// Blanks comments and fills literals.
fn mask(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let rest = &chars[at..];
        let (length, filling) = match literal(rest, at.checked_sub(1).map(|before| chars[before])) {
            Some(length) => (length, '"'),
            None => match comment(rest) {
                Some(length) => (length, ' '),
                None => {
                    out.push(rest[0]);
                    at += 1;
                    continue;
                }
            },
        };
        let hidden = rest[..length].iter();
        out.extend(hidden.map(|c| if *c == '\n' { '\n' } else { filling }));
        at += length;
    }
    out
}

/// The length of the comment that begins here.
fn comment(rest: &[char]) -> Option<usize> {
    match rest {
        ['/', '/', ..] => Some(rest.iter().position(|c| *c == '\n').unwrap_or(rest.len())),
        ['/', '*', ..] => {
            let mut depth = 0;
            let mut at = 0;
            while at < rest.len() {
                match rest[at..] {
                    ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
                    ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
                    _ => at += 1,
                }
                if depth == 0 {
                    return Some(at);
                }
            }
            Some(rest.len())
        }
        _ => None,
    }
}

/// The length of the string or character that begins here, with its prefix.
fn literal(rest: &[char], before: Option<char>) -> Option<usize> {
    let in_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let prefix = match rest {
        _ if in_word => 0,
        ['b' | 'c', 'r', '"' | '#', ..] => 2,
        ['r', '"' | '#', ..] | ['b' | 'c', '"', ..] | ['b', '\'', ..] => 1,
        _ => 0,
    };
    let body = &rest[prefix..];
    if prefix > 0 && rest[prefix - 1] == 'r' {
        let hashes = body.iter().take_while(|c| **c == '#').count();
        if body.get(hashes) != Some(&'"') {
            return None;
        }
        let mut at = hashes + 1;
        while at < body.len() {
            let closing = body[at + 1..].iter().take_while(|c| **c == '#').count();
            if body[at] == '"' && closing >= hashes {
                return Some(prefix + at + 1 + hashes);
            }
            at += 1;
        }
        return Some(rest.len());
    }
    let quote = match body {
        ['"', ..] => '"',
        ['\'', '\\', ..] | ['\'', _, '\'', ..] => '\'',
        _ => return None,
    };
    let mut at = 1;
    while at < body.len() && body[at] != quote {
        at += if body[at] == '\\' { 2 } else { 1 };
    }
    Some(prefix + (at + 1).min(body.len()))
}

/// Cuts masked text into tokens.
fn tokens(masked: &str) -> Vec<Token> {
    let mut found: Vec<Token> = Vec::new();
    for (number, line) in masked.lines().enumerate() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let is_word = |c: char| c.is_alphanumeric() || c == '_';
            let length = match rest {
                _ if is_word(first) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
                _ if rest.starts_with("::") => 2,
                _ => first.len_utf8(),
            };
            let (text, behind) = rest.split_at(length);
            found.push(Token {
                text: text.to_owned(),
                line: number + 1,
            });
            rest = behind.trim_start();
        }
    }
    found
}

/// Blanks every item behind `#[cfg(test)]`, and names each `#[cfg(test)] mod x;`.
fn without_unit_tests(masked: &str) -> (String, Vec<String>) {
    let mut shipped = masked.to_owned();
    let mut files = Vec::new();
    for attribute in ["#[cfg(test)]", "#[cfg(all(test,"] {
        let mut from = 0;
        while let Some(found) = shipped[from..].find(attribute) {
            let start = from + found;
            from = start + attribute.len();
            let item = behind_attributes(&shipped[start..]);
            let Some(length) = item_length(item) else {
                continue;
            };
            let name = item[..length]
                .strip_prefix("mod ")
                .and_then(|rest| rest.strip_suffix(';'));
            files.extend(name.map(|name| name.trim().to_owned()));
            let end = shipped.len() - item.len() + length;
            let hidden = shipped[start..end].chars();
            let blank: String = hidden.map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
            shipped.replace_range(start..end, &blank);
            from = start;
        }
    }
    (shipped, files)
}

/// What follows the attributes that a text begins with.
fn behind_attributes(mut text: &str) -> &str {
    while text.starts_with("#[") {
        let mut depth = 0;
        let end = text.find(|c| {
            depth += i32::from(c == '[') - i32::from(c == ']');
            c == ']' && depth == 0
        });
        text = end.map_or("", |end| text[end + 1..].trim_start());
    }
    text
}

/// The length of the item that begins here; `None` for what is no item, such as a field or an expression.
fn item_length(text: &str) -> Option<usize> {
    const ITEMS: [&str; 9] = [
        "const",
        "enum",
        "fn",
        "impl",
        "macro_rules",
        "mod",
        "static",
        "struct",
        "use",
    ];
    let mut words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
    let first = words
        .find(|word| !matches!(*word, "" | "pub" | "crate" | "super" | "unsafe" | "extern"))?;
    if !ITEMS.contains(&first) {
        return None;
    }
    // A `use` may have braces in its middle; for the others a block is the end.
    let end = match first {
        "use" => text.find(';'),
        // The `;` in the type of an array is none of its own.
        _ => {
            let mut depth = 0;
            text.find(|c| {
                depth += i32::from(matches!(c, '[' | '(')) - i32::from(matches!(c, ']' | ')'));
                depth == 0 && matches!(c, ';' | '{')
            })
        }
    };
    let end = end.unwrap_or(text.len());
    if text[end..].starts_with('{') {
        return Some(end + block(&text[end..]));
    }
    Some((end + 1).min(text.len()))
}

/// The length of the block in braces that begins here.
fn block(text: &str) -> usize {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    text.len()
}
