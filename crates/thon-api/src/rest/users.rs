//! Users: who takes part.
//!
//! For: the roster's users with the state of their instances, and changing the database's.
//! Not for: the rules of what may be changed; the library has them.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Deserializer, Serialize};
use thon::core::name::{UserId, Username};
use thon::core::operation::{Task, TaskKind};
use thon::core::roster::User;
use thon::core::state::Actor;
use thon::{Files, Site};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::groups::{checked, clear_away, etag, still};
use super::operations::{accept, accept_task};
use super::view::{Deleted, State as Shown, Work, source, timestamp};
use crate::app::App;
use crate::guard::{Administrator, Operator, Reader};
use crate::input::{Body, InPath, Params, Slice, first, if_match, user, usual};
use crate::problem::{Code, Problem, WhenChanged, WhenRead};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(show, patch, replace, remove))
        .routes(routes!(relocate))
        .routes(routes!(launch))
        .routes(routes!(stop))
}

/// A user.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Account {
    /// `<group>_<user>`.
    id: String,
    /// Their group.
    group: String,
    /// Their name within the group.
    username: String,
    /// The name that people read.
    display_name: Option<String>,
    /// Their e-mail address.
    email: Option<String>,
    /// Where they are known from: `thon.yaml`, `database`, or both.
    from: String,
    /// How often the database's row was changed; nothing where only thon.yaml has them.
    revision: Option<u64>,
    /// When they were added to the database.
    created_at: Option<String>,
    /// When they were changed there last.
    updated_at: Option<String>,
}

impl Account {
    pub(crate) fn new(site: &Site, id: &UserId, user: &User) -> Self {
        let stored = site.stored.user(id);
        Self {
            id: id.key(),
            group: id.group.to_string(),
            username: id.user.to_string(),
            display_name: user.display.clone(),
            email: user.email.clone(),
            from: source(site.wanted.sources.get(id).copied()),
            revision: stored.map(|user| user.revision.0),
            created_at: stored.and_then(|user| timestamp(user.created_at)),
            updated_at: stored.and_then(|user| timestamp(user.updated_at)),
        }
    }
}

/// A user with their instance.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Participant {
    #[serde(flatten)]
    account: Account,
    /// The state of their instance; nothing where nobody has seen it yet.
    instance_state: Option<Shown>,
    /// Where they open it.
    url: Option<String>,
    /// Where their files live.
    workspace: Option<String>,
}

impl Participant {
    pub(crate) fn new(app: &App, site: &Site, id: &UserId, known: &User) -> Self {
        let room = app.service.room();
        let view = room.instance(id);
        Self {
            account: Account::new(site, id, known),
            instance_state: view.map(|view| view.state.into()),
            url: view.and_then(|view| view.url.clone()),
            workspace: view.map(|view| view.workspace.to_string()),
        }
    }
}

/// The answer with a user, and their revision as `ETag`.
fn answer(status: StatusCode, app: &App, site: &Site, id: &UserId) -> Result<Response, Problem> {
    let known = site.wanted.roster.user(id);
    let known = known.ok_or_else(|| Problem::missing(format!("user {id}")))?;
    let shown = Participant::new(app, site, id, known);
    Ok((status, etag(shown.account.revision), Json(shown)).into_response())
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// Only those of this group.
    pub(crate) group: Option<String>,
    /// Only those in whose name, display name or e-mail address this occurs.
    pub(crate) q: Option<String>,
    /// Which page, counted from 1.
    #[serde(default = "first")]
    #[param(minimum = 1, maximum = 4_294_967_295_u64, default = 1, value_type = u64)]
    page: u32,
    /// How many on a page.
    #[serde(default = "usual")]
    #[param(minimum = 1, maximum = 200, default = 50)]
    page_size: u32,
}

