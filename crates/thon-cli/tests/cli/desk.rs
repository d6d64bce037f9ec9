//! A place to run the command in where no Docker answers.
//!
//! For: everything that is decided before Docker is asked, and what is said when nobody answers.
//! Not for: sandboxes; a test that needs them takes a `Stage`.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::support::Output;

/// A folder with a home, a folder of THON's and a current folder, and no Docker.
pub(crate) struct Desk {
    folder: TempDir,
}

impl Desk {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["home", "work"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        Self { folder }
    }

    /// The current folder of the command.
    pub(crate) fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    /// What the command takes for the person's home.
    pub(crate) fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// What the command takes for `THON_HOME`. It isn't there yet.
    pub(crate) fn thon_home(&self) -> PathBuf {
        self.folder.path().join("thon")
    }

    /// Where the command would look for Docker.
    pub(crate) fn docker_host(&self) -> String {
        format!("unix://{}", self.folder.path().join("no-docker.sock").display())
    }

    /// Writes a file into the current folder and returns its name there.
    pub(crate) fn file<'n>(&self, name: &'n str, contents: impl AsRef<[u8]>) -> &'n str {
        std::fs::write(self.work().join(name), contents).unwrap();
        name
    }

    /// The command, for tests that start it themselves.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_thon"));
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap());
        command.env("HOME", self.home()).env("THON_HOME", self.thon_home());
        command.env("DOCKER_HOST", self.docker_host());
        command.current_dir(self.work()).stdin(Stdio::null()).args(args);
        command
    }

    /// Runs `thon` with these arguments to its end.
    #[track_caller]
    pub(crate) fn thon(&self, args: &[&str]) -> Output {
        self.with(&[], args)
    }

    /// The same with further variables in its environment.
    #[track_caller]
    pub(crate) fn with(&self, env: &[(&str, &str)], args: &[&str]) -> Output {
        let mut command = self.command(args);
        finish(command.envs(env.iter().copied()))
    }

    /// Sets the dashboard's password.
    pub(crate) fn set_password(&self, password: &str) {
        let mut command = self.command(&["dashboard", "password"]);
        let mut child = command.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        writeln!(child.stdin.take().unwrap(), "{password}").unwrap();
        assert!(child.wait().unwrap().success());
    }

    /// Every file and folder below the desk: path, permission bits and contents.
    pub(crate) fn everything(&self) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
        let mut found = BTreeMap::new();
        look(self.folder.path(), &mut found);
        found
    }
}

/// Runs a command to its end; whatever it does, it doesn't panic.
#[track_caller]
pub(crate) fn finish(command: &mut Command) -> Output {
    let output = Output::from(command.output().unwrap());
    sane(&output);
    output
}

/// Holds for everything that the command ever says.
#[track_caller]
pub(crate) fn sane(output: &Output) {
    let said = format!("{}{}", output.stdout, output.stderr);
    for word in ["panicked", "RUST_BACKTRACE", "unwrap()"] {
        assert!(!said.contains(word), "{said}");
    }
    assert!((0..=2).contains(&output.code), "{output:?}");
}

/// The one line that says why a command was refused or failed, without `error: `. Nothing else was
/// printed.
#[track_caller]
pub(crate) fn error_line(output: &Output, code: i32) -> String {
    assert_eq!(output.code, code, "{output:?}");
    assert_eq!(output.stdout, "", "{output:?}");
    let line = output.stderr.strip_prefix("error: ").and_then(|rest| rest.strip_suffix('\n'));
    let line = line.unwrap_or_else(|| panic!("not one line `error: …`: {output:?}"));
    assert!(!line.contains(char::is_control), "not one line of printable text: {output:?}");
    line.to_owned()
}

/// Asserts that a text has all of these parts.
#[track_caller]
pub(crate) fn has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is missing in: {text}");
    }
}

/// The permission bits of a file.
#[track_caller]
pub(crate) fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn look(folder: &Path, found: &mut BTreeMap<PathBuf, (u32, Vec<u8>)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            look(&path, found);
            found.insert(path.clone(), (mode(&path), Vec::new()));
        } else {
            found.insert(path.clone(), (mode(&path), std::fs::read(&path).unwrap()));
        }
    }
}

/// Runs a command whose standard output is a pipe, to its end, and returns what it says on standard
/// error.
#[track_caller]
pub(crate) fn finish_into(mut command: Command, stdout: std::io::PipeWriter) -> String {
    command.stdout(stdout).stderr(Stdio::piped());
    let output = Output::from(command.spawn().unwrap().wait_with_output().unwrap());
    sane(&output);
    output.stderr
}
