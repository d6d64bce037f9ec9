//! Running a program in a sandbox.
//!
//! For: looking into a running sandbox, with an argument vector and never a shell of our own.
//! Not for: programs that someone talks to; those are in `shell`.

use bollard::container::LogOutput;
use bollard::exec::{CreateExecOptions, StartExecOptions, StartExecResults};
use futures_util::StreamExt;
use thon_core::sandbox::SandboxId;

use crate::client::{DockerRuntime, QUICK, SLOW};
use crate::error::DockerError;

/// What a program in a sandbox wrote and ended with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecOutput {
    /// The exit code.
    pub exit_code: i64,
    /// What it wrote to its standard output.
    pub stdout: String,
    /// What it wrote to its standard error.
    pub stderr: String,
}

impl DockerRuntime {
    /// Runs `arguments` in a running sandbox, as `user` (a name or `uid:gid`) or as the sandbox's
    /// own user, and waits for its end for at most two minutes.
    pub async fn exec(
        &self,
        id: &SandboxId,
        arguments: &[&str],
        user: Option<&str>,
    ) -> Result<ExecOutput, DockerError> {
        let tried = format!("running {} in sandbox {id}", arguments.first().unwrap_or(&"nothing"));
        let client = self.client().await?;
        let options = CreateExecOptions {
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            cmd: Some(arguments.to_vec()),
            user,
            ..CreateExecOptions::default()
        };
        let created = self.call(&tried, QUICK, client.create_exec(&id.0, options)).await?;
        let started = client.start_exec(&created.id, None::<StartExecOptions>);
        let started = self.call(&tried, QUICK, started).await?;
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        if let StartExecResults::Attached { mut output, .. } = started {
            let read = async {
                while let Some(part) = output.next().await {
                    match part? {
                        LogOutput::StdErr { message } => stderr.extend_from_slice(&message),
                        other => stdout.extend_from_slice(&other.into_bytes()),
                    }
                }
                Ok(())
            };
            self.call(&tried, SLOW, read).await?;
        }
        let ended = self.call(&tried, QUICK, client.inspect_exec(&created.id)).await?;
        Ok(ExecOutput {
            exit_code: ended.exit_code.unwrap_or(-1),
            stdout: String::from_utf8_lossy(&stdout).into_owned(),
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
        })
    }
}
