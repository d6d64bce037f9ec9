//! Operations: work on instances that takes a while and that somebody wants to watch.
//!
//! For: what may be asked for, what becomes of it, which of it is taken up again after the process
//! that did it was killed, and the trait that remembers it.
//! Not for: doing it; the orchestrator does. Not for who may ask for it.

use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::adapter::Failure;
use crate::lifecycle::Change;
use crate::name::UserId;
use crate::state::Actor;

/// The number of an operation. None is ever given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OperationId(pub u64);

impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// What can be done to instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskKind {
    /// Make what is there into what is wanted, and start it.
    Launch,
    /// Stop; everything in the sandbox stays.
    Stop,
    /// Stop and remove the sandbox; the workspace stays.
    Remove,
    /// Freeze.
    Pause,
    /// Let go on.
    Resume,
    /// Stop and start again.
    Restart,
    /// Replace the sandbox by a new one; the workspace stays.
    Recreate,
    /// Tell the proxy about everyone anew.
    SyncProxy,
    /// Give a user another name or group, and take their files along.
    Move,
}

impl TaskKind {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Launch,
        Self::Stop,
        Self::Remove,
        Self::Pause,
        Self::Resume,
        Self::Restart,
        Self::Recreate,
        Self::SyncProxy,
        Self::Move,
    ];

    /// The name under which it is stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Launch => "launch",
            Self::Stop => "stop",
            Self::Remove => "remove",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Restart => "restart",
            Self::Recreate => "recreate",
            Self::SyncProxy => "sync_proxy",
            Self::Move => "move",
        }
    }

    /// True if doing it again after it was cut off comes to the same, and disturbs nobody for whom
    /// it was done already. Whoever was stopped or restarted may be at work again by then.
    #[must_use]
    pub const fn is_taken_up_again(self) -> bool {
        matches!(self, Self::Launch | Self::SyncProxy)
    }

    /// The change that it is, where it is one.
    #[must_use]
    pub const fn change(self) -> Option<Change> {
        match self {
            Self::Pause => Some(Change::Pause),
            Self::Resume => Some(Change::Resume),
            Self::Restart => Some(Change::Restart),
            _ => None,
        }
    }
}

impl fmt::Display for TaskKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for TaskKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| format!("task {text} is not known"))
    }
}

/// Something to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Task {
    /// What.
    pub kind: TaskKind,
    /// To whose instances; nobody's for the proxy.
    pub users: Vec<UserId>,
    /// Who the one user becomes who is moved; nothing for everything else.
    pub to: Option<UserId>,
}

impl Task {
    /// Something to be done to the instances of `users`.
    #[must_use]
    pub const fn new(kind: TaskKind, users: Vec<UserId>) -> Self {
        Self { kind, users, to: None }
    }

    /// `user` is to become `to`.
    #[must_use]
    pub fn relocation(user: UserId, to: UserId) -> Self {
        Self { kind: TaskKind::Move, users: vec![user], to: Some(to) }
    }

    /// Most names that the line about a task holds.
    const NAMED: usize = 3;

    /// To whom, in a few words: `alpha/ada`, `alpha/ada, alpha/bob, alpha/cy and 17 more`.
    #[must_use]
    pub fn subject(&self) -> String {
        let named: Vec<String> =
            self.users.iter().take(Self::NAMED).map(ToString::to_string).collect();
        let text = if named.is_empty() { "proxy".to_owned() } else { named.join(", ") };
        match self.users.len().saturating_sub(Self::NAMED) {
            0 => match &self.to {
                Some(to) => format!("{text} to {to}"),
                None => text,
            },
            rest => format!("{text} and {rest} more"),
        }
    }
}

/// How far an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperationState {
    /// It waits for those before it.
    Queued,
    /// It is being done.
    Running,
    /// Everything that was asked for is so.
    Succeeded,
    /// Something of it, or all of it, could not be done.
    Failed,
    /// The process that did it ended meanwhile. What was done of it stays so.
    Interrupted,
}

impl OperationState {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Queued, Self::Running, Self::Succeeded, Self::Failed, Self::Interrupted];

    /// The name under which it is stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
        }
    }

    /// True if nothing more becomes of it.
    #[must_use]
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Interrupted)
    }
}

impl fmt::Display for OperationState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What came of an operation for one user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserResult {
    /// Whose instance.
    pub user: UserId,
    /// Whether it is as was asked for.
    pub ok: bool,
    /// What failed, or why there was nothing to do.
    pub detail: Option<String>,
}

