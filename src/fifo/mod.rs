//! Named pipes between two processes: doorbells, and pairs that carry frames.

mod bell;

pub(crate) use bell::{BellReader, BellWriter, Ring, make_bell};

#[cfg(test)]
pub(crate) mod testing {
    use std::ops::Deref;

    use crate::directory::Directory;
    use crate::sys::file;

    /// A directory that goes away with its contents.
    pub(crate) struct Temporary(Directory);

    impl Temporary {
        pub(crate) fn new() -> Temporary {
            let name = file::random_name().unwrap().into_string().unwrap();
            let path = std::env::temp_dir().join(format!("osps-ipc-test-{name}"));
            Temporary(Directory::create(path).unwrap())
        }
    }

    impl Deref for Temporary {
        type Target = Directory;

        fn deref(&self) -> &Directory {
            &self.0
        }
    }

    impl Drop for Temporary {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(self.0.path());
        }
    }
}
