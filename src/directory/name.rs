//! The name of one thing in a directory.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use crate::error::{Error, Result};

/// The name of a service or of a segment: one file name, checked once.
///
/// It has 1 to 200 bytes, does not begin with `.`, and contains neither `/` nor a control character.
///
/// # Examples
/// ```
/// use osps_ipc::Name;
///
/// let name: Name = "secondary-0".parse()?;
/// assert_eq!(name.as_str(), "secondary-0");
/// assert!(Name::new("a/b").is_err());
/// # Ok::<(), osps_ipc::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Box<str>);

impl Name {
    /// The greatest length of a name in bytes. File systems allow 255: the rest is for what this crate puts
    /// behind a name to make several files of it.
    pub const MAX_LEN: usize = 200;

    /// Checks a name.
    ///
    /// # Errors
    /// [`Error::BadName`] says what is wrong with it.
    pub fn new(name: impl Into<String>) -> Result<Name> {
        let name = name.into();
        match fault(&name) {
            None => Ok(Name(name.into())),
            Some(reason) => Err(Error::BadName { name, reason }),
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn fault(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        Some("it is empty")
    } else if name.len() > Name::MAX_LEN {
        Some("it is longer than 200 bytes")
    } else if name.starts_with('.') {
        Some("it begins with '.'")
    } else if name.contains('/') {
        Some("it contains '/': a name is one file name, not a path")
    } else if name.contains('\0') {
        Some("it contains a NUL byte")
    } else if name.chars().any(char::is_control) {
        Some("it contains a control character")
    } else {
        None
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl AsRef<Path> for Name {
    fn as_ref(&self) -> &Path {
        Path::new(&*self.0)
    }
}

impl FromStr for Name {
    type Err = Error;

    fn from_str(name: &str) -> Result<Name> {
        Name::new(name)
    }
}

impl TryFrom<&str> for Name {
    type Error = Error;

    fn try_from(name: &str) -> Result<Name> {
        Name::new(name)
    }
}

impl TryFrom<String> for Name {
    type Error = Error;

    fn try_from(name: String) -> Result<Name> {
        Name::new(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_visible_file_name() {
        for good in ["a", "primary", "a.b", "über uns", &"x".repeat(200)] {
            assert_eq!(Name::new(good).unwrap().as_str(), good);
        }
        for (bad, why) in [
            ("", "empty"),
            (".", "begins with"),
            ("..", "begins with"),
            (".tmp", "begins with"),
            ("a/b", "not a path"),
            ("/", "not a path"),
            ("a\0", "NUL"),
            ("a\n", "control"),
            (&"x".repeat(201), "longer than 200"),
        ] {
            let message = Name::new(bad).unwrap_err().to_string();
            assert!(message.contains(why), "{message}");
        }
    }
}
