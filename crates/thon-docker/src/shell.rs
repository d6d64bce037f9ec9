//! A program in a sandbox that someone talks to.
//!
//! For: passing on what goes in and what comes out, the size of the terminal and the exit code, and
//! hanging up on the program when whoever talked to it is gone, however they went.
//! Not for: this machine's terminal; whoever asks has it. Programs that nobody talks to are in
//! `exec`.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bollard::Docker;
use bollard::container::LogOutput;
use bollard::errors::Error as EngineError;
use bollard::exec::{CreateExecOptions, ResizeExecOptions, StartExecOptions, StartExecResults};
use futures_util::{Stream, StreamExt};
use thon_core::adapter::{Failure, FailureKind};
use thon_core::sandbox::SandboxId;
use thon_core::shell::{Shell, ShellInput, ShellOutput, ShellRequest, TerminalSize};
use thon_core::workspace::MOUNT_POINT;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use crate::client::{DockerRuntime, QUICK};
use crate::error::DockerError;

/// Pieces of input and output that wait for whoever is slower.
const BUFFERED: usize = 64;

/// Docker lets go of a program when it is typed a few keys, by default Ctrl-P and Ctrl-Q, and holds
/// the first of them back until it has seen the next. There is no way to want none, so it is a row
/// that nobody types, of a key that hardly anybody has a use for.
const DETACH_KEYS: &str =
    "ctrl-^,ctrl-^,ctrl-^,ctrl-^,ctrl-^,ctrl-^,ctrl-^,ctrl-^,ctrl-^,ctrl-^,ctrl-^,ctrl-^";

/// By this variable a program and all that it starts are found again.
const MARK: &str = "THON_SHELL";

/// Gives the terminal its size before the program sees it. Docker itself can only change it
/// afterwards.
const SIZED: &str = r#"stty rows "$1" cols "$2" 2>/dev/null; shift 2; exec "$@""#;

/// Docker leaves a program running when whoever talked to it is gone. This waits for that, which it
/// notices by the end of its own input, and does what the kernel does when a terminal is closed:
/// it hangs up on the program and on everything else in its session.
const LIFELINE: &str = r#"
cat >/dev/null
fields() { sed 's/.*) //' "$1/stat" 2>/dev/null; }
session=
for process in /proc/[0-9]*; do
    grep -qs "$1" "$process/environ" || continue
    set -- "$1" $(fields "$process")
    # Started from outside of the sandbox: the program itself.
    if [ "$3" = 0 ]; then session=$5; fi
done
if [ -z "$session" ]; then exit 0; fi
for process in /proc/[0-9]*; do
    set -- $(fields "$process")
    if [ "$4" = "$session" ]; then kill -HUP "${process#/proc/}" 2>/dev/null; fi
done
"#;

/// How often it is asked with what a program ended whose output has ended.
const ASKS: u32 = 40;
/// Between two of these.
const ASK_AGAIN: Duration = Duration::from_millis(50);

static COUNT: AtomicU64 = AtomicU64::new(0);

type Output = Pin<Box<dyn Stream<Item = Result<LogOutput, EngineError>> + Send>>;
type Input = Pin<Box<dyn AsyncWrite + Send>>;

impl DockerRuntime {
    /// Runs a program in a running sandbox for someone who talks to it.
    pub(crate) async fn talk(
        &self,
        id: &SandboxId,
        request: &ShellRequest,
    ) -> Result<Shell, DockerError> {
        let program = request.arguments.first().map_or("nothing", String::as_str);
        let tried = format!("running {program} in sandbox {}", self.name(id));
        let mark = mark();
        let (_, lifeline) = self.execute(&tried, id, lifeline(&mark)).await?;
        let (exec, attached) = self.execute(&tried, id, program_of(request, mark)).await?;
        let client = self.client().await?.clone();
        let (input, typed) = mpsc::channel(BUFFERED);
        let (said, output) = mpsc::channel(BUFFERED);
        let talk = Talk { client, exec, tried, host: self.host().to_owned() };
        tokio::spawn(async move {
            // Held as long as the two talk.
            let _lifeline = lifeline;
            talk.carry(attached, typed, said).await;
        });
        Ok(Shell { input, output })
    }

