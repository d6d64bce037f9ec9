//! Docker for the integration tests.
//!
//! For: using the daemon that answers, or starting one and stopping exactly that one.
//! Not for: configuring Docker, or touching a daemon that was there before.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::programs::{as_root, find};
use crate::shell::{Shell, say};

/// How long a daemon may take until it answers; two seconds are usual.
const START_LIMIT: Duration = Duration::from_mins(2);
/// How long it may take to stop its containers and itself.
const STOP_LIMIT: Duration = Duration::from_mins(1);

/// A Docker daemon that was started here and is stopped when this is dropped.
pub(crate) struct Daemon<'a> {
    shell: &'a Shell,
    process: Child,
}

impl<'a> Daemon<'a> {
    /// Nothing if a daemon answers already, else one that is started now.
    pub(crate) fn ensure(shell: &'a Shell) -> Result<Option<Self>, String> {
        let Err(answer) = ask(shell) else {
            say("a Docker daemon answers");
            return Ok(None);
        };
        if answer.to_ascii_lowercase().contains("permission denied") {
            return Err(format!(
                "Docker runs, but not for this user: {answer}; put the user into the group docker \
                 (sudo usermod -aG docker $USER) and log in again"
            ));
        }
        let dockerd = find("dockerd").ok_or_else(|| {
            format!("Docker does not answer ({answer}) and there is no dockerd to start")
        })?;
        let mut command = as_root(shell, dockerd);
        if !rustix::process::geteuid().is_root() {
            // So that whoever runs the tests may talk to it.
            command.arg(format!("--group={}", rustix::process::getegid().as_raw()));
        }
        let process = shell.start("dockerd", command)?;
        say(&format!("started a Docker daemon, process {}", process.id()));
        let mut daemon = Self { shell, process };
        daemon.wait_until_it_answers()?;
        Ok(Some(daemon))
    }

    fn wait_until_it_answers(&mut self) -> Result<(), String> {
        let log = self.shell.logs.join("dockerd.log");
        let start = Instant::now();
        loop {
            let Err(answer) = ask(self.shell) else { return Ok(()) };
            if self.shell.is_interrupted() {
                return Err("interrupted".to_owned());
            }
            if let Ok(Some(status)) = self.process.try_wait() {
                return Err(format!("dockerd ended with {status}; see {}", log.display()));
            }
            if start.elapsed() > START_LIMIT {
                return Err(format!("dockerd does not answer: {answer}; see {}", log.display()));
            }
            std::thread::park_timeout(Duration::from_millis(200));
        }
    }

    fn signal(&self, signal: Signal) {
        let id = self.process.id();
        if rustix::process::geteuid().is_root() {
            if let Some(pid) = id.try_into().ok().and_then(Pid::from_raw) {
                // It may have ended by itself; then there is nothing to do.
                let _ = kill_process(pid, signal);
            }
            return;
        }
        let mut command = as_root(self.shell, "kill");
        command.args([format!("-{}", signal.as_raw()), id.to_string()]);
        drop(command.status());
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        say(&format!("stopping the Docker daemon, process {}", self.process.id()));
        self.signal(Signal::TERM);
        let start = Instant::now();
        while let Ok(None) = self.process.try_wait() {
            if start.elapsed() > STOP_LIMIT {
                self.signal(Signal::KILL);
                drop(self.process.wait());
                return;
            }
            std::thread::park_timeout(Duration::from_millis(100));
        }
    }
}

/// Whether a daemon answers, or why not.
pub(crate) fn ask(shell: &Shell) -> Result<(), String> {
    let output = shell
        .command("docker")
        .args(["info", "--format", "{{.ServerVersion}}"])
        .stdout(Stdio::null())
        .output()
        .map_err(|error| format!("docker can't be started: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(said.lines().last().unwrap_or("it said nothing").trim().to_owned())
}
