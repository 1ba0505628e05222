//! A process of the bench: one end of one contender, told by its arguments what to be and by lines
//! on its standard input what to do. Its lines on standard output answer.
//!
//! ```text
//! left, right:  → ready                      what it needs is made
//! right:        ← serve LASTS   → serving    → did COUNT UNTIL
//! left:         ← count N | window FROM UNTIL → span FROM UNTIL COUNT
//! any:          ← end of file                 → exit          → fault TEXT, exit
//! ```

use std::io::{BufRead, Write, stdin, stdout};
use std::path::PathBuf;

use crate::contender::{Contender, Outcome, Place, Slice};
use crate::contenders;
use crate::sys::clock::now;
use crate::sys::{cpu, process};

/// The first argument of a child process.
pub(crate) const CHILD: &str = "--child";

/// Which end a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Right,
    Left,
    Idlers,
}

impl Role {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Role::Right => "right",
            Role::Left => "left",
            Role::Idlers => "idlers",
        }
    }
}

/// What the arguments of a child are, in their order.
pub(crate) fn arguments(
    role: Role,
    contender: &str,
    place: &Place,
    core: Option<usize>,
) -> Outcome<[String; 7]> {
    let dir = place.dir.to_str().ok_or("a path that is not text")?;
    Ok([
        CHILD.to_owned(),
        role.name().to_owned(),
        contender.to_owned(),
        place.job.argument(),
        dir.to_owned(),
        place.index.to_string(),
        core.map_or_else(|| "any".to_owned(), |core| core.to_string()),
    ])
}

/// Lives as the end that `arguments` (without [`CHILD`]) say, until standard input ends.
pub(crate) fn live(arguments: &[String]) -> Outcome<()> {
    process::become_child()?;
    let told = act(arguments);
    if let Err(error) = &told {
        say(&format!("fault {}", error.to_string().replace('\n', " ")))?;
    }
    told
}

fn act(arguments: &[String]) -> Outcome<()> {
    let [role, name, job, dir, index, core] = arguments else {
        return Err("a child of this bench needs six arguments".into());
    };
    if let Ok(core) = core.parse() {
        cpu::keep_to(&[core])?;
    }
    let contender = contenders::find(name).ok_or_else(|| format!("no contender {name}"))?;
    let place = Place {
        job: job.parse()?,
        dir: PathBuf::from(dir),
        index: index.parse()?,
    };
    match role.as_str() {
        "right" => be_right(contender, &place),
        "left" => be_left(contender, &place),
        _ => {
            let idlers = contender.idlers(&place)?;
            say("ready")?;
            while line()?.is_some() {}
            drop(idlers);
            Ok(())
        }
    }
}

fn be_right(contender: &dyn Contender, place: &Place) -> Outcome<()> {
    let mut right = contender.right(place)?;
    say("ready")?;
    while let Some(line) = line()? {
        let lasts = line
            .strip_prefix("serve ")
            .ok_or("a right end serves")?
            .parse()?;
        say("serving")?;
        let count = right.run(lasts)?;
        say(&format!("did {count} {}", now()))?;
    }
    Ok(())
}

fn be_left(contender: &dyn Contender, place: &Place) -> Outcome<()> {
    let mut left = contender.left(place)?;
    say("ready")?;
    while let Some(line) = line()? {
        let words: Vec<&str> = line.split(' ').collect();
        let slice = match words[..] {
            ["count", count] => Slice::Count(count.parse()?),
            ["window", from, until] => Slice::Window {
                from: from.parse()?,
                until: until.parse()?,
            },
            _ => return Err(format!("what is {line}?").into()),
        };
        let span = left.run(slice)?;
        say(&format!("span {} {} {}", span.from, span.until, span.count))?;
    }
    Ok(())
}

fn line() -> Outcome<Option<String>> {
    let mut line = String::new();
    let count = stdin().lock().read_line(&mut line)?;
    Ok((count > 0).then(|| line.trim_end().to_owned()))
}

fn say(line: &str) -> Outcome<()> {
    let mut out = stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}
