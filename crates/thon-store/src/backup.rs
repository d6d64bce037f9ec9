//! Checking the database and copying it while it is in use.
//!
//! For: `thon db check` and `thon db backup`.
//! Not for: restoring; that is copying a file while nothing runs.

use std::path::Path;

use thon_core::adapter::{Failure, FailureKind};

use crate::file;
use crate::open::{Depth, SqliteStore, problems};

impl SqliteStore {
    /// Looks at every page, index and reference. Returns what is wrong, one line each.
    pub async fn check(&self) -> Result<Vec<String>, Failure> {
        let said = |error| self.failure("checking the database", &error);
        let mut connection = self.pool.acquire().await.map_err(said)?;
        problems(&mut connection, Depth::Full).await.map_err(said)
    }

    /// Writes a copy of everything, as of one moment, to `target`: a file that isn't there yet and
    /// that only its owner may read. Writers needn't wait for it.
    pub async fn backup(&self, target: &Path) -> Result<(), Failure> {
        let tried = format!("backing the database up to {}", target.display());
        file::create(target).map_err(|error| {
            let (kind, advice) = if error.kind() == std::io::ErrorKind::AlreadyExists {
                (FailureKind::Conflict, "nothing is overwritten: name another file")
            } else {
                (FailureKind::Denied, "name a file in a folder that you may write to")
            };
            Failure::new(kind, &tried, error.to_string(), advice)
        })?;
        let copied = self.copy(target).await;
        if copied.is_err() {
            file::discard(target);
        }
        copied.map_err(|failure| Failure::new(failure.kind, tried, failure.cause, failure.advice))
    }

    async fn copy(&self, target: &Path) -> Result<(), Failure> {
        let Some(name) = target.to_str() else {
            let advice = "name a file in UTF-8";
            let cause = "the name is not UTF-8";
            return Err(Failure::new(FailureKind::Other, "backup", cause, advice));
        };
        let said = |error| self.failure("backing up", &error);
        let mut connection = self.pool.acquire().await.map_err(said)?;
        // SQLite fills a file that is there and empty, so that its mode is right from the first byte.
        sqlx::query("VACUUM INTO ?").bind(name).execute(&mut *connection).await.map_err(said)?;
        let synced = tokio::fs::File::open(target).await;
        let synced = match synced {
            Ok(file) => file.sync_all().await,
            Err(error) => Err(error),
        };
        synced.map_err(|error| {
            let advice = "look for free space on its disk";
            Failure::new(FailureKind::Unreachable, "backup", error.to_string(), advice)
        })
    }
}
