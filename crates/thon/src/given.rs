//! Files that an organizer gives everyone: Kilo Code's configuration and VS Code's settings.
//!
//! For: which text holds: the file that thon.yaml names, else the one that is stored.
//! Not for: what a user's own is in it; the core puts that in.

use std::path::Path;

use thon_core::config::Config;
use thon_core::kilo::KiloTemplate;
use thon_core::sandbox::{HOME, InjectedFile};
use thon_core::state::{ConfigFile, ConfigFileKey};

use crate::error::Error;
use crate::state::State;

/// The stored files that sandboxes are given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredFiles {
    kilo: Option<ConfigFile>,
    vscode: Option<ConfigFile>,
}

impl StoredFiles {
    /// Those that are stored now.
    pub async fn read(state: &State) -> Result<Self, Error> {
        let present = async |key| {
            let versions = state.store().config_file(key).await?;
            let newest = versions.into_iter().next().map(|version| version.file);
            Ok::<_, Error>(newest.filter(|file| !file.is_removed()))
        };
        Ok(Self {
            kilo: present(ConfigFileKey::KiloJsonc).await?,
            vscode: present(ConfigFileKey::VscodeSettings).await?,
        })
    }

    /// VS Code's settings, where there are some.
    pub(crate) fn vscode_settings(&self, config: &Config) -> Result<Option<InjectedFile>, Error> {
        let named = config.vscode.settings_file.as_deref();
        let contents = match named {
            Some(path) => {
                std::fs::read(path).map_err(|error| odd("vscode.settings_file", path, &error))?
            }
            None => match &self.vscode {
                Some(file) => file.content().as_bytes().to_vec(),
                None => return Ok(None),
            },
        };
        let path = format!("{HOME}/.local/share/code-server/User/settings.json");
        Ok(Some(InjectedFile { path, mode: 0o600, contents }))
    }

    /// Kilo Code's configuration, where there is one.
    pub(crate) fn kilo(&self, config: &Config) -> Result<Option<KiloTemplate>, Error> {
        if let Some(path) = config.kilo.config_file.as_deref() {
            let key = "kilo.config_file";
            let text = std::fs::read_to_string(path).map_err(|error| odd(key, path, &error))?;
            let template = KiloTemplate::parse(&text);
            let template =
                template.map_err(|why| Error::input(format!("{key} {}: {why}", path.display())))?;
            return Ok(Some(template));
        }
        let Some(file) = &self.kilo else { return Ok(None) };
        let template = KiloTemplate::parse(file.content());
        Ok(Some(template.map_err(|why| Error::input(format!("{}: {why}", file.key())))?))
    }
}

fn odd(key: &str, path: &Path, error: &std::io::Error) -> Error {
    Error::input(format!("{key} {}: {error}; correct the path", path.display()))
}
