//! Files that are there whole or not at all, and what we remember between runs.
//!
//! For: atomic writes, the lock that keeps two runs apart, the record of what was applied and of
//! what was changed in the system's configuration.
//! Not for: what the files say.
//!
//! Everything here blocks; the callers run it off the async threads.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::NginxError;

/// How long another run may keep the lock: longer than the longest apply.
const LOCK_WAIT: Duration = Duration::from_secs(90);

/// Replaces `path` by a file with `content` and `mode`, whole or not at all.
pub(crate) fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), NginxError> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let attempt = || -> io::Result<()> {
        // The name starts with a dot: `include sites-enabled/*` never picks it up half-written.
        let mut file = tempfile::Builder::new()
            .prefix(".thon-")
            .permissions(Permissions::from_mode(mode))
            .tempfile_in(folder)?;
        file.write_all(content)?;
        // The process's mask may have taken bits away that workers need.
        file.as_file().set_permissions(Permissions::from_mode(mode))?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        File::open(folder)?.sync_all()
    };
    attempt().map_err(NginxError::io("writing", path))
}

/// Makes `link` point to `target`, whatever was there before.
pub(crate) fn symlink(link: &Path, target: &Path) -> Result<(), NginxError> {
    let folder = link.parent().unwrap_or(Path::new("/"));
    let attempt = || -> io::Result<()> {
        let scratch = tempfile::Builder::new().prefix(".thon-").tempdir_in(folder)?;
        let fresh = scratch.path().join("link");
        std::os::unix::fs::symlink(target, &fresh)?;
        fs::rename(&fresh, link)
    };
    attempt().map_err(NginxError::io("linking", link))
}

/// The file's content; nothing if there is no such file.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, NginxError> {
    match fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(NginxError::io("reading", path)(error)),
    }
}

/// Removes a file or symlink; one that isn't there is fine.
pub(crate) fn remove(path: &Path) -> Result<(), NginxError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(NginxError::io("removing", path)(error))
        }
        _ => Ok(()),
    }
}

/// Makes a folder, with its parents, that only this user can enter.
pub(crate) fn private_folder(path: &Path) -> Result<(), NginxError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(NginxError::io("making the folder", path))
}

/// Holds the lock of `home` until it is dropped; the operating system drops it with the process.
#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "the open file is the lock")] File);

impl Lock {
    /// Waits for the lock.
    pub(crate) async fn take(home: &Path) -> Result<Self, NginxError> {
        let path = home.join("lock");
        let open = path.clone();
        let home = home.to_owned();
        let file = tokio::task::spawn_blocking(move || {
            private_folder(&home)?;
            let options = OpenOptions::new().create(true).append(true).mode(0o600).open(&open);
            options.map_err(NginxError::io("opening", &open))
        })
        .await??;
        let deadline = tokio::time::Instant::now() + LOCK_WAIT;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self(file)),
                Err(fs::TryLockError::Error(error)) => {
                    return Err(NginxError::io("locking", &path)(error));
                }
                Err(fs::TryLockError::WouldBlock) if tokio::time::Instant::now() > deadline => {
                    return Err(NginxError::Busy { lock: path });
                }
                Err(fs::TryLockError::WouldBlock) => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }
}

/// What was applied last, in `applied.json`. What runs is asked of nginx itself; this is for
/// counting, and for knowing whose port it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Applied {
    /// `system` or `managed`.
    pub(crate) mode: String,
    /// The fingerprint of the configuration.
    pub(crate) generation: String,
    /// How often nginx was told to reload, since the first apply or the last cleanup.
    pub(crate) reloads: u64,
}

/// What we changed in the system's configuration beside our own file, in `system-changes.json`;
/// there from before the first change until after the last one is undone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SystemChanges {
    /// The symlink of the distribution's default site, and what it pointed to.
    #[serde(default)]
    pub(crate) default_site: Option<RemovedLink>,
    /// The file in `modules-enabled` that holds directives of the main context.
    #[serde(default)]
    pub(crate) main_file: Option<PathBuf>,
}

/// A symlink that was removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RemovedLink {
    /// Where it was.
    pub(crate) link: PathBuf,
    /// What it said, word for word.
    pub(crate) target: PathBuf,
}

/// Where [`Applied`] is kept.
pub(crate) fn applied_path(home: &Path) -> PathBuf {
    home.join("applied.json")
}

/// Where [`SystemChanges`] are kept.
pub(crate) fn changes_path(home: &Path) -> PathBuf {
    home.join("system-changes.json")
}

/// Reads a record; a missing one is nothing, and so is one that can't be understood: everything in
/// the records can be found out again, save what was changed in the system.
pub(crate) fn load<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, NginxError> {
    Ok(read(path)?.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}

/// Writes a record.
pub(crate) fn save<T: Serialize>(path: &Path, record: &T) -> Result<(), NginxError> {
    let text = serde_json::to_vec_pretty(record)
        .map_err(|error| NginxError::io("writing", path)(error.into()))?;
    write(path, &text, 0o600)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_its_mode_and_leaves_no_scraps() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("site");
        write(&path, b"one", 0o644).unwrap();
        write(&path, b"two", 0o644).unwrap();
        assert_eq!(read(&path).unwrap().unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_link_replaces_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        symlink(&link, Path::new("/a")).unwrap();
        symlink(&link, Path::new("/b")).unwrap();
        assert_eq!(fs::read_link(&link).unwrap(), Path::new("/b"));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_record_that_can_not_be_read_is_no_record() {
        let folder = tempfile::tempdir().unwrap();
        let path = applied_path(folder.path());
        assert_eq!(load::<Applied>(&path).unwrap(), None);
        fs::write(&path, "{half").unwrap();
        assert_eq!(load::<Applied>(&path).unwrap(), None);
        save(&path, &Applied { reloads: 3, ..Applied::default() }).unwrap();
        assert_eq!(load::<Applied>(&path).unwrap().unwrap().reloads, 3);
    }

    #[tokio::test]
    async fn the_lock_is_free_again_once_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let first = Lock::take(folder.path()).await.unwrap();
        let home = folder.path().to_owned();
        let second = tokio::spawn(async move { Lock::take(&home).await.map(drop) });
        tokio::task::yield_now().await;
        assert!(!second.is_finished());
        drop(first);
        second.await.unwrap().unwrap();
    }
}
