//! Workspaces: whose files are where.
//!
//! For: listing them.
//! Not for: what is in them.

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use thon::WorkspaceView;
use tokio_stream::wrappers::ReceiverStream;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::view::timestamp;
use crate::app::App;
use crate::guard::{Administrator, Reader};
use crate::input::{InPath, Params, user};
use crate::problem::{Problem, WhenChanged, WhenRead};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(archive)).routes(routes!(remove))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// Whether sizes are found out, which takes a look at every file.
    #[serde(default)]
    #[param(default = false)]
    sizes: bool,
}

/// A workspace.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Place {
    /// `<group>_<user>`.
    id: String,
    /// Where it is: a volume or a folder.
    workspace: String,
    /// What it takes on the disk, in bytes, where that was asked for and can be found out.
    size: Option<u64>,
    /// When something in it last changed, where that can be found out.
    changed_at: Option<String>,
    /// Whether its user is in the roster.
    in_roster: bool,
    /// Whether it is the one that the configuration gives its user.
    configured: bool,
    /// Whether somebody may be working in it.
    in_use: bool,
}

impl Place {
    pub(crate) fn new(view: &WorkspaceView, sizes: bool) -> Self {
        Self {
            id: view.user.key(),
            workspace: view.workspace.to_string(),
            size: view.size.filter(|_| sizes),
            changed_at: view.changed_at.and_then(timestamp),
            in_roster: view.in_roster,
            configured: view.configured,
            in_use: view.is_in_use(),
        }
    }
}

/// All workspaces.
#[derive(Debug, Serialize, ToSchema)]
struct Places {
    /// Those of users who left the roster included.
    workspaces: Vec<Place>,
}

/// Every workspace of the node.
#[utoipa::path(get, path = "/api/workspaces", tag = "workspaces", params(Wanted), responses(
    (status = 200, description = "The workspaces", body = Places), WhenRead
), security(("token" = [])))]
async fn list(
    _: Reader,
    State(app): State<App>,
    Params(Wanted { sizes }): Params<Wanted>,
) -> Result<Json<Places>, Problem> {
    let site = app.service.site().await?;
    let found = site.node().workspaces(|_| sizes).await?;
    let workspaces = found.into_iter().map(|view| Place::new(&view, sizes));
    Ok(Json(Places { workspaces: workspaces.collect() }))
}

/// Everything in a user's workspace as a compressed tar archive (`.tar.zst`). Whoever works in it
/// goes on.
#[utoipa::path(get, path = "/api/workspaces/{id}/archive", tag = "workspaces", params(
    ("id" = String, Path, description = "`<group>_<user>`")
), responses(
    (status = 200, description = "The archive", body = String, content_type = "application/zstd"),
    WhenRead
), security(("token" = [])))]
async fn archive(
    _: Administrator,
    State(app): State<App>,
    InPath(id): InPath<String>,
) -> Result<Response, Problem> {
    let user = user(&id)?;
    let site = app.service.site().await?;
    let download = site.node().download_workspace(&user).await?;
    let name = format!("attachment; filename=\"{}\"", download.name);
    let body = axum::body::Body::from_stream(ReceiverStream::new(download.pieces));
    let headers =
        [(header::CONTENT_TYPE, "application/zstd"), (header::CONTENT_DISPOSITION, &name)];
    Ok((headers, body).into_response())
}

/// The word that says that it is meant.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Confirmed {
    /// The id once more.
    #[serde(default)]
    #[param(required)]
    confirm: String,
}

/// What was deleted.
#[derive(Debug, Serialize, ToSchema)]
struct Gone {
    /// `deleted`.
    status: &'static str,
    /// Whose workspace it was.
    id: String,
    /// Where it was.
    workspace: String,
}

/// Deletes a user's workspace with every file in it, for good, and the stopped sandbox that holds on
/// to it. Refused while the sandbox runs, and without the id to confirm it.
#[utoipa::path(delete, path = "/api/workspaces/{id}", tag = "workspaces", params(
    ("id" = String, Path, description = "`<group>_<user>`"), Confirmed
), responses(
    (status = 200, description = "It is deleted", body = Gone), WhenChanged
), security(("token" = [])))]
async fn remove(
    Administrator(who): Administrator,
    State(app): State<App>,
    InPath(id): InPath<String>,
    Params(Confirmed { confirm }): Params<Confirmed>,
) -> Result<Json<Gone>, Problem> {
    if confirm != id {
        let detail = format!("every file of {id} would be lost: `?confirm={id}` means it");
        return Err(Problem::input("confirm", detail));
    }
    let removed = app.service.remove_workspace(&who.actor, &user(&id)?).await?;
    let removed = removed.ok_or_else(|| Problem::missing(format!("workspace of {id}")))?;
    Ok(Json(Gone { status: "deleted", id, workspace: removed.workspace.to_string() }))
}
