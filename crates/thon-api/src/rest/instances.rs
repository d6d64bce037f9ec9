//! Instances: everyone's VS Code, and what can be done to it.
//!
//! For: listing what the last look saw, and asking for operations.
//! Not for: users; whose instance it is is in the roster.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use thon::core::access::Permission;
use thon::core::instance::InstanceState;
use thon::core::name::UserId;
use thon::core::operation::TaskKind;
use thon::core::roster::Roster;
use thon::core::state::InstanceHistory;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::operations::{accept, accepted};
use super::view::{Instance, State as Shown, Work, timestamp};
use crate::app::App;
use crate::guard::{Administrator, Anyone, Operator, Reader, Who};
use crate::input::{Body, Ids, InPath, Params, Slice, first, user, usual};
use crate::problem::{Code, Problem, WhenChanged, WhenRead};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(show, remove))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(restart))
        .routes(routes!(recreate))
        .routes(routes!(stop))
        .routes(routes!(renew))
        .routes(routes!(register))
        .routes(routes!(logs))
        .routes(routes!(history))
        .routes(routes!(bulk_pause))
        .routes(routes!(bulk_resume))
        .routes(routes!(bulk_restart))
        .routes(routes!(bulk_recreate))
        .routes(routes!(bulk_stop))
        .routes(routes!(bulk_kill))
        .routes(routes!(bulk_launch))
        .routes(routes!(bulk_register))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// Only those in one of these states.
    #[serde(default)]
    pub(crate) state: Vec<Shown>,
    /// Only those of this group.
    pub(crate) group: Option<String>,
    /// Only those in whose id, display name or e-mail address this occurs.
    pub(crate) q: Option<String>,
    /// In which order; within the same by id.
    #[serde(default)]
    #[param(inline)]
    pub(crate) sort: Order,
    /// Which page, counted from 1.
    #[serde(default = "first")]
    #[param(minimum = 1, maximum = 4_294_967_295_u64, default = 1, value_type = u64)]
    page: u32,
    /// How many on a page.
    #[serde(default = "usual")]
    #[param(minimum = 1, maximum = 200, default = 50)]
    page_size: u32,
}

/// In which order instances are listed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Order {
    /// As the roster has them.
    #[default]
    Roster,
    /// By the user's name.
    Name,
    /// By state.
    State,
    /// The newest sandbox first.
    Newest,
}

/// A page of instances.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct InstancePage {
    /// Those of this page: everyone in the roster, then whoever else has a sandbox.
    instances: Vec<Instance>,
    /// How many there are in all.
    pub(crate) total: usize,
    /// Which page this is.
    pub(crate) page: u32,
    /// How many fit on a page.
    pub(crate) page_size: u32,
    /// When this was seen.
    seen_at: Option<String>,
}

/// Everyone's instance, as it was last seen. Changes nothing.
#[utoipa::path(get, path = "/api/instances", tag = "instances", params(Wanted), responses(
    (status = 200, description = "The instances", body = InstancePage), WhenRead
), security(("token" = [])))]
async fn list(
    Reader(who): Reader,
    State(app): State<App>,
    Params(wanted): Params<Wanted>,
) -> Result<Json<InstancePage>, Problem> {
    let room = seen(&app)?;
    let site = app.service.site().await?;
    Ok(Json(page(&room, &site.wanted.roster, &wanted, &who)?))
}

