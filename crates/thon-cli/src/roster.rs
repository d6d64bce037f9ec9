//! The roster as commands see it: thon.yaml and the database together.
//!
//! For: reading the database once before a command begins, and what happens where it can't be read.
//! Not for: which of the two holds; [`thon::core::state`] decides it.

use std::collections::BTreeMap;

use thon::State;
use thon::core::config::Config;
use thon::core::name::UserId;
use thon::core::roster::Roster;
use thon::core::state::{Snapshot, Source, wanted};

use crate::context::Context;
use crate::failure::CommandFailure;

/// What the database has, read before the command began; the reason where it can't be read.
pub(crate) type Stored = Result<Snapshot, String>;

/// Reads the database of this node, if it has one.
pub(crate) async fn read(context: &Context) -> Stored {
    let read = async {
        let Some(state) = State::open_existing(&context.home()?).await? else {
            return Ok(Snapshot::default());
        };
        let snapshot = state.snapshot().await;
        state.close().await;
        Ok(snapshot?)
    };
    read.await.map_err(|failure: CommandFailure| failure.to_string())
}

impl Context {
    /// Puts the database's users beside those of the configuration. A database that can't be read
    /// stops nobody of thon.yaml.
    pub(crate) fn add_stored(&self, config: &mut Config) {
        match self.stored() {
            Ok(snapshot) => config.groups = wanted(&config.groups, &snapshot.roster()).roster,
            Err(reason) => self.output.warn(&format!("{reason}; only thon.yaml's users are known")),
        }
    }

    /// The database's roster, for who can't do without.
    pub(crate) fn need_stored(&self) -> Result<&Snapshot, CommandFailure> {
        self.stored().as_ref().map_err(|reason| CommandFailure::World(reason.clone()))
    }

    /// Where each user comes from.
    pub(crate) fn sources(&self, declared: &Roster) -> BTreeMap<UserId, Source> {
        let stored = self.stored().as_ref().map(Snapshot::roster).unwrap_or_default();
        wanted(declared, &stored).sources
    }
}
