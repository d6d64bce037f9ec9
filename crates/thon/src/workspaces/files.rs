//! Archives in the file system, and their checksums.
//!
//! For: an archive that is there whole or not at all, read by its owner only, with its checksum in
//! a file beside it that `sha256sum -c` takes.
//! Not for: what is in an archive.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use ring::digest::{Context, SHA256};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use thon_core::adapter::{Failure, FailureKind};
use thon_core::archive::{Checksums, SUMS_FILE};

use crate::file::write_private;

/// An archive that is being written, under another name until it is whole.
pub(super) struct Draft {
    place: PathBuf,
    beside: PathBuf,
    file: BufWriter<File>,
    digest: Context,
    bytes: u64,
    done: bool,
}

impl Draft {
    /// Begins the archive that shall be at `place`, and takes away what a process left there that
    /// was killed.
    pub(super) fn begin(place: &Path) -> io::Result<Self> {
        let name = place.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let beside = |process: &str| place.with_file_name(format!(".{name}.{process}.new"));
        for entry in fs::read_dir(folder_of(place))?.flatten() {
            let found = entry.file_name().to_string_lossy().into_owned();
            let process = found.strip_prefix(&format!(".{name}."));
            let process = process.and_then(|rest| rest.strip_suffix(".new"));
            let number = process.and_then(|process| process.parse::<u32>().ok());
            if number.is_some_and(|n| !Path::new("/proc").join(n.to_string()).exists()) {
                drop(fs::remove_file(entry.path()));
            }
        }
        let beside = beside(&std::process::id().to_string());
        drop(fs::remove_file(&beside));
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        Ok(Self {
            place: place.to_owned(),
            beside,
            file: BufWriter::with_capacity(1 << 18, file),
            digest: Context::new(&SHA256),
            bytes: 0,
            done: false,
        })
    }

    /// Puts the whole archive in its place. Returns its size and its checksum. One that is there
    /// gives way only if `force` says so.
    pub(super) fn finish(mut self, force: bool) -> io::Result<(u64, String)> {
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        if force {
            fs::rename(&self.beside, &self.place)?;
        } else {
            rename_onto_nothing(&self.beside, &self.place)?;
        }
        self.done = true;
        File::open(folder_of(&self.place))?.sync_all()?;
        Ok((self.bytes, hexadecimal(self.digest.clone())))
    }
}

impl Write for Draft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.digest.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.done {
            drop(fs::remove_file(&self.beside));
        }
    }
}

/// Renames a file and never takes the place of another. The kernel does it in one step where the
/// file system can; of the others most know hard links (NFS), and those that know neither would
/// be older than Linux 4.9 or foreign.
fn rename_onto_nothing(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(()),
        Err(Errno::EXIST) => Err(io::ErrorKind::AlreadyExists.into()),
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            fs::hard_link(from, to)?;
            fs::remove_file(from)
        }
        Err(error) => Err(error.into()),
    }
}

