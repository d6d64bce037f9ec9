//! Writing files that must be whole and private.
//!
//! For: replacing a file at once or not at all, mode 0600 from its first byte.
//! Not for: files that others may read.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use thon_core::adapter::{Failure, FailureKind};

/// Replaces `path` by a file with `contents` that only its owner may read. A reader sees the old
/// file or the new one; a crash leaves one of the two.
pub fn write_private(path: &Path, contents: &[u8]) -> Result<(), Failure> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let beside = path.with_file_name(name);
    let result = replace(path, &beside, contents);
    if result.is_err() {
        drop(std::fs::remove_file(&beside));
    }
    result.map_err(|cause| failure(&format!("writing {}", path.display()), &cause))
}

/// A failure with a file or folder of ours, and what helps against it.
pub(crate) fn failure(tried: &str, cause: &std::io::Error) -> Failure {
    let (kind, advice) = match cause.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            (FailureKind::Other, "free some space on that disk, then try again")
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => (
            FailureKind::Denied,
            "make the folder writable, or name another (THON's own: THON_HOME)",
        ),
        ErrorKind::NotFound => (FailureKind::Missing, "make the folder first, or name another"),
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => (
            FailureKind::Conflict,
            "move the file away that is in the place of the folder, or name another (THON's own: \
             THON_HOME)",
        ),
        _ => (FailureKind::Other, "check the folder and its disk"),
    };
    Failure::new(kind, tried, cause.to_string(), advice)
}

fn replace(path: &Path, beside: &PathBuf, contents: &[u8]) -> std::io::Result<()> {
    // A file of that name is left over from a process with our number that was killed.
    drop(std::fs::remove_file(beside));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(beside)?;
    file.write_all(contents)?;
    file.sync_all()?;
    std::fs::rename(beside, path)?;
    // The rename itself lives in the folder; a bare name lives in the current one.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_file_is_private_and_replaced_whole() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("secret");
        std::fs::write(&path, "an older and longer text").unwrap();
        write_private(&path, b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_full_disk_is_no_question_of_rights() {
        let of = |kind: ErrorKind| failure("writing /x", &kind.into());
        for full in [ErrorKind::StorageFull, ErrorKind::QuotaExceeded] {
            assert_eq!(of(full).kind, FailureKind::Other);
            assert!(of(full).advice.contains("free some space"), "{}", of(full));
        }
        assert_eq!(of(ErrorKind::PermissionDenied).kind, FailureKind::Denied);
        assert_eq!(of(ErrorKind::ReadOnlyFilesystem).kind, FailureKind::Denied);
        assert_eq!(of(ErrorKind::NotFound).kind, FailureKind::Missing);
    }

    #[test]
    fn a_failure_names_the_file_and_leaves_the_old_one() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("folder");
        std::fs::create_dir_all(path.join("full")).unwrap();
        let failure = write_private(&path, b"x").unwrap_err();
        assert!(failure.to_string().contains("folder"), "{failure}");
        assert!(path.is_dir());
        assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 1);
    }
}
