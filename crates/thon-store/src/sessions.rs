//! The dashboard's password and its sessions in the database.
//!
//! For: remembering both by hashes, each change with its line in the audit log in one transaction.
//! Not for: drawing, hashing or judging anything.

use std::time::SystemTime;

use async_trait::async_trait;
use sqlx::sqlite::SqliteConnection;
use thon_core::access::{
    Ending, Holder, NewSession, Opening, Role, SESSION_IDLE, SESSIONS_OF_ONE, Session,
    SessionStore, StoredPassword, password_changed,
};
use thon_core::adapter::Failure;
use thon_core::secret::Secret;
use thon_core::state::Actor;

use crate::apply::{Entry, write_audit};
use crate::open::{SqliteStore, millis, time};
use crate::read::row;

const COLUMNS: &str = "id, account, role, address, browser, created_at, seen_at, expires_at";

/// What the audit log calls the one dashboard.
const DASHBOARD: &str = "dashboard";

row! {
    struct Row {
        id: i64,
        account: Option<String>,
        role: String,
        address: String,
        browser: String,
        created_at: i64,
        seen_at: i64,
        expires_at: i64,
    }
}

impl TryFrom<Row> for Session {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> Result<Self, sqlx::Error> {
        let odd = |error: String| sqlx::Error::Decode(error.into());
        let account = row.account.map(|text| serde_json::from_str(&text)).transpose();
        let account =
            account.map_err(|error| odd(format!("{} has no account: {error}", name(row.id))))?;
        Ok(Self {
            number: u64::try_from(row.id).unwrap_or_default(),
            holder: account.map_or(Holder::Password, Holder::Account),
            role: row
                .role
                .parse()
                .map_err(|error: thon_core::config::ValueError| odd(error.to_string()))?,
            address: row.address,
            browser: row.browser,
            created_at: time(row.created_at),
            seen_at: time(row.seen_at),
            expires_at: time(row.expires_at),
        })
    }
}

fn key(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn name(id: i64) -> String {
    format!("session {id}")
}

/// A change that is being made: who makes it, and when.
struct Making<'a> {
    connection: &'a mut SqliteConnection,
    actor: &'a Actor,
    now: i64,
}

impl Making<'_> {
    async fn note(&mut self, action: &str, subject: &str, result: &str) -> Result<(), sqlx::Error> {
        let actor = self.actor.to_string();
        let entry = Entry { at: self.now, actor: &actor, action, subject, result };
        write_audit(self.connection, &entry).await
    }

    async fn set_password(mut self, hash: &Secret) -> Result<u64, sqlx::Error> {
        let sql = "INSERT INTO dashboard_password (id, hash, set_at) VALUES (1, ?1, ?2) \
                   ON CONFLICT (id) DO UPDATE SET hash = ?1, set_at = ?2";
        let query = sqlx::query(sql).bind(hash.reveal()).bind(self.now);
        query.execute(&mut *self.connection).await?;
        let query = sqlx::query("DELETE FROM sessions WHERE account IS NULL");
        let ended = query.execute(&mut *self.connection).await?.rows_affected();
        self.note("set password", DASHBOARD, "done").await?;
        Ok(ended)
    }

    async fn end_sessions(mut self) -> Result<u64, sqlx::Error> {
        let query = sqlx::query("DELETE FROM sessions");
        let ended = query.execute(&mut *self.connection).await?.rows_affected();
        if ended > 0 {
            self.note("end sessions", DASHBOARD, "done").await?;
        }
        Ok(ended)
    }

    async fn sealing_secret(self, fresh: &Secret) -> Result<Secret, sqlx::Error> {
        let sql =
            "INSERT INTO sealing_secret (id, secret) VALUES (1, ?) ON CONFLICT (id) DO NOTHING";
        sqlx::query(sql).bind(fresh.reveal()).execute(&mut *self.connection).await?;
        let query = sqlx::query_scalar("SELECT secret FROM sealing_secret");
        let secret: String = query.fetch_one(&mut *self.connection).await?;
        Ok(Secret::new(secret))
    }

    async fn change_role(mut self, number: u64, role: Role) -> Result<(), sqlx::Error> {
        let query = sqlx::query_scalar("SELECT role FROM sessions WHERE id = ?").bind(key(number));
        let before: Option<String> = query.fetch_optional(&mut *self.connection).await?;
        let Some(before) = before else { return Ok(()) };
        let query = sqlx::query("UPDATE sessions SET role = ? WHERE id = ?").bind(role.as_str());
        query.bind(key(number)).execute(&mut *self.connection).await?;
        self.note("change role", &name(key(number)), &format!("{before} to {role}")).await
    }

    async fn end_session(mut self, number: u64, why: Ending) -> Result<bool, sqlx::Error> {
        let query = sqlx::query("DELETE FROM sessions WHERE id = ?").bind(key(number));
        let ended = query.execute(&mut *self.connection).await?.rows_affected() > 0;
        if ended {
            self.note(why.as_str(), &name(key(number)), "done").await?;
        }
        Ok(ended)
    }

    /// Nothing where the password was changed meanwhile.
    async fn begin(mut self, session: &NewSession) -> Result<Option<Session>, sqlx::Error> {
        let idle = i64::try_from(SESSION_IDLE.as_millis()).unwrap_or(i64::MAX);
        sqlx::query("DELETE FROM sessions WHERE expires_at <= ? OR seen_at <= ?")
            .bind(self.now)
            .bind(self.now.saturating_sub(idle))
            .execute(&mut *self.connection)
            .await?;
        let (account, password) = match &session.opening {
            Opening::Password(hash) => (None, Some(hash.reveal())),
            Opening::Account(account, _) => {
                let encode = |error: serde_json::Error| sqlx::Error::Encode(error.into());
                (Some(serde_json::to_string(account).map_err(encode)?), None)
            }
        };
        let sql = format!(
            "INSERT INTO sessions \
             (hash, address, browser, created_at, seen_at, expires_at, account, role) \
             SELECT ?1, ?2, ?3, ?4, ?4, ?5, ?6, ?7 WHERE ?8 IS NULL \
             OR EXISTS (SELECT 1 FROM dashboard_password WHERE hash = ?8) \
             RETURNING {COLUMNS}"
        );
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(&session.hash);
        let query = query.bind(&session.address).bind(&session.browser).bind(self.now);
        let query = query.bind(millis(session.expires_at)).bind(account);
        let query = query.bind(session.opening.role().as_str()).bind(password);
        let row: Option<Row> = query.fetch_optional(&mut *self.connection).await?;
        if let Some(row) = &row {
            self.note("log in", &name(row.id), "done").await?;
        }
        if let Opening::Account(account, _) = &session.opening {
            let most = i64::try_from(SESSIONS_OF_ONE).unwrap_or(i64::MAX);
            let theirs = "json_extract(account, '$.provider') = ?1 \
                          AND json_extract(account, '$.subject') = ?2";
            let sql = format!(
                "DELETE FROM sessions WHERE {theirs} AND id NOT IN \
                 (SELECT id FROM sessions WHERE {theirs} ORDER BY id DESC LIMIT ?3)"
            );
            let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(account.provider.as_str());
            query.bind(&account.subject).bind(most).execute(&mut *self.connection).await?;
        }
        row.map(Session::try_from).transpose()
    }
}

