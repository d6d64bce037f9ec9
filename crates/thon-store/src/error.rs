//! What SQLite says, in words that help.
//!
//! For: turning its codes into failures that name the file and what to do.
//! Not for: refusals of a change; they come from [`thon_core::state`].

use std::path::Path;

use thon_core::adapter::{Failure, FailureKind};

/// How to come back from a database that can't be used, as a failure ends.
pub(crate) fn restore(path: &Path) -> String {
    let shown = path.display();
    format!(
        "stop every thon, move {shown}, {shown}-wal and {shown}-shm away and copy a backup to \
         {shown}; users of thon.yaml don't need it"
    )
}

/// A failure of SQLite while `tried` was done to the database at `path`.
pub(crate) fn failure(path: &Path, tried: &str, error: &sqlx::Error) -> Failure {
    let tried = format!("{tried} in {}", path.display());
    let primary = code(error).map(|code| code & 0xff);
    let (kind, advice) = match primary {
        Some(5 | 6) => (
            FailureKind::TimedOut,
            "another process writes to it for unusually long; end that one, then try again"
                .to_owned(),
        ),
        Some(8 | 14 | 23 | 3) => {
            (FailureKind::Denied, "make the file and its folder yours and writable".to_owned())
        }
        Some(10) => (FailureKind::Unreachable, "look at the disk (`dmesg`)".to_owned()),
        Some(11 | 26) => (FailureKind::Other, restore(path)),
        Some(13) => (FailureKind::Unreachable, "make room on its disk".to_owned()),
        _ => (FailureKind::Other, "run `thon db check`".to_owned()),
    };
    Failure::new(kind, tried, cause(error), advice)
}

/// SQLite's own words, without those of the library around it.
fn cause(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(error) => error.message().to_owned(),
        sqlx::Error::PoolTimedOut => "all connections to it are in use".to_owned(),
        other => other.to_string(),
    }
}

fn code(error: &sqlx::Error) -> Option<u32> {
    error.as_database_error()?.code()?.parse().ok()
}

/// True where another process holds a lock.
pub(crate) fn is_busy(error: &sqlx::Error) -> bool {
    matches!(code(error).map(|code| code & 0xff), Some(5 | 6))
}

/// True where the file is no database, or a broken one.
pub(crate) fn is_damage(error: &sqlx::Error) -> bool {
    matches!(code(error).map(|code| code & 0xff), Some(11 | 26))
}
