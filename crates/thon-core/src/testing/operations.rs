//! Operations in memory.
//!
//! For: tests that need a queue of operations.
//! Not for: anything that has to be there tomorrow.

use async_trait::async_trait;

use super::state::MemoryState;
use crate::adapter::{Failure, FailureKind};
use crate::operation::{Operation, OperationId, OperationState, OperationStore, Outcome, Task};
use crate::state::{Actor, AuditEntry};

impl MemoryState {
    fn change_operation(
        &self,
        id: OperationId,
        change: impl FnOnce(&mut Operation),
    ) -> Result<Operation, Failure> {
        let mut tables = self.tables();
        let found = tables.operations.iter_mut().find(|operation| operation.id == id);
        let Some(found) = found.filter(|found| !found.state.is_over()) else {
            let tried = format!("changing operation {id}");
            let cause = "it is over, or there is none";
            return Err(Failure::new(FailureKind::Conflict, tried, cause, "look at it again"));
        };
        change(found);
        Ok(found.clone())
    }
}

#[async_trait]
impl OperationStore for MemoryState {
    async fn queue(&self, actor: &Actor, task: &Task) -> Result<Operation, Failure> {
        self.faults.check("queue", task.kind.as_str()).await?;
        let now = self.clock.now();
        let mut tables = self.tables();
        let operation = Operation {
            id: OperationId(tables.operations.len() as u64 + 1),
            task: task.clone(),
            actor: actor.to_string(),
            state: OperationState::Queued,
            created_at: now,
            started_at: None,
            ended_at: None,
            outcome: Outcome::default(),
        };
        tables.operations.push(operation.clone());
        Ok(operation)
    }

    async fn start(&self, id: OperationId) -> Result<Operation, Failure> {
        self.faults.check("start", "").await?;
        let now = self.clock.now();
        self.change_operation(id, |operation| {
            operation.state = OperationState::Running;
            operation.started_at = Some(now);
        })
    }

    async fn finish(
        &self,
        id: OperationId,
        state: OperationState,
        outcome: &Outcome,
    ) -> Result<Operation, Failure> {
        self.faults.check("finish", "").await?;
        let now = self.clock.now();
        let ended = self.change_operation(id, |operation| {
            operation.state = state;
            operation.ended_at = Some(now);
            operation.outcome = outcome.clone();
        })?;
        self.tables().audit.push(AuditEntry {
            at: now,
            actor: ended.actor.clone(),
            action: ended.task.kind.to_string(),
            subject: ended.task.subject(),
            result: ended.result(),
        });
        Ok(ended)
    }

    async fn operation(&self, id: OperationId) -> Result<Option<Operation>, Failure> {
        self.faults.check("operation", "").await?;
        Ok(self.tables().operations.iter().find(|operation| operation.id == id).cloned())
    }

    async fn operations(&self, limit: u32) -> Result<Vec<Operation>, Failure> {
        self.faults.check("operations", "").await?;
        Ok(self.tables().operations.iter().rev().take(limit as usize).cloned().collect())
    }

    async fn unfinished(&self) -> Result<Vec<Operation>, Failure> {
        self.faults.check("unfinished", "").await?;
        let tables = self.tables();
        Ok(tables.operations.iter().filter(|one| !one.state.is_over()).cloned().collect())
    }
}
