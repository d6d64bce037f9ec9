//! The `thon` command.
//!
//! For: reading the command line, asking the person, showing progress and results.
//! Not for: rules. Everything that is decided is decided in the library.

mod args;
mod args_server;
mod args_state;
mod commands;
mod context;
mod failure;
mod interrupt;
mod output;
mod progress;
mod prompt;
mod roster;
mod terminal;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use tokio::runtime::Builder;

use crate::args::{Cli, Command};
use crate::context::Context;
use crate::output::Output;

/// The exit code for a command line that has to change.
const BAD_INPUT: u8 = 2;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return explain(&error),
    };
    let output = Output::new(&cli.global);
    // One thread drives a command: the work is waiting, and blocking calls have threads of their
    // own. A pool per core would only cost memory beside the sandboxes.
    let mut builder = match &cli.command {
        // Many ask at once, and nobody waits for another's page.
        Command::Serve(_) => {
            let mut builder = Builder::new_multi_thread();
            builder.worker_threads(2);
            builder
        }
        _ => Builder::new_current_thread(),
    };
    let runtime = match builder.enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output.error(
                &format!("starting: {error}; look at the limits of this user (`ulimit -a`)"),
                1,
            );
            return ExitCode::FAILURE;
        }
    };
    let context = Context::new(cli.global, output);
    let result = runtime.block_on(commands::dispatch(cli.command, &context));
    match result {
        Ok(code) => code,
        Err(failure) => {
            context.output.error(&failure.to_string(), failure.exit_code());
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Prints help and the version where they were asked for, and what is wrong with the command line;
/// that as JSON for a program that wants JSON.
fn explain(error: &clap::Error) -> ExitCode {
    let json = std::env::args_os().any(|argument| argument == "--json");
    if error.use_stderr() && json {
        output::json_error(&mistake(error), BAD_INPUT);
    } else {
        // Whoever closed the pipe doesn't want it.
        drop(error.print());
    }
    if error.use_stderr() { ExitCode::from(BAD_INPUT) } else { ExitCode::SUCCESS }
}

/// What is wrong with the command line, in one line.
fn mistake(error: &clap::Error) -> String {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return "a subcommand is missing; --help lists them".to_owned();
    }
    let text = error.to_string();
    let lines = text.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:"));
    let lines: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
    let text = lines.join("; ");
    text.strip_prefix("error: ").unwrap_or(&text).to_owned()
}
