//! Groups, and the events that they belong to.
//!
//! For: the roster's groups as the database and thon.yaml have them, and changing the database's.
//! Not for: the rules of what may be changed; the library has them.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use thon::Site;
use thon::core::name::{GroupName, UserId, Username};
use thon::core::operation::{Task, TaskKind};
use thon::core::roster::{Group, GroupRules};
use thon::core::state::{Actor, Revision, Source};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::users::{Account, NewName, renamed};
use super::view::{Deleted, Work, timestamp};
use crate::app::App;
use crate::guard::{Administrator, Reader};
use crate::input::{Body, InPath, if_match, object};
use crate::problem::{Code, Problem, WhenChanged, WhenRead};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(export))
        .routes(routes!(events))
        .routes(routes!(event))
        .routes(routes!(show, edit, remove))
        .routes(routes!(add_user))
        .routes(routes!(edit_user, remove_user))
        .routes(routes!(transfer))
}

/// What holds for a group's sandboxes in the place of the node's own settings.
#[derive(Debug, Default, Clone, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rules {
    /// Whether they reach the internet.
    #[serde(default)]
    internet: Option<bool>,
    /// Memory, such as `1g`.
    #[serde(default)]
    memory: Option<String>,
    /// CPUs, such as `0.5`.
    #[serde(default)]
    cpus: Option<String>,
    /// Processes.
    #[serde(default)]
    pids: Option<u32>,
    /// Disk space, such as `2g`.
    #[serde(default)]
    disk: Option<String>,
}

impl Rules {
    fn read(&self) -> Result<GroupRules, Problem> {
        fn part<T: std::str::FromStr<Err: std::fmt::Display>>(
            field: &str,
            text: Option<&String>,
        ) -> Result<Option<T>, Problem> {
            let refused = |error| Problem::input(format!("rules.{field}"), format!("{error}"));
            text.map(|text| text.parse().map_err(refused)).transpose()
        }
        Ok(GroupRules {
            internet: self.internet,
            memory: part("memory", self.memory.as_ref())?,
            cpus: part("cpus", self.cpus.as_ref())?,
            pids: self.pids,
            disk: part("disk", self.disk.as_ref())?,
        })
    }
}

impl From<GroupRules> for Rules {
    fn from(rules: GroupRules) -> Self {
        Self {
            internet: rules.internet,
            memory: rules.memory.map(|size| size.to_string()),
            cpus: rules.cpus.map(|cpus| cpus.to_string()),
            pids: rules.pids,
            disk: rules.disk.map(|size| size.to_string()),
        }
    }
}

/// A group.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Team {
    /// Its name.
    id: String,
    /// Its name, too.
    name: String,
    /// The name that people read.
    title: Option<String>,
    /// The event that it belongs to.
    event_id: Option<String>,
    /// What holds for its sandboxes.
    rules: Rules,
    /// Where it is known from: `thon.yaml`, `database`, or both.
    from: String,
    /// How often the database's row was changed; nothing where only thon.yaml has the group.
    revision: Option<u64>,
    /// When it was added to the database.
    created_at: Option<String>,
    /// When it was changed there last.
    updated_at: Option<String>,
    /// Who is in it.
    users: Vec<Account>,
}

impl Team {
    /// Where a group is known from.
    pub(crate) fn source(site: &Site, name: &GroupName) -> Source {
        match (site.declared().group(name), site.stored.group(name)) {
            (Some(_), Some(_)) => Source::Both,
            (None, Some(_)) => Source::Stored,
            (_, None) => Source::Declared,
        }
    }

    pub(crate) fn new(site: &Site, group: &Group) -> Self {
        let stored = site.stored.group(&group.name);
        let from = Self::source(site, &group.name);
        let id =
            |user: &thon::core::roster::User| UserId::new(group.name.clone(), user.name.clone());
        Self {
            id: group.name.to_string(),
            name: group.name.to_string(),
            title: group.title.clone(),
            event_id: stored.and_then(|group| group.event.clone()),
            rules: group.rules.into(),
            from: from.to_string(),
            revision: stored.map(|group| group.revision.0),
            created_at: stored.and_then(|group| timestamp(group.created_at)),
            updated_at: stored.and_then(|group| timestamp(group.updated_at)),
            users: group.users.iter().map(|user| Account::new(site, &id(user), user)).collect(),
        }
    }
}

/// The answer with a group, and its revision as `ETag`.
fn answer(status: StatusCode, site: &Site, name: &GroupName) -> Result<Response, Problem> {
    let group = site.wanted.roster.group(name);
    let group = group.ok_or_else(|| Problem::missing(format!("group {name}")))?;
    let team = Team::new(site, group);
    let headers = etag(team.revision);
    Ok((status, headers, Json(team)).into_response())
}

