//! Programs in the place of those that the command starts.
//!
//! For: a program that stops at a call of the test's choice, or that is broken.
//! Not for: playing a program's part; whatever isn't stopped is done by the real one.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::gate::Moment;

/// A folder with a stand-in that goes first on the path.
pub(crate) struct StandIn {
    folder: PathBuf,
}

impl StandIn {
    /// A `program` that stops when its arguments match `pattern`, as in a shell's `case`.
    pub(crate) fn stops(folder: &Path, program: &str, pattern: &str, moment: Moment) -> Self {
        let first = match moment {
            Moment::Before => String::new(),
            Moment::After => format!("{} \"$@\"", real(program)),
        };
        let held = folder.join("bin/held");
        let held = held.display();
        Self::new(
            folder,
            program,
            &format!(
                "case \"$*\" in\n{pattern})\n{first}\necho $$ >{held}.new\nmv {held}.new {held}\n\
                 exec sleep 3600;;\nesac\nexec {} \"$@\"\n",
                real(program)
            ),
        )
    }

    /// A `program` that says `line` and fails.
    pub(crate) fn fails(folder: &Path, program: &str, line: &str) -> Self {
        Self::new(folder, program, &format!("echo '{line}' >&2\nexit 1\n"))
    }

    fn new(folder: &Path, program: &str, script: &str) -> Self {
        let folder = folder.join("bin");
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join(program);
        std::fs::write(&file, format!("#!/bin/sh\n{script}")).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        Self { folder }
    }

    /// The path with the stand-in on it.
    pub(crate) fn path(&self) -> String {
        format!("{}:{}", self.folder.display(), std::env::var("PATH").unwrap())
    }

    /// True if it was called and has stopped.
    pub(crate) fn holds(&self) -> bool {
        self.folder.join("held").exists()
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        if let Ok(pid) = std::fs::read_to_string(self.folder.join("held")) {
            drop(Command::new("kill").arg(pid.trim()).status());
        }
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

/// Where a program is.
fn real(program: &str) -> String {
    let path = std::env::var("PATH").unwrap();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    let found = folders.map(|folder| folder.join(program)).find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("{program} is not installed")).display().to_string()
}
