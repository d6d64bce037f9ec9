//! Walking through a folder that belongs to somebody who may change it meanwhile.
//!
//! For: finding everything in a workspace without ever leaving it: each folder is opened from the
//! one above and no link is followed, so that one put in its place leads nowhere.
//! Not for: folders that THON trusts.

use std::collections::BTreeSet;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

/// How a folder is opened.
pub(crate) const FOLDER: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// How deep folders may lie in each other. Each level holds one open file.
const DEEPEST: usize = 256;

/// Something that was found.
pub(crate) struct Found<'a> {
    /// The folder that it is in.
    pub(crate) folder: BorrowedFd<'a>,
    /// Its name in there.
    pub(crate) name: &'a CStr,
    /// Its path from where the walk began.
    pub(crate) path: &'a [u8],
    /// What it is.
    pub(crate) stat: &'a Stat,
}

impl Found<'_> {
    /// What kind of thing it is.
    pub(crate) fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }
}

/// Opens the folder that a walk begins at.
pub(crate) fn open(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(path, FOLDER, Mode::empty())?)
}

/// Shows everything below `root` to `visit`, a folder before what is in it, names in their order.
/// What vanishes meanwhile is passed over.
pub(crate) fn walk(
    root: &OwnedFd,
    visit: &mut dyn FnMut(&Found<'_>) -> io::Result<()>,
) -> io::Result<()> {
    descend(root.as_fd(), &mut Vec::new(), 0, visit)
}

fn descend(
    folder: BorrowedFd<'_>,
    path: &mut Vec<u8>,
    depth: usize,
    visit: &mut dyn FnMut(&Found<'_>) -> io::Result<()>,
) -> io::Result<()> {
    if depth > DEEPEST {
        return Err(io::Error::other(format!("folders lie in each other deeper than {DEEPEST}")));
    }
    let mut names: Vec<CString> = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
    }
    names.sort();
    let above = path.len();
    for name in names {
        let stat = match rustix::fs::statat(folder, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => continue,
            Err(error) => return Err(error.into()),
        };
        if above > 0 {
            path.push(b'/');
        }
        path.extend_from_slice(name.to_bytes());
        let found = Found { folder, name: &name, path, stat: &stat };
        visit(&found).map_err(|error| at(path, &error))?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            match rustix::fs::openat(folder, &name, FOLDER, Mode::empty()) {
                Ok(inner) => descend(inner.as_fd(), path, depth + 1, visit)?,
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                Err(error) => return Err(at(path, &error.into())),
            }
        }
        path.truncate(above);
    }
    Ok(())
}

/// The error with the place where it happened.
pub(crate) fn at(path: &[u8], error: &io::Error) -> io::Error {
    let path = String::from_utf8_lossy(path);
    io::Error::new(error.kind(), format!("{}: {error}", thon_core::name::quoted(&path)))
}

/// What a folder with everything in it takes on the disk, and when something in it last changed.
pub(crate) fn measure(path: &Path) -> io::Result<(u64, SystemTime)> {
    let root = open(path)?;
    let own = rustix::fs::fstat(&root)?;
    let (mut blocks, mut changed) = (own.st_blocks.cast_unsigned(), own.st_ctime);
    let mut twice = BTreeSet::new();
    walk(&root, &mut |found| {
        changed = changed.max(found.stat.st_ctime);
        let linked = found.stat.st_nlink > 1 && found.kind() != FileType::Directory;
        if !linked || twice.insert((found.stat.st_dev, found.stat.st_ino)) {
            blocks = blocks.saturating_add(found.stat.st_blocks.cast_unsigned());
        }
        Ok(())
    })?;
    let changed = Duration::from_secs(u64::try_from(changed).unwrap_or_default());
    Ok((blocks.saturating_mul(512), SystemTime::UNIX_EPOCH + changed))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn everything_is_found_and_nothing_outside() {
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret"), "x".repeat(1 << 20)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("a/b")).unwrap();
        std::fs::write(folder.path().join("a/b/file"), "x".repeat(5000)).unwrap();
        std::fs::hard_link(folder.path().join("a/b/file"), folder.path().join("twin")).unwrap();
        symlink(outside.path(), folder.path().join("out")).unwrap();

        let mut seen = Vec::new();
        let root = open(folder.path()).unwrap();
        walk(&root, &mut |found| {
            seen.push(String::from_utf8(found.path.to_vec()).unwrap());
            Ok(())
        })
        .unwrap();
        assert_eq!(seen, ["a", "a/b", "a/b/file", "out", "twin"]);
        let (size, _) = measure(folder.path()).unwrap();
        assert!((5000..500_000).contains(&size), "{size}");
        assert!(open(&folder.path().join("out")).is_err(), "a link is no folder to begin at");
    }
}
