//! A visit to a page: who comes, and what there is at that moment.
//!
//! For: what every page shows besides its own matter: who is logged in, what is being done, what is
//! wrong.
//! Not for: a page's own matter.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use thon::core::access::Permission;
use thon::core::instance::InstanceState;
use thon::core::name::UserId;
use thon::core::operation::{Operation, OperationState, TaskKind};
use thon::{Room, Site, csrf};

use super::{assets, render};
use crate::app::App;
use crate::guard::{Anyone, KnownBy, Who};
use crate::input::Params;
use crate::problem::{Code, Problem};
use crate::rest::view::{Work, timestamp};

/// How many operations every page shows.
const OPERATIONS: u32 = 6;

/// A visit of somebody who may see everything.
pub(super) struct Visit {
    pub(super) app: App,
    pub(super) who: Who,
    pub(super) site: Arc<Site>,
    pub(super) room: Arc<Room>,
}

impl FromRequestParts<App> for Visit {
    type Rejection = Oops;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Oops> {
        let Own(visit) = Own::from_request_parts(parts, app).await?;
        visit.who.needs(Permission::See)?;
        Ok(visit)
    }
}

/// A visit of somebody who sees what is theirs, at least.
pub(super) struct Own(pub(super) Visit);

impl FromRequestParts<App> for Own {
    type Rejection = Oops;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Oops> {
        let Anyone(who) = Anyone::from_request_parts(parts, app).await?;
        let site = app.service.site().await.map_err(Problem::from)?;
        Ok(Self(Visit { app: app.clone(), who, site, room: app.service.room() }))
    }
}

/// The query of a page; one that can't be used is answered with a page that says so.
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<App> for Query<T> {
    type Rejection = Oops;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Oops> {
        let Params(query) = Params::from_request_parts(parts, app).await?;
        Ok(Self(query))
    }
}

/// What stands around a page's own matter.
#[derive(Serialize)]
struct Frame<'a, T> {
    version: &'static str,
    /// The page's address, by which the navigation knows where one is.
    here: &'a str,
    title: &'a str,
    /// What the script shows with every change; empty where there is no session.
    csrf: String,
    has_session: bool,
    /// Who is logged in, where that is told by an account.
    person: Option<String>,
    role: &'static str,
    may: May,
    /// Whether some of the instances are their own.
    has_own: bool,
    node: &'a str,
    /// Why thon.yaml can't be used as it is.
    site_problem: Option<&'a str>,
    /// Why the last look saw nothing.
    room_problem: Option<&'a str>,
    seen_at: Option<String>,
    works: Vec<Doing>,
    page: T,
}

/// What whoever looks may do: what they may not is not offered.
#[derive(Serialize)]
struct May {
    see: bool,
    operate: bool,
    administer: bool,
}

/// An operation with how far it is.
#[derive(Serialize)]
struct Doing {
    #[serde(flatten)]
    work: Work,
    /// To whom, in a few words.
    subject: String,
    /// How many of the wanted are done, while it is under way and can be told.
    done: Option<usize>,
    total: usize,
    failures: usize,
}

impl Doing {
    fn new(operation: &Operation, room: &Room) -> Self {
        let users = &operation.task.users;
        let is = |user: &&UserId, state| room.instance(user).is_some_and(|v| v.state == state);
        let goal = match operation.task.kind {
            TaskKind::Launch | TaskKind::Resume => Some(InstanceState::Running),
            TaskKind::Pause => Some(InstanceState::Paused),
            TaskKind::Stop => Some(InstanceState::Terminated),
            _ => None,
        };
        let running = operation.state == OperationState::Running;
        Self {
            work: operation.into(),
            subject: operation.task.subject(),
            done: goal
                .filter(|_| running)
                .map(|goal| users.iter().filter(|user| is(user, goal)).count()),
            total: users.len(),
            failures: operation.outcome.results.iter().filter(|result| !result.ok).count(),
        }
    }
}

impl Visit {
    /// The page of the template `name`.
    pub(super) async fn page(
        &self,
        name: &str,
        here: &str,
        title: &str,
        page: impl Serialize,
    ) -> Result<Response, Oops> {
        let who = &self.who;
        let sees = who.permits(Permission::See);
        let operations = if sees {
            self.app.service.operations(OPERATIONS).await.map_err(Problem::from)?
        } else {
            Vec::new()
        };
        let csrf = who.session().map(csrf);
        let frame = Frame {
            version: assets::VERSION,
            here,
            title,
            has_session: csrf.is_some(),
            csrf: csrf.map(|csrf| csrf.reveal().to_owned()).unwrap_or_default(),
            person: match &who.known_by {
                KnownBy::Session(session, _) => {
                    session.holder.account().map(|account| account.shown().to_owned())
                }
                KnownBy::Token | KnownBy::Place => None,
            },
            role: who.standing.role.as_str(),
            may: May {
                see: sees,
                operate: who.permits(Permission::Operate),
                administer: who.permits(Permission::Administer),
            },
            has_own: !who.standing.users.is_empty(),
            node: self.site.node().config().node.as_str(),
            site_problem: self.site.problem().filter(|_| sees),
            room_problem: self.room.failure.as_deref().filter(|_| sees),
            seen_at: self.room.seen_at.and_then(timestamp),
            works: operations.iter().map(|work| Doing::new(work, &self.room)).collect(),
            page,
        };
        Ok(render::page(StatusCode::OK, name, frame)?)
    }
}

/// A problem, as a page.
pub(super) struct Oops(pub(super) Problem);

impl From<Problem> for Oops {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl From<thon::Error> for Oops {
    fn from(error: thon::Error) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Oops {
    fn into_response(self) -> Response {
        let Self(problem) = self;
        if problem.code() == Code::Internal {
            tracing::error!(detail = problem.detail(), "a page can't be shown");
        }
        let shown = serde_json::json!({ "version": assets::VERSION, "problem": problem });
        render::page(problem.code().status(), "error.html", shown)
            .unwrap_or_else(|_| problem.into_response())
    }
}
