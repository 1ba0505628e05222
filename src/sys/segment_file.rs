//! What only segments ask of files: made without a name, sealed, with all their pages.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{self, AtFlags, CWD, MemfdFlags, Mode, OFlags, SealFlags};
use rustix::io::{Errno, Result};
use rustix::path::Arg;

use super::file::{self, FileStatus, retry};

/// The seals of an anonymous segment: its length is fixed, and so are the seals.
const SEALS: SealFlags = SealFlags::SHRINK
    .union(SealFlags::GROW)
    .union(SealFlags::SEAL);

/// The seals that would take the right to write away.
const WRITE_SEALS: SealFlags = SealFlags::WRITE.union(SealFlags::FUTURE_WRITE);

/// What `statfs` says of tmpfs, where a page that was never reserved is a SIGBUS when there is no room for it.
const TMPFS: u64 = 0x0102_1994;

/// A new file of mode 0600 that gets its name when it is complete. Dropped before, it leaves nothing behind.
#[derive(Debug)]
pub(crate) struct Unpublished<'dir> {
    dir: BorrowedFd<'dir>,
    fd: OwnedFd,
    /// The name that it had to be made under where the file system knows no files without one.
    temporary: Option<CString>,
}

impl<'dir> Unpublished<'dir> {
    pub(crate) fn create(dir: BorrowedFd<'dir>) -> Result<Unpublished<'dir>> {
        let mode = Mode::RUSR | Mode::WUSR;
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let new = match retry(|| fs::openat(dir, c".", flags, mode)) {
            Ok(fd) => Unpublished {
                dir,
                fd,
                temporary: None,
            },
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOENT | Errno::INVAL) => {
                Unpublished::under_a_temporary_name(dir)?
            }
            Err(errno) => return Err(errno),
        };
        // The umask may have taken the owner's bits.
        fs::fchmod(&new.fd, mode)?;
        Ok(new)
    }

    fn under_a_temporary_name(dir: BorrowedFd<'dir>) -> Result<Unpublished<'dir>> {
        let name = file::random_name()?;
        let fd = file::create_file_at(dir, name.as_c_str())?;
        Ok(Unpublished {
            dir,
            fd,
            temporary: Some(name),
        })
    }

    /// Gives it its name, which must be free (else `EXIST`).
    pub(crate) fn publish(mut self, name: impl Arg + Copy) -> Result<()> {
        if let Some(temporary) = &self.temporary {
            file::rename_at(self.dir, temporary.as_c_str(), self.dir, name)?;
            self.temporary = None;
            return Ok(());
        }
        match fs::linkat(&self.fd, c"", self.dir, name, AtFlags::EMPTY_PATH) {
            // Kernels before 6.10 want a capability for it, but let everybody go through /proc.
            Err(Errno::NOENT | Errno::PERM) => {
                let path = format!("/proc/self/fd/{}", self.fd.as_raw_fd());
                fs::linkat(CWD, path, self.dir, name, AtFlags::SYMLINK_FOLLOW)
            }
            linked => linked,
        }
    }
}

impl AsFd for Unpublished<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Unpublished<'_> {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            let _ = file::unlink_at(self.dir, temporary.as_c_str());
        }
    }
}

/// A new file without any name, close-on-exec and not executable, which can still be sealed.
pub(crate) fn create_memfd() -> Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    match fs::memfd_create(c"osps-ipc", flags | MemfdFlags::NOEXEC_SEAL) {
        // Kernels before 6.3 do not know the last flag.
        Err(Errno::INVAL) => fs::memfd_create(c"osps-ipc", flags),
        created => created,
    }
}

/// Fixes the length of a memfd for good.
pub(crate) fn seal(fd: impl AsFd) -> Result<()> {
    fs::fcntl_add_seals(fd, SEALS)
}

/// Whether a file is a memfd whose length is fixed for good and that can be written; else what it is.
pub(crate) fn check_seals(fd: impl AsFd) -> std::result::Result<(), String> {
    match fs::fcntl_get_seals(fd) {
        Ok(seals) if seals.contains(SEALS) && !seals.intersects(WRITE_SEALS) => Ok(()),
        Ok(seals) => Err(format!("{seals:?}")),
        Err(_) => Err("none: it is no memfd".to_owned()),
    }
}