pub(super) fn etag(revision: Option<u64>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let value = revision.and_then(|number| HeaderValue::from_str(&format!("\"{number}\"")).ok());
    headers.extend(value.map(|value| (header::ETAG, value)));
    headers
}

/// Refuses a change that was decided on another revision than the present one.
pub(super) fn still(
    expected: Option<Revision>,
    present: Option<Revision>,
    what: &str,
) -> Result<(), Problem> {
    if expected.is_none() || expected == present {
        return Ok(());
    }
    let detail = format!("{what} was changed by someone else meanwhile");
    Err(Problem::new(Code::Stale, detail).hint("look at it again, then try again"))
}

fn name(text: &str) -> Result<GroupName, Problem> {
    let missing = |_| Problem::missing(format!("group {}", thon::core::name::quoted(text)));
    text.parse().map_err(missing)
}

/// Everyone's groups.
#[derive(Debug, Serialize, ToSchema)]
struct Teams {
    /// Those of thon.yaml first, then those of the database.
    groups: Vec<Team>,
    /// How many there are.
    total: usize,
}

/// All groups with their users.
#[utoipa::path(get, path = "/api/groups", tag = "groups", responses(
    (status = 200, description = "The groups", body = Teams), WhenRead
), security(("token" = [])))]
async fn list(_: Reader, State(app): State<App>) -> Result<Json<Teams>, Problem> {
    let site = app.service.site().await?;
    let groups = site.wanted.roster.groups();
    let teams: Vec<Team> = groups.iter().map(|group| Team::new(&site, group)).collect();
    Ok(Json(Teams { total: teams.len(), groups: teams }))
}

/// A new group.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewTeam {
    /// Its name: lower-case letters, digits and inner hyphens.
    #[schema(pattern = "^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$")]
    name: String,
    /// The name that people read.
    #[serde(default)]
    title: Option<String>,
    /// What holds for its sandboxes.
    #[serde(default, deserialize_with = "object")]
    rules: Rules,
}

/// Adds a group.
#[utoipa::path(post, path = "/api/groups", tag = "groups", request_body = NewTeam, responses(
    (status = 201, description = "The group", body = Team), WhenChanged
), security(("token" = [])))]
async fn create(
    Administrator(who): Administrator,
    State(app): State<App>,
    Body(new): Body<NewTeam>,
) -> Result<Response, Problem> {
    let name: GroupName = checked("name", &new.name)?;
    reachable(&name)?;
    let site = app.service.site().await?;
    let changes = site.editor().add_group(&name, new.title.as_deref(), new.rules.read()?)?;
    app.service.apply(&who.actor, &changes).await?;
    answer(StatusCode::CREATED, &*app.service.site().await?, &name)
}

/// Refuses a name for which this API has another use: paths of the ancestor lie where groups do.
fn reachable(name: &GroupName) -> Result<(), Problem> {
    if !["events", "export"].contains(&name.as_str()) {
        return Ok(());
    }
    let detail = format!("`/api/groups/{name}` is something else, and no group is found there");
    Err(Problem::input("name", detail).hint("choose another name, and this one as its title"))
}

/// Reads a name that is given in a body.
pub(super) fn checked<T>(field: &str, text: &str) -> Result<T, Problem>
where
    T: std::str::FromStr<Err = thon::core::name::NameError>,
{
    text.parse().map_err(|error| Problem::input(field, format!("{error}")))
}

/// The roster as a groups file has it, in JSON.
#[utoipa::path(get, path = "/api/groups/export", tag = "groups", responses(
    (status = 200, description = "The roster", body = serde_json::Value), WhenRead
), security(("token" = [])))]
async fn export(_: Reader, State(app): State<App>) -> Result<Json<serde_json::Value>, Problem> {
    let site = app.service.site().await?;
    let event = site.stored.events.first();
    Ok(Json(serde_json::json!({
        "event_id": event.map(|event| &event.id),
        "title": event.and_then(|event| event.title.as_ref()),
        "groups": site.wanted.roster,
    })))
}

/// An event.
#[derive(Debug, Serialize, ToSchema)]
struct Happening {
    /// Its id.
    event_id: String,
    /// Its title.
    title: Option<String>,
}

/// All events.
#[derive(Debug, Serialize, ToSchema)]
struct Happenings {
    /// In the order in which they were added.
    events: Vec<Happening>,
}