/// Makes a change in a transaction of its own that has the lock for writing from its beginning.
macro_rules! make {
    ($store:expr, $actor:expr, $tried:expr, $making:ident => $change:expr) => {{
        let said = |error: sqlx::Error| $store.failure($tried, &error);
        let _turn = $store.writing.lock().await;
        let mut transaction = $store.pool.begin_with("BEGIN IMMEDIATE").await.map_err(said)?;
        let now = millis($store.clock.now());
        let $making = Making { connection: &mut transaction, actor: $actor, now };
        let made = $change.await.map_err(said)?;
        transaction.commit().await.map_err(said)?;
        made
    }};
}

#[async_trait]
impl SessionStore for SqliteStore {
    async fn password(&self) -> Result<Option<StoredPassword>, Failure> {
        let said = |error| self.failure("reading the dashboard's password", &error);
        let query = sqlx::query_as("SELECT hash, set_at FROM dashboard_password");
        let row: Option<(String, i64)> = query.fetch_optional(&self.pool).await.map_err(said)?;
        Ok(row.map(|(hash, at)| StoredPassword { hash: Secret::new(hash), set_at: time(at) }))
    }

    async fn set_password(&self, actor: &Actor, hash: &Secret) -> Result<u64, Failure> {
        let tried = "setting the dashboard's password";
        Ok(make!(self, actor, tried, making => making.set_password(hash)))
    }

    async fn refused(&self, actor: &Actor, door: &str, reason: &str) -> Result<(), Failure> {
        make!(self, actor, "noting who was not let in", making => async {
            let mut making = making;
            making.note("log in", door, reason).await
        });
        Ok(())
    }

    async fn sealing_secret(&self, fresh: &Secret) -> Result<Secret, Failure> {
        let (nobody, tried) = (Actor::new(""), "reading what is sealed with");
        Ok(make!(self, &nobody, tried, making => making.sealing_secret(fresh)))
    }

    async fn begin_session(&self, actor: &Actor, session: &NewSession) -> Result<Session, Failure> {
        let begun = make!(self, actor, "logging in", making => making.begin(session));
        begun.ok_or_else(password_changed)
    }

    async fn find_session(&self, hash: &str) -> Result<Option<Session>, Failure> {
        let said = |error| self.failure("looking for a session", &error);
        let sql = format!("SELECT {COLUMNS} FROM sessions WHERE hash = ?");
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(hash);
        let row: Option<Row> = query.fetch_optional(&self.pool).await.map_err(said)?;
        row.map(Session::try_from).transpose().map_err(said)
    }

    async fn session_seen(&self, number: u64, at: SystemTime) -> Result<(), Failure> {
        let _turn = self.writing.lock().await;
        let said = |error| self.failure("noting that a session was used", &error);
        let query = sqlx::query("UPDATE sessions SET seen_at = ? WHERE id = ?");
        query.bind(millis(at)).bind(key(number)).execute(&self.pool).await.map_err(said)?;
        Ok(())
    }

    async fn role_changed(&self, actor: &Actor, number: u64, role: Role) -> Result<(), Failure> {
        make!(self, actor, "noting another role", making => making.change_role(number, role));
        Ok(())
    }

    async fn end_session(&self, actor: &Actor, number: u64, why: Ending) -> Result<bool, Failure> {
        Ok(make!(self, actor, "ending a session", making => making.end_session(number, why)))
    }

    async fn sessions(&self) -> Result<Vec<Session>, Failure> {
        let said = |error| self.failure("reading the sessions", &error);
        let sql = format!("SELECT {COLUMNS} FROM sessions ORDER BY id DESC");
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql));
        let rows: Vec<Row> = query.fetch_all(&self.pool).await.map_err(said)?;
        rows.into_iter().map(Session::try_from).collect::<Result<_, _>>().map_err(said)
    }

    async fn end_sessions(&self, actor: &Actor) -> Result<u64, Failure> {
        Ok(make!(self, actor, "ending the sessions", making => making.end_sessions()))
    }
}
