//! The roster as commands see it: thon.yaml and the database together.
//!
//! For: reading the database once before a command begins, and what happens where it can't be read.
//! Not for: which of the two holds; [`thon::core::state`] decides it.

use std::collections::BTreeMap;

use thon::core::config::Config;
use thon::core::name::UserId;
use thon::core::roster::Roster;
use thon::core::state::{Setting, SettingKey, Snapshot, Source, complete, wanted};
use thon::{State, StoredFiles};

use crate::context::Context;
use crate::failure::CommandFailure;

/// What the database has, read before the command began; the reason where it can't be read.
pub(crate) type Stored = Result<Kept, String>;

/// What the database has that a command goes by.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    roster: Snapshot,
    settings: BTreeMap<SettingKey, Setting>,
    files: StoredFiles,
}

/// Reads the database of this node, if it has one.
pub(crate) async fn read(context: &Context) -> Stored {
    let read = async {
        let Some(state) = State::open_existing(&context.home()?).await? else {
            return Ok(Kept::default());
        };
        let roster = state.snapshot().await;
        let settings = state.store().settings().await;
        let files = StoredFiles::read(&state).await;
        state.close().await;
        Ok(Kept { roster: roster?, settings: settings?, files: files? })
    };
    read.await.map_err(|failure: CommandFailure| failure.to_string())
}

impl Context {
    /// Puts the database's users beside those of the configuration. A database that can't be read
    /// stops nobody of thon.yaml.
    pub(crate) fn add_stored(&self, config: &mut Config) {
        match self.stored() {
            Ok(kept) => config.groups = wanted(&config.groups, &kept.roster.roster()).roster,
            Err(reason) => self.output.warn(&format!("{reason}; only thon.yaml's users are known")),
        }
    }

    /// The database's roster, for who can't do without.
    pub(crate) fn need_stored(&self) -> Result<&Snapshot, CommandFailure> {
        let stored = self.stored().as_ref().map(|kept| &kept.roster);
        stored.map_err(|reason| CommandFailure::World(reason.clone()))
    }

    /// Completes what neither thon.yaml nor the command line says with the stored settings.
    pub(crate) fn add_settings(&self, config: &mut Config) {
        if let Ok(kept) = self.stored() {
            complete(config, &kept.settings);
        }
    }

    /// The stored files that sandboxes are given.
    pub(crate) fn files(&self) -> StoredFiles {
        self.stored().as_ref().map(|kept| kept.files.clone()).unwrap_or_default()
    }

    /// Where each user comes from.
    pub(crate) fn sources(&self, declared: &Roster) -> BTreeMap<UserId, Source> {
        let stored = self.stored().as_ref().map(|kept| kept.roster.roster()).unwrap_or_default();
        wanted(declared, &stored).sources
    }
}
