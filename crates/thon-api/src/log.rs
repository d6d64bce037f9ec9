//! The log: a line for each request, and for what happens besides.
//!
//! For: structured lines on standard error, with the request's id.
//! Not for: bodies, queries or headers: they may hold secrets.

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;

use crate::metrics::Requests;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// A JSON object a line.
    Json,
}

/// Begins to write the log on standard error. What is written is told by `THON_LOG`, such as `debug`
/// or `warn`; by default `info`.
pub fn init(format: LogFormat) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("THON_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let log = log.with_ansi(std::io::stderr().is_terminal());
    // Somebody else's log is there already where this program is part of another.
    let begun = match format {
        LogFormat::Text => log.with_target(false).try_init(),
        LogFormat::Json => log.json().with_target(false).try_init(),
    };
    drop(begun);
}

/// Writes a line for a request.
pub(crate) async fn log(requests: Arc<Requests>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let id = request.headers().get("x-request-id").and_then(|id| id.to_str().ok());
    let id = id.unwrap_or_default().to_owned();
    let response = next.run(request).await;
    let status = response.status();
    requests.count(&method, status);
    let milliseconds = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    if status.is_server_error() {
        tracing::warn!(%method, path, status = status.as_u16(), milliseconds, id, "request");
    } else {
        tracing::info!(%method, path, status = status.as_u16(), milliseconds, id, "request");
    }
    response
}
