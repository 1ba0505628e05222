//! What this process is allowed.

use rustix::process::{Resource, getrlimit};

/// How many descriptors this process may have open (the soft limit).
pub(crate) fn descriptor_limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}