/// A page of users.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Participants {
    /// Those of this page.
    users: Vec<Participant>,
    /// How many there are in all.
    pub(crate) total: usize,
    /// Which page this is.
    pub(crate) page: u32,
    /// How many fit on a page.
    pub(crate) page_size: u32,
}

/// Everyone who takes part. Changes nothing.
#[utoipa::path(get, path = "/api/users", tag = "users", params(Wanted), responses(
    (status = 200, description = "The users", body = Participants), WhenRead
), security(("token" = [])))]
async fn list(
    _: Reader,
    State(app): State<App>,
    Params(wanted): Params<Wanted>,
) -> Result<Json<Participants>, Problem> {
    Ok(Json(page(&app, &*app.service.site().await?, &wanted)?))
}

/// The users that are wanted.
pub(crate) fn page(app: &App, site: &Site, wanted: &Wanted) -> Result<Participants, Problem> {
    let slice = Slice::new(wanted.page, wanted.page_size)?;
    let text = wanted.q.as_deref().map(str::to_lowercase);
    let within = |field: &str| text.as_deref().is_none_or(|t| field.to_lowercase().contains(t));
    let fits = |(id, known): &(UserId, &User)| {
        let fields = [Some(id.user.as_str()), known.display.as_deref(), known.email.as_deref()];
        wanted.group.as_deref().is_none_or(|group| id.group.as_str() == group)
            && fields.into_iter().flatten().any(within)
    };
    let found: Vec<_> = site.wanted.roster.users().filter(fits).collect();
    let total = found.len();
    let shown = slice.of(found.into_iter());
    let users = shown.into_iter().map(|(id, known)| Participant::new(app, site, &id, known));
    let users = users.collect();
    Ok(Participants { users, total, page: slice.page, page_size: slice.size })
}

/// A new user.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewUser {
    /// Their group, which is there.
    group: String,
    /// Their name: lower-case letters, digits and inner hyphens.
    #[schema(pattern = "^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$")]
    username: String,
    /// The name that people read.
    #[serde(default)]
    display_name: Option<String>,
    /// Their e-mail address.
    #[serde(default)]
    email: Option<String>,
}

/// Adds a user to a group.
#[utoipa::path(post, path = "/api/users", tag = "users", request_body = NewUser, responses(
    (status = 201, description = "The user", body = Participant), WhenChanged
), security(("token" = [])))]
async fn create(
    Administrator(who): Administrator,
    State(app): State<App>,
    Body(new): Body<NewUser>,
) -> Result<Response, Problem> {
    let user = UserId::new(checked("group", &new.group)?, checked("username", &new.username)?);
    add(&app, &who.actor, &user, new.display_name, new.email).await
}

pub(super) async fn add(
    app: &App,
    actor: &Actor,
    user: &UserId,
    display: Option<String>,
    email: Option<String>,
) -> Result<Response, Problem> {
    let site = app.service.site().await?;
    let changes = site.editor().add_user(user, display.as_deref(), email.as_deref())?;
    app.service.apply(actor, &changes).await?;
    answer(StatusCode::CREATED, app, &*app.service.site().await?, user)
}

/// One user with the state of their instance.
#[utoipa::path(get, path = "/api/users/{id}", tag = "users", params(
    ("id" = String, Path, description = "`<group>_<user>`")
), responses(
    (status = 200, description = "The user", body = Participant,
        headers(("ETag" = String, description = "Their revision, for `If-Match`"))), WhenRead
), security(("token" = [])))]
async fn show(
    _: Reader,
    State(app): State<App>,
    InPath(id): InPath<String>,
) -> Result<Response, Problem> {
    answer(StatusCode::OK, &app, &*app.service.site().await?, &user(&id)?)
}

/// What of a user is to be another. What isn't named stays.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(clippy::option_option, reason = "not there and null are two things")]
pub(super) struct NewName {
    /// Another name. Refused while they have files.
    #[serde(default)]
    username: Option<String>,
    /// The name that people read; `null` takes it away.
    #[serde(default, deserialize_with = "named", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    display_name: Option<Option<String>>,
    /// Their e-mail address; `null` takes it away.
    #[serde(default, deserialize_with = "named", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    email: Option<Option<String>>,
}