/// The checksum of everything that can be read from `file`.
pub(super) fn checksum(mut file: impl Read) -> io::Result<String> {
    let mut digest = Context::new(&SHA256);
    let mut piece = vec![0; 1 << 18];
    loop {
        match file.read(&mut piece) {
            Ok(0) => return Ok(hexadecimal(digest)),
            Ok(read) => digest.update(&piece[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn hexadecimal(digest: Context) -> String {
    let digits = |byte: &u8| [byte >> 4, byte & 15].map(|digit| char::from_digit(digit.into(), 16));
    digest.finish().as_ref().iter().flat_map(digits).flatten().collect()
}

/// The checksums in a folder; nothing where there are none.
pub(super) fn checksums(folder: &Path) -> Result<Option<Checksums>, Failure> {
    let path = folder.join(SUMS_FILE);
    let failed = |cause: String| {
        let advice = "correct it or move it away";
        Failure::new(FailureKind::Other, format!("reading {}", path.display()), cause, advice)
    };
    match fs::read_to_string(&path) {
        Ok(text) => text.parse().map(Some).map_err(|error| failed(format!("{error}"))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(error.to_string())),
    }
}

/// Notes the checksum of a file beside it; what is noted there for others stays.
pub(super) fn note_checksum(folder: &Path, name: &str, sum: &str) -> Result<(), Failure> {
    let (_lock, mut sums) = locked_checksums(folder)?;
    sums.set(name, sum);
    write_private(&folder.join(SUMS_FILE), sums.to_string().as_bytes())
}

/// Forgets the checksum of a file that is about to be replaced: whoever is killed in between shall
/// leave a whole archive without a checksum, and not one that its checksum calls damaged.
pub(super) fn forget_checksum(folder: &Path, name: &str) -> Result<(), Failure> {
    let (_lock, mut sums) = locked_checksums(folder)?;
    if sums.remove(name) {
        write_private(&folder.join(SUMS_FILE), sums.to_string().as_bytes())?;
    }
    Ok(())
}

/// The checksums in a folder, for as long as nobody else changes them: two at once would each
/// write the other's line away.
fn locked_checksums(folder: &Path) -> Result<(File, Checksums), Failure> {
    let lock = File::open(folder).and_then(|folder| folder.lock().map(|()| folder));
    let lock = lock.map_err(|error| in_words("locking", folder, &error))?;
    Ok((lock, checksums(folder)?.unwrap_or_default()))
}

/// The folder that a file is in.
pub(super) fn folder_of(place: &Path) -> &Path {
    place.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// What went wrong with a file.
pub(super) fn in_words(doing: &str, path: &Path, error: &io::Error) -> Failure {
    let (kind, advice) = match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            (FailureKind::Denied, "choose a folder that you may write to")
        }
        io::ErrorKind::StorageFull => (FailureKind::Other, "free space on that disk"),
        io::ErrorKind::AlreadyExists => {
            (FailureKind::Conflict, "move it away, or replace it with --force")
        }
        _ => (FailureKind::Other, "look at that file and its folder"),
    };
    Failure::new(kind, format!("{doing} {}", path.display()), error.to_string(), advice)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap().flatten();
        let mut names: Vec<_> =
            entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn an_archive_is_there_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("a_b.tar.zst");
        let killed = folder.path().join(format!(".a_b.tar.zst.{}.new", i32::MAX));
        fs::write(&killed, "half").unwrap();
        let mut draft = Draft::begin(&place).unwrap();
        draft.write_all(b"abc").unwrap();
        assert!(!place.exists() && !killed.exists());
        let (bytes, sum) = draft.finish(false).unwrap();
        assert_eq!(bytes, 3);
        assert_eq!(sum, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(checksum(File::open(&place).unwrap()).unwrap(), sum);
        assert_eq!(fs::metadata(&place).unwrap().permissions().mode() & 0o777, 0o600);

        let mut other = Draft::begin(&place).unwrap();
        other.write_all(b"other").unwrap();
        assert_eq!(other.finish(false).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        drop(Draft::begin(&place).unwrap());
        assert_eq!(fs::read(&place).unwrap(), b"abc");
        let mut other = Draft::begin(&place).unwrap();
        other.write_all(b"other").unwrap();
        other.finish(true).unwrap();
        assert_eq!(fs::read(&place).unwrap(), b"other");
        assert_eq!(names(folder.path()), ["a_b.tar.zst"]);
    }

    #[test]
    fn checksums_of_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(checksums(folder.path()).unwrap(), None);
        for name in ["b", "a", "b"] {
            note_checksum(folder.path(), name, &name.repeat(64)).unwrap();
        }
        let sums = checksums(folder.path()).unwrap().unwrap();
        assert_eq!(sums.get("a"), Some(&*"a".repeat(64)));
        for name in ["a", "c"] {
            forget_checksum(folder.path(), name).unwrap();
        }
        let sums = checksums(folder.path()).unwrap().unwrap();
        assert_eq!(sums.to_string(), format!("{}  b\n", "b".repeat(64)));
        assert_eq!(names(folder.path()), ["SHA256SUMS"]);
        fs::write(folder.path().join(SUMS_FILE), "rubbish\n").unwrap();
        let failure = note_checksum(folder.path(), "a", "x").unwrap_err();
        assert!(failure.to_string().contains("SHA256SUMS: line 1"), "{failure}");
    }
}
