//! What the unit tests of several modules need.

use std::ops::Deref;

use super::Directory;
use crate::sys::testing;

/// A checked directory on tmpfs that goes with the test, and all that is in it.
#[derive(Debug)]
pub(crate) struct Scratch {
    directory: Directory,
    whole: testing::Scratch,
}

impl Scratch {
    pub(crate) fn new() -> Scratch {
        let whole = testing::Scratch::new();
        let directory = Directory::open(whole.path()).unwrap();
        Scratch { directory, whole }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.whole.count() == 0
    }
}

impl Deref for Scratch {
    type Target = Directory;

    fn deref(&self) -> &Directory {
        &self.directory
    }
}
