//! The database's files: private, regular, made whole.
//!
//! For: never following a link to somebody else's file, never letting others read what is in it.
//! Not for: what is in the files.

use std::fs::{OpenOptions, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use thon_core::adapter::{Failure, FailureKind};

/// What SQLite keeps beside a database.
const BESIDE: [&str; 3] = ["-wal", "-shm", "-journal"];

/// The file beside `path` whose name ends in `suffix`.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// True if the database is there. What is there has to be a file of its owner's alone, and is made
/// so where only its permissions are too wide; a link is refused, wherever it leads.
pub(crate) fn present(path: &Path) -> Result<bool, Failure> {
    for suffix in BESIDE {
        regular(&beside(path, suffix))?;
    }
    regular(path)
}

fn regular(path: &Path) -> Result<bool, Failure> {
    let refused = |cause: &str| {
        let advice = "move it away, or name another folder in THON_HOME";
        Failure::new(FailureKind::Denied, format!("using {}", path.display()), cause, advice)
    };
    let found = match std::fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(refused(&error.to_string())),
    };
    if found.is_symlink() {
        return Err(refused("it is a symbolic link"));
    }
    if !found.is_file() {
        return Err(refused("it is no file"));
    }
    if found.mode() & 0o177 != 0 {
        let private = Permissions::from_mode(0o600);
        match std::fs::set_permissions(path, private) {
            // Whoever used it last has just tidied up.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            other => other.map_err(|error| refused(&error.to_string()))?,
        }
    }
    Ok(true)
}

/// Makes an empty file that nobody else may read; one that is there is never touched.
pub(crate) fn create(path: &Path) -> std::io::Result<()> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map(drop)
}

/// Where a database is made before it gets its name.
pub(crate) fn draft(path: &Path) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    beside(path, &format!(".{}-{count}.new", std::process::id()))
}

/// Gives a draft its name, unless another process was first; either way the draft is gone.
pub(crate) fn publish(draft: &Path, path: &Path) -> std::io::Result<()> {
    let linked = std::fs::hard_link(draft, path);
    discard(draft);
    match linked {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Removes a draft and what SQLite left beside it.
pub(crate) fn discard(draft: &Path) {
    drop(std::fs::remove_file(draft));
    for suffix in BESIDE {
        drop(std::fs::remove_file(beside(draft, suffix)));
    }
}
