//! Which time namespace this process is in: clocks of two namespaces cannot be compared.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{fork, process};

/// The inode of this process's time namespace; 0 where the kernel has none. Looked for once: a process keeps it,
/// and one that makes another puts its children there.
pub(crate) fn time_namespace() -> u64 {
    static INODE: AtomicU64 = AtomicU64::new(0);
    // The stamp of the process that looked.
    static LOOKED: AtomicU64 = AtomicU64::new(0);
    let stamp = fork::stamp().value();
    if LOOKED.load(Ordering::Acquire) != stamp {
        INODE.store(
            process::namespace("/proc/self/ns/time").unwrap_or(0),
            Ordering::Relaxed,
        );
        LOOKED.store(stamp, Ordering::Release);
    }
    INODE.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_namespace_is_looked_for_once_and_is_the_one_that_proc_shows() {
        let shown = process::namespace("/proc/self/ns/time").unwrap_or(0);
        assert_eq!([time_namespace(), time_namespace()], [shown, shown]);
    }
}
