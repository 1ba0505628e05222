//! Files and directories by descriptor and one name: never through a symbolic link, always close-on-exec.

use std::ffi::{CStr, CString};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{self, AtFlags, CWD, FileType, Mode, OFlags, RenameFlags};
use rustix::io::{Errno, Result};
use rustix::path::Arg;

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Calls again for as long as a signal interrupts the call.
pub(crate) fn retry<T>(mut call: impl FnMut() -> Result<T>) -> Result<T> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
}

/// What `fstat` says of a file, as far as this crate asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileStatus {
    /// The file's device and inode: what tells two files apart while either is open.
    pub(crate) identity: (u64, u64),
    /// What kind of file it is.
    pub(crate) kind: FileKind,
    /// Its permission bits (the lowest twelve).
    pub(crate) mode: u32,
    /// The uid of its owner.
    pub(crate) owner: u32,
    /// How many names it has.
    pub(crate) links: u64,
    /// Its length in bytes.
    pub(crate) len: u64,
    /// The bytes that it takes up on its file system.
    pub(crate) reserved: u64,
}

/// The kinds of files that this crate tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A named pipe.
    Fifo,
    /// A symbolic link.
    Link,
    /// Something else.
    Other,
}

impl From<fs::Stat> for FileStatus {
    #[allow(
        clippy::unnecessary_cast,
        clippy::useless_conversion,
        reason = "the fields' widths differ between architectures"
    )]
    fn from(stat: fs::Stat) -> FileStatus {
        FileStatus {
            identity: (stat.st_dev as u64, stat.st_ino as u64),
            kind: match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile => FileKind::Regular,
                FileType::Directory => FileKind::Directory,
                FileType::Fifo => FileKind::Fifo,
                FileType::Symlink => FileKind::Link,
                _ => FileKind::Other,
            },
            mode: u32::from(stat.st_mode) & 0o7777,
            owner: stat.st_uid,
            links: stat.st_nlink as u64,
            len: u64::try_from(stat.st_size).unwrap_or(0),
            reserved: u64::try_from(stat.st_blocks)
                .unwrap_or(0)
                .saturating_mul(512),
        }
    }
}

/// The status of an open file.
pub(crate) fn status(fd: impl AsFd) -> Result<FileStatus> {
    fs::fstat(fd).map(FileStatus::from)
}

/// The status of what stands under a name, of a link itself rather than of what it leads to.
pub(crate) fn status_at(dir: impl AsFd, name: impl Arg) -> Result<FileStatus> {
    fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW).map(FileStatus::from)
}

/// [`status_at`] for a whole path.
pub(crate) fn status_of_path(path: &Path) -> Result<FileStatus> {
    status_at(CWD, path)
}

/// Opens an existing directory.
pub(crate) fn open_directory_at(dir: impl AsFd, name: impl Arg + Copy) -> Result<OwnedFd> {
    retry(|| fs::openat(dir.as_fd(), name, DIRECTORY, Mode::empty()))
}

/// Opens an existing directory by a whole path, of which the last step may not be a link.
pub(crate) fn open_directory_path(path: &Path) -> Result<OwnedFd> {
    open_directory_at(CWD, path)
}

/// Makes a directory of mode 0700, whatever the umask, opens it and looks at it. It must not exist. `NOENT`, too, if
/// it was removed before it was open.
pub(crate) fn create_directory_at(
    dir: impl AsFd,
    name: impl Arg + Copy,
) -> Result<(OwnedFd, FileStatus)> {
    fs::mkdirat(dir.as_fd(), name, Mode::RWXU)?;
    let open = || open_directory_at(dir.as_fd(), name);
    let made = match open() {
        // A umask such as 0777 has taken the owner's right to open it.
        Err(Errno::ACCESS) => {
            fs::chmodat(dir.as_fd(), name, Mode::RWXU, AtFlags::empty()).and_then(|()| open())
        }
        opened => opened,
    };
    let made = made.and_then(|fd| {
        let found = status(&fd)?;
        if found.mode & 0o777 == 0o700 {
            return Ok((fd, found));
        }
        fs::fchmod(&fd, Mode::RWXU)?;
        let mended = status(&fd)?;
        Ok((fd, mended))
    });
    made.inspect_err(|errno| {
        // What was removed by another may stand there anew, made by a third.
        if *errno != Errno::NOENT {
            let _ = remove_directory_at(dir.as_fd(), name);
        }
    })
}

/// [`create_directory_at`] for a whole path.
pub(crate) fn create_directory_path(path: &Path) -> Result<(OwnedFd, FileStatus)> {
    create_directory_at(CWD, path)
}

/// Opens a directory anew: a descriptor with an open file description of its own, for `flock`.
pub(crate) fn reopen_directory(dir: impl AsFd) -> Result<OwnedFd> {
    open_directory_at(dir, c".")
}

/// Makes a regular file of mode 0600, whatever the umask, and opens it for reading and writing. It must not exist.
pub(crate) fn create_file_at(dir: impl AsFd, name: impl Arg + Copy) -> Result<OwnedFd> {
    const OWNER: Mode = Mode::RUSR.union(Mode::WUSR);
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = retry(|| fs::openat(dir.as_fd(), name, flags, OWNER))?;
    let is_right = status(&fd).and_then(|status| match status.mode == OWNER.as_raw_mode() {
        true => Ok(()),
        false => fs::fchmod(&fd, OWNER),
    });
    match is_right {
        Ok(()) => Ok(fd),
        Err(errno) => {
            let _ = unlink_at(dir, name);
            Err(errno)
        }
    }
}