/// The instances of `room` that are wanted.
pub(crate) fn page(
    room: &thon::Room,
    roster: &Roster,
    wanted: &Wanted,
    who: &Who,
) -> Result<InstancePage, Problem> {
    let slice = Slice::new(wanted.page, wanted.page_size)?;
    let text = wanted.q.as_deref().map(str::to_lowercase);
    let fits = |view: &&thon::core::orchestrator::InstanceView| {
        let known = super::view::user_of(roster, &view.user);
        let texts = [
            Some(view.user.key()),
            known.and_then(|user| user.display.clone()),
            known.and_then(|user| user.email.clone()),
        ];
        let mut texts = texts.into_iter().flatten();
        (wanted.state.is_empty() || wanted.state.contains(&view.state.into()))
            && wanted.group.as_deref().is_none_or(|group| view.user.group.as_str() == group)
            && text.as_deref().is_none_or(|t| texts.any(|field| field.to_lowercase().contains(t)))
    };
    let mut found: Vec<_> = room.instances.iter().filter(fits).collect();
    match wanted.sort {
        Order::Roster => {}
        Order::Name => found.sort_by_key(|view| (view.user.user.clone(), view.user.group.clone())),
        Order::State => {
            found.sort_by_key(|view| InstanceState::ALL.iter().position(|s| *s == view.state));
        }
        Order::Newest => found.sort_by_key(|view| std::cmp::Reverse(view.created_at)),
    }
    let total = found.len();
    let shown = slice.of(found.into_iter());
    Ok(InstancePage {
        instances: shown.into_iter().map(|v| Instance::new(v, roster, who)).collect(),
        total,
        page: slice.page,
        page_size: slice.size,
        seen_at: room.seen_at.and_then(timestamp),
    })
}

/// The room, where the last look saw it.
fn seen(app: &App) -> Result<std::sync::Arc<thon::Room>, Problem> {
    let room = app.service.room();
    match (&room.failure, room.seen_at) {
        (None, Some(_)) => Ok(room),
        (failure, _) => {
            let reason = failure.clone().unwrap_or_else(|| "nobody has looked yet".to_owned());
            Err(Problem::new(Code::Unavailable, reason).hint("`thon doctor` finds the reason"))
        }
    }
}

async fn one(app: &App, id: &str, who: &Who) -> Result<Instance, Problem> {
    let user = user(id)?;
    let room = seen(app)?;
    let site = app.service.site().await?;
    let view = room.instance(&user).ok_or_else(|| Problem::missing(format!("instance {id}")))?;
    Ok(Instance::new(view, &site.wanted.roster, who))
}

/// Whose instance is to be launched.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Launch {
    /// Their group.
    group: String,
    /// Their name.
    username: String,
}

impl Launch {
    fn user(&self) -> Result<UserId, Problem> {
        let group = self.group.parse();
        let group = group.map_err(|error: thon::core::name::NameError| {
            Problem::input("group", error.to_string())
        })?;
        let name = self.username.parse();
        let name = name.map_err(|error: thon::core::name::NameError| {
            Problem::input("username", error.to_string())
        })?;
        Ok(UserId::new(group, name))
    }
}

/// Launches the instance of a user who is in the roster.
#[utoipa::path(post, path = "/api/instances", tag = "instances", request_body = Launch, responses(
    (status = 202, description = "It is being launched", body = Work), WhenChanged
), security(("token" = [])))]
async fn create(
    Operator(who): Operator,
    State(app): State<App>,
    Body(launch): Body<Launch>,
) -> Result<Response, Problem> {
    accept(&app, &who, TaskKind::Launch, vec![launch.user()?]).await
}

/// The user of an id with whose instance somebody may do it. Whoever may not is told that alone,
/// whatever the id is.
fn theirs(who: &Who, permission: Permission, id: &str) -> Result<UserId, Problem> {
    let user = match user(id) {
        Ok(user) => user,
        Err(problem) => return Err(who.needs(permission).err().unwrap_or(problem)),
    };
    who.needs_with(permission, &user)?;
    Ok(user)
}

/// One instance, as it was last seen.
#[utoipa::path(get, path = "/api/instances/{id}", tag = "instances", params(
    ("id" = String, Path, description = "`<group>_<user>`")
), responses(
    (status = 200, description = "The instance", body = Instance), WhenRead
), security(("token" = [])))]
async fn show(
    Anyone(who): Anyone,
    State(app): State<App>,
    InPath(id): InPath<String>,
) -> Result<Json<Instance>, Problem> {
    theirs(&who, Permission::See, &id)?;
    Ok(Json(one(&app, &id, &who).await?))
}

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident, $method:ident $path:literal, $kind:ident;)*) => {$(
        $(#[$doc])*
        #[utoipa::path($method, path = $path, tag = "instances", params(
            ("id" = String, Path, description = "`<group>_<user>`")
        ), responses(
            (status = 202, description = "It is being done", body = Work), WhenChanged
        ), security(("token" = [])))]
        async fn $name(
            Operator(who): Operator,
            State(app): State<App>,
            InPath(id): InPath<String>,
        ) -> Result<Response, Problem> {
            accept(&app, &who, TaskKind::$kind, vec![user(&id)?]).await
        }
    )*};
}

