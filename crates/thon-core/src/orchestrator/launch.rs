//! The launch queue: many sandboxes through few slots.
//!
//! For: starting no more sandboxes at once than the machine can feed. A code-server gives its own
//! child ten seconds to answer; sixty started at once on two cores starve half of them to death.
//! Not for: deciding what is launched; the plan has.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Orchestrator, UserFailure};
use crate::adapter::{Failure, FailureKind};
use crate::event::Event;
use crate::instance::InstanceState;
use crate::name::UserId;
use crate::plan::{Action, Plan};
use crate::sandbox::{Health, SandboxId};

/// How often a start that died is tried, the first time included.
const ATTEMPTS: u32 = 3;

/// Between two looks at a code-server that doesn't answer yet.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// At most this often everyone's place in the queue is said anew.
const POSITIONS_EVERY: Duration = Duration::from_secs(1);

/// Lines of a dead sandbox's log that go into the error.
const LOG_LINES: usize = 3;

/// What came of all launches.
#[derive(Debug, Default)]
pub(super) struct Launched {
    pub(super) healthy: BTreeSet<UserId>,
    pub(super) started: Vec<UserId>,
    pub(super) failures: Vec<UserFailure>,
}

/// The queue as its members see it.
struct Queue {
    /// Sandboxes may be made ahead of their start, this many at once.
    making: Semaphore,
    /// Slots from a start to its first healthy answer.
    slots: Semaphore,
    waiting: Mutex<Waiting>,
}

impl Queue {
    /// A user's turn has come.
    fn leave(&self, user: &UserId) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.users.retain(|waiter| waiter != user);
    }
}

struct Waiting {
    users: Vec<UserId>,
    finished: usize,
    since: Instant,
    said: Option<Instant>,
}

impl Orchestrator {
    /// Carries out everything in `plan` that is about sandboxes, except for users in `excluded`.
    pub(super) async fn launch_all(&self, plan: &Plan, excluded: &[UserFailure]) -> Launched {
        let excluded: BTreeSet<&UserId> = excluded.iter().map(|failure| &failure.user).collect();
        let actions: Vec<&Action> =
            plan.actions.iter().filter(|action| !excluded.contains(action.user())).collect();
        let starts = |action: &&&Action| {
            matches!(
                action,
                Action::Create { .. }
                    | Action::Start { .. }
                    | Action::Resume { .. }
                    | Action::Recreate { .. }
            )
        };
        let users = actions.iter().filter(starts).map(|action| action.user().clone()).collect();
        let concurrency = self.settings.launch_concurrency.max(1);
        let queue = Arc::new(Queue {
            making: Semaphore::new(concurrency),
            slots: Semaphore::new(concurrency),
            waiting: Mutex::new(Waiting { users, finished: 0, since: Instant::now(), said: None }),
        });
        self.say_positions(&queue, None);
        let mut tasks = JoinSet::new();
        for action in actions {
            let (this, queue, action) = (self.clone(), Arc::clone(&queue), action.clone());
            tasks.spawn(async move {
                let result = this.carry_out(&action, &queue).await;
                (action, result)
            });
        }
        let mut launched = Launched::default();
        while let Some(joined) = tasks.join_next().await {
            let Ok((action, result)) = joined else { continue };
            let user = action.user().clone();
            match (result, &action) {
                (
                    Ok(true),
                    Action::Create { .. } | Action::Start { .. } | Action::Recreate { .. },
                ) => {
                    launched.started.push(user.clone());
                    launched.healthy.insert(user);
                }
                (Ok(true), _) => drop(launched.healthy.insert(user)),
                (Ok(false), _) => {}
                (Err(failure), _) => {
                    self.events.emit(Event::InstanceChanged {
                        user: user.clone(),
                        from: None,
                        to: InstanceState::Failed,
                        reason: Some(failure.to_string()),
                    });
                    launched.failures.push(UserFailure { user, failure });
                }
            }
        }
        launched.failures.sort_by(|one, other| one.user.cmp(&other.user));
        launched
    }

    /// Carries out one action; true if its instance is healthy at the end.
    async fn carry_out(&self, action: &Action, queue: &Queue) -> Result<bool, Failure> {
        let runtime = &self.adapters.runtime;
        match action {
            Action::Orphan { .. } => Ok(false),
            Action::Stop { user, id, .. } => {
                self.say(user, None, InstanceState::Stopping, action.reason());
                runtime.stop(id).await?;
                runtime.remove(id).await?;
                self.say(user, Some(InstanceState::Stopping), InstanceState::Terminated, None);
                Ok(false)
            }
            Action::Keep { spec, id } => match runtime.health(id).await? {
                Health::Healthy => Ok(true),
                Health::Paused => Ok(false),
                Health::Starting | Health::Died { .. } => {
                    self.until_healthy(&spec.user, id).await.map(|()| true)
                }
            },
            Action::Start { spec, id } => {
                self.say(&spec.user, None, InstanceState::Pending, action.reason());
                let _slot = queue.slots.acquire().await;
                queue.leave(&spec.user);
                let result = self.start(&spec.user, id).await;
                self.finish(queue);
                result.map(|()| true)
            }
            Action::Resume { spec, id } => {
                let _slot = queue.slots.acquire().await;
                queue.leave(&spec.user);
                let result = self.resume(&spec.user, id, action.reason()).await;
                self.finish(queue);
                result.map(|()| true)
            }
            Action::Create { spec } | Action::Recreate { spec, .. } => {
                self.say(&spec.user, None, InstanceState::Pending, action.reason());
                let making = queue.making.acquire().await;
                if let Action::Recreate { id, .. } = action {
                    runtime.stop(id).await?;
                    runtime.remove(id).await?;
                }
                let id = runtime.create(spec).await?;
                let _slot = queue.slots.acquire().await;
                drop(making);
                queue.leave(&spec.user);
                let result = self.start(&spec.user, &id).await;
                self.finish(queue);
                result.map(|()| true)
            }
        }
    }

