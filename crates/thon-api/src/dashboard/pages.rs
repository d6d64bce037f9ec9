//! The pages of instances, groups, users and workspaces.
//!
//! For: what is on each, from the same facts and in the same form as the API gives them.
//! Not for: how it looks; the templates say that.

use axum::extract::RawQuery;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use thon::core::access::Permission;
use thon::core::name::{GroupName, UserId};

use super::visit::{Oops, Query, Visit};
use crate::input::{InPath, Slice, first, usual};
use crate::problem::Problem;
use crate::rest::groups::Team;
use crate::rest::instances::{self, InstancePage};
use crate::rest::users::{self, Participant, Participants};
use crate::rest::view::{Instance, State as Shown, timestamp, user_of};
use crate::rest::workspaces::Place;

/// Where a page of a list is among the others.
#[derive(Serialize)]
struct Pager {
    page: u32,
    pages: u32,
    total: usize,
    /// The query of the other pages, without the page.
    query: String,
}

impl Pager {
    fn new(page: u32, size: u32, total: usize, query: Option<&str>) -> Self {
        let pages = u32::try_from(total.div_ceil(size.max(1) as usize)).unwrap_or(u32::MAX).max(1);
        let kept = query.unwrap_or_default().split('&');
        let kept = kept.filter(|pair| !pair.is_empty() && !pair.starts_with("page="));
        let query: String = kept.flat_map(|pair| [pair, "&"]).collect();
        Self { page, pages, total, query }
    }
}

/// The names of all groups, for choosing one.
fn groups_of(visit: &Visit) -> Vec<String> {
    visit.site.wanted.roster.groups().iter().map(|group| group.name.to_string()).collect()
}

#[derive(Serialize)]
struct InstancesPage {
    #[serde(flatten)]
    list: InstancePage,
    pager: Pager,
    q: String,
    group: String,
    state: Option<Shown>,
    states: Vec<(Shown, usize)>,
    sort: instances::Order,
    groups: Vec<String>,
}

pub(super) async fn instances(
    visit: Visit,
    RawQuery(query): RawQuery,
    Query(wanted): Query<instances::Wanted>,
) -> Result<Response, Oops> {
    let roster = &visit.site.wanted.roster;
    let list = instances::page(&visit.room, roster, &wanted, &visit.who)?;
    let counts = visit.room.counts().into_iter();
    let page = InstancesPage {
        pager: Pager::new(list.page, list.page_size, list.total, query.as_deref()),
        list,
        state: wanted.state.first().copied(),
        states: counts.map(|(state, count)| (state.into(), count)).collect(),
        sort: wanted.sort,
        q: wanted.q.unwrap_or_default(),
        group: wanted.group.unwrap_or_default(),
        groups: groups_of(&visit),
    };
    visit.page("instances.html", "/instances", "Instances", page).await
}

#[derive(Deserialize)]
pub(super) struct Search {
    #[serde(default)]
    q: String,
    #[serde(default = "first")]
    page: u32,
    #[serde(default = "usual")]
    page_size: u32,
}

/// A group with how many of its instances run.
#[derive(Serialize)]
struct GroupRow {
    name: String,
    title: Option<String>,
    users: usize,
    running: usize,
    from: String,
}

#[derive(Serialize)]
struct GroupsPage {
    rows: Vec<GroupRow>,
    pager: Pager,
    q: String,
}

pub(super) async fn groups(
    visit: Visit,
    RawQuery(query): RawQuery,
    Query(search): Query<Search>,
) -> Result<Response, Oops> {
    let slice = Slice::new(search.page, search.page_size)?;
    let text = search.q.to_lowercase();
    let all = visit.site.wanted.roster.groups().iter().filter(|group| {
        group.name.as_str().contains(&text)
            || group.title.as_deref().unwrap_or_default().to_lowercase().contains(&text)
    });
    let found: Vec<_> = all.collect();
    let total = found.len();
    let rows = slice.of(found.into_iter()).into_iter().map(|group| {
        let running = visit.room.instances.iter().filter(|view| {
            view.user.group == group.name && Shown::from(view.state) == Shown::Running
        });
        GroupRow {
            name: group.name.to_string(),
            title: group.title.clone(),
            users: group.users.len(),
            running: running.count(),
            from: Team::source(&visit.site, &group.name).to_string(),
        }
    });
    let page = GroupsPage {
        rows: rows.collect(),
        pager: Pager::new(slice.page, slice.size, total, query.as_deref()),
        q: search.q,
    };
    visit.page("groups.html", "/groups", "Groups", page).await
}

#[derive(Serialize)]
struct GroupPage {
    team: Team,
    members: Vec<Participant>,
    declared: bool,
    origin: String,
}

