//! Opening the database.
//!
//! For: making it where it isn't there, bringing an older one forward, and refusing what is newer,
//! damaged or somebody else's in words that say what to do.
//! Not for: reading and changing what is in it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, SqliteConnection, SqlitePool};
use thon_core::adapter::{Clock, Failure, FailureKind};
use tokio::sync::Mutex;

use crate::error::{failure, is_busy, is_damage, restore};
use crate::file;
use crate::schema::{self, APPLICATION, LATEST, Mark};

/// How long a writer waits for one of another process. A write takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// Readers at one time; writers come one after the other.
const CONNECTIONS: u32 = 4;

/// The node's state in a SQLite file.
pub struct SqliteStore {
    pub(crate) path: PathBuf,
    pub(crate) pool: SqlitePool,
    pub(crate) clock: Arc<dyn Clock>,
    /// Held while this process writes, so that its own writers queue fairly and without polling.
    pub(crate) writing: Mutex<()>,
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteStore").field("path", &self.path).finish_non_exhaustive()
    }
}

impl SqliteStore {
    /// Opens the database at `path`, and makes it where it isn't there. Its folder is there, and
    /// only its owner may write to it. `path` is absolute.
    pub async fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, Failure> {
        if !file::present(path)? {
            create(path).await?;
        }
        Self::open_present(path, clock).await
    }

    /// Opens the database at `path` if it is there.
    pub async fn open_existing(
        path: &Path,
        clock: Arc<dyn Clock>,
    ) -> Result<Option<Self>, Failure> {
        if !file::present(path)? {
            return Ok(None);
        }
        Self::open_present(path, clock).await.map(Some)
    }

