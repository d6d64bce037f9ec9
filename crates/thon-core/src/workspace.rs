//! Where a user's files live.
//!
//! For: choosing between a named volume, a host folder and nothing lasting, one-to-one per user.
//! Not for: making or removing any of them; that is the runtime's.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::name::{NodeName, UserId};

/// Where the workspace is seen in the sandbox.
pub const MOUNT_POINT: &str = "/workspace";

/// How workspaces are kept on this node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum WorkspaceMode {
    /// A named Docker volume per user.
    #[default]
    Volume,
    /// A folder per user below this one, `<dir>/<group>/<user>`.
    Bind(PathBuf),
    /// Inside the container, lost with it.
    Ephemeral,
}

/// One user's workspace.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Workspace {
    /// The named volume.
    Volume(String),
    /// The folder on the host.
    Bind(PathBuf),
    /// Nothing lasting.
    Ephemeral,
}

impl Workspace {
    /// The workspace of `user` under `mode`. Names hold no separator and no dot, so the folder of
    /// one user is never inside another's and never outside of `dir`.
    #[must_use]
    pub fn of(user: &UserId, node: &NodeName, mode: &WorkspaceMode) -> Self {
        match mode {
            WorkspaceMode::Volume => Self::Volume(user.volume_name(node)),
            WorkspaceMode::Bind(dir) => {
                Self::Bind(Path::new(dir).join(user.group.as_str()).join(user.user.as_str()))
            }
            WorkspaceMode::Ephemeral => Self::Ephemeral,
        }
    }
}

impl fmt::Display for Workspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Volume(name) => f.write_str(name),
            Self::Bind(path) => write!(f, "{}", path.display()),
            Self::Ephemeral => f.write_str("ephemeral"),
        }
    }
}

/// Whether a workspace had to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum WorkspaceChange {
    /// It is new and empty.
    Made,
    /// It was there, with whatever is in it.
    Kept,
}

/// A workspace that is there, whoever's it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundWorkspace {
    /// Whose.
    pub user: UserId,
    /// Where.
    pub workspace: Workspace,
    /// What it takes on the disk, in bytes; nothing where that can't be found out from here.
    pub size: Option<u64>,
    /// When something in it last changed; nothing where that can't be found out from here.
    pub changed_at: Option<SystemTime>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mode_has_its_place_for_a_user() {
        let user: UserId = "alpha/alice".parse().unwrap();
        let node = NodeName::default();
        let of = |mode: WorkspaceMode| Workspace::of(&user, &node, &mode).to_string();
        assert_eq!(of(WorkspaceMode::Volume), "thon-workspace-alpha_alice");
        assert_eq!(of(WorkspaceMode::Bind("/srv/ws".into())), "/srv/ws/alpha/alice");
        assert_eq!(of(WorkspaceMode::Ephemeral), "ephemeral");
    }
}
