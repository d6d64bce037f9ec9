//! Operations: work that takes a while.
//!
//! For: asking for one on behalf of another route, and watching it.
//! Not for: what is done.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use thon::core::access::Permission;
use thon::core::event::Event;
use thon::core::name::UserId;
use thon::core::operation::{Operation, OperationId, Task, TaskKind};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::view::Work;
use crate::app::App;
use crate::guard::{Anyone, Reader, Who};
use crate::input::{InPath, Params};
use crate::problem::{Problem, WhenRead};

/// The longest that an answer waits for the end of an operation.
const LONGEST_WAIT: u64 = 50;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show))
}

/// Asks for something to be done to the instances of `users`.
pub(super) async fn accept(
    app: &App,
    who: &Who,
    kind: TaskKind,
    users: Vec<UserId>,
) -> Result<Response, Problem> {
    accept_task(app, who, Task::new(kind, users)).await
}

/// Asks for `task` and answers where it is watched.
pub(super) async fn accept_task(app: &App, who: &Who, task: Task) -> Result<Response, Problem> {
    Ok(accepted(&app.service.begin(&who.actor, task).await?))
}

/// The answer that something is being done, and where it is watched.
pub(super) fn accepted(operation: &Operation) -> Response {
    let mut headers = HeaderMap::new();
    let place = format!("/api/operations/{}", operation.id);
    if let Ok(place) = HeaderValue::from_str(&place) {
        headers.insert(header::LOCATION, place);
    }
    (StatusCode::ACCEPTED, headers, Json(Work::from(operation))).into_response()
}

/// The latest operations.
#[derive(Debug, Serialize, ToSchema)]
struct Works {
    /// The last one first.
    operations: Vec<Work>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Limit {
    /// How many at most.
    #[serde(default = "crate::input::usual")]
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: u32,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Wait {
    /// For how many seconds the answer may wait for the end of the operation.
    #[serde(default)]
    #[param(minimum = 0, maximum = 50, default = 0)]
    wait: u64,
}

/// The latest operations, the last one first.
#[utoipa::path(get, path = "/api/operations", tag = "operations", params(Limit), responses(
    (status = 200, description = "The operations", body = Works), WhenRead
), security(("token" = [])))]
async fn list(
    _: Reader,
    State(app): State<App>,
    Params(Limit { limit }): Params<Limit>,
) -> Result<Json<Works>, Problem> {
    if !(1..=200).contains(&limit) {
        return Err(Problem::input("limit", format!("{limit} is not allowed: 1 to 200")));
    }
    let found = app.service.operations(limit).await?;
    Ok(Json(Works { operations: found.iter().map(Work::from).collect() }))
}

/// One operation; with `wait` as soon as it is over, or the time is.
#[utoipa::path(get, path = "/api/operations/{id}", tag = "operations", params(
    ("id" = u64, Path, description = "Its number"), Wait
), responses(
    (status = 200, description = "The operation", body = Work), WhenRead
), security(("token" = [])))]
async fn show(
    Anyone(who): Anyone,
    State(app): State<App>,
    InPath(id): InPath<u64>,
    Params(Wait { wait }): Params<Wait>,
) -> Result<Json<Work>, Problem> {
    if wait > LONGEST_WAIT {
        let detail = format!("{wait} is not allowed: 0 to {LONGEST_WAIT}");
        return Err(Problem::input("wait", detail));
    }
    let theirs = |found: Operation| who.standing.permits_each(Permission::See, &found.task.users);
    if !who.permits(Permission::See) && !find(&app, id).await.is_ok_and(theirs) {
        // Whether there is one of that number is nobody else's business.
        who.needs(Permission::See)?;
    }
    // Heard from before the first look on, so that no end is missed.
    let mut events = app.service.events().subscribe();
    let mut ending = app.ending.clone();
    let over = async {
        loop {
            let operation = find(&app, id).await?;
            if operation.state.is_over() {
                return Ok::<_, Problem>(operation);
            }
            loop {
                match events.recv().await {
                    Ok(said) => match &said.event {
                        Event::OperationChanged { operation, .. } if operation.0 == id => break,
                        _ => {}
                    },
                    // Something was missed: look again.
                    Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => break,
                    Err(_) => return find(&app, id).await,
                }
            }
        }
    };
    let waited = tokio::select! {
        operation = over => Some(operation),
        () = tokio::time::sleep(Duration::from_secs(wait)) => None,
        _ = ending.wait_for(|ending| *ending) => None,
    };
    let operation = match waited {
        Some(operation) => operation?,
        None => find(&app, id).await?,
    };
    let work = Work::from(&operation);
    if who.permits(Permission::See) {
        return Ok(Json(work));
    }
    let own = operation.actor == who.actor.to_string();
    Ok(Json(work.asked_by(if own { "you" } else { "an organizer" })))
}

async fn find(app: &App, id: u64) -> Result<Operation, Problem> {
    let found = app.service.operation(OperationId(id)).await?;
    found.ok_or_else(|| Problem::missing(format!("operation {id}")))
}