fn happenings(site: &Site) -> impl Iterator<Item = Happening> {
    let events = site.stored.events.iter();
    events.map(|event| Happening { event_id: event.id.clone(), title: event.title.clone() })
}

/// The events that groups belong to.
#[utoipa::path(get, path = "/api/groups/events", tag = "groups", responses(
    (status = 200, description = "The events", body = Happenings), WhenRead
), security(("token" = [])))]
async fn events(_: Reader, State(app): State<App>) -> Result<Json<Happenings>, Problem> {
    Ok(Json(Happenings { events: happenings(&*app.service.site().await?).collect() }))
}

/// One event.
#[utoipa::path(get, path = "/api/groups/events/{event_id}", tag = "groups", params(
    ("event_id" = String, Path, description = "Its id")
), responses(
    (status = 200, description = "The event", body = Happening), WhenRead
), security(("token" = [])))]
async fn event(
    _: Reader,
    State(app): State<App>,
    InPath(id): InPath<String>,
) -> Result<Json<Happening>, Problem> {
    let site = app.service.site().await?;
    let found = happenings(&site).find(|event| event.event_id == id);
    found.map(Json).ok_or_else(|| Problem::missing("event of that id"))
}

/// One group with its users.
#[utoipa::path(get, path = "/api/groups/{group}", tag = "groups", params(
    ("group" = String, Path, description = "Its name")
), responses(
    (status = 200, description = "The group", body = Team,
        headers(("ETag" = String, description = "Its revision, for `If-Match`"))), WhenRead
), security(("token" = [])))]
async fn show(
    _: Reader,
    State(app): State<App>,
    InPath(group): InPath<String>,
) -> Result<Response, Problem> {
    answer(StatusCode::OK, &*app.service.site().await?, &name(&group)?)
}

/// A group as it is to be.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct EditedTeam {
    /// Its name, another one to rename it. Refused while one of its users has files.
    name: String,
    /// The name that people read.
    #[serde(default)]
    title: Option<String>,
    /// What holds for its sandboxes.
    #[serde(default, deserialize_with = "object")]
    rules: Rules,
}

/// Replaces a group's name, title and rules.
#[utoipa::path(put, path = "/api/groups/{group}", tag = "groups", params(
    ("group" = String, Path, description = "Its name"),
    ("If-Match" = Option<String>, Header, description = "The revision that was seen")
), request_body = EditedTeam, responses(
    (status = 200, description = "The group", body = Team), WhenChanged
), security(("token" = [])))]
async fn edit(
    Administrator(who): Administrator,
    State(app): State<App>,
    InPath(group): InPath<String>,
    headers: HeaderMap,
    Body(edited): Body<EditedTeam>,
) -> Result<Response, Problem> {
    let group = name(&group)?;
    let to: GroupName = checked("name", &edited.name)?;
    let site = app.service.site().await?;
    let stored = site.stored.group(&group);
    still(if_match(&headers)?, stored.map(|row| row.revision), &format!("group {group}"))?;
    let rules = edited.rules.read()?;
    let mut changes = site.editor().edit_group(&group, edited.title.as_deref(), rules)?;
    if to != group {
        reachable(&to)?;
        for (user, _) in site.wanted.roster.users().filter(|(user, _)| user.group == group) {
            renamed(&site, &user).await?;
        }
        // Both are decided on the revision that the first of them makes another one.
        let mut renaming = site.editor().rename_group(&group, &to)?;
        for change in &mut renaming {
            if let thon::core::state::Change::RenameGroup { expect, .. } = change {
                *expect = expect.map(|Revision(number)| Revision(number + 1));
            }
        }
        changes.extend(renaming);
    }
    app.service.apply(&who.actor, &changes).await?;
    answer(StatusCode::OK, &*app.service.site().await?, &to)
}

/// Removes a group and its users from the roster, and their sandboxes. Workspaces stay.
#[utoipa::path(delete, path = "/api/groups/{group}", tag = "groups", params(
    ("group" = String, Path, description = "Its name"),
    ("If-Match" = Option<String>, Header, description = "The revision that was seen")
), responses(
    (status = 200, description = "It is removed", body = Deleted), WhenChanged
), security(("token" = [])))]
async fn remove(
    Administrator(who): Administrator,
    State(app): State<App>,
    InPath(group): InPath<String>,
    headers: HeaderMap,
) -> Result<Json<Deleted>, Problem> {
    let group = name(&group)?;
    let site = app.service.site().await?;
    let stored = site.stored.group(&group);
    still(if_match(&headers)?, stored.map(|row| row.revision), &format!("group {group}"))?;
    let changes = site.editor().remove_group(&group)?;
    let users = site.everyone().into_iter().filter(|user| user.group == group).collect();
    app.service.apply(&who.actor, &changes).await?;
    let operation = clear_away(&app, &who.actor, users).await?;
    Ok(Json(Deleted { status: "deleted", id: group.to_string(), operation }))
}