    async fn execute(
        &self,
        tried: &str,
        id: &SandboxId,
        options: CreateExecOptions<String>,
    ) -> Result<(String, (Output, Input)), DockerError> {
        let client = self.client().await?;
        let tty = options.tty == Some(true);
        let exec = self.call(tried, QUICK, client.create_exec(&id.0, options)).await?.id;
        let start = StartExecOptions { detach: false, tty, output_capacity: None };
        match self.call(tried, QUICK, client.start_exec(&exec, Some(start))).await? {
            StartExecResults::Attached { output, input } => Ok((exec, (output, input))),
            StartExecResults::Detached => Err(DockerError::engine(
                FailureKind::Other,
                tried,
                "Docker runs it without letting anybody talk to it",
                "this is a fault in THON: please report it",
            )),
        }
    }
}

/// Unlike that of any other program which somebody talks to.
fn mark() -> String {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{MARK}={}-{since}-{count}", std::process::id())
}

fn lifeline(mark: &str) -> CreateExecOptions<String> {
    let command = ["/bin/sh", "-c", LIFELINE, "thon", mark];
    CreateExecOptions {
        attach_stdin: Some(true),
        cmd: Some(command.map(str::to_owned).to_vec()),
        ..CreateExecOptions::default()
    }
}

fn program_of(request: &ShellRequest, mark: String) -> CreateExecOptions<String> {
    let mut command = Vec::new();
    let mut environment = vec![mark];
    if let Some(terminal) = &request.terminal {
        let TerminalSize { columns, rows } = terminal.size;
        command.extend(["/bin/sh", "-c", SIZED, "thon"].map(str::to_owned));
        command.extend([rows.to_string(), columns.to_string()]);
        environment.push(format!("TERM={}", terminal.kind));
    }
    command.extend(request.arguments.iter().cloned());
    CreateExecOptions {
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        tty: Some(request.terminal.is_some()),
        detach_keys: request.terminal.is_some().then(|| DETACH_KEYS.to_owned()),
        env: Some(environment),
        cmd: Some(command),
        working_dir: Some(MOUNT_POINT.to_owned()),
        ..CreateExecOptions::default()
    }
}

/// One conversation.
struct Talk {
    client: Docker,
    exec: String,
    tried: String,
    host: String,
}

impl Talk {
    async fn carry(
        &self,
        (mut output, input): (Output, Input),
        typed: mpsc::Receiver<ShellInput>,
        said: mpsc::Sender<Result<ShellOutput, Failure>>,
    ) {
        let listen = async {
            while let Some(part) = output.next().await {
                let part = match part {
                    Ok(LogOutput::StdErr { message }) => ShellOutput::Stderr(message.to_vec()),
                    Ok(other) => ShellOutput::Stdout(other.into_bytes().to_vec()),
                    Err(error) => return Err(self.failure(&error)),
                };
                if said.send(Ok(part)).await.is_err() {
                    // Nobody listens: there is nobody to tell how it ended, either.
                    return Ok(0);
                }
            }
            self.exit_code().await
        };
        let ended = tokio::select! {
            ended = listen => ended,
            () = self.type_in(input, typed) => return,
            () = said.closed() => return,
        };
        drop(said.send(ended.map(|exit_code| ShellOutput::Ended { exit_code })).await);
    }

    /// Passes on what is typed. Never ends: the output does.
    async fn type_in(&self, mut input: Input, mut typed: mpsc::Receiver<ShellInput>) {
        while let Some(next) = typed.recv().await {
            match next {
                ShellInput::Bytes(bytes) => {
                    let written = async {
                        input.write_all(&bytes).await?;
                        input.flush().await
                    };
                    if written.await.is_err() {
                        break;
                    }
                }
                ShellInput::Resize(size) => {
                    let size = ResizeExecOptions { height: size.rows, width: size.columns };
                    // It may have ended by now, and then its size is nobody's concern.
                    drop(self.client.resize_exec(&self.exec, size).await);
                }
            }
        }
        // It may have ended without having read everything, as `head` does.
        drop(input.shutdown().await);
        std::future::pending::<()>().await;
    }

    async fn exit_code(&self) -> Result<i64, Failure> {
        for _ in 0..ASKS {
            let found = self.client.inspect_exec(&self.exec).await;
            let found = found.map_err(|_| self.went_down())?;
            match found.exit_code {
                Some(exit_code) if found.running != Some(true) => return Ok(exit_code),
                _ => tokio::time::sleep(ASK_AGAIN).await,
            }
        }
        Err(self.went_down())
    }

    fn went_down(&self) -> Failure {
        Failure::new(
            FailureKind::Died,
            &self.tried,
            "the sandbox went down meanwhile",
            "`thon status` tells how it stands",
        )
    }

    fn failure(&self, error: &EngineError) -> Failure {
        DockerError::from_engine(&self.tried, &self.host, error).into()
    }
}