/// What [`check_seals`] wants, for messages.
pub(crate) const SEALS_WANTED: &str = "SHRINK | GROW | SEAL, and none against writing";

/// Whether a file on tmpfs has pages that were never reserved; `status` is what was seen of it last.
pub(crate) fn has_holes(fd: impl AsFd, status: &FileStatus) -> Result<bool> {
    if status.reserved >= status.len {
        return Ok(false);
    }
    #[allow(
        clippy::cast_sign_loss,
        clippy::unnecessary_cast,
        reason = "its type differs between architectures"
    )]
    let kind = fs::fstatfs(fd)?.f_type as u64;
    Ok(kind == TMPFS)
}

/// The bytes of memory that a file of `len` bytes takes: whole pages.
pub(crate) fn whole_pages(len: u64) -> u64 {
    let page = rustix::param::page_size() as u64;
    len.div_ceil(page).saturating_mul(page)
}

/// How many bytes a new file could have now, if that is known. Asked before `len` bytes are reserved: more than there
/// is would fail only after all that others need was taken, or bring in the OOM killer where only memory is a limit.
pub(crate) fn room_for(fd: impl AsFd, len: u64) -> Option<u64> {
    /// From how many bytes on a look at the memory is worth its price, which is that of making a small segment.
    const LOOK_FROM: u64 = 16 << 20;
    /// The pages of less than this are soon given back.
    const ASK_FROM: u64 = 1 << 20;
    if len < ASK_FROM {
        return None;
    }
    let stat = fs::fstatvfs(fd).ok()?;
    match stat.f_blocks {
        // A memfd, or a tmpfs without a limit.
        0 if len >= LOOK_FROM => available_memory(),
        0 => None,
        _ => Some(stat.f_bavail.saturating_mul(stat.f_frsize)),
    }
}

/// About how many bytes of memory (with swap) could be had now; `None` if `/proc` does not say.
fn available_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        kib.checked_mul(1024)
    };
    Some(field("MemAvailable:")?.saturating_add(field("SwapFree:").unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::testing::Scratch;

    #[test]
    fn a_new_file_has_no_name_until_it_is_published_and_takes_no_name_that_is_taken() {
        let dir = Scratch::new();
        let first = Unpublished::create(dir.fd().as_fd()).unwrap();
        let second = Unpublished::create(dir.fd().as_fd()).unwrap();
        assert!(first.temporary.is_some() || dir.count() == 0);
        first.publish(c"name").unwrap();
        assert_eq!(second.publish(c"name"), Err(Errno::EXIST));
        assert_eq!(dir.count(), 1);
    }

    #[test]
    fn where_files_need_a_name_a_temporary_one_is_replaced_or_removed() {
        let dir = Scratch::new();
        let first = Unpublished::under_a_temporary_name(dir.fd().as_fd()).unwrap();
        let second = Unpublished::under_a_temporary_name(dir.fd().as_fd()).unwrap();
        let third = Unpublished::under_a_temporary_name(dir.fd().as_fd()).unwrap();
        assert_eq!(dir.count(), 3);
        drop(third);
        first.publish(c"name").unwrap();
        assert_eq!(second.publish(c"name"), Err(Errno::EXIST));
        assert_eq!(dir.count(), 1);
        assert!(file::status_at(dir.fd(), c"name").is_ok());
    }

    #[test]
    fn a_file_takes_whole_pages() {
        let page = rustix::param::page_size() as u64;
        assert_eq!(
            [0, 1, page, page + 1].map(whole_pages),
            [0, page, page, 2 * page]
        );
        assert!(whole_pages(u64::MAX) >= u64::MAX - page);
    }

    #[test]
    fn the_room_for_a_file_is_what_its_file_system_or_the_memory_has() {
        let dir = Scratch::new();
        let limited = Unpublished::create(dir.fd().as_fd()).unwrap();
        assert!(room_for(&limited, 1 << 20).is_some_and(|bytes| bytes > 0));
        let memfd = create_memfd().unwrap();
        assert_eq!(room_for(&memfd, 4096), None);
        assert!(room_for(&memfd, 1 << 30).is_some_and(|bytes| bytes > 0));
    }
}
