//! Pausing, resuming and restarting those who are there.
//!
//! For: carrying a change out for many at once, one's failure stopping nobody else's, and telling
//! the proxy about all of them in one go.
//! Not for: deciding what a change means for a sandbox; `crate::lifecycle` does.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{Orchestrator, QUESTIONS, RunError, UserFailure, unreachable};
use crate::adapter::{Failure, FailureKind};
use crate::event::Event;
use crate::instance::InstanceState;
use crate::lifecycle::{Change, Step};
use crate::name::UserId;
use crate::proxy::ProxyChange;
use crate::sandbox::{ObservedSandbox, Phase};

/// Someone whose sandbox was left as it is, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unchanged {
    /// Whose.
    pub user: UserId,
    /// Why: `paused already`, `down`.
    pub reason: String,
}

/// What came of a change.
#[derive(Debug, Clone, Default)]
pub struct ChangeReport {
    /// Those whose sandbox was changed.
    pub changed: Vec<UserId>,
    /// Those for whom there was nothing to do.
    pub unchanged: Vec<Unchanged>,
    /// What failed, by user.
    pub failures: Vec<UserFailure>,
    /// What kept the proxy from serving, if anything did.
    pub proxy_failure: Option<Failure>,
    /// What the proxy had to do; nothing where it doesn't serve this node.
    pub proxy_change: Option<ProxyChange>,
}

impl ChangeReport {
    /// True if everyone is as was asked for.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.failures.is_empty() && self.proxy_failure.is_none()
    }

    fn fail(&mut self, user: UserId, failure: Failure) {
        self.failures.push(UserFailure { user, failure });
    }
}

impl Orchestrator {
    /// Pauses, resumes or restarts the sandboxes of `users`, or of everyone who has one. Doing it
    /// twice changes nothing the second time. The proxy is told at the end, once.
    pub async fn change(
        &self,
        change: Change,
        users: Option<&[UserId]>,
    ) -> Result<ChangeReport, RunError> {
        let observed = self.adapters.runtime.observe().await?;
        let mut report = ChangeReport::default();
        let there: BTreeSet<&UserId> = observed.iter().map(|sandbox| &sandbox.user).collect();
        for user in users.unwrap_or_default().iter().filter(|user| !there.contains(user)) {
            report.fail(user.clone(), missing(change, user));
        }
        let mut wanted = Vec::new();
        for sandbox in &observed {
            if users.is_some_and(|users| !users.contains(&sandbox.user)) {
                continue;
            }
            let user = sandbox.user.clone();
            match change.step(sandbox.phase) {
                Step::Do => wanted.push(sandbox.clone()),
                Step::Already(reason) => {
                    report.unchanged.push(Unchanged { user, reason: reason.to_owned() });
                }
                Step::Down if users.is_none() => {
                    report.unchanged.push(Unchanged { user, reason: "down".to_owned() });
                }
                Step::Down => {
                    let failure = refused(change, &user, "it is down", "`thon run` starts it");
                    report.fail(user, failure);
                }
                Step::Refuse { cause, advice } => {
                    let failure = refused(change, &user, cause, advice);
                    report.fail(user, failure);
                }
            }
        }
        self.change_all(change, wanted, &mut report).await;
        self.serve_changed(change, &mut report).await;
        report.changed.sort();
        report.unchanged.sort_by(|one, other| one.user.cmp(&other.user));
        report.failures.sort_by(|one, other| one.user.cmp(&other.user));
        Ok(report)
    }

