//! `thon-api`: the server as a program of its own, for service managers.
//!
//! For: `thon-api [--config FILE] [--log json]`, the same as `thon serve`.
//! Not for: anything that a terminal is needed for.

use std::path::PathBuf;
use std::process::ExitCode;

use thon::Home;
use thon_api::{LogFormat, Server, init_log, signal};

const USAGE: &str = "Serves THON's REST API.

Usage: thon-api [--config FILE] [--log text|json]

Options:
  --config FILE      The configuration, in the place of ~/.thon/thon.yaml
  --log text|json    How log lines look (default: json)
  --help             Show this
  --version          Show the version

It listens at dashboard.host and dashboard.port. `thon token add` makes the
tokens that it asks for. THON_LOG tells what is logged, such as debug or warn.
";

fn main() -> ExitCode {
    let mut config = None;
    let mut format = LogFormat::Json;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--help" | "-h" => return show(USAGE),
            "--version" | "-V" => {
                return show(concat!("thon-api ", env!("CARGO_PKG_VERSION"), "\n"));
            }
            "--config" => match arguments.next() {
                Some(path) => config = Some(PathBuf::from(path)),
                None => return refuse("--config: name a file"),
            },
            "--log" => match arguments.next().as_deref() {
                Some("text") => format = LogFormat::Text,
                Some("json") => format = LogFormat::Json,
                other => {
                    let other = other.unwrap_or_default();
                    return refuse(&format!("--log {other:?}: allowed are text and json"));
                }
            },
            other => return refuse(&format!("{other:?} is not known; see --help")),
        }
    }
    init_log(format);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "starting");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(serve(config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "ended");
            if error.is_bad_input() { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

async fn serve(config: Option<PathBuf>) -> Result<(), thon::Error> {
    let server = Server::bind(Home::from_environment()?, config).await?;
    tracing::info!(address = %server.address(), "listening");
    server.serve(signal()).await?;
    tracing::info!("ended as asked");
    Ok(())
}

#[expect(clippy::print_stdout, reason = "what was asked for")]
fn show(text: &str) -> ExitCode {
    print!("{text}");
    ExitCode::SUCCESS
}

#[expect(clippy::print_stderr, reason = "there is no log yet")]
fn refuse(text: &str) -> ExitCode {
    eprintln!("thon-api: {text}");
    ExitCode::from(2)
}
