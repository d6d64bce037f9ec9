//! `thon shell`: a program in a sandbox, for the person at this terminal or for a pipe.
//!
//! For: keys, sizes and signals in, output and the exit code out.
//! Not for: how a sandbox is entered; the runtime does that.

use std::io::Write;
use std::process::ExitCode;

use thon::core::adapter::{Failure, FailureKind};
use thon::core::shell::{Shell, ShellInput, ShellOutput, ShellRequest};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::Sender;

use super::Outcome;
use crate::args::ShellArgs;
use crate::context::{Context, one_user};
use crate::failure::CommandFailure;
use crate::interrupt::Interrupt;
use crate::terminal::{self, Raw};

/// How a program ends whose output nobody reads any more (128 + SIGPIPE).
const NOBODY_READS: u8 = 141;

pub(crate) async fn shell(args: ShellArgs, context: &Context) -> Outcome {
    let node = context.node()?;
    let user = one_user(&args.user, &node)?;
    let terminal = terminal::ours();
    let at_terminal = terminal.is_some();
    let mut interrupt = Interrupt::listen()?;
    let Shell { input, mut output } =
        node.shell(&user, &ShellRequest::new(args.command, terminal)).await?;
    let raw = at_terminal.then(Raw::take).transpose().map_err(|error| {
        CommandFailure::input(format!("taking over the terminal: {error}; try it with a pipe"))
    })?;
    // Where there is no terminal only the reader of the input holds its end, so that its end is
    // passed on.
    terminal::pass_on_input(input.clone());
    let sizes = at_terminal.then_some(input);
    let sizes = pass_on_sizes(sizes);
    let talk = async {
        loop {
            match output.recv().await {
                Some(Ok(ShellOutput::Stdout(bytes))) => {
                    if write(&mut std::io::stdout(), &bytes).is_err() {
                        return Ok(NOBODY_READS);
                    }
                }
                // Whoever closed standard error may still want the rest.
                Some(Ok(ShellOutput::Stderr(bytes))) => {
                    drop(write(&mut std::io::stderr(), &bytes));
                }
                Some(Ok(ShellOutput::Ended { exit_code })) => {
                    return Ok(u8::try_from(exit_code).unwrap_or(u8::MAX));
                }
                Some(Err(failure)) => return Err(failure),
                None => return Err(silent(&user.to_string())),
            }
        }
    };
    let ended = tokio::select! {
        ended = talk => ended,
        never = sizes => match never {},
        code = interrupt.code() => Ok(code),
    };
    drop(raw);
    Ok(ExitCode::from(ended.map_err(thon::Error::World)?))
}

/// Tells the program each new size of the terminal, where there is one. Never ends.
async fn pass_on_sizes(to: Option<Sender<ShellInput>>) -> std::convert::Infallible {
    if let (Some(to), Ok(mut changed)) = (to, signal(SignalKind::window_change())) {
        while changed.recv().await.is_some() {
            if let Some(size) = terminal::size() {
                // It has ended if nobody listens, and that is heard of elsewhere.
                drop(to.send(ShellInput::Resize(size)).await);
            }
        }
    }
    std::future::pending().await
}

fn write(to: &mut impl Write, bytes: &[u8]) -> std::io::Result<()> {
    to.write_all(bytes)?;
    to.flush()
}

fn silent(user: &str) -> Failure {
    Failure::new(
        FailureKind::Other,
        format!("talking to the sandbox of {user}"),
        "it ended without a word",
        "try again",
    )
}
