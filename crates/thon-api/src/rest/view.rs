//! Things as the API shows them.
//!
//! For: the one form of instances, users and operations in JSON.
//! Not for: finding them.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use thon::HostLoad;
use thon::core::access::Permission;
use thon::core::disk::DiskLevel;
use thon::core::instance::InstanceState;
use thon::core::name::UserId;
use thon::core::operation::{Operation, OperationState, TaskKind};
use thon::core::orchestrator::InstanceView;
use thon::core::roster::{Roster, User};
use thon::core::state::Source;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use utoipa::ToSchema;

use crate::guard::Who;

/// A time as RFC 3339 in UTC.
pub(crate) fn timestamp(time: SystemTime) -> Option<String> {
    OffsetDateTime::from(time).format(&Rfc3339).ok()
}

/// The state of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) enum State {
    /// Being made or started, not yet answering.
    Pending,
    /// code-server answers.
    Running,
    /// Being frozen.
    Pausing,
    /// Frozen.
    Paused,
    /// Being stopped.
    Stopping,
    /// Stopped, removed, or never started.
    Terminated,
    /// It should run and doesn't.
    Failed,
}

impl From<InstanceState> for State {
    fn from(state: InstanceState) -> Self {
        match state {
            InstanceState::Pending => Self::Pending,
            InstanceState::Running => Self::Running,
            InstanceState::Pausing => Self::Pausing,
            InstanceState::Paused => Self::Paused,
            InstanceState::Stopping => Self::Stopping,
            InstanceState::Terminated => Self::Terminated,
            InstanceState::Failed => Self::Failed,
        }
    }
}

/// Whose an instance is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Person {
    /// Their group.
    group: String,
    /// Their name within the group.
    username: String,
    /// The name that people read.
    display_name: Option<String>,
    /// Their e-mail address.
    email: Option<String>,
}

/// Disk space that an instance may use, in bytes.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Disk {
    /// How much it may hold.
    limit: u64,
    /// How much it holds, where that could be measured.
    used: Option<u64>,
    /// `fine`, `near` or `over`.
    level: Option<&'static str>,
}

/// A user's running VS Code, or what is there of it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Instance {
    /// `<group>_<user>`.
    id: String,
    /// Whose it is.
    user: Person,
    /// Whether they are in the roster.
    in_roster: bool,
    /// Its state.
    state: State,
    /// `healthy`, `starting`, `paused`, `down`, `none`, or what is wrong.
    health: String,
    /// Where the participant opens it.
    url: Option<String>,
    /// Where it answers on this machine.
    local_url: Option<String>,
    /// Its endpoint.
    endpoint: Option<String>,
    /// The port on the host.
    port: Option<u16>,
    /// Where its files live.
    workspace: String,
    /// The image that its container was made from.
    image: Option<String>,
    /// The container's name.
    container: Option<String>,
    /// The container's id.
    container_id: Option<String>,
    /// When the container was made.
    created_at: Option<String>,
    /// When it is stopped, where its time is limited.
    expires_at: Option<String>,
    /// When it was last used, as far as is known.
    active_at: Option<String>,
    /// For how many seconds it has been idle.
    idle_seconds: Option<u64>,
    /// Its disk space, where it has a limit.
    disk: Option<Disk>,
    /// The password that it asks for; shown to scope `operate` and higher, and to whose it is.
    password: Option<String>,
}

impl Instance {
    pub(crate) fn new(view: &InstanceView, roster: &Roster, who: &Who) -> Self {
        let known = user_of(roster, &view.user);
        let may = who.permits_with(Permission::Operate, &view.user);
        Self {
            id: view.user.key(),
            user: Person {
                group: view.user.group.to_string(),
                username: view.user.user.to_string(),
                display_name: known.and_then(|user| user.display.clone()),
                email: known.and_then(|user| user.email.clone()),
            },
            in_roster: view.in_roster,
            state: view.state.into(),
            health: view.health.clone(),
            url: view.url.clone(),
            local_url: view.local_url.clone(),
            endpoint: view.endpoint.as_ref().map(ToString::to_string),
            port: view.port.map(thon::core::endpoint::Port::get),
            workspace: view.workspace.to_string(),
            image: view.image.as_ref().map(ToString::to_string),
            container: view.container.clone(),
            container_id: view.container_id.clone(),
            created_at: view.created_at.and_then(timestamp),
            expires_at: view.expires_at.and_then(timestamp),
            active_at: view.active_at.and_then(timestamp),
            idle_seconds: view.idle.map(|idle| idle.as_secs()),
            disk: view.disk.map(|space| Disk {
                limit: space.limit.bytes(),
                used: space.used.map(|used| used.total().bytes()),
                level: space.level().map(|level| match level {
                    DiskLevel::Fine => "fine",
                    DiskLevel::Near => "near",
                    DiskLevel::Over => "over",
                }),
            }),
            password: view
                .password
                .as_ref()
                .filter(|_| may)
                .map(|password| password.reveal().to_owned()),
        }
    }
}