actions! {
    /// Stops the instance and removes its sandbox. The workspace stays.
    remove, delete "/api/instances/{id}", Remove;
    /// Freezes the instance: memory and terminals are kept, nothing runs.
    pause, post "/api/instances/{id}/pause", Pause;
    /// Lets a frozen instance go on.
    resume, post "/api/instances/{id}/resume", Resume;
    /// Replaces the sandbox by a new one. The workspace stays.
    recreate, post "/api/instances/{id}/recreate", Recreate;
    /// Stops the instance; everything in the sandbox stays.
    stop, post "/api/instances/{id}/stop", Stop;
}

/// Stops the instance and starts it again: terminals are lost, files are not. Participants may do
/// this with their own.
#[utoipa::path(post, path = "/api/instances/{id}/restart", tag = "instances", params(
    ("id" = String, Path, description = "`<group>_<user>`")
), responses(
    (status = 202, description = "It is being done", body = Work), WhenChanged
), security(("token" = [])))]
async fn restart(
    Anyone(who): Anyone,
    State(app): State<App>,
    InPath(id): InPath<String>,
) -> Result<Response, Problem> {
    let user = theirs(&who, Permission::Operate, &id)?;
    if who.permits(Permission::Operate) {
        return accept(&app, &who, TaskKind::Restart, vec![user]).await;
    }
    Ok(accepted(&app.service.restart_own(&who.actor, user).await?))
}

macro_rules! bulk {
    ($($(#[$doc:meta])* $name:ident, $path:literal, $kind:ident;)*) => {$(
        $(#[$doc])*
        #[utoipa::path(post, path = $path, tag = "instances", request_body = Ids, responses(
            (status = 202, description = "It is being done", body = Work), WhenChanged
        ), security(("token" = [])))]
        async fn $name(
            Operator(who): Operator,
            State(app): State<App>,
            Body(ids): Body<Ids>,
        ) -> Result<Response, Problem> {
            accept(&app, &who, TaskKind::$kind, ids.users()?).await
        }
    )*};
}

bulk! {
    /// Launches many instances.
    bulk_launch, "/api/instances/bulk/launch", Launch;
    /// Freezes many instances.
    bulk_pause, "/api/instances/bulk/pause", Pause;
    /// Lets many frozen instances go on.
    bulk_resume, "/api/instances/bulk/resume", Resume;
    /// Stops many instances and starts them again.
    bulk_restart, "/api/instances/bulk/restart", Restart;
    /// Replaces many sandboxes by new ones. Workspaces stay.
    bulk_recreate, "/api/instances/bulk/recreate", Recreate;
    /// Stops many instances.
    bulk_stop, "/api/instances/bulk/stop", Stop;
    /// Stops many instances and removes their sandboxes. Workspaces stay.
    bulk_kill, "/api/instances/bulk/kill", Remove;
}

/// For how long an instance is to go on.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Renew {
    /// How many minutes more.
    #[serde(default = "hour")]
    #[schema(minimum = 1, maximum = 10_080, default = 60)]
    timeout_minutes: u32,
}

const fn hour() -> u32 {
    60
}

/// The new end of an instance.
#[derive(Debug, Serialize, ToSchema)]
struct Renewed {
    /// `renewed`.
    status: &'static str,
    /// `<group>_<user>`.
    id: String,
    /// How many minutes more it has.
    timeout_minutes: u32,
    /// When it is stopped now.
    expires_at: Option<String>,
}

