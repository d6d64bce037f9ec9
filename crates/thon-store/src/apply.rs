//! Making changes.
//!
//! For: one transaction per batch that has the lock for writing from its beginning, so that what
//! was checked is still so when it is written; the audit log beside it.
//! Not for: reading.

use sqlx::sqlite::SqliteConnection;
use thon_core::adapter::Failure;
use thon_core::name::{GroupName, UserId};
use thon_core::roster::GroupRules;
use thon_core::state::{
    Actor, Change, ConfigFile, Fact, Revision, audit_text, exists, missing, stale,
};

use crate::open::{SqliteStore, millis};
use crate::read::{row, rules_of};

/// Why a change isn't made.
pub(crate) enum Stopped {
    /// The rules refuse it.
    Refused(Failure),
    /// SQLite fails.
    Broken(sqlx::Error),
}

impl From<sqlx::Error> for Stopped {
    fn from(error: sqlx::Error) -> Self {
        Self::Broken(error)
    }
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Self {
        Self::Refused(failure)
    }
}

impl SqliteStore {
    /// Makes all of `changes` or none.
    pub(crate) async fn make_all(&self, actor: &Actor, changes: &[Change]) -> Result<(), Failure> {
        if changes.is_empty() {
            return Ok(());
        }
        let _turn = self.writing.lock().await;
        let now = millis(self.clock.now());
        let said = |error: sqlx::Error| self.failure("changing the state", &error);
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(said)?;
        for change in changes {
            let writer = Writer { connection: &mut transaction, actor, now };
            match writer.make(change).await {
                Ok(()) => {
                    audit(&mut transaction, actor, change, now, "done").await.map_err(said)?;
                }
                Err(Stopped::Broken(error)) => return Err(said(error)),
                Err(Stopped::Refused(failure)) => {
                    transaction.rollback().await.map_err(said)?;
                    let mut log = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(said)?;
                    audit(&mut log, actor, change, now, &failure.cause).await.map_err(said)?;
                    log.commit().await.map_err(said)?;
                    return Err(failure);
                }
            }
        }
        transaction.commit().await.map_err(said)
    }

    /// Writes facts down, each once.
    pub(crate) async fn record_all(&self, facts: &[Fact]) -> Result<(), Failure> {
        if facts.is_empty() {
            return Ok(());
        }
        let _turn = self.writing.lock().await;
        let said = |error: sqlx::Error| self.failure("recording what became of sandboxes", &error);
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(said)?;
        for fact in facts {
            record(&mut transaction, fact).await.map_err(said)?;
        }
        transaction.commit().await.map_err(said)
    }
}

async fn record(connection: &mut SqliteConnection, fact: &Fact) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO instances (sandbox, group_name, user_name, image) VALUES (?, ?, ?, ?) \
         ON CONFLICT (sandbox) DO NOTHING",
    )
    .bind(&fact.sandbox.0)
    .bind(fact.user.group.as_str())
    .bind(fact.user.user.as_str())
    .bind(&fact.image)
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "INSERT INTO instance_states (instance_id, at, state, reason) \
         SELECT id, ?, ?, ? FROM instances WHERE sandbox = ? ON CONFLICT DO NOTHING",
    )
    .bind(millis(fact.at))
    .bind(fact.state.to_string())
    .bind(&fact.reason)
    .bind(&fact.sandbox.0)
    .execute(&mut *connection)
    .await
    .map(drop)
}

async fn audit(
    connection: &mut SqliteConnection,
    actor: &Actor,
    change: &Change,
    now: i64,
    result: &str,
) -> Result<(), sqlx::Error> {
    let (actor, subject) = (actor.to_string(), change.subject());
    let action = change.action();
    let entry = Entry { at: now, actor: &actor, action, subject: &subject, result };
    write_audit(connection, &entry).await
}

