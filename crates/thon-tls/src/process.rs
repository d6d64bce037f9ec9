//! Programs that make certificates, started with argument vectors and within a time limit.
//!
//! For: finding a program, running it to its end, and telling why it failed in its own words.
//! Not for: what the arguments mean.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use thon_core::adapter::{Failure, FailureKind};
use tokio::process::Command;

/// How much of a program's last word is repeated, in characters.
const LONGEST_WORD: usize = 300;

/// A program to be run.
pub(crate) struct Run<'a> {
    pub(crate) program: &'a Path,
    /// What is tried, for the failure.
    pub(crate) tried: String,
    /// What the person can do when it fails.
    pub(crate) advice: String,
    pub(crate) limit: Duration,
    pub(crate) command: Command,
}

/// What a program that succeeded wrote.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl<'a> Run<'a> {
    pub(crate) fn new(program: &'a Path, tried: impl Into<String>) -> Self {
        let mut command = Command::new(program);
        // The messages are read here, so they must not come in the person's language.
        command.env("LC_ALL", "C").stdin(Stdio::null()).kill_on_drop(true);
        Self {
            program,
            tried: tried.into(),
            advice: format!("run {} by hand to see more", program.display()),
            limit: Duration::from_mins(1),
            command,
        }
    }

    pub(crate) fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.command.args(args);
        self
    }

    pub(crate) fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    pub(crate) fn current_dir(mut self, dir: &Path) -> Self {
        self.command.current_dir(dir);
        self
    }

    pub(crate) fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    pub(crate) fn advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = advice.into();
        self
    }

    /// Runs it to its end.
    pub(crate) async fn run(mut self) -> Result<Said, Failure> {
        let output = match tokio::time::timeout(self.limit, self.command.output()).await {
            Ok(Ok(output)) => output,
            Ok(Err(error)) => {
                return Err(Failure::new(
                    match error.kind() {
                        std::io::ErrorKind::NotFound => FailureKind::Missing,
                        std::io::ErrorKind::PermissionDenied => FailureKind::Denied,
                        _ => FailureKind::Other,
                    },
                    self.tried,
                    format!("{} can't be started: {error}", self.program.display()),
                    "check that the program is installed and executable",
                ));
            }
            Err(_) => {
                return Err(Failure::new(
                    FailureKind::TimedOut,
                    self.tried,
                    format!(
                        "{} did not end within {} s and was ended",
                        self.program.display(),
                        self.limit.as_secs()
                    ),
                    self.advice,
                ));
            }
        };
        let said = Said {
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        };
        if output.status.success() {
            return Ok(said);
        }
        let denied = said.stderr.to_ascii_lowercase().contains("permission denied");
        Err(Failure::new(
            if denied { FailureKind::Denied } else { FailureKind::Other },
            self.tried,
            format!(
                "{} ended with {} and said: {}",
                self.program.file_name().unwrap_or_default().to_string_lossy(),
                output.status,
                last_word(&said)
            ),
            self.advice,
        ))
    }
}

/// The line that tells most: certbot's detail of a failed challenge, else the last line that isn't
/// its pointer to a forum.
fn last_word(said: &Said) -> String {
    let lines = || {
        said.stdout
            .lines()
            .chain(said.stderr.lines())
            .map(str::trim)
            // What looks like a PEM file is not repeated, whatever it is.
            .filter(|line| !line.is_empty() && !line.starts_with("-----"))
    };
    let word = lines()
        .rfind(|line| line.starts_with("Detail:"))
        .or_else(|| lines().rfind(|line| !line.starts_with("Ask for help")))
        .unwrap_or("nothing");
    word.chars().take(LONGEST_WORD).collect()
}

/// The program `name`: as `given`, else the first one in `PATH`.
pub(crate) fn find(name: &str, given: Option<&Path>) -> Option<PathBuf> {
    if let Some(path) = given {
        return is_program(path).then(|| path.to_owned());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|path| is_program(path))
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

/// The program `name`, or why not.
pub(crate) fn require(name: &str, given: Option<&Path>) -> Result<PathBuf, Failure> {
    find(name, given).ok_or_else(|| {
        let cause = match given {
            Some(path) => format!("{} is not there or not executable", path.display()),
            None => "it is not in PATH".to_owned(),
        };
        Failure::new(
            FailureKind::Missing,
            format!("looking for the program {name}"),
            cause,
            format!("install {name} (Debian, Ubuntu: apt-get install {name}) or set nginx.ssl_provider to embedded, which needs no program"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn sh(script: &str, limit: Duration) -> Result<Said, Failure> {
        Run::new(Path::new("/bin/sh"), "trying a script")
            .args(["-c", script])
            .limit(limit)
            .advice("look at it")
            .run()
            .await
    }

    #[tokio::test]
    async fn a_failure_repeats_the_programs_last_word() {
        let minute = Duration::from_mins(1);
        let failure =
            sh("echo out; echo first >&2; echo last >&2; exit 3", minute).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Other);
        assert_eq!(
            failure.to_string(),
            "trying a script: sh ended with exit status: 3 and said: last; look at it"
        );

        let failure = sh(
            "echo 'Detail: 203.0.113.7: timeout'; echo 'Some challenges have failed.' >&2;\
             echo 'Ask for help at a forum' >&2; exit 1",
            minute,
        )
        .await
        .unwrap_err();
        assert!(failure.cause.ends_with("said: Detail: 203.0.113.7: timeout"), "{failure}");

        let failure = sh("echo 'mkdir: Permission denied' >&2; exit 1", minute).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Denied);
    }

    #[tokio::test]
    async fn a_program_that_hangs_is_ended() {
        let failure = sh("exec sleep 600", Duration::from_millis(50)).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::TimedOut);
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        assert!(find("sh", None).is_some());
        let failure = require("mkcert", Some(Path::new("/nowhere/mkcert"))).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Missing);
        assert!(failure.to_string().contains("/nowhere/mkcert is not there"), "{failure}");
    }
}
