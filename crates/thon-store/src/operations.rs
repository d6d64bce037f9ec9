//! Operations in the database.
//!
//! For: the queue and what came of everything in it.
//! Not for: which of it is done when.

use async_trait::async_trait;
use sqlx::sqlite::SqliteConnection;
use thon_core::adapter::{Failure, FailureKind};
use thon_core::name::UserId;
use thon_core::operation::{
    Operation, OperationId, OperationState, OperationStore, Outcome, Task, UserResult,
};
use thon_core::state::Actor;

use crate::apply::{Entry, write_audit};
use crate::open::{SqliteStore, millis, time};
use crate::read::row;

row! {
    struct Row {
        id: i64,
        kind: String,
        users: String,
        actor: String,
        state: String,
        created_at: i64,
        started_at: Option<i64>,
        ended_at: Option<i64>,
        results: String,
        problem: Option<String>,
        target: Option<String>,
    }
}

impl Row {
    fn read(self) -> Result<Operation, String> {
        let users: Vec<UserId> = json(&self.users)?;
        let results: Vec<UserResult> = json(&self.results)?;
        let to = self.target.map(|to| to.parse()).transpose();
        let to = to.map_err(|error: thon_core::name::NameError| error.to_string())?;
        let state = OperationState::ALL.into_iter().find(|state| state.as_str() == self.state);
        Ok(Operation {
            id: OperationId(u64::try_from(self.id).unwrap_or_default()),
            task: Task { kind: self.kind.parse()?, users, to },
            actor: self.actor,
            state: state.ok_or("a state of an operation that isn't known")?,
            created_at: time(self.created_at),
            started_at: self.started_at.map(time),
            ended_at: self.ended_at.map(time),
            outcome: Outcome { results, problem: self.problem },
        })
    }
}

fn json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

/// Nothing in a list of names and texts fails to serialise.
fn text(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| "[]".to_owned())
}

fn key(id: OperationId) -> i64 {
    i64::try_from(id.0).unwrap_or(i64::MAX)
}

async fn find(
    connection: &mut SqliteConnection,
    id: OperationId,
) -> Result<Option<Row>, sqlx::Error> {
    let query = sqlx::query_as("SELECT * FROM operations WHERE id = ?").bind(key(id));
    query.fetch_optional(connection).await
}

impl SqliteStore {
    fn one(&self, row: Option<Row>, tried: &str) -> Result<Operation, Failure> {
        let Some(row) = row else {
            let cause = "it is over, or there is none";
            return Err(Failure::new(FailureKind::Conflict, tried, cause, "look at it again"));
        };
        row.read().map_err(|problem| self.foreign(&problem))
    }

    fn all(&self, rows: Vec<Row>) -> Result<Vec<Operation>, Failure> {
        let read = rows.into_iter().map(Row::read).collect::<Result<_, _>>();
        read.map_err(|problem: String| self.foreign(&problem))
    }
}

#[async_trait]
impl OperationStore for SqliteStore {
    async fn queue(&self, actor: &Actor, task: &Task) -> Result<Operation, Failure> {
        let _turn = self.writing.lock().await;
        let tried = format!("queueing operation {}", task.kind);
        let said = |error: sqlx::Error| self.failure(&tried, &error);
        let sql = "INSERT INTO operations (kind, users, target, actor, state, created_at) \
                   VALUES (?, ?, ?, ?, 'queued', ?) RETURNING *";
        let query = sqlx::query_as(sql).bind(task.kind.as_str()).bind(text(&task.users));
        let query = query.bind(task.to.as_ref().map(ToString::to_string));
        let query = query.bind(actor.to_string()).bind(millis(self.clock.now()));
        let row = query.fetch_optional(&self.pool).await.map_err(said)?;
        self.one(row, &tried)
    }

    async fn start(&self, id: OperationId) -> Result<Operation, Failure> {
        let _turn = self.writing.lock().await;
        let tried = format!("beginning operation {id}");
        let said = |error: sqlx::Error| self.failure(&tried, &error);
        let sql = "UPDATE operations SET state = 'running', started_at = ? \
                   WHERE id = ? AND state IN ('queued', 'running') RETURNING *";
        let query = sqlx::query_as(sql).bind(millis(self.clock.now())).bind(key(id));
        let row = query.fetch_optional(&self.pool).await.map_err(said)?;
        self.one(row, &tried)
    }

    async fn finish(
        &self,
        id: OperationId,
        state: OperationState,
        outcome: &Outcome,
    ) -> Result<Operation, Failure> {
        let _turn = self.writing.lock().await;
        let tried = format!("ending operation {id}");
        let said = |error: sqlx::Error| self.failure(&tried, &error);
        let now = millis(self.clock.now());
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(said)?;
        let sql = "UPDATE operations SET state = ?, ended_at = ?, results = ?, problem = ? \
                   WHERE id = ? AND state IN ('queued', 'running') RETURNING *";
        let query = sqlx::query_as(sql).bind(state.as_str()).bind(now);
        let query = query.bind(text(&outcome.results)).bind(&outcome.problem).bind(key(id));
        let row = query.fetch_optional(&mut *transaction).await.map_err(said)?;
        let ended = self.one(row, &tried)?;
        let (subject, result) = (ended.task.subject(), ended.result());
        let entry = Entry {
            at: now,
            actor: &ended.actor,
            action: ended.task.kind.as_str(),
            subject: &subject,
            result: &result,
        };
        write_audit(&mut transaction, &entry).await.map_err(said)?;
        transaction.commit().await.map_err(said)?;
        Ok(ended)
    }

    async fn operation(&self, id: OperationId) -> Result<Option<Operation>, Failure> {
        let said = |error: sqlx::Error| self.failure("reading an operation", &error);
        let mut connection = self.pool.acquire().await.map_err(said)?;
        let row = find(&mut connection, id).await.map_err(said)?;
        row.map(Row::read).transpose().map_err(|problem| self.foreign(&problem))
    }

    async fn operations(&self, limit: u32) -> Result<Vec<Operation>, Failure> {
        let said = |error: sqlx::Error| self.failure("reading the operations", &error);
        let sql = "SELECT * FROM operations ORDER BY id DESC LIMIT ?";
        let rows = sqlx::query_as(sql).bind(limit).fetch_all(&self.pool).await.map_err(said)?;
        self.all(rows)
    }

    async fn unfinished(&self) -> Result<Vec<Operation>, Failure> {
        let said = |error: sqlx::Error| self.failure("reading the operations", &error);
        let sql = "SELECT * FROM operations WHERE state IN ('queued', 'running') ORDER BY id";
        let rows = sqlx::query_as(sql).fetch_all(&self.pool).await.map_err(said)?;
        self.all(rows)
    }
}
