//! Lifetimes and idleness: one look and what is due then, and the watcher, the one process per node
//! that looks again and again.
//!
//! For: what the node does about them; telling whether a watcher is there, being it, starting it
//! beside a command, and ending it.
//! Not for: what is due; the core's rules say that.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use thon_core::adapter::{Failure, FailureKind};
use thon_core::config::IdleAction;
use thon_core::lifetime::Due;
use thon_core::name::UserId;
use thon_core::orchestrator::{Enforced, IdlePolicy};

use crate::activity;
use crate::error::Error;
use crate::home::Home;
use crate::node::Node;
use crate::{file, held};

/// A log that is longer than this is begun anew when a watcher starts.
const LOG_LIMIT: u64 = 1 << 20;

/// What came of one look.
#[derive(Debug, Clone)]
pub struct Watched {
    /// What was due.
    pub due: Due,
    /// What was done about it.
    pub enforced: Enforced,
    /// What kept the look from being remembered for the next one, if anything did.
    pub unsaved: Option<Failure>,
}

/// Held by the one watcher of a node; given back when its process ends, however it ends.
#[derive(Debug)]
#[must_use = "the watch is given up as soon as it is dropped"]
pub struct Watch {
    file: File,
    path: PathBuf,
}

fn place(home: &Home) -> PathBuf {
    home.root().join("watch.lock")
}

impl Watch {
    /// Becomes the node's watcher, or says which process is.
    pub fn begin(home: &Home) -> Result<Self, Failure> {
        home.create()?;
        let path = place(home);
        let tried = format!("locking {}", path.display());
        let failed = |cause: std::io::Error| file::failure(&tried, &cause);
        let mut file = match held::hold(&path).map_err(failed)? {
            Ok(file) => file,
            Err(holder) => {
                let cause = format!("process {} watches this node already", holder.trim());
                let advice = "`thon watch --once` looks once beside it";
                return Err(Failure::new(FailureKind::Conflict, &tried, cause, advice));
            }
        };
        held::sign(&mut file, &format!("{}\n", std::process::id())).map_err(failed)?;
        Ok(Self { file, path })
    }
}

impl Watch {
    /// False once THON's folder was taken away: then there is nothing to watch any more.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        let place = |found: std::fs::Metadata| (found.dev(), found.ino());
        let held = self.file.metadata().map(place).ok();
        held.is_some() && held == std::fs::metadata(&self.path).map(place).ok()
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

/// Starts `program` as a watcher that outlives this process. Its words go to `watch.log` in THON's
/// folder.
fn start(home: &Home, program: &Path, config: &Path) -> Result<(), Failure> {
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
    Command::new(program)
        .arg("--config")
        .arg(std::path::absolute(config).map_err(failed)?)
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

impl Node {
    /// True if something is to become of instances in time, so that somebody has to watch.
    #[must_use]
    pub fn needs_watching(&self) -> bool {
        let sandbox = &self.config().sandbox;
        sandbox.timeout_minutes > 0 || sandbox.idle != IdleAction::Ignore
    }

    /// After how long without use an instance is idle, and what becomes of it.
    #[must_use]
    pub fn idle_policy(&self) -> IdlePolicy {
        let sandbox = &self.config().sandbox;
        let after = Duration::from_secs(u64::from(sandbox.idle_minutes) * 60);
        IdlePolicy { after, action: sandbox.idle }
    }

    /// One look at everyone who runs, and what is due then: those whose time is up are stopped,
    /// those who are idle fare as configured. Holds the node's lock only while it does something;
    /// where another command has it, the next look is early enough.
    pub async fn watch(&self) -> Result<Watched, Error> {
        let (policy, path) = (self.idle_policy(), self.home().activity());
        let mut ledger = activity::load(&path);
        self.orchestrator().sample(&mut ledger).await?;
        // What can't be remembered is still acted upon.
        let mut unsaved = self.home().create().and_then(|()| activity::save(&path, &ledger)).err();
        let due = self.orchestrator().due(&ledger, policy).await?;
        let mut enforced = Enforced::default();
        if due.calls_for_action(policy) {
            match self.home().lock() {
                Ok(_lock) => {
                    enforced = self.orchestrator().enforce(&mut ledger, policy).await?;
                    unsaved = activity::save(&path, &ledger).err().or(unsaved);
                }
                Err(failure) if failure.kind == FailureKind::Conflict => {}
                Err(failure) => return Err(failure.into()),
            }
        }
        Ok(Watched { due, enforced, unsaved })
    }

    /// Moves the ends of `users`, or of everyone, by so much, of those who have one. Returns the new
    /// ends.
    pub async fn extend(
        &self,
        users: Option<&[UserId]>,
        by: Duration,
    ) -> Result<Vec<(UserId, SystemTime)>, Error> {
        Ok(self.orchestrator().extend(users, by).await?)
    }

    /// The process that watches this node.
    #[must_use]
    pub fn watcher(&self) -> Option<u32> {
        watcher(self.home())
    }

    /// Starts a watcher beside this process where the configuration needs one and none is there:
    /// `program`, which is the `thon` command, with the configuration file `config`. Returns whether
    /// one was started.
    pub fn ready_watcher(&self, program: &Path, config: &Path) -> Result<bool, Error> {
        if !self.needs_watching() || self.watcher().is_some() {
            return Ok(false);
        }
        start(self.home(), program, config)?;
        Ok(true)
    }
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
        assert!(watch.is_wanted());
        assert_eq!(watcher(&home), Some(std::process::id()));
        let refused = Watch::begin(&home).unwrap_err();
        assert_eq!(refused.kind, FailureKind::Conflict);
        assert!(refused.cause.contains(&std::process::id().to_string()), "{refused}");
        drop(watch);
        assert!(place(&home).exists());
        assert_eq!(watcher(&home), None);
        assert!(!end(&home));
        let watch = Watch::begin(&home).unwrap();
        std::fs::remove_file(place(&home)).unwrap();
        assert!(!watch.is_wanted(), "the folder is gone");
    }
}
