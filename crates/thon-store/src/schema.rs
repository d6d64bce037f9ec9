//! The versions of the database, and the way from each to the next.
//!
//! For: migrations, forward only, all in one transaction.
//! Not for: opening the file.

use sqlx::SqliteConnection;

/// The version that this program writes.
pub const LATEST: u32 = 8;

/// What marks a database as THON's: its name in ASCII.
pub(crate) const APPLICATION: u32 = 0x5448_4f4e;

/// The migrations; the first one leads from nothing to version 1. None is ever changed once it was
/// released: what has to be different comes with the next.
pub(crate) const MIGRATIONS: [&str; LATEST as usize] = [
    include_str!("../migrations/1_roster.sql"),
    include_str!("../migrations/2_history.sql"),
    include_str!("../migrations/3_settings.sql"),
    include_str!("../migrations/4_operations.sql"),
    include_str!("../migrations/5_access.sql"),
    include_str!("../migrations/6_sessions.sql"),
    include_str!("../migrations/7_target.sql"),
    include_str!("../migrations/8_accounts.sql"),
];

/// What a file says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Whose it is; 0 for a file that no program marked.
    pub(crate) application: u32,
    /// Its version.
    pub(crate) version: u32,
}

pub(crate) async fn mark(connection: &mut SqliteConnection) -> Result<Mark, sqlx::Error> {
    let application =
        sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *connection).await?;
    let version = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *connection).await?;
    Ok(Mark { application, version })
}

/// Brings the database to `target`, from whichever version it has: in one transaction, so that it
/// has the old version or the new one whatever happens. Takes the lock for writing first: of two
/// processes the second finds everything done.
pub(crate) async fn migrate(
    connection: &mut SqliteConnection,
    target: u32,
) -> Result<(), sqlx::Error> {
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut *connection).await?;
    let result = steps(connection, target).await;
    let end = if result.is_ok() { "COMMIT" } else { "ROLLBACK" };
    sqlx::raw_sql(end).execute(&mut *connection).await?;
    result
}

async fn steps(connection: &mut SqliteConnection, target: u32) -> Result<(), sqlx::Error> {
    let from = mark(connection).await?.version;
    for version in from..target {
        if let Some(sql) = MIGRATIONS.get(version as usize) {
            sqlx::raw_sql(*sql).execute(&mut *connection).await?;
        }
    }
    if from < target {
        // A pragma takes no parameters; these are numbers.
        let marked =
            format!("PRAGMA user_version = {target}; PRAGMA application_id = {APPLICATION}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(marked)).execute(&mut *connection).await?;
    }
    Ok(())
}
