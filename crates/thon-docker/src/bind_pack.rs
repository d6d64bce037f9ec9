//! A workspace in a folder of the host, as a tar archive.
//!
//! For: writing what is in it and replacing it, without following a link that its user may put in
//! the way at any moment.
//! Not for: checking an archive of unknown origin; that is done before one comes here.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Timespec, Timestamps};
use rustix::io::Errno;
use rustix::process::{Gid, Uid};
use tar::{EntryType, Header};
use thon_core::sandbox::USER_ID;

use crate::tree::{self, FOLDER, Found};

/// Writes everything below `root` as a tar archive. Sockets, pipes and devices are left out.
pub(crate) fn pack(root: &OwnedFd, to: impl Write) -> io::Result<()> {
    let mut archive = tar::Builder::new(to);
    let own = rustix::fs::fstat(root)?;
    archive.append_data(&mut header(EntryType::Directory, &own), "./", io::empty())?;
    let mut linked = BTreeMap::new();
    tree::walk(root, &mut |found| add(&mut archive, &mut linked, found))?;
    archive.into_inner()?.flush()
}

fn add<W: Write>(
    archive: &mut tar::Builder<W>,
    linked: &mut BTreeMap<(u64, u64), Vec<u8>>,
    found: &Found<'_>,
) -> io::Result<()> {
    let path = Path::new(OsStr::from_bytes(found.path));
    match found.kind() {
        FileType::Directory => {
            let path = [found.path, b"/"].concat();
            let path = Path::new(OsStr::from_bytes(&path));
            archive.append_data(&mut header(EntryType::Directory, found.stat), path, io::empty())
        }
        FileType::Symlink => {
            let target = match rustix::fs::readlinkat(found.folder, found.name, Vec::new()) {
                Ok(target) => target,
                Err(Errno::NOENT | Errno::INVAL) => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            let target = OsStr::from_bytes(target.to_bytes());
            archive.append_link(&mut header(EntryType::Symlink, found.stat), path, target)
        }
        FileType::RegularFile => {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let file = match rustix::fs::openat(found.folder, found.name, flags, Mode::empty()) {
                Ok(file) => file,
                Err(Errno::NOENT | Errno::LOOP | Errno::NXIO) => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            let stat = rustix::fs::fstat(&file)?;
            if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
                return Ok(());
            }
            if stat.st_nlink > 1 {
                let first =
                    linked.entry((stat.st_dev, stat.st_ino)).or_insert_with(|| found.path.to_vec());
                if first != found.path {
                    let target = Path::new(OsStr::from_bytes(first));
                    return archive.append_link(&mut header(EntryType::Link, &stat), path, target);
                }
            }
            let mut header = header(EntryType::Regular, &stat);
            let size = u64::try_from(stat.st_size).unwrap_or_default();
            header.set_size(size);
            archive.append_data(&mut header, path, Whole { file: File::from(file), left: size })
        }
        _ => Ok(()),
    }
}

fn header(kind: EntryType, stat: &rustix::fs::Stat) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(stat.st_mode & 0o7777);
    header.set_uid(stat.st_uid.into());
    header.set_gid(stat.st_gid.into());
    header.set_mtime(u64::try_from(stat.st_mtime).unwrap_or_default());
    header.set_size(0);
    header
}

/// A file of exactly the size that its header says: what grows is cut, what shrinks is an error.
struct Whole {
    file: File,
    left: u64,
}

impl Read for Whole {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if most == 0 {
            return Ok(0);
        }
        let read = self.file.read(&mut buffer[..most])?;
        if read == 0 {
            let cause = "it became shorter while it was read";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, cause));
        }
        self.left -= read as u64;
        Ok(read)
    }
}

/// To whom that belongs which is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// To whom the archive says; root alone can do that.
    AsSaid,
    /// To the sandbox's user, who writes it.
    Ours,
    /// To whoever runs this: it has to be open to the sandbox's user, as the folder is.
    Open,
}

/// Writes what is in the archive into the folder `root`. A file takes the place of a file or a
/// link; a folder that is there stays with what is in it.
pub(crate) fn unpack(root: &OwnedFd, from: impl Read) -> io::Result<()> {
    let owner = match rustix::process::geteuid().as_raw() {
        0 => Owner::AsSaid,
        USER_ID => Owner::Ours,
        _ => Owner::Open,
    };
    let mut archive = tar::Archive::new(from);
    let mut way = Way { root, at: None };
    // When everything is in its place: a folder that nobody may write to still has to be filled,
    // and filling it changes its time.
    let mut folders = Vec::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path_bytes().into_owned();
        let path = path.strip_suffix(b"/").unwrap_or(&path).to_vec();
        write(&mut way, &path, &mut entry, owner, &mut folders)
            .map_err(|error| tree::at(&path, &error))?;
    }
    for (path, mode, modified) in folders.into_iter().rev() {
        let set = || -> io::Result<()> {
            let folder = open_below(root, &path)?;
            rustix::fs::fchmod(&folder, Mode::from_raw_mode(mode))?;
            Ok(rustix::fs::futimens(&folder, &times(modified))?)
        };
        set().map_err(|error| tree::at(&path, &error))?;
    }
    Ok(())
}

