//! What a service manager or a load balancer asks: is it alive, and is it of use.
//!
//! For: two answers that need no token and tell nothing that matters.
//! Not for: what is wrong; the log and the API tell that.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;

/// True for the paths that are answered without a token.
pub(crate) fn is_probe(path: &str) -> bool {
    matches!(path, "/health" | "/ready")
}

pub(crate) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(health)).routes(routes!(ready))
}

/// That the server is alive.
#[derive(Debug, Serialize, ToSchema)]
struct Health {
    /// `ok`.
    status: &'static str,
    /// THON's version.
    version: &'static str,
}

/// Whether the server is of use now.
#[derive(Debug, Serialize, ToSchema)]
struct Ready {
    /// `ready`, or `not_ready`.
    status: &'static str,
    /// Whether the last look at Docker saw everything.
    docker: bool,
    /// Whether the database answers.
    database: bool,
}

/// Is the server alive?
#[utoipa::path(get, path = "/health", tag = "server", responses(
    (status = 200, description = "It is", body = Health)
))]
async fn health() -> Json<Health> {
    Json(Health { status: "ok", version: env!("CARGO_PKG_VERSION") })
}

/// Is the server of use: does Docker answer, and the database?
#[utoipa::path(get, path = "/ready", tag = "server", responses(
    (status = 200, description = "It is", body = Ready),
    (status = 503, description = "It isn't", body = Ready)
))]
async fn ready(State(app): State<App>) -> (StatusCode, Json<Ready>) {
    let room = app.service.room();
    let docker = room.seen_at.is_some() && room.failure.is_none();
    let database = app.service.state().store().generation().await.is_ok();
    let ready = docker && database;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let word = if ready { "ready" } else { "not_ready" };
    (status, Json(Ready { status: word, docker, database }))
}