    async fn start(&self, user: &UserId, id: &SandboxId) -> Result<(), Failure> {
        self.adapters.runtime.start(id).await?;
        self.until_healthy(user, id).await?;
        self.say(user, Some(InstanceState::Pending), InstanceState::Running, None);
        Ok(())
    }

    /// Lets a frozen one go on, until it answers.
    pub(super) async fn resume(
        &self,
        user: &UserId,
        id: &SandboxId,
        reason: Option<&str>,
    ) -> Result<(), Failure> {
        self.say(user, Some(InstanceState::Paused), InstanceState::Pending, reason);
        self.adapters.runtime.resume(id).await?;
        self.until_healthy(user, id).await?;
        self.say(user, Some(InstanceState::Pending), InstanceState::Running, None);
        Ok(())
    }

    /// Waits for the first healthy answer. One that died while it started is started again.
    pub(super) async fn until_healthy(&self, user: &UserId, id: &SandboxId) -> Result<(), Failure> {
        let runtime = &self.adapters.runtime;
        let deadline = Instant::now() + self.settings.ready_timeout;
        let mut attempt = 1;
        loop {
            match runtime.health(id).await? {
                Health::Healthy | Health::Paused => return Ok(()),
                Health::Died { exit_code, out_of_memory } => {
                    let failure = self.died(user, id, exit_code, out_of_memory).await;
                    if attempt == ATTEMPTS || Instant::now() >= deadline {
                        return Err(failure);
                    }
                    attempt += 1;
                    self.events.emit(Event::Retrying { user: user.clone(), attempt, failure });
                    runtime.start(id).await?;
                }
                Health::Starting if Instant::now() >= deadline => {
                    return Err(Failure::new(
                        FailureKind::TimedOut,
                        format!("waiting for the code-server of {user}"),
                        format!("no answer within {} s", self.settings.ready_timeout.as_secs()),
                        format!(
                            "see `thon logs {user}`; a busy machine may need a larger \
                             `sandbox.ready_timeout_seconds` or a smaller `sandbox.launch_concurrency`"
                        ),
                    ));
                }
                Health::Starting => {}
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn died(
        &self,
        user: &UserId,
        id: &SandboxId,
        exit_code: Option<i64>,
        out_of_memory: bool,
    ) -> Failure {
        let log = self.adapters.runtime.logs(id, LOG_LINES).await.unwrap_or_default();
        let ended = exit_code
            .map_or_else(|| "it went down".to_owned(), |code| format!("it ended with {code}"));
        let (cause, advice) = if out_of_memory {
            (format!("{ended}: out of memory"), "raise `sandbox.memory`".to_owned())
        } else {
            (format!("{ended}: {log}"), format!("see `thon logs {user}`"))
        };
        Failure::new(
            FailureKind::Died,
            format!("starting the code-server of {user}"),
            cause,
            advice,
        )
    }

    pub(super) fn say(
        &self,
        user: &UserId,
        from: Option<InstanceState>,
        to: InstanceState,
        reason: Option<&str>,
    ) {
        let reason = reason.map(ToOwned::to_owned);
        self.events.emit(Event::InstanceChanged { user: user.clone(), from, to, reason });
    }

    /// A launch ended, well or not: the estimates of those who wait change.
    fn finish(&self, queue: &Queue) {
        let estimate = {
            let mut waiting = queue.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.finished += 1;
            let now = Instant::now();
            if waiting.said.is_some_and(|said| now - said < POSITIONS_EVERY) {
                return;
            }
            waiting.said = Some(now);
            (now - waiting.since)
                .div_f64(f64::from(u32::try_from(waiting.finished).unwrap_or(u32::MAX)))
        };
        self.say_positions(queue, Some(estimate));
    }

    /// Tells everyone who waits their place, and when their turn comes if one launch ends every
    /// `per_launch`.
    fn say_positions(&self, queue: &Queue, per_launch: Option<Duration>) {
        let waiting = queue.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        for (index, user) in waiting.users.iter().enumerate() {
            let position = index + 1;
            self.events.emit(Event::Queued {
                user: user.clone(),
                position,
                of: waiting.users.len(),
                estimate: per_launch.map(|each| each * u32::try_from(position).unwrap_or(u32::MAX)),
            });
        }
    }
}