/// How busy the machine is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Load {
    /// CPUs.
    cpus: usize,
    /// How much of all of them was in use since somebody asked before, from 0 to 100.
    cpu_percent: Option<f64>,
    /// Memory in use, in bytes.
    memory_used: Option<u64>,
    /// Memory there is, in bytes.
    memory_total: Option<u64>,
    /// Disk space in use where THON's folder is, in bytes.
    disk_used: Option<u64>,
    /// Disk space there is, in bytes.
    disk_total: Option<u64>,
}

impl From<&HostLoad> for Load {
    fn from(load: &HostLoad) -> Self {
        let HostLoad { cpus, cpu_percent, memory_used, memory_total, disk_used, disk_total } =
            *load;
        Self { cpus, cpu_percent, memory_used, memory_total, disk_used, disk_total }
    }
}

/// What the roster says of a user.
pub(crate) fn user_of<'a>(roster: &'a Roster, id: &UserId) -> Option<&'a User> {
    roster.group(&id.group)?.users.iter().find(|user| user.name == id.user)
}

/// Where a user or a group is known from: `thon.yaml`, `database`, or both.
pub(crate) fn source(source: Option<Source>) -> String {
    source.unwrap_or(Source::Stored).to_string()
}

/// What came of an operation for one user.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Outcome {
    /// `<group>_<user>`.
    id: String,
    /// Whether it is as was asked for.
    ok: bool,
    /// What failed, or why there was nothing to do.
    detail: Option<String>,
}

/// What an operation does.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// Make and start.
    Launch,
    /// Stop.
    Stop,
    /// Stop and remove the sandbox; the workspace stays.
    Remove,
    /// Freeze.
    Pause,
    /// Let go on.
    Resume,
    /// Stop and start again.
    Restart,
    /// Replace the sandbox; the workspace stays.
    Recreate,
    /// Write the proxy's routes anew.
    SyncProxy,
    /// Give a user another name or group; their files move along.
    Move,
}

/// How far an operation is.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Progress {
    /// It waits for those before it.
    Queued,
    /// It is being done.
    Running,
    /// Everything is as was asked for.
    Succeeded,
    /// Something could not be done.
    Failed,
    /// The server ended while it was being done.
    Interrupted,
}

/// Work that takes a while.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Work {
    /// Its number.
    id: u64,
    /// What it does.
    task: Kind,
    /// To whose instances.
    instance_ids: Vec<String>,
    /// Who the user becomes, where one is moved.
    target_id: Option<String>,
    /// Who asked for it.
    actor: String,
    /// How far it is.
    state: Progress,
    /// When it was asked for.
    created_at: Option<String>,
    /// When it began.
    started_at: Option<String>,
    /// When it was over.
    ended_at: Option<String>,
    /// What came of it for each.
    results: Vec<Outcome>,
    /// What failed for everyone.
    problem: Option<String>,
}

impl Work {
    /// The same, with other words for who asked for it.
    pub(crate) fn asked_by(self, who: &str) -> Self {
        Self { actor: who.to_owned(), ..self }
    }
}

impl From<&Operation> for Work {
    fn from(operation: &Operation) -> Self {
        let outcome = |result: &thon::core::operation::UserResult| Outcome {
            id: result.user.key(),
            ok: result.ok,
            detail: result.detail.clone(),
        };
        Self {
            id: operation.id.0,
            task: match operation.task.kind {
                TaskKind::Launch => Kind::Launch,
                TaskKind::Stop => Kind::Stop,
                TaskKind::Remove => Kind::Remove,
                TaskKind::Pause => Kind::Pause,
                TaskKind::Resume => Kind::Resume,
                TaskKind::Restart => Kind::Restart,
                TaskKind::Recreate => Kind::Recreate,
                TaskKind::SyncProxy => Kind::SyncProxy,
                TaskKind::Move => Kind::Move,
            },
            instance_ids: operation.task.users.iter().map(UserId::key).collect(),
            target_id: operation.task.to.as_ref().map(UserId::key),
            actor: operation.actor.clone(),
            state: match operation.state {
                OperationState::Queued => Progress::Queued,
                OperationState::Running => Progress::Running,
                OperationState::Succeeded => Progress::Succeeded,
                OperationState::Failed => Progress::Failed,
                OperationState::Interrupted => Progress::Interrupted,
            },
            created_at: timestamp(operation.created_at),
            started_at: operation.started_at.and_then(timestamp),
            ended_at: operation.ended_at.and_then(timestamp),
            results: operation.outcome.results.iter().map(outcome).collect(),
            problem: operation.outcome.problem.clone(),
        }
    }
}

/// Something was deleted.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Deleted {
    /// `deleted`.
    pub(crate) status: &'static str,
    /// What.
    pub(crate) id: String,
    /// The operation that removes sandboxes which are not wanted any more, where there are some.
    pub(crate) operation: Option<Work>,
}
