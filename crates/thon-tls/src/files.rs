//! Files that others must not read, and pairs of files that must not be seen half-written.
//!
//! For: the folder with its lock, staging folders, and replacing files at once.
//! Not for: what is in the files.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use thon_core::adapter::{Failure, FailureKind};

/// The mode of a file with a secret in it.
pub(crate) const PRIVATE: u32 = 0o600;
/// The mode of a file that is to be handed out.
pub(crate) const PUBLIC: u32 = 0o644;

/// How staging folders begin: what a killed run left behind is known by it.
const STAGING: &str = ".staging-";
/// How long another run may hold the folder. certbot, the slowest, ends within its own limit.
const LOCK_LIMIT: Duration = Duration::from_mins(10);

/// Does what waits for the disk where waiting holds nobody up.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Failure::new(
            FailureKind::Other,
            "working on the certificate's files",
            error.to_string(),
            "run it again; if it happens again, report it with this line",
        )),
    }
}

/// A failure with a file or a folder.
pub(crate) fn failure(tried: &str, path: &Path, error: &io::Error) -> Failure {
    let (kind, advice) = match error.kind() {
        io::ErrorKind::NotFound => (FailureKind::Missing, "check that the folder exists"),
        io::ErrorKind::PermissionDenied => {
            (FailureKind::Denied, "run THON as the user that the folder belongs to, or as root")
        }
        io::ErrorKind::StorageFull => (FailureKind::Other, "free some space on that disk"),
        io::ErrorKind::ReadOnlyFilesystem => {
            (FailureKind::Denied, "name a folder on a writable disk in nginx.ssl_dir")
        }
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => (
            FailureKind::Conflict,
            "move the file away that is in the place of a folder, or name another folder in \
             nginx.ssl_dir",
        ),
        _ => (FailureKind::Other, "check the folder and its disk"),
    };
    Failure::new(kind, format!("{tried} {}", path.display()), error.to_string(), advice)
}

/// Makes the folder, mode 0700, if it isn't there, and refuses one that strangers can write to:
/// they could put a key of theirs in the place of ours.
pub(crate) fn private_dir(dir: &Path) -> Result<(), Failure> {
    let tried = "making the folder for certificates";
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|error| failure(tried, dir, &error))?;
    let mode = dir.metadata().map_err(|error| failure(tried, dir, &error))?.permissions().mode();
    // In a folder with the sticky bit others can't replace what isn't theirs.
    if mode & 0o002 != 0 && mode & 0o1000 == 0 {
        return Err(Failure::new(
            FailureKind::Denied,
            format!("using the folder {}", dir.display()),
            format!("everyone on this machine can write to it (mode {:o})", mode & 0o7777),
            format!("take that away: chmod go-w {}", dir.display()),
        ));
    }
    Ok(())
}

/// Holds the folder against other runs of THON until it is dropped, and removes what a killed run
/// left in it.
pub(crate) fn lock(dir: &Path) -> Result<File, Failure> {
    let path = dir.join(".lock");
    let tried = "locking";
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(PRIVATE)
        .open(&path)
        .map_err(|error| failure(tried, &path, &error))?;
    let start = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(std::fs::TryLockError::Error(error)) => return Err(failure(tried, &path, &error)),
            Err(std::fs::TryLockError::WouldBlock) if start.elapsed() < LOCK_LIMIT => {
                std::thread::park_timeout(Duration::from_millis(50));
            }
            Err(std::fs::TryLockError::WouldBlock) => {
                return Err(Failure::new(
                    FailureKind::TimedOut,
                    format!("locking {}", path.display()),
                    "another run of THON holds it",
                    "wait for the other run or end it",
                ));
            }
        }
    }
    remove_leftovers(dir);
    Ok(file)
}

/// Removes staging folders; the lock says that nobody uses them. What can't be removed does no
/// harm, so it is no failure.
pub(crate) fn remove_leftovers(dir: &Path) {
    let Ok(entries) = dir.read_dir() else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(STAGING) {
            drop(std::fs::remove_dir_all(entry.path()));
        }
    }
}

/// A folder of mode 0700 beside the files that are to be made in it, so that a key is private from
/// its first byte whatever program writes it, and a rename brings it to its place.
pub(crate) fn staging(dir: &Path) -> Result<TempDir, Failure> {
    tempfile::Builder::new()
        .prefix(STAGING)
        .permissions(Permissions::from_mode(0o700))
        .tempdir_in(dir)
        .map_err(|error| failure("making a staging folder in", dir, &error))
}

