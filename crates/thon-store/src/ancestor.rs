//! Reading the database of THON's Python ancestor.
//!
//! For: its rows as they stand, from a file that is never written to.
//! Not for: deciding what is taken of them; see [`thon_core::state::import_ancestor`].

use std::path::Path;
use std::time::SystemTime;

use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{ConnectOptions, Connection, Row, SqliteConnection};
use thon_core::adapter::{Failure, FailureKind};
use thon_core::state::{Ancestor, AncestorGroup, AncestorSandbox, AncestorUser};

use crate::open::time;

/// Reads the ancestor's database at `path`.
pub async fn read_ancestor(path: &Path) -> Result<Ancestor, Failure> {
    let failed = |kind, cause: &str| {
        let tried = format!("reading the ancestor's database {}", path.display());
        let advice = "name the `thon.db` that the Python THON wrote, while that one doesn't run";
        Failure::new(kind, tried, cause, advice)
    };
    let said = |error: sqlx::Error| match error {
        sqlx::Error::Database(error) => failed(FailureKind::Other, error.message()),
        other => failed(FailureKind::Other, &other.to_string()),
    };
    match std::fs::metadata(path) {
        Ok(found) if found.is_file() => {}
        Ok(_) => return Err(failed(FailureKind::Missing, "it is no file")),
        Err(error) => return Err(failed(FailureKind::Missing, &error.to_string())),
    }
    // A name that starts with `file:` would be taken for a URL, and a relative one could.
    let whole = std::path::absolute(path)
        .map_err(|error| failed(FailureKind::Other, &error.to_string()))?;
    let options = SqliteConnectOptions::new().filename(whole).read_only(true);
    let mut connection = options.disable_statement_logging().connect().await.map_err(said)?;
    let sql = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' \
               AND name IN ('sandbox_records', 'app_settings')";
    let tables: i64 = sqlx::query_scalar(sql).fetch_one(&mut connection).await.map_err(said)?;
    if tables == 0 {
        return Err(failed(FailureKind::Missing, "it has none of the ancestor's tables"));
    }
    let read = tables_of(&mut connection).await;
    // Nothing was written, so that nothing can be lost by a failure to close.
    drop(connection.close().await);
    read.map_err(said)
}

async fn tables_of(connection: &mut SqliteConnection) -> Result<Ancestor, sqlx::Error> {
    let mut found = Ancestor::default();
    for row in rows(connection, "event_records").await? {
        found.events.extend(text(&row, "event_id").map(|id| (id, text(&row, "title"))));
    }
    for row in rows(connection, "group_records").await? {
        found.groups.push(AncestorGroup {
            id: text(&row, "id").unwrap_or_default(),
            name: text(&row, "name").unwrap_or_default(),
            title: text(&row, "title"),
        });
    }
    for row in rows(connection, "user_records").await? {
        found.users.push(AncestorUser {
            group_id: text(&row, "group_id").unwrap_or_default(),
            username: text(&row, "username").unwrap_or_default(),
            email: text(&row, "email"),
        });
    }
    for row in rows(connection, "sandbox_records").await? {
        let created = text(&row, "created_at");
        let ended = text(&row, "terminated_at");
        found.sandboxes.push(AncestorSandbox {
            sandbox: text(&row, "sandbox_id").unwrap_or_default(),
            group: text(&row, "group_name").unwrap_or_default(),
            username: text(&row, "username").unwrap_or_default(),
            image: text(&row, "image"),
            created_at: moment(connection, created).await?,
            terminated_at: moment(connection, ended).await?,
        });
    }
    for row in rows(connection, "app_settings").await? {
        found.settings.extend(text(&row, "key").zip(text(&row, "value")));
    }
    Ok(found)
}

/// Everything of one of the ancestor's tables; nothing where an early version didn't have it.
async fn rows(
    connection: &mut SqliteConnection,
    table: &'static str,
) -> Result<Vec<SqliteRow>, sqlx::Error> {
    let sql = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?";
    let there: i64 = sqlx::query_scalar(sql).bind(table).fetch_one(&mut *connection).await?;
    if there == 0 {
        return Ok(Vec::new());
    }
    // A table's name can't be a parameter; these are ours, from this file.
    let sql = sqlx::AssertSqlSafe(format!("SELECT * FROM {table} ORDER BY rowid"));
    sqlx::query(sql).fetch_all(&mut *connection).await
}

/// A text; nothing where the column is empty, or where an early version didn't have it.
fn text(row: &SqliteRow, column: &str) -> Option<String> {
    row.try_get_unchecked::<Option<String>, _>(column).ok().flatten()
}

/// The time of a naive text, which the ancestor meant as UTC.
async fn moment(
    connection: &mut SqliteConnection,
    text: Option<String>,
) -> Result<Option<SystemTime>, sqlx::Error> {
    let Some(text) = text else { return Ok(None) };
    let sql = "SELECT CAST(round(unixepoch(?, 'subsec') * 1000) AS INTEGER)";
    let millis: Option<i64> = sqlx::query_scalar(sql).bind(text).fetch_one(connection).await?;
    Ok(millis.map(time))
}