/// Gives an instance more time, where its time is limited.
#[utoipa::path(post, path = "/api/instances/{id}/renew", tag = "instances", params(
    ("id" = String, Path, description = "`<group>_<user>`")
), request_body = Renew, responses(
    (status = 200, description = "It has more time", body = Renewed), WhenChanged
), security(("token" = [])))]
async fn renew(
    Operator(who): Operator,
    State(app): State<App>,
    InPath(id): InPath<String>,
    Body(Renew { timeout_minutes }): Body<Renew>,
) -> Result<Json<Renewed>, Problem> {
    if !(1..=10_080).contains(&timeout_minutes) {
        let detail = format!("{timeout_minutes} is not allowed: 1 to 10080, a week");
        return Err(Problem::input("timeout_minutes", detail));
    }
    one(&app, &id, &who).await?;
    let user = user(&id)?;
    let by = Duration::from_secs(u64::from(timeout_minutes) * 60);
    let site = app.service.site().await?;
    let lock = site.node().lock()?;
    let moved = site.node().extend(Some(&[user]), by).await?;
    drop(lock);
    let Some((_, end)) = moved.into_iter().next() else {
        let detail = format!("the time of instance {id} is not limited");
        return Err(Problem::new(Code::Conflict, detail)
            .hint("`sandbox.timeout_minutes` limits it at the next launch"));
    };
    app.service.look().await;
    Ok(Json(Renewed { status: "renewed", id, timeout_minutes, expires_at: timestamp(end) }))
}

/// Puts the user of a sandbox that runs already into the roster. The sandbox tells whose it is.
#[utoipa::path(post, path = "/api/instances/{id}/register", tag = "instances", params(
    ("id" = String, Path, description = "`<group>_<user>`")
), request_body = Launch, responses(
    (status = 200, description = "They are in the roster", body = Instance), WhenChanged
), security(("token" = [])))]
async fn register(
    Administrator(who): Administrator,
    State(app): State<App>,
    InPath(id): InPath<String>,
    Body(named): Body<Launch>,
) -> Result<Json<Instance>, Problem> {
    adopt(&app, &who.actor, &id, &named).await?;
    app.service.look().await;
    Ok(Json(one(&app, &id, &who).await?))
}

async fn adopt(
    app: &App,
    actor: &thon::core::state::Actor,
    id: &str,
    named: &Launch,
) -> Result<(), Problem> {
    let (user, named) = (user(id)?, named.user()?);
    let room = seen(app)?;
    let view = room.instance(&user).filter(|view| view.container.is_some());
    if view.is_none() {
        return Err(Problem::missing(format!("sandbox of {user}")));
    }
    if user != named {
        let detail = format!("the sandbox says that it is {user}'s, not {named}'s");
        return Err(Problem::new(Code::Conflict, detail));
    }
    let site = app.service.site().await?;
    if site.everyone().contains(&user) {
        return Ok(());
    }
    let editor = site.editor();
    let mut changes = Vec::new();
    if site.wanted.roster.group(&user.group).is_none() {
        let rules = thon::core::roster::GroupRules::default();
        changes.extend(editor.add_group(&user.group, None, rules)?);
        let (display, email) = (None, None);
        changes.push(thon::core::state::Change::AddUser { user, display, email });
    } else {
        changes.extend(editor.add_user(&user, None, None)?);
    }
    Ok(app.service.apply(actor, &changes).await?)
}

/// A sandbox and whose it is.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Mapping {
    /// The id of the instance.
    sandbox_id: String,
    /// The group of its user.
    group: String,
    /// Their name.
    username: String,
}

/// Sandboxes and whose they are.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Mappings {
    /// Each sandbox with its user.
    #[schema(min_items = 1, max_items = 2000)]
    mappings: Vec<Mapping>,
}

/// What came of it for one sandbox.
#[derive(Debug, Serialize, ToSchema)]
struct Registration {
    /// The id of the instance.
    id: String,
    /// `registered` or `error`.
    status: &'static str,
    /// Why not.
    error: Option<Problem>,
}

/// What came of it for all.
#[derive(Debug, Serialize, ToSchema)]
struct Registrations {
    /// In the order of the request.
    results: Vec<Registration>,
}

