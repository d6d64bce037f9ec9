//! Carrying a task out.
//!
//! For: the one way from a task to what the node does about it, under the lock that every command
//! which changes the node takes.
//! Not for: when; the queue says that.

use std::time::Duration;

use thon_core::adapter::{Failure, FailureKind};
use thon_core::lifecycle::Change;
use thon_core::name::UserId;
use thon_core::operation::{Operation, Outcome, Task, TaskKind, UserResult};
use thon_core::orchestrator::{RunRequest, UserFailure};
use thon_core::state::Actor;
use tokio::time::Instant;

use super::{Service, Site};
use crate::error::Error;
use crate::home::HomeLock;
use crate::node::Node;

/// How long a command at the terminal may keep an operation waiting: as long as a full room takes
/// to come up on a slow machine.
const PATIENCE: Duration = Duration::from_mins(30);

/// Between two looks whether the lock is free.
const AGAIN: Duration = Duration::from_millis(200);

impl Service {
    pub(super) async fn carry_out(&self, operation: &Operation) -> Outcome {
        let task = &operation.task;
        let done = async {
            let _lock = self.wait_for_lock().await?;
            // Read under the lock: what is wanted now, not when it was asked for.
            let site = self.site().await?;
            match (&task.to, task.users.as_slice()) {
                (Some(to), [user]) => {
                    self.relocate(&Actor::new(&operation.actor), user, to, &site).await
                }
                _ => carry(task, &site).await,
            }
        };
        done.await.unwrap_or_else(Outcome::failed)
    }

    async fn wait_for_lock(&self) -> Result<HomeLock, Failure> {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.inner.home.lock() {
                Err(busy) if busy.kind == FailureKind::Conflict && Instant::now() < until => {
                    tokio::time::sleep(AGAIN).await;
                }
                other => return other,
            }
        }
    }
}

impl Service {
    /// Moves somebody with their files, and launches them anew where they were at work.
    async fn relocate(
        &self,
        actor: &Actor,
        user: &UserId,
        to: &UserId,
        site: &Site,
    ) -> Result<Outcome, Error> {
        let changes = site.editor().move_user(user, to)?;
        let commit = async || self.apply(actor, &changes).await;
        let moved = site.node().relocate(user, to, commit).await?;
        let detail = moved.left_behind.map(|failure| failure.to_string());
        let mut outcome = Outcome {
            results: vec![UserResult { user: user.clone(), ok: true, detail }],
            problem: None,
        };
        let site = self.site().await?;
        if moved.was_at_work {
            let selected = vec![to.clone()];
            let request = RunRequest { roster: site.everyone(), selected, ..RunRequest::default() };
            let report = site.node().run(&request).await?;
            let failed = report.failures.iter().find(|failed| failed.user == *to);
            outcome.problem = failed
                .map(|failed| format!("they are moved, and not running: {}", failed.failure))
                .or_else(|| report.proxy_failure.map(|failure| failure.to_string()));
        } else {
            outcome.problem = sync(site.node(), true).await.err().map(|error| error.to_string());
        }
        Ok(outcome)
    }
}

async fn carry(task: &Task, site: &Site) -> Result<Outcome, Error> {
    let node = site.node();
    match task.kind {
        TaskKind::Launch | TaskKind::Recreate => {
            let recreate = task.kind == TaskKind::Recreate;
            let roster = site.everyone();
            let selected = task.users.iter().filter(|user| roster.contains(user)).cloned();
            let selected: Vec<UserId> = selected.collect();
            let request = RunRequest { roster, selected, recreate, ..RunRequest::default() };
            let report = node.run(&request).await?;
            let mut outcome = results(&task.users, &report.failures);
            for result in outcome.results.iter_mut().filter(|r| !request.selected.contains(&r.user))
            {
                result.ok = false;
                result.detail = Some("they left the roster meanwhile".to_owned());
            }
            outcome.problem = report.proxy_failure.map(|failure| failure.to_string());
            Ok(outcome)
        }
        TaskKind::Stop => {
            let (_, failures) = node.stop(Some(&task.users)).await?;
            Ok(results(&task.users, &failures))
        }
        TaskKind::Remove => {
            let (_, failures) = node.remove_sandboxes(&task.users).await?;
            let mut outcome = results(&task.users, &failures);
            outcome.problem = sync(node, true).await.err().map(|error| error.to_string());
            Ok(outcome)
        }
        TaskKind::Pause => change(Change::Pause, task, node).await,
        TaskKind::Resume => change(Change::Resume, task, node).await,
        TaskKind::Restart => change(Change::Restart, task, node).await,
        TaskKind::SyncProxy => sync(node, false).await,
        // It names somebody who they become, and is done above.
        TaskKind::Move => Err(Error::input("users of move: allowed is one, with whom they become")),
    }
}

async fn change(change: Change, task: &Task, node: &Node) -> Result<Outcome, Error> {
    let report = node.change(change, Some(&task.users)).await?;
    let mut outcome = results(&task.users, &report.failures);
    for unchanged in &report.unchanged {
        let there = outcome.results.iter_mut().find(|result| result.user == unchanged.user);
        if let Some(result) = there.filter(|result| result.ok) {
            result.detail = Some(unchanged.reason.clone());
        }
    }
    outcome.problem = report.proxy_failure.map(|failure| failure.to_string());
    Ok(outcome)
}

/// Tells the proxy about everyone; with `only_if_served` not if it doesn't serve this node.
async fn sync(node: &Node, only_if_served: bool) -> Result<Outcome, Error> {
    if only_if_served {
        let status = node.proxy_status().await;
        let served = status.is_ok_and(|status| status.running && status.routes.is_some());
        if !node.config().nginx.enabled || !served {
            return Ok(Outcome::default());
        }
    }
    let (_, checks) = node.proxy_sync().await?;
    let results = checks.into_iter().map(|check| UserResult {
        user: check.user,
        ok: check.problem.is_none(),
        detail: check.problem,
    });
    Ok(Outcome { results: results.collect(), problem: None })
}

fn results(users: &[UserId], failures: &[UserFailure]) -> Outcome {
    let result = |user: &UserId| {
        let failed = failures.iter().find(|failure| failure.user == *user);
        UserResult {
            user: user.clone(),
            ok: failed.is_none(),
            detail: failed.map(|failed| failed.failure.to_string()),
        }
    };
    Outcome { results: users.iter().map(result).collect(), problem: None }
}