/// Removes the sandboxes of those who have left the roster.
pub(super) async fn clear_away(
    app: &App,
    actor: &Actor,
    users: Vec<UserId>,
) -> Result<Option<Work>, Problem> {
    let room = app.service.room();
    let has = |user: &UserId| room.instance(user).is_some_and(|view| view.container.is_some());
    let users: Vec<UserId> = users.into_iter().filter(has).collect();
    if users.is_empty() {
        return Ok(None);
    }
    let operation = app.service.begin(actor, Task::new(TaskKind::Remove, users)).await?;
    Ok(Some(Work::from(&operation)))
}

/// A new user of a group.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Member {
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
#[utoipa::path(post, path = "/api/groups/{group}/users", tag = "groups", params(
    ("group" = String, Path, description = "The group's name")
), request_body = Member, responses(
    (status = 201, description = "The user", body = Account), WhenChanged
), security(("token" = [])))]
async fn add_user(
    Administrator(who): Administrator,
    State(app): State<App>,
    InPath(group): InPath<String>,
    Body(member): Body<Member>,
) -> Result<Response, Problem> {
    let user = UserId::new(name(&group)?, checked("username", &member.username)?);
    super::users::add(&app, &who.actor, &user, member.display_name, member.email).await
}

fn member(group: &str, user: &str) -> Result<UserId, Problem> {
    let missing = |_| Problem::missing(format!("user {}", thon::core::name::quoted(user)));
    let user: Username = user.parse().map_err(missing)?;
    Ok(UserId::new(name(group)?, user))
}

/// Changes a user of a group.
#[utoipa::path(put, path = "/api/groups/{group}/users/{username}", tag = "groups", params(
    ("group" = String, Path, description = "The group's name"),
    ("username" = String, Path, description = "The user's name"),
    ("If-Match" = Option<String>, Header, description = "The revision that was seen")
), request_body = NewName, responses(
    (status = 200, description = "The user", body = Account), WhenChanged
), security(("token" = [])))]
async fn edit_user(
    Administrator(who): Administrator,
    State(app): State<App>,
    InPath((group, user)): InPath<(String, String)>,
    headers: HeaderMap,
    Body(edited): Body<NewName>,
) -> Result<Response, Problem> {
    super::users::change(&app, &who.actor, &member(&group, &user)?, &headers, edited).await
}

/// Removes a user from the roster, and their sandbox. The workspace stays.
#[utoipa::path(delete, path = "/api/groups/{group}/users/{username}", tag = "groups", params(
    ("group" = String, Path, description = "The group's name"),
    ("username" = String, Path, description = "The user's name"),
    ("If-Match" = Option<String>, Header, description = "The revision that was seen")
), responses(
    (status = 200, description = "They are removed", body = Deleted), WhenChanged
), security(("token" = [])))]
async fn remove_user(
    Administrator(who): Administrator,
    State(app): State<App>,
    InPath((group, user)): InPath<(String, String)>,
    headers: HeaderMap,
) -> Result<Json<Deleted>, Problem> {
    super::users::drop_out(&app, &who.actor, &member(&group, &user)?, &headers).await
}

/// Where a user is to go.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Target {
    /// The name of the other group.
    target_group: String,
}

/// Moves a user to another group. Whoever has files is moved by an operation, which takes them along.
#[utoipa::path(post, path = "/api/groups/{group}/users/{username}/transfer", tag = "groups", params(
    ("group" = String, Path, description = "The group's name"),
    ("username" = String, Path, description = "The user's name")
), request_body = Target, responses(
    (status = 200, description = "The user, who had no files", body = Account),
    (status = 202, description = "They are being moved", body = Work), WhenChanged
), security(("token" = [])))]
async fn transfer(
    Administrator(who): Administrator,
    State(app): State<App>,
    InPath((group, user)): InPath<(String, String)>,
    Body(target): Body<Target>,
) -> Result<Response, Problem> {
    let user = member(&group, &user)?;
    let to = UserId::new(checked("target_group", &target.target_group)?, user.user.clone());
    let site = app.service.site().await?;
    site.editor().move_user(&user, &to)?;
    if site.node().files(&user).await? != thon::Files::None {
        return super::operations::accept_task(&app, &who, Task::relocation(user, to)).await;
    }
    super::users::move_to(&app, &who.actor, &user, &to).await
}