/// Opens an existing file for reading and writing. Whatever stands under the name is opened without waiting;
/// look at its [`status`] before use.
pub(crate) fn open_file_at(dir: impl AsFd, name: impl Arg + Copy) -> Result<OwnedFd> {
    open_with(dir, name, OFlags::RDWR)
}

/// Opens an existing file for reading; see [`open_file_at`].
pub(crate) fn open_file_read_only_at(dir: impl AsFd, name: impl Arg + Copy) -> Result<OwnedFd> {
    open_with(dir, name, OFlags::RDONLY)
}

fn open_with(dir: impl AsFd, name: impl Arg + Copy, access: OFlags) -> Result<OwnedFd> {
    // NONBLOCK: a FIFO in the place of a regular file must not block the open.
    let flags = access | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    retry(|| fs::openat(dir.as_fd(), name, flags, Mode::empty()))
}

/// Renames, and fails with `EXIST` if the new name is taken (even by an empty directory).
pub(crate) fn rename_at(
    old_dir: impl AsFd,
    old: impl Arg,
    new_dir: impl AsFd,
    new: impl Arg,
) -> Result<()> {
    fs::renameat_with(old_dir, old, new_dir, new, RenameFlags::NOREPLACE)
}

/// Removes a name that is not a directory's.
pub(crate) fn unlink_at(dir: impl AsFd, name: impl Arg) -> Result<()> {
    fs::unlinkat(dir, name, AtFlags::empty())
}

/// Removes an empty directory.
pub(crate) fn remove_directory_at(dir: impl AsFd, name: impl Arg) -> Result<()> {
    fs::unlinkat(dir, name, AtFlags::REMOVEDIR)
}

/// [`remove_directory_at`] for a whole path.
pub(crate) fn remove_directory_path(path: &Path) -> Result<()> {
    remove_directory_at(CWD, path)
}

/// The names in a directory, without `.` and `..`, in no order. What is made or removed meanwhile may or may
/// not be among them.
pub(crate) fn names_in(dir: impl AsFd) -> Result<Vec<CString>> {
    list(&reopen_directory(dir)?)
}

/// [`names_in`] by the descriptor's own position: for one thread, and a descriptor that nobody else lists.
pub(crate) fn names_in_own(dir: impl AsFd) -> Result<Vec<CString>> {
    fs::seek(&dir, fs::SeekFrom::Start(0))?;
    list(dir)
}

fn list(dir: impl AsFd) -> Result<Vec<CString>> {
    let mut names = Vec::new();
    let mut buffer = [MaybeUninit::uninit(); 2048];
    let mut entries = fs::RawDir::new(dir, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = match entry {
            Err(Errno::INTR) => continue,
            entry => entry?,
        };
        let name = entry.file_name();
        if name != c"." && name != c".." {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// Reads a small file from its start: at most `limit` bytes.
pub(crate) fn read_from_start(fd: impl AsFd, limit: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; limit];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        let got = retry(|| rustix::io::pread(fd.as_fd(), &mut *rest, filled as u64))?;
        if got == 0 {
            break;
        }
        filled += got;
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// What one read from a file's start gives.
pub(crate) fn read_once(fd: impl AsFd, buffer: &mut [u8]) -> Result<&[u8]> {
    let got = retry(|| rustix::io::pread(fd.as_fd(), &mut *buffer, 0))?;
    Ok(buffer.get(..got).unwrap_or_default())
}

/// Writes a small file whole: what stood there before is gone.
pub(crate) fn write_whole(fd: impl AsFd, bytes: &[u8]) -> Result<()> {
    write_from_start(&fd, bytes)?;
    fs::ftruncate(fd, bytes.len() as u64)
}

/// Writes the first bytes of a file; of a new one, which has no others, all.
pub(crate) fn write_from_start(fd: impl AsFd, bytes: &[u8]) -> Result<()> {
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        match retry(|| rustix::io::pwrite(fd.as_fd(), rest, written as u64))? {
            0 => return Err(Errno::IO),
            n => written += n,
        }
    }
    Ok(())
}

/// A number that nobody else draws, from the kernel's random numbers.
pub(crate) fn random_u64() -> Result<u64> {
    random_bytes().map(u64::from_ne_bytes)
}

fn random_bytes<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0_u8; N];
    let got =
        retry(|| rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty()))?;
    if got == N { Ok(bytes) } else { Err(Errno::IO) }
}

/// A name that nobody else uses: 24 hexadecimal digits from the kernel's random numbers.
pub(crate) fn random_name() -> Result<CString> {
    name_of(random_bytes()?)
}

/// [`random_name`] and [`random_u64`] by one system call.
pub(crate) fn random_name_and_u64() -> Result<(CString, u64)> {
    let bytes: [u8; 20] = random_bytes()?;
    let (name, number) = (
        std::array::from_fn(|n| bytes[n]),
        std::array::from_fn(|n| bytes[12 + n]),
    );
    Ok((name_of(name)?, u64::from_ne_bytes(number)))
}

fn name_of(bytes: [u8; 12]) -> Result<CString> {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let text: Vec<u8> = digits
        .map(|digit| match digit {
            0..=9 => b'0' + digit,
            _ => b'a' + digit - 10,
        })
        .collect();
    CString::new(text).map_err(|_| Errno::INVAL)
}

/// Whether a name could be one of [`random_name`]'s.
pub(crate) fn is_random_name(name: &CStr) -> bool {
    let bytes = name.to_bytes();
    bytes.len() == 24 && bytes.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// The effective uid: who owns what this process makes.
pub(crate) fn effective_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}
