//! Tokens in the database.
//!
//! For: remembering who may do what, by hashes.
//! Not for: making tokens or judging them.

use std::time::SystemTime;

use async_trait::async_trait;
use thon_core::access::{AccessStore, NewToken, Token, token_exists, token_missing};
use thon_core::adapter::Failure;
use thon_core::state::Actor;

use crate::apply::{Entry, write_audit};
use crate::open::{SqliteStore, millis, time};
use crate::read::row;

const COLUMNS: &str = "SELECT name, scope, created_at, expires_at, used_at FROM tokens ";

row! {
    struct Row {
        name: String,
        scope: String,
        created_at: i64,
        expires_at: Option<i64>,
        used_at: Option<i64>,
    }
}

impl Row {
    fn read(self) -> Result<Token, String> {
        Ok(Token {
            name: self.name,
            scope: self.scope.parse()?,
            created_at: time(self.created_at),
            expires_at: self.expires_at.map(time),
            used_at: self.used_at.map(time),
        })
    }
}

impl SqliteStore {
    /// Makes one change of the tokens and writes it into the audit log; false if nothing changed.
    async fn change_tokens(
        &self,
        actor: &Actor,
        action: &'static str,
        name: &str,
        query: sqlx::query::Query<'_, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>,
    ) -> Result<bool, Failure> {
        let _turn = self.writing.lock().await;
        let said = |error: sqlx::Error| self.failure(action, &error);
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(said)?;
        let done = query.execute(&mut *transaction).await.map_err(said)?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        let (at, actor) = (millis(self.clock.now()), actor.to_string());
        let entry = Entry { at, actor: &actor, action, subject: name, result: "done" };
        write_audit(&mut transaction, &entry).await.map_err(said)?;
        transaction.commit().await.map_err(said)?;
        Ok(true)
    }
}

#[async_trait]
impl AccessStore for SqliteStore {
    async fn tokens(&self) -> Result<Vec<Token>, Failure> {
        let said = |error| self.failure("reading the tokens", &error);
        let sql = format!("{COLUMNS} ORDER BY name");
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql));
        let rows: Vec<Row> = query.fetch_all(&self.pool).await.map_err(said)?;
        let read = rows.into_iter().map(Row::read).collect::<Result<_, _>>();
        read.map_err(|problem: String| self.foreign(&problem))
    }

    async fn add_token(&self, actor: &Actor, token: &NewToken) -> Result<(), Failure> {
        let sql = "INSERT INTO tokens (name, hash, scope, created_at, expires_at) \
                   VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING";
        let query = sqlx::query(sql).bind(&token.name).bind(&token.hash);
        let query = query.bind(token.scope.as_str()).bind(millis(self.clock.now()));
        let query = query.bind(token.expires_at.map(millis));
        if self.change_tokens(actor, "add token", &token.name, query).await? {
            Ok(())
        } else {
            Err(token_exists(&token.name))
        }
    }

    async fn revoke_token(&self, actor: &Actor, name: &str) -> Result<(), Failure> {
        let query = sqlx::query("DELETE FROM tokens WHERE name = ?").bind(name);
        if self.change_tokens(actor, "revoke token", name, query).await? {
            Ok(())
        } else {
            Err(token_missing(name))
        }
    }

    async fn find_token(&self, hash: &str) -> Result<Option<Token>, Failure> {
        let said = |error| self.failure("looking for a token", &error);
        let sql = format!("{COLUMNS} WHERE hash = ?");
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(hash);
        let row: Option<Row> = query.fetch_optional(&self.pool).await.map_err(said)?;
        row.map(Row::read).transpose().map_err(|problem| self.foreign(&problem))
    }

    async fn token_used(&self, name: &str, at: SystemTime) -> Result<(), Failure> {
        let _turn = self.writing.lock().await;
        let said = |error| self.failure("noting that a token was used", &error);
        let query = sqlx::query("UPDATE tokens SET used_at = ? WHERE name = ?");
        query.bind(millis(at)).bind(name).execute(&self.pool).await.map_err(said)?;
        Ok(())
    }
}
