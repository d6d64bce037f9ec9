//! THON's folder: `~/.thon`, or what `THON_HOME` names.
//!
//! For: where things are, and the lock that keeps two commands from changing a node at once.
//! Not for: what is in the files.

use std::fs::{DirBuilder, File, Metadata};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use thon_core::adapter::{Failure, FailureKind};
use thon_core::doctor::ExposedFile;
use time::OffsetDateTime;

use crate::error::Error;
use crate::{file, held};

/// The folder and the places in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    root: PathBuf,
}

/// Held as long as a command changes the node; given back when it is dropped, also by `kill -9`.
#[derive(Debug)]
#[must_use = "the lock is given back as soon as it is dropped"]
pub struct HomeLock {
    _file: File,
}

impl Home {
    /// The folder at `root`.
    #[must_use]
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The folder that the environment names: `THON_HOME`, else `.thon` in the user's home.
    pub fn from_environment() -> Result<Self, Error> {
        let named = std::env::var_os("THON_HOME").filter(|value| !value.is_empty());
        let root = named
            .map(PathBuf::from)
            .or_else(|| std::env::home_dir().map(|home| home.join(".thon")))
            .ok_or_else(|| {
                Error::input("THON_HOME is not set and the home folder is unknown; set THON_HOME")
            })?;
        let root = std::path::absolute(&root)
            .map_err(|cause| Error::input(format!("THON_HOME {}: {cause}", root.display())))?;
        Ok(Self { root })
    }

    /// The folder itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The configuration's usual place.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.root.join("thon.yaml")
    }

    /// Where seats are remembered.
    #[must_use]
    pub fn seats(&self) -> PathBuf {
        self.root.join("seats.json")
    }

    /// The database.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.root.join("thon.db")
    }

    /// Certificates, where `nginx.ssl_dir` names no other folder.
    #[must_use]
    pub fn tls(&self) -> PathBuf {
        self.root.join("tls")
    }

    /// The managed nginx, and what is remembered about a system one.
    #[must_use]
    pub fn nginx(&self) -> PathBuf {
        self.root.join("nginx")
    }

    /// What the organizer adds to the image: `extensions/*.vsix`, `config/npmrc`, `ca/*.crt`.
    #[must_use]
    pub fn image(&self) -> PathBuf {
        self.root.join("image")
    }

    /// Which imports into workspaces have begun and not ended.
    #[must_use]
    pub fn imports(&self) -> PathBuf {
        self.root.join("imports")
    }

    /// The log of a Docker engine that was started here.
    #[must_use]
    pub fn engine_log(&self) -> PathBuf {
        self.root.join("dockerd.log")
    }

    /// How instances were used when a watcher last looked.
    #[must_use]
    pub fn activity(&self) -> PathBuf {
        self.root.join("activity.json")
    }

    /// Makes the folder, readable by its owner only. One that is there keeps its mode.
    pub fn create(&self) -> Result<(), Failure> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.root).map_err(|cause| {
            file::failure(&format!("making the folder {}", self.root.display()), &cause)
        })
    }

    /// Refuses a folder that somebody else could put files into: they would be believed.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let refused = |cause: String| {
            Failure::new(
                FailureKind::Denied,
                format!("using the folder {}", self.root.display()),
                cause,
                "make it yours alone (`chown`, `chmod 700`), or name another in THON_HOME",
            )
        };
        match self.flaw().map_err(|error| refused(error.to_string()))? {
            None => Ok(()),
            Some(ExposedFile { owner: Some(owner), .. }) => {
                Err(refused(format!("it belongs to user {owner}")))
            }
            Some(_) => Err(refused("others may write to it".to_owned())),
        }
    }

    /// Why the folder can't be believed: somebody else's, or open to others.
    pub(crate) fn flaw(&self) -> std::io::Result<Option<ExposedFile>> {
        let found = std::fs::metadata(&self.root)?;
        let owner = (!is_trusted(&found)).then(|| found.uid());
        let mode = found.mode() & 0o7777;
        let bad = owner.is_some() || mode & 0o022 != 0;
        Ok(bad.then(|| ExposedFile { path: self.root.clone(), mode, owner }))
    }

    /// Takes the lock, or says which process holds it.
    pub fn lock(&self) -> Result<HomeLock, Failure> {
        self.create()?;
        self.check()?;
        let path = self.root.join("lock");
        let tried = format!("locking {}", path.display());
        let failed = |cause: std::io::Error| file::failure(&tried, &cause);
        let mut file = match held::hold(&path).map_err(failed)? {
            Ok(file) => file,
            Err(holder) => {
                return Err(Failure::new(
                    FailureKind::Conflict,
                    tried,
                    busy(&holder),
                    "wait until it has ended, then try again",
                ));
            }
        };
        let note = note(std::process::id(), std::env::args(), SystemTime::now());
        // The lock is held with or without a note: on a full disk things must still be stopped.
        drop(held::sign(&mut file, &note));
        Ok(HomeLock { _file: file })
    }
}

