//! The reverse proxy: how it stands, and bringing it up to date.
//!
//! For: the status, writing the routes anew, taking ours away.
//! Not for: routes of single users; they follow from what runs.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use thon::core::operation::TaskKind;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::operations::accept;
use super::view::Work;
use crate::app::App;
use crate::guard::{Administrator, Operator, Reader};
use crate::problem::{Code, Problem, WhenChanged, WhenRead};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(status)).routes(routes!(refresh)).routes(routes!(cleanup))
}

/// How the proxy stands.
#[derive(Debug, Serialize, ToSchema)]
struct Status {
    /// Whether the configuration asks for a proxy.
    enabled: bool,
    /// `system` or `managed`.
    mode: String,
    /// Whether its process runs.
    running: bool,
    /// Where participants find this machine, without a slash at its end.
    base_url: String,
    /// The configuration file that is ours.
    config_path: String,
    /// How many routes it holds; nothing where there is none.
    routes: Option<usize>,
    /// How often it was told to reload.
    reloads: u64,
    /// Whether there is a certificate.
    ssl_configured: bool,
}

/// How the reverse proxy stands.
#[utoipa::path(get, path = "/api/nginx/status", tag = "nginx", responses(
    (status = 200, description = "The status", body = Status), WhenRead
), security(("token" = [])))]
async fn status(_: Reader, State(app): State<App>) -> Result<Json<Status>, Problem> {
    let site = app.service.site().await?;
    let node = site.node();
    let status = node.proxy_status().await?;
    Ok(Json(Status {
        enabled: node.config().nginx.enabled,
        mode: status.mode,
        running: status.running,
        base_url: node.base_url(),
        config_path: status.config,
        routes: status.routes,
        reloads: status.reloads,
        ssl_configured: node.certificate().await?.is_some(),
    }))
}

/// Refuses where there is no proxy by configuration.
async fn need_proxy(app: &App) -> Result<(), Problem> {
    if app.service.site().await?.node().config().nginx.enabled {
        return Ok(());
    }
    let detail = "the configuration has no proxy: `nginx.enabled` is false";
    Err(Problem::new(Code::Conflict, detail))
}

/// Writes the proxy's routes anew from what runs, and checks each.
#[utoipa::path(post, path = "/api/nginx/refresh", tag = "nginx", responses(
    (status = 202, description = "It is being done", body = Work), WhenChanged
), security(("token" = [])))]
async fn refresh(Operator(who): Operator, State(app): State<App>) -> Result<Response, Problem> {
    need_proxy(&app).await?;
    accept(&app, &who, TaskKind::SyncProxy, Vec::new()).await
}

/// Something was done.
#[derive(Debug, Serialize, ToSchema)]
struct Done {
    /// `cleaned_up`.
    status: &'static str,
}

/// Takes the proxy's configuration away and gives back what was there before. Nobody reaches their
/// instance from outside until it is refreshed.
#[utoipa::path(post, path = "/api/nginx/cleanup", tag = "nginx", responses(
    (status = 200, description = "It is done", body = Done), WhenChanged
), security(("token" = [])))]
async fn cleanup(_: Administrator, State(app): State<App>) -> Result<Json<Done>, Problem> {
    need_proxy(&app).await?;
    let site = app.service.site().await?;
    let _lock = site.node().lock()?;
    site.node().proxy_cleanup().await?;
    Ok(Json(Done { status: "cleaned_up" }))
}
