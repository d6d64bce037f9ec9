//! The node's state: the database in THON's folder.
//!
//! For: opening it, checking it, backing it up, and importing what is in other files.
//! Not for: what a change may be; [`thon_core::state`] decides it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use thon_core::access::{AccessStore, SessionStore};
use thon_core::adapter::Clock;
use thon_core::operation::OperationStore;
use thon_core::state::{
    Actor, AncestorImport, Change, ConfigFileKey, Renaming, Snapshot, StateStore, import_ancestor,
};
use thon_store::{SqliteStore, read_ancestor};

use crate::access::Desk;
use crate::error::Error;
use crate::home::Home;
use crate::system::SystemClock;

/// The node's state.
#[derive(Debug)]
pub struct State {
    store: SqliteStore,
    actor: Actor,
    backups: PathBuf,
    desk: Desk,
}

impl State {
    /// Opens the database in `home`, and makes both where they aren't there.
    pub async fn open(home: &Home) -> Result<Self, Error> {
        Self::open_at(home, clock()).await
    }

    /// As [`Self::open`], with a clock of its own.
    pub(crate) async fn open_at(home: &Home, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        home.create()?;
        home.check()?;
        let store = SqliteStore::open(&home.database(), clock.clone()).await?;
        Ok(Self::of(store, home, clock))
    }

    /// Opens the database in `home` if it is there. Makes nothing.
    pub async fn open_existing(home: &Home) -> Result<Option<Self>, Error> {
        if !home.root().is_dir() {
            return Ok(None);
        }
        let store = SqliteStore::open_existing(&home.database(), clock()).await?;
        if store.is_some() {
            home.check()?;
        }
        Ok(store.map(|store| Self::of(store, home, clock())))
    }

    fn of(store: SqliteStore, home: &Home, clock: Arc<dyn Clock>) -> Self {
        let backups = home.root().join("backups");
        Self { store, actor: actor(), backups, desk: Desk::new(clock) }
    }

    /// The store itself.
    #[must_use]
    pub fn store(&self) -> &dyn StateStore {
        &self.store
    }

    pub(crate) fn token_store(&self) -> &dyn AccessStore {
        &self.store
    }

    pub(crate) fn session_store(&self) -> &dyn SessionStore {
        &self.store
    }

    pub(crate) const fn desk(&self) -> &Desk {
        &self.desk
    }

    /// Who runs this, as the audit log says it.
    #[must_use]
    pub const fn actor(&self) -> &Actor {
        &self.actor
    }

    /// The operations that it remembers.
    #[must_use]
    pub fn operations(&self) -> &dyn OperationStore {
        &self.store
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.store.path()
    }

    /// Everything of the roster, as of one moment.
    pub async fn snapshot(&self) -> Result<Snapshot, Error> {
        Ok(self.store.snapshot().await?)
    }

    /// Makes all of `changes` or none, in the name of who runs this.
    pub async fn apply(&self, changes: &[Change]) -> Result<(), Error> {
        Ok(self.store.apply(&self.actor, changes).await?)
    }

    /// Looks at every page, index and reference. Returns what is wrong, one line each.
    pub async fn check(&self) -> Result<Vec<String>, Error> {
        Ok(self.store.check().await?)
    }

    /// Writes a copy to `target`, or to a file in THON's folder that is named after the time.
    /// Returns where it is.
    pub async fn backup(&self, target: Option<&Path>) -> Result<PathBuf, Error> {
        let target = if let Some(target) = target {
            std::path::absolute(target).map_err(|error| {
                Error::input(format!("{}: {error}; name another file", target.display()))
            })?
        } else {
            Home::at(&self.backups).create()?;
            let now = SystemClock.now().duration_since(std::time::UNIX_EPOCH);
            let seconds = now.map(|since| since.as_secs()).unwrap_or_default();
            self.backups.join(format!("thon-{seconds}.db"))
        };
        self.store.backup(&target).await?;
        Ok(target)
    }

    /// What an import of the ancestor's database at `path` would do. Changes nothing.
    pub async fn ancestor(&self, path: &Path, renaming: Renaming) -> Result<AncestorImport, Error> {
        let ancestor = read_ancestor(path).await?;
        let present = self.store.snapshot().await?;
        let settings = self.store.settings().await?;
        let mut files = Vec::new();
        for key in ConfigFileKey::ALL {
            files.extend(self.store.config_file(key).await?);
        }
        let known = self.store.history(None).await?;
        let known = known.into_iter().map(|instance| instance.sandbox).collect();
        Ok(import_ancestor(&ancestor, &present, &settings, &files, &known, renaming))
    }

    /// Makes what [`Self::ancestor`] found.
    pub async fn import_ancestor(&self, import: &AncestorImport) -> Result<(), Error> {
        self.apply(&import.changes).await?;
        Ok(self.store.record(&import.history).await?)
    }

    /// Writes everything into the file and lets go of it.
    pub async fn close(self) {
        self.finish().await;
    }

    /// As [`Self::close`], for one that others have a hold of.
    pub(crate) async fn finish(&self) {
        self.store.close().await;
    }
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

/// Who runs this, as the audit log says it.
fn actor() -> Actor {
    let named = |variable: &str| std::env::var(variable).ok().filter(|name| !name.is_empty());
    if let Some(name) = named("SUDO_USER") {
        return Actor::new(&format!("{name} (sudo)"));
    }
    let name = named("USER").or_else(|| named("LOGNAME"));
    let unnamed = || match rustix::process::getuid().as_raw() {
        0 => "root".to_owned(),
        uid => format!("user {uid}"),
    };
    Actor::new(&name.unwrap_or_else(unnamed))
}
