//! `thon serve`: the dashboard and the REST API in the foreground.
//!
//! For: saying where it is and who is let in.
//! Not for: what is served; the server is a library.

use std::process::ExitCode;

use thon_api::{LogFormat, Server, init_log, signal};

use super::Outcome;
use crate::args_server::{Log, ServeArgs};
use crate::context::Context;

pub(crate) async fn serve(args: &ServeArgs, context: &Context) -> Outcome {
    init_log(match args.log {
        Log::Text => LogFormat::Text,
        Log::Json => LogFormat::Json,
    });
    let server = Server::bind(context.home()?, context.global.config.clone()).await?;
    let url = format!("http://{}", server.address());
    let dashboard = format!("http://{}", server.web_address());
    let open = server.service().is_open().await?;
    if context.output.json() {
        let tls = server.tls_url();
        let said = serde_json::json!({
            "url": url, "dashboard": dashboard, "tls": tls, "open": open
        });
        context.output.line(&said.to_string());
    } else {
        context.output.note(&format!("Dashboard: {dashboard}"));
        context.output.note(&format!("REST API:  {url}, described at {url}/docs"));
        if let Some(tls) = server.tls_url() {
            context.output.note(&format!("Over TLS:  {tls}, once `thon run` has told nginx"));
        }
        if open {
            context.output.note(
                "There is neither a password nor a token: whoever is on this machine may do \
                 everything, nobody else is let in. `thon dashboard password` sets a password.",
            );
        }
        context.output.note("Ctrl-C ends it.");
    }
    server.serve(signal()).await?;
    Ok(ExitCode::SUCCESS)
}
