//! The `thon` command.
//!
//! For: reading the command line, asking the person, showing progress and results.
//! Not for: rules. Everything that is decided is decided in the library.

mod args;
mod commands;
mod context;
mod failure;
mod output;
mod progress;
mod prompt;

use std::process::ExitCode;

use clap::Parser;

use crate::args::Cli;
use crate::context::Context;
use crate::output::Output;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let output = Output::new(&cli.global);
    // One thread drives everything: the work is waiting, and blocking calls have threads of their
    // own. A pool per core would only cost memory beside the sandboxes.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
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