#[expect(clippy::option_option, reason = "not there and null are two things")]
/// Tells a field that is null from one that isn't there.
fn named<'de, D: Deserializer<'de>>(reader: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(reader).map(Some)
}

/// Changes a user.
#[utoipa::path(patch, path = "/api/users/{id}", tag = "users", params(
    ("id" = String, Path, description = "`<group>_<user>`"),
    ("If-Match" = Option<String>, Header, description = "The revision that was seen")
), request_body = NewName, responses(
    (status = 200, description = "The user", body = Participant), WhenChanged
), security(("token" = [])))]
async fn patch(
    Administrator(who): Administrator,
    State(app): State<App>,
    InPath(id): InPath<String>,
    headers: HeaderMap,
    Body(edited): Body<NewName>,
) -> Result<Response, Problem> {
    change(&app, &who.actor, &user(&id)?, &headers, edited).await
}

/// Changes a user, as with PATCH.
#[utoipa::path(put, path = "/api/users/{id}", tag = "users", params(
    ("id" = String, Path, description = "`<group>_<user>`"),
    ("If-Match" = Option<String>, Header, description = "The revision that was seen")
), request_body = NewName, responses(
    (status = 200, description = "The user", body = Participant), WhenChanged
), security(("token" = [])))]
async fn replace(
    Administrator(who): Administrator,
    State(app): State<App>,
    InPath(id): InPath<String>,
    headers: HeaderMap,
    Body(edited): Body<NewName>,
) -> Result<Response, Problem> {
    change(&app, &who.actor, &user(&id)?, &headers, edited).await
}

pub(super) async fn change(
    app: &App,
    actor: &Actor,
    user: &UserId,
    headers: &HeaderMap,
    edited: NewName,
) -> Result<Response, Problem> {
    let site = app.service.site().await?;
    let stored = site.stored.user(user);
    still(if_match(headers)?, stored.map(|row| row.revision), &format!("user {user}"))?;
    let present = site.wanted.roster.user(user);
    let present = present.ok_or_else(|| Problem::missing(format!("user {user}")))?;
    let display = edited.display_name.unwrap_or_else(|| present.display.clone());
    let email = edited.email.unwrap_or_else(|| present.email.clone());
    let mut changes = site.editor().edit_user(user, display.as_deref(), email.as_deref())?;
    let mut to = user.clone();
    if let Some(name) = edited.username.filter(|name| *name != user.user.as_str()) {
        let name: Username = checked("username", &name)?;
        to = UserId::new(user.group.clone(), name);
        renamed(&site, user).await?;
        // Both are decided on the revision that the first of them makes another one.
        let mut renaming = site.editor().move_user(user, &to)?;
        for change in &mut renaming {
            if let thon::core::state::Change::MoveUser { expect, .. } = change {
                *expect = expect.map(|seen| thon::core::state::Revision(seen.0 + 1));
            }
        }
        changes.extend(renaming);
    }
    app.service.apply(actor, &changes).await?;
    answer(StatusCode::OK, app, &*app.service.site().await?, &to)
}

/// Refuses a new name for someone who has files: they are found by the names of now.
pub(super) async fn renamed(site: &Site, user: &UserId) -> Result<(), Problem> {
    match site.node().files(user).await? {
        Files::None => Ok(()),
        files => {
            let detail = format!("{user} has {files}, which a new name would leave behind");
            Err(Problem::new(Code::Conflict, detail)
                .hint("`POST /api/users/{id}/move` takes files along"))
        }
    }
}