/// A line of the audit log, as it is written.
pub(crate) struct Entry<'a> {
    pub(crate) at: i64,
    pub(crate) actor: &'a str,
    pub(crate) action: &'a str,
    pub(crate) subject: &'a str,
    pub(crate) result: &'a str,
}

pub(crate) async fn write_audit(
    connection: &mut SqliteConnection,
    entry: &Entry<'_>,
) -> Result<(), sqlx::Error> {
    sqlx::query("INSERT INTO audit (at, actor, action, subject, result) VALUES (?, ?, ?, ?, ?)")
        .bind(entry.at)
        .bind(audit_text(entry.actor))
        .bind(entry.action)
        .bind(audit_text(entry.subject))
        .bind(audit_text(entry.result))
        .execute(&mut *connection)
        .await
        .map(drop)
}

row! {
    /// A row with its revision.
    struct Row {
        id: i64,
        revision: i64,
    }
}

/// Makes one change within a transaction.
struct Writer<'a> {
    connection: &'a mut SqliteConnection,
    actor: &'a Actor,
    now: i64,
}

impl Writer<'_> {
    async fn make(mut self, change: &Change) -> Result<(), Stopped> {
        match change {
            Change::SetEvent { id, title } => self.set_event(id, title.as_deref()).await,
            Change::AddGroup { name, title, rules } => {
                self.add_group(change, name, title.as_deref(), *rules).await
            }
            Change::EditGroup { name, expect, title, rules } => {
                let row = self.seen_group(change, name, *expect).await?;
                self.edit_group(row, title.as_deref(), *rules).await
            }
            Change::RenameGroup { name, expect, to } => {
                let row = self.seen_group(change, name, *expect).await?;
                if name != to && self.group(to).await?.is_some() {
                    return Err(exists(change, &format!("group {to}")).into());
                }
                let sql = "UPDATE groups SET name = ?, revision = revision + 1, updated_at = ? \
                           WHERE id = ?";
                let query = sqlx::query(sql).bind(to.as_str()).bind(self.now).bind(row.id);
                query.execute(&mut *self.connection).await?;
                Ok(())
            }
            Change::RemoveGroup { name, expect } => {
                let row = self.seen_group(change, name, *expect).await?;
                let query = sqlx::query("DELETE FROM groups WHERE id = ?").bind(row.id);
                query.execute(&mut *self.connection).await?;
                Ok(())
            }
            Change::AddUser { user, display, email } => {
                self.add_user(change, user, display.as_deref(), email.as_deref()).await
            }
            Change::EditUser { user, expect, display, email } => {
                let row = self.seen_user(change, user, *expect).await?;
                let sql = "UPDATE users SET display_name = ?, email = ?, revision = revision + 1, \
                           updated_at = ? WHERE id = ?";
                let query = sqlx::query(sql).bind(display).bind(email).bind(self.now).bind(row.id);
                query.execute(&mut *self.connection).await?;
                Ok(())
            }
            Change::MoveUser { user, expect, to } => {
                let row = self.seen_user(change, user, *expect).await?;
                self.move_user(change, row, user, to).await
            }
            Change::RemoveUser { user, expect } => {
                let row = self.seen_user(change, user, *expect).await?;
                let query = sqlx::query("DELETE FROM users WHERE id = ?").bind(row.id);
                query.execute(&mut *self.connection).await?;
                Ok(())
            }
            Change::SetSetting { setting } => {
                let sql = "INSERT INTO settings (key, value, updated_at) VALUES (?, ?, ?) \
                           ON CONFLICT (key) DO UPDATE SET value = excluded.value, \
                           updated_at = excluded.updated_at";
                let query = sqlx::query(sql).bind(setting.key().as_str()).bind(setting.reveal());
                query.bind(self.now).execute(&mut *self.connection).await?;
                Ok(())
            }
            Change::ClearSetting { key } => {
                let query = sqlx::query("DELETE FROM settings WHERE key = ?").bind(key.as_str());
                query.execute(&mut *self.connection).await?;
                Ok(())
            }
            Change::PutConfigFile { file, expect } => self.put_file(change, file, *expect).await,
            Change::RemoveConfigFile { key, expect } => {
                let sql = "SELECT content FROM config_files WHERE key = ? \
                           ORDER BY version DESC LIMIT 1";
                let query = sqlx::query_scalar(sql).bind(key.as_str());
                let there: Option<String> = query.fetch_optional(&mut *self.connection).await?;
                if there.is_none_or(|content| content.is_empty()) {
                    return Err(missing(change, key.as_str()).into());
                }
                self.put_file(change, &ConfigFile::removed(*key), *expect).await
            }
            Change::RestoreConfigFile { key, version } => {
                let sql = "INSERT INTO config_files (key, version, content, actor, at) \
                           SELECT key, (SELECT max(version) + 1 FROM config_files WHERE key = ?1), \
                           content, ?3, ?4 FROM config_files WHERE key = ?1 AND version = ?2";
                let query = sqlx::query(sql).bind(key.as_str()).bind(number(*version));
                let query = query.bind(self.actor.to_string()).bind(self.now);
                let done = query.execute(&mut *self.connection).await?;
                if done.rows_affected() == 0 {
                    return Err(missing(change, &format!("version {version} of {key}")).into());
                }
                Ok(())
            }
        }
    }

    async fn set_event(&mut self, id: &str, title: Option<&str>) -> Result<(), Stopped> {
        let sql = "INSERT INTO events (event_id, title, created_at, updated_at) \
                   VALUES (?1, ?2, ?3, ?3) ON CONFLICT (event_id) DO UPDATE SET \
                   title = excluded.title, updated_at = excluded.updated_at";
        let query = sqlx::query(sql).bind(id).bind(title).bind(self.now);
        query.execute(&mut *self.connection).await?;
        let sql = "UPDATE groups SET event = (SELECT id FROM events WHERE event_id = ?) \
                   WHERE event IS NULL";
        sqlx::query(sql).bind(id).execute(&mut *self.connection).await?;
        Ok(())
    }

    async fn group(&mut self, name: &GroupName) -> Result<Option<Row>, sqlx::Error> {
        let query = sqlx::query_as("SELECT id, revision FROM groups WHERE name = ?");
        query.bind(name.as_str()).fetch_optional(&mut *self.connection).await
    }

    async fn user(&mut self, id: &UserId) -> Result<Option<Row>, sqlx::Error> {
        let sql = "SELECT users.id, users.revision FROM users \
                   JOIN groups ON groups.id = users.group_id \
                   WHERE groups.name = ? AND users.name = ?";
        let query = sqlx::query_as(sql).bind(id.group.as_str()).bind(id.user.as_str());
        query.fetch_optional(&mut *self.connection).await
    }

    async fn seen_group(
        &mut self,
        change: &Change,
        name: &GroupName,
        expect: Option<Revision>,
    ) -> Result<Row, Stopped> {
        let row = self.group(name).await?;
        seen(change, &format!("group {name}"), row, expect)
    }

    async fn seen_user(
        &mut self,
        change: &Change,
        id: &UserId,
        expect: Option<Revision>,
    ) -> Result<Row, Stopped> {
        let row = self.user(id).await?;
        seen(change, &format!("user {id}"), row, expect)
    }

    async fn add_group(
        &mut self,
        change: &Change,
        name: &GroupName,
        title: Option<&str>,
        rules: GroupRules,
    ) -> Result<(), Stopped> {
        if self.group(name).await?.is_some() {
            return Err(exists(change, &format!("group {name}")).into());
        }
        let [internet, memory, cpus, pids, disk] = rules_of(rules);
        let sql = "INSERT INTO groups (name, title, internet, memory, cpus_milli, pids, disk, \
                   created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?8, ?8)";
        let query = sqlx::query(sql).bind(name.as_str()).bind(title).bind(internet).bind(memory);
        let query = query.bind(cpus).bind(pids).bind(disk).bind(self.now);
        query.execute(&mut *self.connection).await?;
        Ok(())
    }

    async fn edit_group(
        &mut self,
        row: Row,
        title: Option<&str>,
        rules: GroupRules,
    ) -> Result<(), Stopped> {
        let [internet, memory, cpus, pids, disk] = rules_of(rules);
        let sql = "UPDATE groups SET title = ?, internet = ?, memory = ?, cpus_milli = ?, \
                   pids = ?, disk = ?, revision = revision + 1, updated_at = ? WHERE id = ?";
        let query = sqlx::query(sql).bind(title).bind(internet).bind(memory).bind(cpus);
        let query = query.bind(pids).bind(disk).bind(self.now).bind(row.id);
        query.execute(&mut *self.connection).await?;
        Ok(())
    }

    async fn add_user(
        &mut self,
        change: &Change,
        user: &UserId,
        display: Option<&str>,
        email: Option<&str>,
    ) -> Result<(), Stopped> {
        let Some(group) = self.group(&user.group).await? else {
            return Err(missing(change, &format!("group {}", user.group)).into());
        };
        let sql = "INSERT INTO users (group_id, name, display_name, email, created_at, updated_at) \
                   VALUES (?, ?, ?, ?, ?5, ?5) ON CONFLICT (group_id, name) DO NOTHING";
        let query = sqlx::query(sql).bind(group.id).bind(user.user.as_str()).bind(display);
        let done = query.bind(email).bind(self.now).execute(&mut *self.connection).await?;
        if done.rows_affected() == 0 {
            return Err(exists(change, &format!("user {user}")).into());
        }
        Ok(())
    }

    async fn move_user(
        &mut self,
        change: &Change,
        row: Row,
        user: &UserId,
        to: &UserId,
    ) -> Result<(), Stopped> {
        let Some(group) = self.group(&to.group).await? else {
            return Err(missing(change, &format!("group {}", to.group)).into());
        };
        if user != to && self.user(to).await?.is_some() {
            return Err(exists(change, &format!("user {to}")).into());
        }
        let sql = "UPDATE users SET group_id = ?, name = ?, revision = revision + 1, \
                   updated_at = ? WHERE id = ?";
        let query = sqlx::query(sql).bind(group.id).bind(to.user.as_str());
        query.bind(self.now).bind(row.id).execute(&mut *self.connection).await?;
        Ok(())
    }

    async fn put_file(
        &mut self,
        change: &Change,
        file: &ConfigFile,
        expect: Option<u64>,
    ) -> Result<(), Stopped> {
        let sql = "SELECT coalesce(max(version), 0) FROM config_files WHERE key = ?";
        let query = sqlx::query_scalar(sql).bind(file.key().as_str());
        let present: i64 = query.fetch_one(&mut *self.connection).await?;
        if expect.is_some_and(|seen| number(seen) != present) {
            return Err(stale(change, file.key().as_str()).into());
        }
        let sql = "INSERT INTO config_files (key, version, content, actor, at) \
                   VALUES (?, ?, ?, ?, ?)";
        let query = sqlx::query(sql).bind(file.key().as_str()).bind(present + 1);
        let query = query.bind(file.content()).bind(self.actor.to_string()).bind(self.now);
        query.execute(&mut *self.connection).await?;
        Ok(())
    }
}

/// The row, if it is there and still what was seen.
fn seen(
    change: &Change,
    what: &str,
    row: Option<Row>,
    expect: Option<Revision>,
) -> Result<Row, Stopped> {
    let row = row.ok_or_else(|| missing(change, what))?;
    match expect {
        Some(Revision(expected)) if number(expected) != row.revision => {
            Err(stale(change, what).into())
        }
        _ => Ok(row),
    }
}

/// A number as SQLite holds it. One that is too large is none that was ever given out.
fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
