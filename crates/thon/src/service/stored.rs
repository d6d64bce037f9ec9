//! Configuration files that are stored in the database, and what they bring along.
//!
//! For: a groups file, whose people come into the roster with it.
//! Not for: what a run makes of the other files.

use thon_core::roster::Roster;
use thon_core::state::{Actor, Change, ConfigFile, ConfigFileKey, Missing, difference};

use super::{Service, Site};
use crate::error::Error;

impl Site {
    /// What `file` changes in the roster when it is stored: whoever is new in it is added, and what
    /// it says of others is taken over. It removes and moves nobody. Nothing for other files.
    pub fn brings(&self, file: &ConfigFile) -> Result<Vec<Change>, Error> {
        if file.key() != ConfigFileKey::GroupsYaml || file.is_removed() {
            return Ok(Vec::new());
        }
        let read = Roster::parse_groups_file(file.content(), file.key().as_str())?;
        let event = read.event_id.as_deref().map(|id| (id, read.title.as_deref()));
        let mut changes = difference(&self.stored, &read.roster, event, Missing::Kept).changes;
        let mut leaving = Vec::new();
        changes.retain(|change| match change {
            Change::MoveUser { to, .. } => {
                leaving.push(to.clone());
                false
            }
            _ => self.editor().may(change),
        });
        changes.retain(|change| match change {
            Change::EditUser { user, .. } => !leaving.contains(user),
            _ => true,
        });
        Ok(changes)
    }
}

impl Service {
    /// Stores a configuration file with all that it brings, or nothing. `expect` is the version that
    /// the change is decided on. Returns how much it changed in the roster.
    pub async fn put_config_file(
        &self,
        actor: &Actor,
        file: ConfigFile,
        expect: Option<u64>,
    ) -> Result<usize, Error> {
        let brought = self.site().await?.brings(&file)?;
        let count = brought.len();
        let put = Change::PutConfigFile { file, expect };
        self.apply(actor, &[vec![put], brought].concat()).await?;
        Ok(count)
    }

    /// Stores an earlier version anew, as the present one, with all that it brings. Returns how much
    /// it changed in the roster.
    pub async fn restore_config_file(
        &self,
        actor: &Actor,
        key: ConfigFileKey,
        version: u64,
    ) -> Result<usize, Error> {
        let versions = self.inner.state.store().config_file(key).await?;
        let site = self.site().await?;
        let wanted = versions.iter().find(|found| found.version == version);
        let brought = wanted.map(|found| site.brings(&found.file)).transpose()?.unwrap_or_default();
        let count = brought.len();
        let restore = Change::RestoreConfigFile { key, version };
        self.apply(actor, &[vec![restore], brought].concat()).await?;
        Ok(count)
    }
}
