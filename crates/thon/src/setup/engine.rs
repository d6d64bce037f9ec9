//! The Docker engine of this machine.
//!
//! For: starting it where it is installed and doesn't run, with the service manager or without.
//! Not for: installing it, and not for talking to it.

use std::process::Stdio;
use std::time::Duration;

use thon_core::adapter::{Failure, FailureKind};
use tokio::process::Command;
use tokio::time::Instant;

use super::packages::{DOCKER, is_root};
use crate::home::Home;
use crate::system::{find_program, has_systemd};

/// How long an engine may take to answer after its start; about two seconds on a quiet machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// What is known of the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineState {
    /// It answers; its version.
    Answers(String),
    /// It is installed and doesn't answer, and why.
    Down(Failure),
    /// It isn't installed, and nothing answers.
    Absent,
}

/// How an engine was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineStart {
    /// As a service: it starts with the machine from now on.
    Service,
    /// As a process of its own, which a reboot ends.
    Process(u32),
}

/// Tells what `ping` found.
pub(crate) fn state(ping: Result<String, Failure>) -> EngineState {
    match ping {
        Ok(version) => EngineState::Answers(version),
        Err(_) if find_program(DOCKER.program).is_none() => EngineState::Absent,
        Err(failure) => EngineState::Down(failure),
    }
}

/// Starts the engine and waits until `answers` says so.
pub(crate) async fn start<F, A>(home: &Home, answers: A) -> Result<EngineStart, Failure>
where
    A: Fn() -> F + Send,
    F: Future<Output = bool> + Send,
{
    let started = if has_systemd() { service().await? } else { process(home)? };
    let deadline = Instant::now() + PATIENCE;
    while !answers().await {
        if Instant::now() >= deadline {
            return Err(Failure::new(
                FailureKind::TimedOut,
                "starting Docker",
                format!("it did not answer within {} s", PATIENCE.as_secs()),
                match started {
                    EngineStart::Service => "see `journalctl -u docker`".to_owned(),
                    EngineStart::Process(_) => format!("see {}", home.engine_log().display()),
                },
            ));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(started)
}

async fn service() -> Result<EngineStart, Failure> {
    let failed = |cause: String| {
        let advice = "start it with `sudo systemctl enable --now docker`, then run this again";
        Failure::new(FailureKind::Other, "starting the docker service", cause, advice)
    };
    let words: &[&str] = if is_root() { &["systemctl"] } else { &["sudo", "-n", "systemctl"] };
    let output = Command::new(words[0])
        .args(&words[1..])
        .args(["enable", "--now", "docker"])
        .stdin(Stdio::null())
        .output()
        .await
        .map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(EngineStart::Service);
    }
    Err(failed(String::from_utf8_lossy(&output.stderr).into_owned()))
}

/// Starts `dockerd` in a session of its own, so that it outlives this command and its terminal.
fn process(home: &Home) -> Result<EngineStart, Failure> {
    let failed = |cause: String| {
        let advice = "start `dockerd` yourself as root, then run this again";
        Failure::new(FailureKind::Other, "starting dockerd", cause, advice)
    };
    home.create()?;
    let log =
        std::fs::File::create(home.engine_log()).map_err(|error| failed(error.to_string()))?;
    let errors = log.try_clone().map_err(|error| failed(error.to_string()))?;
    let daemon = find_program(DOCKER.program).unwrap_or_else(|| DOCKER.program.into());
    let child = Command::new("setsid")
        .arg(daemon)
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        .kill_on_drop(false)
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    Ok(EngineStart::Process(child.id().unwrap_or_default()))
}
