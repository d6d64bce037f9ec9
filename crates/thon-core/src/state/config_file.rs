//! Configuration files that are stored, with their earlier versions.
//!
//! For: which files there are, and refusing contents that can't be used before they are stored.
//! Not for: what is done with them.

use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use serde::Serialize;

use super::jsonc;
use crate::name::quoted;
use crate::roster::Roster;

/// The largest file that is stored, in bytes.
pub const MAX_CONFIG_FILE: usize = 1024 * 1024;

/// A file that can be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ConfigFileKey {
    /// A groups file.
    GroupsYaml,
    /// Kilo Code's configuration, which may hold keys.
    KiloJsonc,
    /// VS Code's settings.
    VscodeSettings,
}

impl ConfigFileKey {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::GroupsYaml, Self::KiloJsonc, Self::VscodeSettings];

    /// The name under which it is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GroupsYaml => "groups_yaml",
            Self::KiloJsonc => "kilo_jsonc",
            Self::VscodeSettings => "vscode_settings",
        }
    }

    /// True if its contents may hold keys, and so must not be shown to just anybody.
    #[must_use]
    pub const fn is_secret(self) -> bool {
        matches!(self, Self::KiloJsonc | Self::VscodeSettings)
    }
}

impl fmt::Display for ConfigFileKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for ConfigFileKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|key| key.as_str() == text).ok_or_else(|| {
            let known = Self::ALL.map(Self::as_str).join(", ");
            format!("configuration file {} is not known; known are {known}", quoted(text))
        })
    }
}

/// A configuration file whose contents were read and found to be good.
#[derive(Clone, PartialEq, Eq)]
pub struct ConfigFile {
    key: ConfigFileKey,
    content: String,
}

impl ConfigFile {
    /// Reads the contents. The refusal is one line and says where.
    pub fn new(key: ConfigFileKey, content: impl Into<String>) -> Result<Self, String> {
        let content = content.into();
        if content.len() > MAX_CONFIG_FILE {
            return Err(format!(
                "{key}: it has {} bytes; allowed are {MAX_CONFIG_FILE}",
                content.len()
            ));
        }
        if content.trim().is_empty() {
            return Err(format!("{key}: it is empty; delete the file instead"));
        }
        match key {
            ConfigFileKey::GroupsYaml => {
                Roster::parse_groups_file(&content, key.as_str())
                    .map_err(|error| error.to_string())?;
            }
            ConfigFileKey::KiloJsonc | ConfigFileKey::VscodeSettings => {
                let value = jsonc::parse(&content).map_err(|error| format!("{key}: {error}"))?;
                if !value.is_object() {
                    return Err(format!("{key}: it is JSON, though no object: `{{ … }}`"));
                }
            }
        }
        Ok(Self { key, content })
    }

    /// What is stored in the place of a file that was taken away, so that it can be brought back.
    #[must_use]
    pub const fn removed(key: ConfigFileKey) -> Self {
        Self { key, content: String::new() }
    }

    /// A file as it was stored, whether it was taken away or not.
    pub fn stored(key: ConfigFileKey, content: String) -> Result<Self, String> {
        if content.is_empty() { Ok(Self::removed(key)) } else { Self::new(key, content) }
    }

    /// True if the file was taken away.
    #[must_use]
    pub const fn is_removed(&self) -> bool {
        self.content.is_empty()
    }

    /// Which file.
    #[must_use]
    pub const fn key(&self) -> ConfigFileKey {
        self.key
    }

    /// The contents, as they were given.
    #[must_use]
    pub fn content(&self) -> &str {
        &self.content
    }
}

impl fmt::Debug for ConfigFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConfigFile({}, {} bytes)", self.key, self.content.len())
    }
}

/// A version of a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigFileVersion {
    /// The file as it was then.
    pub file: ConfigFile,
    /// Counts from 1.
    pub version: u64,
    /// Who stored it.
    pub actor: String,
    /// When.
    pub at: SystemTime,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_used_is_refused_with_its_place() {
        let new = |key, text: &str| ConfigFile::new(key, text);
        assert!(new(ConfigFileKey::GroupsYaml, "groups: {a: [b]}").is_ok());
        let refused = new(ConfigFileKey::GroupsYaml, "groups:\n  a: [B]\n").unwrap_err();
        assert!(refused.starts_with("groups_yaml:2:"), "{refused}");
        assert!(new(ConfigFileKey::KiloJsonc, "{ // mine\n}").is_ok());
        let refused = new(ConfigFileKey::KiloJsonc, "{\"apiKey\": \"hunter2").unwrap_err();
        assert!(refused.starts_with("kilo_jsonc: line 1"), "{refused}");
        assert!(!refused.contains("hunter2"), "{refused}");
        assert!(new(ConfigFileKey::VscodeSettings, "[]").unwrap_err().contains("no object"));
        let large = format!("{{\"a\": \"{}\"}}", "x".repeat(MAX_CONFIG_FILE));
        assert!(new(ConfigFileKey::VscodeSettings, &large).unwrap_err().contains("1048576"));
    }

    #[test]
    fn contents_never_reach_a_debug_line() {
        let file = ConfigFile::new(ConfigFileKey::KiloJsonc, "{\"k\": \"hunter2\"}").unwrap();
        assert!(!format!("{file:?}").contains("hunter2"));
    }
}