    async fn change_all(
        &self,
        change: Change,
        wanted: Vec<ObservedSandbox>,
        report: &mut ChangeReport,
    ) {
        // Freezing costs nothing. What wakes up works at once, and a start more than anything.
        let at_once = match change {
            Change::Pause => QUESTIONS,
            Change::Resume | Change::Restart => self.settings.launch_concurrency.max(1),
        };
        let gate = Arc::new(Semaphore::new(at_once));
        let mut tasks = JoinSet::new();
        let total = wanted.len() as u64;
        for sandbox in wanted {
            let (this, gate) = (self.clone(), Arc::clone(&gate));
            tasks.spawn(async move {
                let _permit = gate.acquire_owned().await;
                let result = this.change_one(change, &sandbox).await;
                if let Err(failure) = &result {
                    // What could not be frozen runs on.
                    let (from, to) = match change {
                        Change::Pause => (Some(InstanceState::Pausing), InstanceState::Running),
                        Change::Resume | Change::Restart => (None, InstanceState::Failed),
                    };
                    this.say(&sandbox.user, from, to, Some(&failure.to_string()));
                }
                (sandbox.user, result)
            });
        }
        let step = || change.to_string();
        if total > 1 {
            let text = format!("{} {total} sandboxes", change.doing());
            self.events.emit(Event::StepStarted { step: step(), text });
        }
        let mut ended = 0;
        while let Some(joined) = tasks.join_next().await {
            let Ok((user, result)) = joined else { continue };
            ended += 1;
            if total > 1 {
                let (text, done) = (user.to_string(), Some((ended, total)));
                self.events.emit(Event::StepProgress { step: step(), text, done });
            }
            match result {
                Ok(()) => report.changed.push(user),
                Err(failure) => report.fail(user, failure),
            }
        }
        if total > 1 {
            let text = format!("{} of {total} {}", report.changed.len(), change.done());
            self.events.emit(Event::StepFinished { step: step(), text });
        }
    }

    async fn change_one(&self, change: Change, sandbox: &ObservedSandbox) -> Result<(), Failure> {
        use InstanceState::{Paused, Pausing, Pending, Running, Stopping, Terminated};
        let ObservedSandbox { user, id, .. } = sandbox;
        let runtime = &self.adapters.runtime;
        let was = InstanceState::observed(sandbox.phase, true, sandbox.exit_code);
        match change {
            Change::Pause => {
                self.say(user, Some(was), Pausing, None);
                runtime.pause(id).await?;
                self.say(user, Some(Pausing), Paused, None);
            }
            Change::Resume => self.resume(user, id, None).await?,
            Change::Restart => {
                let down = sandbox.phase == Phase::Exited;
                if !down {
                    self.say(user, Some(was), Stopping, None);
                }
                runtime.restart(id).await?;
                if !down {
                    self.say(user, Some(Stopping), Terminated, None);
                }
                let was = if down { was } else { Terminated };
                self.say(user, Some(was), Pending, None);
                self.until_healthy(user, id).await?;
                self.say(user, Some(Pending), Running, None);
            }
        }
        Ok(())
    }

    /// One change of the proxy for all of them, where it serves this node at all: a node that was
    /// started without one doesn't get one by a pause.
    async fn serve_changed(&self, change: Change, report: &mut ChangeReport) {
        if !self.is_served().await {
            return;
        }
        let served = async {
            let observed = self.adapters.runtime.observe().await?;
            let users: Vec<UserId> = observed.iter().map(|sandbox| sandbox.user.clone()).collect();
            let seats = self.seats_to_serve(&observed, &users).await?;
            let certificate = self.present_certificate(&users).await?;
            let reached: &[UserId] =
                if change.goal() == InstanceState::Running { &report.changed } else { &[] };
            Ok::<_, RunError>(self.serve(certificate.as_ref(), &observed, &seats, reached).await)
        };
        match served.await {
            Ok((proxy_change, proxy_failure, checks)) => {
                report.proxy_change = proxy_change;
                report.proxy_failure = proxy_failure;
                let broken = checks.iter().filter_map(|c| Some((&c.user, c.problem.as_ref()?)));
                report.failures.extend(broken.map(|(user, problem)| unreachable(user, problem)));
            }
            Err(error) => report.proxy_failure = Some(unserved(error)),
        }
    }
}

fn unserved(error: RunError) -> Failure {
    match error {
        RunError::Adapter(failure) => failure,
        RunError::Ports(error) => Failure::new(
            FailureKind::Conflict,
            "giving everyone a public port",
            error.to_string(),
            "widen nginx.instance_ports",
        ),
    }
}

fn missing(change: Change, user: &UserId) -> Failure {
    Failure::new(
        FailureKind::Missing,
        tried(change, user),
        "there is none",
        "`thon run` makes one for everyone in the roster",
    )
}

fn refused(change: Change, user: &UserId, cause: &str, advice: &str) -> Failure {
    Failure::new(FailureKind::Conflict, tried(change, user), cause, advice)
}

fn tried(change: Change, user: &UserId) -> String {
    format!("{} the sandbox of {user}", change.doing())
}