/// What whoever holds the lock writes into it: their process, since when, and their command.
fn note(process: u32, arguments: impl Iterator<Item = String>, now: SystemTime) -> String {
    let mut words = arguments;
    let program = words.next().unwrap_or_default();
    let program = Path::new(&program).file_name().unwrap_or_default().to_string_lossy();
    let command: Vec<String> = std::iter::once(program.into_owned()).chain(words).collect();
    // One line of printable text, whatever the arguments hold.
    let command: String = command.join(" ").chars().filter(|c| !c.is_control()).take(120).collect();
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    format!("{process}\n{since}\n{command}\n")
}

/// Who is at work, as far as their note tells: it may be half written at this moment.
fn busy(note: &str) -> String {
    let mut lines = note.lines();
    let process = lines.next().unwrap_or("unknown").trim();
    let who = format!("another thon (process {process}) is changing this node");
    let since = lines.next().and_then(|since| since.parse::<u64>().ok());
    let (Some(since), Some(command)) = (since, lines.next()) else { return who };
    let since = OffsetDateTime::from(SystemTime::UNIX_EPOCH + Duration::from_secs(since));
    let (hour, minute, second) = since.to_hms();
    format!("{who} with `{command}` since {} {hour:02}:{minute:02}:{second:02} UTC", since.date())
}

/// True if a file or folder belongs to who runs this, to root, or to who became root with sudo.
pub(crate) fn is_trusted(found: &Metadata) -> bool {
    let we = std::fs::metadata("/proc/self").map_or(0, |process| process.uid());
    let sudo = || std::env::var("SUDO_UID").ok()?.parse::<u32>().ok();
    let owner = found.uid();
    owner == we || owner == 0 || (we == 0 && sudo() == Some(owner))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_folder_is_private() {
        let temp = tempfile::tempdir().unwrap();
        let home = Home::at(temp.path().join("a/.thon"));
        home.create().unwrap();
        let mode = std::fs::metadata(home.root()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn a_second_command_is_told_who_is_at_work_and_may_go_on_after() {
        let temp = tempfile::tempdir().unwrap();
        let home = Home::at(temp.path());
        let lock = home.lock().unwrap();
        let refused = home.lock().unwrap_err();
        assert_eq!(refused.kind, FailureKind::Conflict);
        assert!(refused.cause.contains(&std::process::id().to_string()), "{refused}");
        drop(lock);
        drop(home.lock().unwrap());
    }

    #[test]
    fn the_owner_is_named_with_command_and_time() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_323_045);
        let words = ["/usr/bin/thon", "run", "--group", "al\npha"].map(str::to_owned);
        let note = note(4711, words.into_iter(), now);
        let who = "another thon (process 4711) is changing this node";
        assert_eq!(
            busy(&note),
            format!("{who} with `thon run --group alpha` since 2026-01-02 03:04:05 UTC")
        );
        // What a process wrote that was cut off in the middle, or an older version.
        for half in ["4711\n", "4711\n17", "4711"] {
            assert_eq!(busy(half), who, "{half:?}");
        }
        assert!(busy("").starts_with("another thon (process unknown)"));
    }

    #[test]
    fn a_note_that_a_killed_process_left_blocks_nobody() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::write(temp.path().join("lock"), "4711\n1767323045\nthon run\n").unwrap();
        drop(Home::at(temp.path()).lock().unwrap());
    }

    #[test]
    fn a_folder_that_others_write_to_is_not_believed() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::set_permissions(temp.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        let failure = Home::at(temp.path()).lock().unwrap_err();
        assert!(failure.to_string().contains("others may write to it"), "{failure}");
        assert!(!temp.path().join("lock").exists());
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("file");
        std::fs::write(&file, "").unwrap();
        let failure = Home::at(file.join("home")).lock().unwrap_err();
        assert!(failure.to_string().contains("THON_HOME"), "{failure}");
    }
}
