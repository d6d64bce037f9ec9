//! `thon-api`: the server as a program of its own, for service managers.
//!
//! For: `thon-api [--config FILE] [--log json]`, the same as `thon serve`.
//! Not for: anything that a terminal is needed for.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use thon::Home;
use thon_api::{LogFormat, Server, init_log, signal};

/// Serves THON's dashboard and REST API, for service managers; `thon serve` is the same by hand
#[derive(Debug, Parser)]
#[command(version, after_help = AFTER)]
struct Arguments {
    /// The configuration, in the place of ~/.thon/thon.yaml
    #[arg(long, value_name = "FILE", env = "THON_CONFIG")]
    config: Option<PathBuf>,
    /// How log lines look
    #[arg(long, value_enum, default_value_t = Log::Json)]
    log: Log,
}

const AFTER: &str = "The dashboard listens at dashboard.web_port and the API at dashboard.port, both \
at dashboard.host. `thon dashboard password` sets the password of the one, `thon token add` makes \
tokens for the other. THON_LOG tells what is logged, such as debug or warn. SIGTERM lets requests end.";

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Log {
    Text,
    Json,
}

fn main() -> ExitCode {
    let Arguments { config, log } = Arguments::parse();
    init_log(match log {
        Log::Text => LogFormat::Text,
        Log::Json => LogFormat::Json,
    });
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
    let (api, dashboard) = (server.address(), server.web_address());
    tracing::info!(%api, %dashboard, tls = server.tls_url(), "listening");
    server.serve(signal()).await?;
    tracing::info!("ended as asked");
    Ok(())
}
