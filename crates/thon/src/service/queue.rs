//! The queue of operations.
//!
//! For: asking for one, refusing what can't be meant, and doing them one after the other.
//! Not for: what a task does; [`super::carry`] does it.

use std::collections::BTreeSet;

use thon_core::access::restarts_own;
use thon_core::adapter::{Failure, FailureKind};
use thon_core::event::Event;
use thon_core::name::UserId;
use thon_core::operation::{Operation, OperationId, OperationState, Outcome, Task, TaskKind};
use thon_core::state::{Actor, EditError};

use super::{Service, Site};
use crate::error::Error;

/// Operations that may wait. Whoever asks for more asks in a loop.
const LONGEST: usize = 500;

impl Service {
    /// Asks for something to be done. Whoever isn't known is refused by name, all at once: either
    /// the task is queued for everyone or for nobody.
    pub async fn begin(&self, actor: &Actor, task: Task) -> Result<Operation, Error> {
        let task = Task { users: once(task.users), ..task };
        let site = self.site().await?;
        self.check(&task, &site)?;
        let store = self.inner.state.operations();
        if store.unfinished().await?.len() >= LONGEST {
            let tried = format!("queueing operation {}", task.kind);
            let cause = format!("{LONGEST} operations wait already");
            let advice = "wait until some of them are over";
            return Err(Failure::new(FailureKind::Conflict, tried, cause, advice).into());
        }
        let operation = store.queue(actor, &task).await?;
        self.say(&operation);
        self.inner.work.notify_one();
        Ok(operation)
    }

    /// Restarts the instance of somebody who asks because it is theirs, if they may; where that waits
    /// already or is being done, that: nobody fills the queue with their own instance.
    pub async fn restart_own(&self, actor: &Actor, user: UserId) -> Result<Operation, Error> {
        let tried = format!("restarting {user}");
        let room = self.room();
        if let Some(why) = &room.failure {
            let advice = "`thon doctor` finds the reason";
            return Err(Failure::new(FailureKind::Unreachable, tried, why, advice).into());
        }
        if !room.instance(&user).is_some_and(|view| restarts_own(view.state)) {
            let cause = "it doesn't run, and an organizer starts it";
            return Err(Failure::new(FailureKind::Conflict, tried, cause, "ask one of them").into());
        }
        let task = Task::new(TaskKind::Restart, vec![user]);
        // Of two who ask at once the second finds what the first one asked for.
        let _turn = self.inner.once.lock().await;
        let mut unfinished = self.inner.state.operations().unfinished().await?.into_iter();
        match unfinished.find(|operation| operation.task == task) {
            Some(operation) => Ok(operation),
            None => self.begin(actor, task).await,
        }
    }

    /// The operation of that number.
    pub async fn operation(&self, id: OperationId) -> Result<Option<Operation>, Error> {
        Ok(self.inner.state.operations().operation(id).await?)
    }

    /// The latest operations, the last one first.
    pub async fn operations(&self, limit: u32) -> Result<Vec<Operation>, Error> {
        Ok(self.inner.state.operations().operations(limit).await?)
    }

    fn check(&self, task: &Task, site: &Site) -> Result<(), Error> {
        let about_nobody = task.kind == TaskKind::SyncProxy;
        if task.users.is_empty() != about_nobody {
            let allowed = if about_nobody { "none" } else { "at least one" };
            return Err(Error::input(format!("users of {}: allowed is {allowed}", task.kind)));
        }
        if (task.kind == TaskKind::Move) != task.to.is_some() {
            return Err(Error::input(format!("whom {} leads to: one for `move` alone", task.kind)));
        }
        if let (Some(to), [user]) = (&task.to, task.users.as_slice()) {
            site.editor().move_user(user, to)?;
            return Ok(());
        }
        let wanted: BTreeSet<UserId> = site.everyone().into_iter().collect();
        let room = self.room();
        // Whoever left the roster may still have a sandbox; a new one is made for nobody else.
        let makes = matches!(task.kind, TaskKind::Launch | TaskKind::Recreate);
        let known =
            |user: &UserId| wanted.contains(user) || (!makes && room.instance(user).is_some());
        let Some(stranger) = task.users.iter().find(|user| !known(user)) else { return Ok(()) };
        Err(EditError::unknown_user(stranger, &site.everyone()).into())
    }

    /// What the process before this one left: what may be done again is done again, what waited
    /// waits on, and the rest is over.
    pub(super) async fn take_up_again(&self) -> Result<(), Error> {
        let store = self.inner.state.operations();
        for left in store.unfinished().await? {
            let again = left.state == OperationState::Queued || left.task.kind.is_taken_up_again();
            if !again {
                let outcome = Outcome::failed("the server ended while it was being done");
                let ended = store.finish(left.id, OperationState::Interrupted, &outcome).await?;
                self.say(&ended);
            }
        }
        Ok(())
    }

    /// Does what waits, one after the other.
    pub(super) async fn keep_working(&self) {
        loop {
            let heard = self.inner.work.notified();
            match self.work_off().await {
                Ok(()) => heard.await,
                Err(error) => {
                    self.warn_once(&error.to_string());
                    tokio::time::sleep(super::listen::AGAIN).await;
                }
            }
        }
    }

    async fn work_off(&self) -> Result<(), Error> {
        let store = self.inner.state.operations();
        loop {
            let Some(next) = store.unfinished().await?.into_iter().next() else { return Ok(()) };
            let running = store.start(next.id).await?;
            self.say(&running);
            let outcome = self.carry_out(&running).await;
            self.look().await;
            let ended = store.finish(running.id, outcome.state(), &outcome).await?;
            self.say(&ended);
        }
    }

    fn say(&self, operation: &Operation) {
        self.inner.events.emit(Event::OperationChanged {
            operation: operation.id,
            task: operation.task.kind,
            user: match operation.task.users.as_slice() {
                [user] => Some(user.clone()),
                _ => None,
            },
            state: operation.state,
            result: operation.state.is_over().then(|| operation.result()),
        });
    }
}

/// Each once, in their order.
fn once(users: Vec<UserId>) -> Vec<UserId> {
    let mut seen = BTreeSet::new();
    users.into_iter().filter(|user| seen.insert(user.clone())).collect()
}
