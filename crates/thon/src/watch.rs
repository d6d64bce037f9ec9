//! The watcher: one process per node that looks again and again and does what is due.
//!
//! For: telling whether one is there, being it, starting it beside a command, and ending it.
//! Not for: what is due; the core's rules say that.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use thon_core::adapter::{Failure, FailureKind};

use crate::home::Home;

/// A log that is longer than this is begun anew when a watcher starts.
const LOG_LIMIT: u64 = 1 << 20;

/// Held by the one watcher of a node; given back when its process ends, however it ends.
#[derive(Debug)]
#[must_use = "the watch is given up as soon as it is dropped"]
pub struct Watch {
    _file: File,
}

fn place(home: &Home) -> PathBuf {
    home.root().join("watch.lock")
}

fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(0o600).open(path)
}

impl Watch {
    /// Becomes the node's watcher, or says which process is.
    pub fn begin(home: &Home) -> Result<Self, Failure> {
        home.create()?;
        let path = place(home);
        let tried = format!("locking {}", path.display());
        let failed = |cause: std::io::Error| {
            let advice = "make the folder writable, or name another in THON_HOME";
            Failure::new(FailureKind::Denied, &tried, cause.to_string(), advice)
        };
        let mut file = open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::Error(cause)) => return Err(failed(cause)),
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                drop(file.read_to_string(&mut holder));
                let cause = format!("process {} watches this node already", holder.trim());
                let advice = "`thon watch --once` looks once beside it";
                return Err(Failure::new(FailureKind::Conflict, &tried, cause, advice));
            }
        }
        let note = format!("{}\n", std::process::id());
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(note.as_bytes()))
            .map_err(failed)?;
        Ok(Self { _file: file })
    }
}

/// The process that watches the node; nothing where none does. A file that a process left behind
/// when it died is not believed: nobody holds its lock.
#[must_use]
pub fn watcher(home: &Home) -> Option<u32> {
    let mut file = File::open(place(home)).ok()?;
    // Shared, so that two who look at once don't take each other for the watcher.
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            file.read_to_string(&mut holder).ok()?;
            holder.trim().parse().ok()
        }
        _ => None,
    }
}

/// Starts a watcher that outlives this process, with the same configuration. Its words go to
/// `watch.log` in THON's folder.
pub(crate) fn start(home: &Home, config: Option<&Path>) -> Result<(), Failure> {
    let failed = |cause: std::io::Error| {
        let advice = "`thon watch` by hand, or as a service, does the same";
        Failure::new(FailureKind::Other, "starting `thon watch`", cause.to_string(), advice)
    };
    let path = home.root().join("watch.log");
    let log = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
    let log = log.map_err(failed)?;
    if log.metadata().is_ok_and(|found| found.len() > LOG_LIMIT) {
        log.set_len(0).map_err(failed)?;
    }
    let mut command = Command::new(std::env::current_exe().map_err(failed)?);
    if let Some(config) = config {
        command.arg("--config").arg(std::path::absolute(config).map_err(failed)?);
    }
    command
        .arg("watch")
        .env("THON_HOME", home.root())
        .stdin(Stdio::null())
        .stdout(log.try_clone().map_err(failed)?)
        .stderr(log)
        // Ctrl-C at the terminal is meant for whoever runs there.
        .process_group(0)
        .spawn()
        .map_err(failed)?;
    Ok(())
}

/// Ends the node's watcher, if there is one, and says whether there was.
pub(crate) fn end(home: &Home) -> bool {
    // That process holds the lock at this moment: it is ours, and no other that was given its id.
    let Some(pid) = watcher(home) else { return false };
    let Some(pid) = pid.try_into().ok().and_then(rustix::process::Pid::from_raw) else {
        return false;
    };
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_watcher_and_a_dead_ones_file_is_not_believed() {
        let temp = tempfile::tempdir().unwrap();
        let home = Home::at(temp.path());
        assert_eq!(watcher(&home), None);
        let watch = Watch::begin(&home).unwrap();
        assert_eq!(watcher(&home), Some(std::process::id()));
        let refused = Watch::begin(&home).unwrap_err();
        assert_eq!(refused.kind, FailureKind::Conflict);
        assert!(refused.cause.contains(&std::process::id().to_string()), "{refused}");
        drop(watch);
        assert!(place(&home).exists());
        assert_eq!(watcher(&home), None);
        assert!(!end(&home));
        drop(Watch::begin(&home).unwrap());
    }
}
