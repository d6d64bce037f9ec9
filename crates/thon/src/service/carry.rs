//! Carrying a task out.
//!
//! For: the one way from a task to what the node does about it, under the lock that every command
//! which changes the node takes.
//! Not for: when; the queue says that.

use std::time::Duration;

use thon_core::adapter::{Failure, FailureKind};
use thon_core::lifecycle::Change;
use thon_core::name::UserId;
use thon_core::operation::{Outcome, Task, TaskKind, UserResult};
use thon_core::orchestrator::{RunRequest, UserFailure};
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
    pub(super) async fn carry_out(&self, task: &Task) -> Outcome {
        let done = async {
            let _lock = self.wait_for_lock().await?;
            // Read under the lock: what is wanted now, not when it was asked for.
            let site = self.site().await?;
            carry(task, &site).await
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