pub(super) async fn group(visit: Visit, InPath(name): InPath<String>) -> Result<Response, Oops> {
    let missing = || Problem::missing(format!("group {}", thon::core::name::quoted(&name)));
    let id: GroupName = name.parse().map_err(|_| missing())?;
    let group = visit.site.wanted.roster.group(&id).ok_or_else(missing)?;
    let member = |user: &thon::core::roster::User| {
        let id = UserId::new(group.name.clone(), user.name.clone());
        Participant::new(&visit.app, &visit.site, &id, user)
    };
    let page = GroupPage {
        team: Team::new(&visit.site, group),
        members: group.users.iter().map(member).collect(),
        declared: visit.site.declared().group(&id).is_some(),
        origin: visit.site.origin().to_owned(),
    };
    visit.page("group.html", "/groups", &format!("Group {id}"), page).await
}

#[derive(Serialize)]
struct UsersPage {
    #[serde(flatten)]
    list: Participants,
    pager: Pager,
    q: String,
    group: String,
    groups: Vec<String>,
}

pub(super) async fn users(
    visit: Visit,
    RawQuery(query): RawQuery,
    Query(wanted): Query<users::Wanted>,
) -> Result<Response, Oops> {
    let list = users::page(&visit.app, &visit.site, &wanted)?;
    let page = UsersPage {
        pager: Pager::new(list.page, list.page_size, list.total, query.as_deref()),
        list,
        q: wanted.q.unwrap_or_default(),
        group: wanted.group.unwrap_or_default(),
        groups: groups_of(&visit),
    };
    visit.page("users.html", "/users", "Users", page).await
}

/// What a sandbox went through.
#[derive(Serialize)]
struct Past {
    state: Shown,
    at: Option<String>,
    reason: String,
}

#[derive(Serialize)]
struct UserPage {
    id: String,
    name: String,
    /// What the roster says of them; nothing for someone who has left it.
    person: Option<Participant>,
    instance: Option<Instance>,
    declared: bool,
    origin: String,
    groups: Vec<String>,
    history: Vec<Past>,
    log: Vec<String>,
    log_problem: Option<String>,
}

/// Lines of the log that are shown.
const TAIL: usize = 60;

/// States of the history that are shown.
const STATES: usize = 20;

pub(super) async fn user(visit: Visit, InPath(key): InPath<String>) -> Result<Response, Oops> {
    let id = crate::input::user(&key)?;
    let roster = &visit.site.wanted.roster;
    let known = user_of(roster, &id);
    let view = visit.room.instance(&id);
    if known.is_none() && view.is_none() {
        return Err(Problem::missing(format!("user {id}")).into());
    }
    let service = &visit.app.service;
    let history = service.state().store().history(Some(&id)).await.map_err(thon::Error::from)?;
    let mut history: Vec<Past> = history
        .into_iter()
        .flat_map(|life| life.states)
        .map(|entry| Past {
            state: entry.state.into(),
            at: timestamp(entry.at),
            reason: entry.reason,
        })
        .collect();
    history.sort_by(|one, other| other.at.cmp(&one.at));
    history.truncate(STATES);
    let has_sandbox = view.is_some_and(|view| view.container.is_some());
    let (mut log, mut log_problem) = (Vec::new(), None);
    if has_sandbox && visit.who.permits(Permission::Operate) {
        match visit.site.node().logs(&id, TAIL).await {
            Ok(text) => log = text.lines().map(thon::core::log::harmless).collect(),
            Err(error) => log_problem = Some(error.to_string()),
        }
    }
    let page = UserPage {
        id: key,
        name: id.to_string(),
        person: known.map(|known| Participant::new(&visit.app, &visit.site, &id, known)),
        instance: view.map(|view| Instance::new(view, roster, &visit.who)),
        declared: visit.site.declared().user(&id).is_some(),
        origin: visit.site.origin().to_owned(),
        groups: groups_of(&visit),
        history,
        log,
        log_problem,
    };
    visit.page("user.html", "/users", &id.to_string(), page).await
}

#[derive(Deserialize)]
pub(super) struct Places {
    #[serde(default)]
    q: String,
    #[serde(default)]
    sizes: bool,
    #[serde(default = "first")]
    page: u32,
    #[serde(default = "usual")]
    page_size: u32,
}

#[derive(Serialize)]
struct WorkspacesPage {
    rows: Vec<Place>,
    pager: Pager,
    q: String,
    sizes: bool,
}

pub(super) async fn workspaces(
    visit: Visit,
    RawQuery(query): RawQuery,
    Query(wanted): Query<Places>,
) -> Result<Response, Oops> {
    let slice = Slice::new(wanted.page, wanted.page_size)?;
    let text = wanted.q.to_lowercase();
    let fits = |user: &UserId| user.to_string().contains(&text);
    let found = visit.site.node().workspaces(|user| wanted.sizes && fits(user)).await?;
    let found: Vec<_> = found.into_iter().filter(|view| fits(&view.user)).collect();
    let total = found.len();
    let rows = slice.of(found.into_iter());
    let page = WorkspacesPage {
        rows: rows.into_iter().map(|view| Place::new(&view, wanted.sizes)).collect(),
        pager: Pager::new(slice.page, slice.size, total, query.as_deref()),
        q: wanted.q,
        sizes: wanted.sizes,
    };
    visit.page("workspaces.html", "/workspaces", "Workspaces", page).await
}