    async fn open_present(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, Failure> {
        let said = |error: sqlx::Error| failure(path, "opening the database", &error);
        let mut connection =
            options(path).foreign_keys(false).connect().await.map_err(|error| {
                if is_damage(&error) { damaged(path, &error.to_string()) } else { said(error) }
            })?;
        let ready = ready(path, &mut connection).await;
        connection.close().await.map_err(said)?;
        ready?;
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS)
            .min_connections(0)
            .acquire_timeout(PATIENCE)
            .idle_timeout(Duration::from_mins(1))
            .test_before_acquire(false)
            .connect_lazy_with(options(path));
        Ok(Self { path: path.to_path_buf(), pool, clock, writing: Mutex::new(()) })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes everything into the file and lets go of it.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// A failure of SQLite while `tried` was done.
    pub(crate) fn failure(&self, tried: &str, error: &sqlx::Error) -> Failure {
        failure(&self.path, tried, error)
    }
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .foreign_keys(true)
        .busy_timeout(PATIENCE)
        // Every commit is on the disk before it is reported, also when the power fails.
        .synchronous(SqliteSynchronous::Full)
        .disable_statement_logging()
}

/// Makes a new database beside its place and gives it its name when it is whole: a second process
/// never meets one that is half made.
async fn create(path: &Path) -> Result<(), Failure> {
    let denied = |error: &std::io::Error| {
        let tried = format!("making the database {}", path.display());
        let advice = "make its folder yours and writable";
        Failure::new(FailureKind::Denied, tried, error.to_string(), advice)
    };
    let draft = file::draft(path);
    file::discard(&draft);
    file::create(&draft).map_err(|error| denied(&error))?;
    let made = async {
        let mut connection = options(&draft).connect().await?;
        wal(&mut connection).await?;
        schema::migrate(&mut connection, LATEST).await?;
        connection.close().await
    };
    if let Err(error) = made.await {
        file::discard(&draft);
        return Err(failure(path, "making the database", &error));
    }
    file::publish(&draft, path).map_err(|error| denied(&error))
}

/// Looks at what the file says of itself, brings it forward and checks it.
async fn ready(path: &Path, connection: &mut SqliteConnection) -> Result<(), Failure> {
    let said = |error: sqlx::Error| {
        if is_damage(&error) {
            damaged(path, &error.to_string())
        } else {
            failure(path, "opening the database", &error)
        }
    };
    let mark = schema::mark(connection).await.map_err(said)?;
    if let Some(refusal) = refusal(path, connection, mark).await.map_err(said)? {
        return Err(refusal);
    }
    if let Some(problem) = problems(connection, Depth::Quick).await.map_err(said)?.first() {
        return Err(damaged(path, problem));
    }
    wal(connection).await.map_err(said)?;
    if mark.version < LATEST {
        schema::migrate(connection, LATEST).await.map_err(said)?;
    }
    Ok(())
}

/// Why the file can't be used, if it can't.
async fn refusal(
    path: &Path,
    connection: &mut SqliteConnection,
    mark: Mark,
) -> Result<Option<Failure>, sqlx::Error> {
    let tried = format!("opening the database {}", path.display());
    if mark.application == APPLICATION {
        return Ok((mark.version > LATEST).then(|| {
            Failure::new(
                FailureKind::Conflict,
                tried,
                format!(
                    "a newer THON wrote it (version {}, this one knows {LATEST})",
                    mark.version
                ),
                "install that THON again, or go back to a backup that this one wrote",
            )
        }));
    }
    let tables = "SELECT count(*), coalesce(sum(name IN ('sandbox_records', 'app_settings')), 0) \
                  FROM sqlite_schema WHERE type = 'table'";
    let (tables, ancestors): (i64, i64) =
        sqlx::query_as(tables).fetch_one(&mut *connection).await?;
    if ancestors > 0 {
        let shown = path.display();
        return Ok(Some(Failure::new(
            FailureKind::Conflict,
            tried,
            "it is the one of THON's Python ancestor",
            format!(
                "`mv {shown} {shown}.ancestor`, then `thon db import-ancestor {shown}.ancestor`"
            ),
        )));
    }
    // An empty file is none of THON's either: one is never left half made.
    let cause = if tables == 0 { "it is empty" } else { "it belongs to another program" };
    Ok(Some(Failure::new(FailureKind::Conflict, tried, cause, restore(path))))
}

fn damaged(path: &Path, problem: &str) -> Failure {
    Failure::new(
        FailureKind::Other,
        format!("opening the database {}", path.display()),
        format!("it is damaged ({problem})"),
        restore(path),
    )
}

/// Changes to the write-ahead log, which a restored backup doesn't have. Needs the file for itself
/// for a moment, and SQLite doesn't wait for that by itself.
async fn wal(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let until = tokio::time::Instant::now() + PATIENCE;
    loop {
        let changed = sqlx::query_scalar::<_, String>("PRAGMA journal_mode = WAL")
            .fetch_one(&mut *connection)
            .await;
        match changed {
            Err(error) if is_busy(&error) && tokio::time::Instant::now() < until => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(error) => return Err(error),
            Ok(_) => return Ok(()),
        }
    }
}

/// How closely a database is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Whether its pages are in order: at every opening.
    Quick,
    /// Whether every index and every reference is right as well.
    Full,
}

/// What is wrong with the database; nothing where all is well.
pub(crate) async fn problems(
    connection: &mut SqliteConnection,
    depth: Depth,
) -> Result<Vec<String>, sqlx::Error> {
    let pragma = match depth {
        Depth::Quick => "PRAGMA quick_check(1)",
        Depth::Full => "PRAGMA integrity_check(20)",
    };
    let lines: Vec<String> = sqlx::query_scalar(pragma).fetch_all(&mut *connection).await?;
    let mut problems: Vec<String> = lines.into_iter().filter(|line| line != "ok").collect();
    if depth == Depth::Full {
        let lost: Vec<(String, Option<i64>, String, i64)> =
            sqlx::query_as("PRAGMA foreign_key_check").fetch_all(&mut *connection).await?;
        problems.extend(lost.into_iter().take(20).map(|(table, row, parent, _)| {
            let row = row.map_or_else(String::new, |row| format!(" row {row}"));
            format!("{table}{row} refers to what is not in {parent}")
        }));
    }
    Ok(problems)
}

/// Milliseconds since 1970, as times are stored.
pub(crate) fn millis(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The time of a number that [`millis`] made.
pub(crate) fn time(millis: i64) -> SystemTime {
    let millis = u64::try_from(millis).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_millis(millis)
}