/// Writes a new file with `mode` from its first byte.
pub(crate) fn create(path: &Path, content: &str, mode: u32) -> Result<(), Failure> {
    OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(mode)
        .open(path)
        .and_then(|mut file| {
            file.write_all(content.as_bytes())?;
            // The mode above passes through the umask, which may have taken bits away.
            file.set_permissions(Permissions::from_mode(mode))?;
            file.sync_all()
        })
        .map_err(|error| failure("writing", path, &error))
}

/// Replaces a file at once, unless it says the same already.
pub(crate) fn replace(path: &Path, content: &str, mode: u32) -> Result<(), Failure> {
    let same = std::fs::read(path).is_ok_and(|present| present == content.as_bytes());
    if same {
        return Ok(());
    }
    let dir = path.parent().unwrap_or(Path::new("."));
    let staging = staging(dir)?;
    let fresh = staging.path().join("new");
    create(&fresh, content, mode)?;
    move_into_place(&[(&fresh, path, mode)])
}

/// Brings files that are complete to their places, in this order, each at once. Between two of them
/// the machine may stop: the next run finds a pair that doesn't match and makes a new one.
pub(crate) fn move_into_place(moves: &[(&Path, &Path, u32)]) -> Result<(), Failure> {
    for (from, _, mode) in moves {
        OpenOptions::new()
            .read(true)
            .open(from)
            .and_then(|file| {
                file.set_permissions(Permissions::from_mode(*mode))?;
                file.sync_all()
            })
            .map_err(|error| failure("finishing", from, &error))?;
    }
    for (from, to, _) in moves {
        std::fs::rename(from, to).map_err(|error| failure("writing", to, &error))?;
    }
    for (_, to, _) in moves {
        // Without it a power cut could undo the rename. Some file systems refuse; nothing is lost.
        if let Some(Ok(dir)) = to.parent().map(File::open) {
            drop(dir.sync_all());
        }
    }
    Ok(())
}

/// The text of a file, or nothing where there is none.
pub(crate) fn read(path: &Path) -> Result<Option<String>, Failure> {
    match std::fs::read(path) {
        // Bytes that are no text are no PEM either; the parser says so.
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failure("reading", path, &error)),
    }
}

/// True if others than the owner may read the file.
pub(crate) fn is_exposed(path: &Path) -> bool {
    path.metadata().is_ok_and(|file| file.permissions().mode() & 0o077 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn the_folder_is_private_and_one_open_to_all_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("a/b");
        private_dir(&dir).unwrap();
        assert_eq!(mode(&dir), 0o700);

        std::fs::set_permissions(&dir, Permissions::from_mode(0o777)).unwrap();
        let failure = private_dir(&dir).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Denied);
        assert!(failure.advice.contains("chmod go-w"), "{failure}");
    }

    #[test]
    fn a_file_in_the_place_of_the_folder_is_named() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("tls");
        std::fs::write(&file, "").unwrap();
        for dir in [file.clone(), file.join("deeper")] {
            let failure = private_dir(&dir).unwrap_err();
            assert_eq!(failure.kind, FailureKind::Conflict, "{failure}");
            assert!(failure.to_string().contains(&*dir.to_string_lossy()), "{failure}");
            assert!(failure.advice.contains("move the file away"), "{failure}");
        }
    }

    #[test]
    fn the_lock_keeps_others_out_and_clears_what_a_killed_run_left() {
        let home = tempfile::tempdir().unwrap();
        let leftover = home.path().join(".staging-killed");
        std::fs::create_dir(&leftover).unwrap();
        std::fs::write(leftover.join("key.pem"), "half a key").unwrap();

        let held = lock(home.path()).unwrap();
        assert!(!leftover.exists());
        let other = File::open(home.path().join(".lock")).unwrap();
        assert!(other.try_lock().is_err());
        drop(held);
        assert!(other.try_lock().is_ok());
    }

    #[test]
    fn replacing_leaves_nothing_else_behind_and_does_not_touch_what_is_equal() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("rootCA.pem");
        replace(&path, "one", PUBLIC).unwrap();
        replace(&path, "two", PUBLIC).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(mode(&path), PUBLIC);

        let before = path.metadata().unwrap().modified().unwrap();
        replace(&path, "two", PUBLIC).unwrap();
        assert_eq!(path.metadata().unwrap().modified().unwrap(), before);
        assert_eq!(home.path().read_dir().unwrap().count(), 1);
    }
}
