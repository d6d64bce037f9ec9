//! Watching: looking at who is used, ending what is due, and giving more time.
//!
//! For: what a watcher does at each look, and `thon extend`.
//! Not for: the rules; they are in [`crate::lifetime`] and [`crate::idle`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{InstanceView, Orchestrator, QUESTIONS, RunError, UserFailure};
use crate::adapter::Failure;
use crate::config::IdleAction;
use crate::event::Event;
use crate::idle::{Ledger, Sample, idle_for};
use crate::instance::InstanceState;
use crate::lifecycle::Change;
use crate::lifetime::{Due, due, extended};
use crate::name::UserId;
use crate::sandbox::{Phase, SandboxId};

/// What becomes of those who are idle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdlePolicy {
    /// After how long without use an instance is idle.
    pub after: Duration,
    /// What becomes of it.
    pub action: IdleAction,
}

/// What came of doing what was due.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Enforced {
    /// Those that were stopped because their time was up.
    pub expired: Vec<UserId>,
    /// Those that were paused or stopped because they were idle.
    pub idle: Vec<UserId>,
    /// What failed; the next look tries again.
    pub failures: Vec<UserFailure>,
    /// What kept the proxy from telling about a pause, if anything did.
    pub proxy_failure: Option<Failure>,
}

impl Due {
    /// True if something has to be done, given what becomes of those who are idle.
    #[must_use]
    pub fn calls_for_action(&self, policy: IdlePolicy) -> bool {
        !self.stop.is_empty() || (policy.action != IdleAction::Ignore && !self.idle.is_empty())
    }
}

impl Orchestrator {
    /// Looks at everyone who runs and takes down in `ledger` how they are used. Whoever can't be
    /// asked counts as used.
    pub async fn sample(&self, ledger: &mut Ledger) -> Result<(), RunError> {
        let observed = self.adapters.runtime.observe().await?;
        let gate = Arc::new(Semaphore::new(QUESTIONS));
        let mut tasks = JoinSet::new();
        for sandbox in observed.into_iter().filter(|sandbox| sandbox.phase == Phase::Running) {
            let (runtime, gate) = (Arc::clone(&self.adapters.runtime), Arc::clone(&gate));
            tasks.spawn(async move {
                let _permit = gate.acquire_owned().await;
                let heartbeat = runtime.heartbeat(&sandbox.id).await.ok().flatten();
                let cpu = runtime.usage(&sandbox.id).await.ok().map(|usage| usage.cpu);
                Sample { user: sandbox.user, id: sandbox.id, heartbeat, cpu }
            });
        }
        let mut samples = Vec::new();
        while let Some(joined) = tasks.join_next().await {
            samples.extend(joined.ok());
        }
        ledger.look(&samples, self.events.now());
        Ok(())
    }

    /// When browsers were last at those sandboxes, as far as any ever was.
    pub(super) async fn heartbeats(
        &self,
        running: &BTreeSet<SandboxId>,
    ) -> BTreeMap<SandboxId, SystemTime> {
        let gate = Arc::new(Semaphore::new(QUESTIONS));
        let mut tasks = JoinSet::new();
        for id in running.iter().cloned() {
            let (runtime, gate) = (Arc::clone(&self.adapters.runtime), Arc::clone(&gate));
            tasks.spawn(async move {
                let _permit = gate.acquire_owned().await;
                let heartbeat = runtime.heartbeat(&id).await.ok().flatten();
                heartbeat.map(|heartbeat| (id, heartbeat))
            });
        }
        let now = self.events.now();
        let mut heartbeats = BTreeMap::new();
        while let Some(joined) = tasks.join_next().await {
            let found = joined.ok().flatten();
            // What answers is in a participant's hands: nobody was there later than now.
            heartbeats.extend(found.map(|(id, heartbeat)| (id, heartbeat.min(now))));
        }
        heartbeats
    }

    /// Completes `views` with what `ledger` remembers: a watcher knows of work without a browser, too.
    pub fn remember(&self, views: &mut [InstanceView], ledger: &Ledger, policy: IdlePolicy) {
        let now = self.events.now();
        for view in views.iter_mut().filter(|view| view.state == InstanceState::Running) {
            let id = view.container_id.clone().map(SandboxId);
            let remembered = id.and_then(|id| ledger.active_at(&view.user, &id));
            view.active_at = view.active_at.max(remembered);
            view.idle = view.active_at.and_then(|at| idle_for(at, policy.after, now));
        }
    }

    /// What is due now, by what `ledger` remembers. Changes nothing; a look that fails makes nothing
    /// due.
    pub async fn due(&self, ledger: &Ledger, policy: IdlePolicy) -> Result<Due, RunError> {
        let seats = self.adapters.store.load_seats().await?;
        let observed = self.adapters.runtime.observe().await?;
        Ok(due(&observed, &seats, ledger, policy.after, self.events.now()))
    }

    /// Stops those whose time is up, and pauses or stops those who are idle, as `policy` says.
    /// Workspaces, seats and routes stay. What `ledger` remembers of them is forgotten: whoever runs
    /// again, be it before the next look, has the whole time before them.
    pub async fn enforce(
        &self,
        ledger: &mut Ledger,
        policy: IdlePolicy,
    ) -> Result<Enforced, RunError> {
        let due = self.due(ledger, policy).await?;
        let mut enforced = Enforced::default();
        if !due.stop.is_empty() {
            for user in &due.stop {
                let text =
                    format!("{user}: its time is up; `thon run --user {user}` starts it again");
                self.events.emit(Event::Warning { text });
            }
            (enforced.expired, enforced.failures) = self.stop(Some(&due.stop), false).await?;
        }
        let idle: Vec<UserId> = due.idle.into_keys().collect();
        match policy.action {
            IdleAction::Pause if !idle.is_empty() => {
                let report = self.change(Change::Pause, Some(&idle)).await?;
                enforced.idle = report.changed;
                enforced.failures.extend(report.failures);
                enforced.proxy_failure = report.proxy_failure;
            }
            IdleAction::Stop if !idle.is_empty() => {
                let (stopped, failures) = self.stop(Some(&idle), false).await?;
                enforced.idle = stopped;
                enforced.failures.extend(failures);
            }
            _ => {}
        }
        for user in enforced.expired.iter().chain(&enforced.idle) {
            ledger.0.remove(user);
        }
        Ok(enforced)
    }

    /// Moves the ends of `users`, or of everyone, by so much, of those who have one. Returns the new
    /// ends.
    pub async fn extend(
        &self,
        users: Option<&[UserId]>,
        by: Duration,
    ) -> Result<Vec<(UserId, SystemTime)>, RunError> {
        let mut seats = self.adapters.store.load_seats().await?;
        let now = self.events.now();
        let mut moved = Vec::new();
        for seat in &mut seats {
            if users.is_some_and(|users| !users.contains(&seat.user)) {
                continue;
            }
            if let Some(end) = seat.expires_at.and_then(|end| extended(end, by, now)) {
                seat.expires_at = Some(end);
                moved.push((seat.user.clone(), end));
            }
        }
        if !moved.is_empty() {
            self.adapters.store.save_seats(&seats).await?;
        }
        moved.sort();
        Ok(moved)
    }
}