fn write<R: Read>(
    way: &mut Way<'_>,
    path: &[u8],
    entry: &mut tar::Entry<'_, R>,
    owner: Owner,
    folders: &mut Vec<(Vec<u8>, u32, u64)>,
) -> io::Result<()> {
    let said = entry.header().clone();
    let modified = said.mtime().unwrap_or_default();
    let mode = mode(said.mode().unwrap_or(0o644) & 0o1777, owner);
    let (uid, gid) = (id(said.uid()?)?, id(said.gid()?)?);
    let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    let give = owner == Owner::AsSaid;
    let (folder, name) = way.to(path, owner)?;
    let target = entry.link_name_bytes().map(std::borrow::Cow::into_owned).unwrap_or_default();
    match said.entry_type() {
        EntryType::Directory => {
            make_folder(folder, name, owner)?;
            let inner = rustix::fs::openat(folder, name, FOLDER, Mode::empty())?;
            if give {
                rustix::fs::fchown(&inner, uid, gid)?;
            }
            folders.push((path.to_vec(), mode, modified));
        }
        EntryType::Symlink => {
            clear(folder, name)?;
            rustix::fs::symlinkat(&*target, folder, name)?;
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            if give {
                rustix::fs::chownat(folder, name, uid, gid, flags)?;
            }
            rustix::fs::utimensat(folder, name, &times(modified), flags)?;
        }
        EntryType::Link => {
            let (above, last) = split(&target);
            let source = open_below(way.root, above)?;
            let (folder, name) = way.to(path, owner)?;
            clear(folder, name)?;
            rustix::fs::linkat(&source, last, folder, name, AtFlags::empty())?;
        }
        EntryType::Regular => {
            clear(folder, name)?;
            let flags =
                OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let mut file = File::from(rustix::fs::openat(folder, name, flags, Mode::RUSR)?);
            let written = io::copy(entry, &mut file)?;
            if written != entry.size() {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
            }
            if give {
                rustix::fs::fchown(&file, uid, gid)?;
            }
            rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))?;
            rustix::fs::futimens(&file, &times(modified))?;
        }
        _ => return Err(io::Error::other("it is no file, folder or link")),
    }
    Ok(())
}

/// The folder that was written to last, so that not every file is sought from the root.
struct Way<'a> {
    root: &'a OwnedFd,
    at: Option<(Vec<u8>, OwnedFd)>,
}

impl Way<'_> {
    /// The folder in which `path` ends, made where it isn't there, and the last name.
    fn to<'p>(&mut self, path: &'p [u8], owner: Owner) -> io::Result<(&OwnedFd, &'p [u8])> {
        let (above, name) = split(path);
        if matches!(name, b"" | b"." | b"..") {
            return Err(io::Error::other("it is no plain path"));
        }
        if above.is_empty() {
            return Ok((self.root, name));
        }
        if self.at.as_ref().is_none_or(|(present, _)| present != above) {
            let mut folder = self.root.try_clone()?;
            for part in above.split(|byte| *byte == b'/') {
                if matches!(part, b"" | b"." | b"..") {
                    return Err(io::Error::other("it is no plain path"));
                }
                make_folder(&folder, part, owner)?;
                folder = rustix::fs::openat(&folder, part, FOLDER, Mode::empty())?;
            }
            self.at = Some((above.to_vec(), folder));
        }
        let folder = self.at.as_ref().map_or(self.root, |(_, folder)| folder);
        Ok((folder, name))
    }
}

/// Opens a folder below `root` that is there.
fn open_below(root: &OwnedFd, path: &[u8]) -> io::Result<OwnedFd> {
    let mut folder = root.try_clone()?;
    for part in path.split(|byte| *byte == b'/').filter(|part| !part.is_empty()) {
        if matches!(part, b"." | b"..") {
            return Err(io::Error::other("it is no plain path"));
        }
        folder = rustix::fs::openat(&folder, part, FOLDER, Mode::empty())?;
    }
    Ok(folder)
}