pub(super) async fn move_to(
    app: &App,
    actor: &Actor,
    user: &UserId,
    to: &UserId,
) -> Result<Response, Problem> {
    let site = app.service.site().await?;
    let changes = site.editor().move_user(user, to)?;
    renamed(&site, user).await?;
    app.service.apply(actor, &changes).await?;
    answer(StatusCode::OK, app, &*app.service.site().await?, to)
}

/// Removes a user from the roster, and their sandbox. The workspace stays.
#[utoipa::path(delete, path = "/api/users/{id}", tag = "users", params(
    ("id" = String, Path, description = "`<group>_<user>`"),
    ("If-Match" = Option<String>, Header, description = "The revision that was seen")
), responses(
    (status = 200, description = "They are removed", body = Deleted), WhenChanged
), security(("token" = [])))]
async fn remove(
    Administrator(who): Administrator,
    State(app): State<App>,
    InPath(id): InPath<String>,
    headers: HeaderMap,
) -> Result<Json<Deleted>, Problem> {
    drop_out(&app, &who.actor, &user(&id)?, &headers).await
}

pub(super) async fn drop_out(
    app: &App,
    actor: &Actor,
    user: &UserId,
    headers: &HeaderMap,
) -> Result<Json<Deleted>, Problem> {
    let site = app.service.site().await?;
    let stored = site.stored.user(user);
    still(if_match(headers)?, stored.map(|row| row.revision), &format!("user {user}"))?;
    let changes = site.editor().remove_user(user)?;
    app.service.apply(actor, &changes).await?;
    let operation = clear_away(app, actor, vec![user.clone()]).await?;
    Ok(Json(Deleted { status: "deleted", id: user.key(), operation }))
}

/// Who a user is to become.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Destination {
    /// Their group from then on; without it the present one.
    #[serde(default)]
    group: Option<String>,
    /// Their name from then on; without it the present one.
    #[serde(default)]
    username: Option<String>,
}

/// Gives a user another group, another name, or both, and takes their files, ports and password
/// along. The sandbox is made anew where it was running.
#[utoipa::path(post, path = "/api/users/{id}/move", tag = "users", params(
    ("id" = String, Path, description = "`<group>_<user>`")
), request_body = Destination, responses(
    (status = 202, description = "They are being moved", body = Work), WhenChanged
), security(("token" = [])))]
async fn relocate(
    Administrator(who): Administrator,
    State(app): State<App>,
    InPath(id): InPath<String>,
    Body(to): Body<Destination>,
) -> Result<Response, Problem> {
    let user = user(&id)?;
    let group = to.group.map_or(Ok(user.group.clone()), |group| checked("group", &group))?;
    let name = to.username.map_or(Ok(user.user.clone()), |name| checked("username", &name))?;
    let to = UserId::new(group, name);
    if to == user {
        let detail = format!("{user} is there already: name another group or another user name");
        return Err(Problem::input("group", detail));
    }
    accept_task(&app, &who, Task::relocation(user, to)).await
}

/// Launches the instance of a user.
#[utoipa::path(post, path = "/api/users/{id}/launch", tag = "users", params(
    ("id" = String, Path, description = "`<group>_<user>`")
), responses(
    (status = 202, description = "It is being launched", body = Work), WhenChanged
), security(("token" = [])))]
async fn launch(
    Operator(who): Operator,
    State(app): State<App>,
    InPath(id): InPath<String>,
) -> Result<Response, Problem> {
    accept(&app, &who, TaskKind::Launch, vec![user(&id)?]).await
}

/// Stops the instance of a user; everything in the sandbox stays.
#[utoipa::path(post, path = "/api/users/{id}/stop", tag = "users", params(
    ("id" = String, Path, description = "`<group>_<user>`")
), responses(
    (status = 202, description = "It is being stopped", body = Work), WhenChanged
), security(("token" = [])))]
async fn stop(
    Operator(who): Operator,
    State(app): State<App>,
    InPath(id): InPath<String>,
) -> Result<Response, Problem> {
    accept(&app, &who, TaskKind::Stop, vec![user(&id)?]).await
}