/// What came of an operation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// For each user.
    pub results: Vec<UserResult>,
    /// What failed for everyone, if anything did.
    pub problem: Option<String>,
}

impl Outcome {
    /// An operation that failed as a whole.
    #[must_use]
    pub fn failed(problem: impl fmt::Display) -> Self {
        Self { results: Vec::new(), problem: Some(problem.to_string()) }
    }

    /// The state that it comes to.
    #[must_use]
    pub fn state(&self) -> OperationState {
        let well = self.problem.is_none() && self.results.iter().all(|result| result.ok);
        if well { OperationState::Succeeded } else { OperationState::Failed }
    }

    /// What the audit log says of it.
    #[must_use]
    pub fn summary(&self) -> String {
        let failed: Vec<&UserResult> = self.results.iter().filter(|result| !result.ok).collect();
        match (&self.problem, failed.first()) {
            (Some(problem), _) => problem.clone(),
            (None, None) => "done".to_owned(),
            (None, Some(first)) => format!(
                "{} of {} failed, first {}: {}",
                failed.len(),
                self.results.len(),
                first.user,
                first.detail.as_deref().unwrap_or("unknown")
            ),
        }
    }
}

/// An operation as it is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Its number.
    pub id: OperationId,
    /// What is to be done.
    pub task: Task,
    /// Who asked for it.
    pub actor: String,
    /// How far it is.
    pub state: OperationState,
    /// When it was asked for.
    pub created_at: SystemTime,
    /// When it began.
    pub started_at: Option<SystemTime>,
    /// When it was over.
    pub ended_at: Option<SystemTime>,
    /// What came of it.
    pub outcome: Outcome,
}

impl Operation {
    /// What the audit log says came of it.
    #[must_use]
    pub fn result(&self) -> String {
        match self.state {
            OperationState::Succeeded | OperationState::Failed => self.outcome.summary(),
            other => other.to_string(),
        }
    }
}

/// Remembers operations: a database, or memory.
#[async_trait]
pub trait OperationStore: Send + Sync {
    /// Puts a task at the end of the queue.
    async fn queue(&self, actor: &Actor, task: &Task) -> Result<Operation, Failure>;

    /// Writes down that an operation begins. One that is over or isn't there is a failure.
    async fn start(&self, id: OperationId) -> Result<Operation, Failure>;

    /// Writes down what came of an operation, in the audit log too. The state is `state`, which is
    /// one that is over.
    async fn finish(
        &self,
        id: OperationId,
        state: OperationState,
        outcome: &Outcome,
    ) -> Result<Operation, Failure>;

    /// The operation of that number.
    async fn operation(&self, id: OperationId) -> Result<Option<Operation>, Failure>;

    /// The latest operations, the last one first.
    async fn operations(&self, limit: u32) -> Result<Vec<Operation>, Failure>;

    /// Those that are not over, the first one first.
    async fn unfinished(&self) -> Result<Vec<Operation>, Failure>;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users(count: usize) -> Vec<UserId> {
        (0..count).map(|number| format!("a/u{number}").parse().unwrap()).collect()
    }

    #[test]
    fn a_task_names_a_few_and_counts_the_rest() {
        let subject = |count| Task::new(TaskKind::Stop, users(count)).subject();
        assert_eq!(subject(0), "proxy");
        assert_eq!(subject(3), "a/u0, a/u1, a/u2");
        assert_eq!(subject(5), "a/u0, a/u1, a/u2 and 2 more");
    }

    #[test]
    fn one_who_failed_is_a_failure_and_is_named() {
        let result = |user: &UserId, ok| UserResult {
            user: user.clone(),
            ok,
            detail: (!ok).then(|| "no port".to_owned()),
        };
        let users = users(2);
        let well = Outcome { results: vec![result(&users[0], true)], problem: None };
        assert_eq!((well.state(), well.summary().as_str()), (OperationState::Succeeded, "done"));
        let results = vec![result(&users[0], true), result(&users[1], false)];
        let bad = Outcome { results, problem: None };
        assert_eq!(bad.state(), OperationState::Failed);
        assert_eq!(bad.summary(), "1 of 2 failed, first a/u1: no port");
    }

    #[test]
    fn every_name_is_read_back() {
        for kind in TaskKind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(kind));
        }
        assert!("dance".parse::<TaskKind>().is_err());
    }
}