fn make_folder(above: &OwnedFd, name: &[u8], owner: Owner) -> io::Result<()> {
    match rustix::fs::mkdirat(above, name, Mode::RWXU) {
        Ok(()) => {}
        Err(Errno::EXIST) => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    let inner = rustix::fs::openat(above, name, FOLDER, Mode::empty())?;
    // One that the archive doesn't name is the sandbox's user's, as everything else.
    if owner == Owner::AsSaid {
        let (uid, gid) = (Uid::from_raw(USER_ID), Gid::from_raw(USER_ID));
        rustix::fs::fchown(&inner, Some(uid), Some(gid))?;
    }
    let mode = Mode::from_raw_mode(mode(0o755, owner));
    Ok(rustix::fs::fchmod(&inner, mode)?)
}

/// Takes away what has the name, if it is no folder.
fn clear(folder: &OwnedFd, name: &[u8]) -> io::Result<()> {
    match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// What the owner may do, everyone may where the sandbox's user can't be the owner.
const fn mode(said: u32, owner: Owner) -> u32 {
    match owner {
        Owner::Open => said | ((said >> 6) & 0o7) | ((said >> 3) & 0o70),
        Owner::AsSaid | Owner::Ours => said,
    }
}

fn split(path: &[u8]) -> (&[u8], &[u8]) {
    let at = path.iter().rposition(|byte| *byte == b'/');
    at.map_or((&[], path), |at| (&path[..at], &path[at + 1..]))
}

fn id(said: u64) -> io::Result<u32> {
    let fits = u32::try_from(said).ok().filter(|id| *id != u32::MAX);
    fits.ok_or_else(|| io::Error::other(format!("{said} is the number of no user")))
}

fn times(modified: u64) -> Timestamps {
    let seconds = i64::try_from(modified).unwrap_or(i64::MAX);
    let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
    Timestamps { last_access: time, last_modification: time }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    fn packed(path: &Path) -> Vec<u8> {
        let mut tar = Vec::new();
        pack(&tree::open(path).unwrap(), &mut tar).unwrap();
        tar
    }

    #[test]
    fn a_workspace_is_the_same_after_a_journey() {
        let from = tempfile::tempdir().unwrap();
        let path = from.path();
        fs::create_dir_all(path.join("empty")).unwrap();
        fs::create_dir_all(path.join("closed")).unwrap();
        fs::write(path.join("closed/Größe 日本.txt"), "hello").unwrap();
        fs::hard_link(path.join("closed/Größe 日本.txt"), path.join("twin")).unwrap();
        let long = format!("{}/{}", "d".repeat(120), "f".repeat(120));
        fs::create_dir(path.join("d".repeat(120))).unwrap();
        fs::write(path.join(&long), vec![7; 70_000]).unwrap();
        symlink("closed/nowhere", path.join("link")).unwrap();
        symlink("x".repeat(200), path.join("far")).unwrap();
        fs::set_permissions(path.join(&long), PermissionsExt::from_mode(0o755)).unwrap();
        fs::set_permissions(path.join("closed"), PermissionsExt::from_mode(0o500)).unwrap();

        let to = tempfile::tempdir().unwrap();
        let root = tree::open(to.path()).unwrap();
        let archive = strip(&packed(path));
        for _ in 0..2 {
            unpack(&root, &*archive).unwrap();
        }
        let there = to.path();
        assert_eq!(fs::read(there.join("closed/Größe 日本.txt")).unwrap(), b"hello");
        assert_eq!(fs::metadata(there.join("twin")).unwrap().nlink(), 2);
        assert_eq!(fs::read(there.join(&long)).unwrap(), vec![7; 70_000]);
        assert_eq!(fs::read_link(there.join("link")).unwrap(), Path::new("closed/nowhere"));
        assert_eq!(fs::read_link(there.join("far")).unwrap(), Path::new(&"x".repeat(200)));
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o700;
        assert_eq!(mode(&there.join(&long)), 0o700);
        assert_eq!(mode(&there.join("closed")), 0o500);
        let time = |path: &Path| fs::metadata(path).unwrap().mtime();
        assert_eq!(time(&there.join("closed")), time(&path.join("closed")));
        for path in [path, there] {
            fs::set_permissions(path.join("closed"), PermissionsExt::from_mode(0o700)).unwrap();
        }
    }

    /// The archive without the entry of the folder itself, as it comes here.
    fn strip(archive: &[u8]) -> Vec<u8> {
        archive[512..].to_vec()
    }

    #[test]
    fn nothing_is_written_through_a_link_that_is_there() {
        let outside = tempfile::tempdir().unwrap();
        let from = tempfile::tempdir().unwrap();
        fs::create_dir(from.path().join("out")).unwrap();
        fs::write(from.path().join("out/file"), "x").unwrap();
        let archive = strip(&packed(from.path()));

        let to = tempfile::tempdir().unwrap();
        symlink(outside.path(), to.path().join("out")).unwrap();
        assert!(unpack(&tree::open(to.path()).unwrap(), &*archive).is_err());
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);

        // A link that has the name of a file gives way to it.
        fs::remove_file(to.path().join("out")).unwrap();
        fs::create_dir(to.path().join("out")).unwrap();
        fs::write(outside.path().join("passwd"), "kept").unwrap();
        symlink(outside.path().join("passwd"), to.path().join("out/file")).unwrap();
        unpack(&tree::open(to.path()).unwrap(), &*archive).unwrap();
        assert_eq!(fs::read_to_string(outside.path().join("passwd")).unwrap(), "kept");
        assert_eq!(fs::read_to_string(to.path().join("out/file")).unwrap(), "x");
    }

    #[test]
    fn what_is_no_file_is_left_out() {
        let from = tempfile::tempdir().unwrap();
        let socket = from.path().join("socket");
        let _socket = std::os::unix::net::UnixListener::bind(socket).unwrap();
        let mut archive = &*packed(from.path());
        assert_eq!(tar::Archive::new(&mut archive).entries().unwrap().count(), 1);
    }
}
