//! The audit log.
//!
//! For: who did what, when, and what came of it.
//! Not for: what became of sandboxes; their history tells.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::view::timestamp;
use crate::app::App;
use crate::guard::Reader;
use crate::input::Params;
use crate::problem::{Problem, WhenRead};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Limit {
    /// How many lines at most.
    #[serde(default = "crate::input::usual")]
    #[param(minimum = 1, maximum = 1000, default = 50)]
    limit: u32,
}

/// A line of the audit log.
#[derive(Debug, Serialize, ToSchema)]
struct Line {
    /// When.
    at: Option<String>,
    /// Who.
    actor: String,
    /// What was done.
    action: String,
    /// To what.
    subject: String,
    /// What came of it.
    result: String,
}

/// The last lines of the audit log.
#[derive(Debug, Serialize, ToSchema)]
struct Lines {
    /// The last one first.
    entries: Vec<Line>,
}

/// The last lines of the audit log, the last one first.
#[utoipa::path(get, path = "/api/audit", tag = "server", params(Limit), responses(
    (status = 200, description = "The lines", body = Lines), WhenRead
), security(("token" = [])))]
async fn list(
    _: Reader,
    State(app): State<App>,
    Params(Limit { limit }): Params<Limit>,
) -> Result<Json<Lines>, Problem> {
    if !(1..=1000).contains(&limit) {
        return Err(Problem::input("limit", format!("{limit} is not allowed: 1 to 1000")));
    }
    let entries = app.service.state().store().audit(limit).await?.into_iter().map(|entry| Line {
        at: timestamp(entry.at),
        actor: entry.actor,
        action: entry.action,
        subject: entry.subject,
        result: entry.result,
    });
    Ok(Json(Lines { entries: entries.collect() }))
}
