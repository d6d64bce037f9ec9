//! The commands, one file each.
//!
//! For: turning options into calls of the library and results into print.
//! Not for: what several commands share; that is in the modules beside this folder.

mod auth;
mod config;
mod dashboard;
mod db;
mod doctor;
mod image;
mod init;
mod lifecycle;
mod lifetime;
mod logs;
mod nginx;
mod roster;
mod run;
mod serve;
mod setup;
mod shell;
mod status;
mod stop;
mod tls;
mod token;
mod transfer;
mod workspace;

use std::process::ExitCode;

use clap::CommandFactory;
use thon::core::lifecycle::Change;

use crate::args::{Cli, Command};
use crate::context::Context;
use crate::failure::CommandFailure;

/// What a command ends with.
pub(crate) type Outcome = Result<ExitCode, CommandFailure>;

/// Carries a command out.
pub(crate) async fn dispatch(command: Command, context: &Context) -> Outcome {
    context.read_stored(&command).await;
    match command {
        Command::Init(args) => init::init(&args, context),
        Command::Setup(args) => setup::setup(&args, context).await,
        Command::Doctor(args) => doctor::doctor(&args, context).await,
        Command::Up(args) => run::up(&args, context).await,
        Command::Run(args) => run::run(&args, context).await,
        Command::Status(args) => status::status(&args, context).await,
        Command::Watch(args) => lifetime::watch(&args, context).await,
        Command::Extend(args) => lifetime::extend(&args, context).await,
        Command::Pause(args) => lifecycle::change(Change::Pause, &args, context).await,
        Command::Resume(args) => lifecycle::change(Change::Resume, &args, context).await,
        Command::Restart(args) => lifecycle::change(Change::Restart, &args, context).await,
        Command::Stop(args) => stop::stop(&args, context).await,
        Command::Down => stop::down(context).await,
        Command::Shell(args) => shell::shell(args, context).await,
        Command::Logs(args) => logs::logs(&args, context).await,
        Command::Group(command) => roster::group(command, context).await,
        Command::User(command) => roster::user(command, context).await,
        Command::Import(args) => transfer::import(&args, context).await,
        Command::Export(args) => transfer::export(&args, context),
        Command::Db(command) => db::db(command, context).await,
        Command::Serve(args) => serve::serve(&args, context).await,
        Command::Dashboard(command) => dashboard::dashboard(command, context).await,
        Command::Auth(command) => auth::auth(command, context).await,
        Command::Token(command) => token::token(command, context).await,
        Command::Config(command) => config::config(command, context),
        Command::Image(command) => image::image(command, context).await,
        Command::Nginx(command) => nginx::nginx(command, context).await,
        Command::Tls(command) => tls::tls(command, context).await,
        Command::Workspace(command) => workspace::workspace(command, context).await,
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "thon", &mut text);
            context.output.text(&String::from_utf8_lossy(&text));
            Ok(ExitCode::SUCCESS)
        }
    }
}