/// Puts the users of many sandboxes into the roster; one's refusal stops nobody else.
#[utoipa::path(post, path = "/api/instances/bulk/register", tag = "instances",
    request_body = Mappings, responses(
    (status = 200, description = "What came of each", body = Registrations), WhenChanged
), security(("token" = [])))]
async fn bulk_register(
    Administrator(who): Administrator,
    State(app): State<App>,
    Body(Mappings { mappings }): Body<Mappings>,
) -> Result<Json<Registrations>, Problem> {
    if !(1..=2000).contains(&mappings.len()) {
        let detail = format!("{} mappings: allowed are 1 to 2000", mappings.len());
        return Err(Problem::input("mappings", detail));
    }
    let mut results = Vec::with_capacity(mappings.len());
    for Mapping { sandbox_id: id, group, username } in mappings {
        let error = adopt(&app, &who.actor, &id, &Launch { group, username }).await.err();
        let status = if error.is_some() { "error" } else { "registered" };
        results.push(Registration { id, status, error });
    }
    app.service.look().await;
    Ok(Json(Registrations { results }))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Tail {
    /// How many lines at most.
    #[serde(default = "usual")]
    #[param(minimum = 1, maximum = 5000, default = 50)]
    tail: u32,
}

/// What an instance wrote.
#[derive(Debug, Serialize, ToSchema)]
struct Log {
    /// `<group>_<user>`.
    id: String,
    /// Its last lines, free of what could change a terminal.
    lines: Vec<String>,
}

/// The last lines that the instance wrote.
#[utoipa::path(get, path = "/api/instances/{id}/logs", tag = "instances", params(
    ("id" = String, Path, description = "`<group>_<user>`"), Tail
), responses(
    (status = 200, description = "The lines", body = Log), WhenRead
), security(("token" = [])))]
async fn logs(
    _: Operator,
    State(app): State<App>,
    InPath(id): InPath<String>,
    Params(Tail { tail }): Params<Tail>,
) -> Result<Json<Log>, Problem> {
    if !(1..=5000).contains(&tail) {
        return Err(Problem::input("tail", format!("{tail} is not allowed: 1 to 5000")));
    }
    let user = user(&id)?;
    let text = app.service.site().await?.node().logs(&user, tail as usize).await?;
    let lines = text.lines().map(thon::core::log::harmless).collect();
    Ok(Json(Log { id, lines }))
}

/// A state that a sandbox came into.
#[derive(Debug, Serialize, ToSchema)]
struct HistoryEntry {
    /// The state.
    state: Shown,
    /// When.
    at: Option<String>,
    /// Why, where that is known.
    reason: String,
}

/// What became of one sandbox.
#[derive(Debug, Serialize, ToSchema)]
struct Life {
    /// The container's id.
    container_id: String,
    /// The image that it was made from.
    image: Option<String>,
    /// The first state first.
    states: Vec<HistoryEntry>,
}

/// What became of a user's sandboxes.
#[derive(Debug, Serialize, ToSchema)]
struct Lives {
    /// `<group>_<user>`.
    id: String,
    /// The latest sandbox first.
    sandboxes: Vec<Life>,
}

/// What became of the sandboxes of a user, as far as somebody saw it.
#[utoipa::path(get, path = "/api/instances/{id}/history", tag = "instances", params(
    ("id" = String, Path, description = "`<group>_<user>`")
), responses(
    (status = 200, description = "Their history", body = Lives), WhenRead
), security(("token" = [])))]
async fn history(
    _: Reader,
    State(app): State<App>,
    InPath(id): InPath<String>,
) -> Result<Json<Lives>, Problem> {
    let user = user(&id)?;
    let life = |known: InstanceHistory| Life {
        container_id: known.sandbox.0,
        image: known.image,
        states: known
            .states
            .into_iter()
            .map(|entry| HistoryEntry {
                state: entry.state.into(),
                at: timestamp(entry.at),
                reason: entry.reason,
            })
            .collect(),
    };
    let found = app.service.state().store().history(Some(&user)).await?;
    if found.is_empty() && !app.service.site().await?.everyone().contains(&user) {
        return Err(Problem::missing(format!("instance {id}")));
    }
    Ok(Json(Lives { id, sandboxes: found.into_iter().map(life).collect() }))
}
