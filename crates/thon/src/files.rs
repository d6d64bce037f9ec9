//! Whether a user has files that a new name would leave behind.
//!
//! For: asking before someone is renamed or moved: a workspace is found by its user's names.
//! Not for: the files themselves.

use std::fmt;

use thon_core::adapter::{Failure, FailureKind, SandboxRuntime, Store};
use thon_core::name::UserId;
use thon_core::workspace::Workspace;

use crate::error::Error;
use crate::node::{Node, workspace_mode};
use crate::store::FileStore;

/// What of a user's is there under their present names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Files {
    /// Nothing.
    None,
    /// A workspace.
    Workspace(Workspace),
    /// A sandbox without a lasting workspace.
    Sandbox,
}

impl fmt::Display for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("no files"),
            Self::Workspace(workspace) => write!(f, "files in the workspace {workspace}"),
            Self::Sandbox => f.write_str("files in a sandbox"),
        }
    }
}

impl Node {
    /// What of this user's there is. Where Docker doesn't answer that is a failure, unless the user
    /// never had a seat, and so never a sandbox.
    pub async fn files(&self, user: &UserId) -> Result<Files, Error> {
        let workspace = Workspace::of(user, &self.config().node, &workspace_mode(self.config())?);
        if let Workspace::Bind(path) = &workspace
            && path.exists()
        {
            return Ok(Files::Workspace(workspace));
        }
        let asked = async {
            if let Workspace::Volume(name) = &workspace
                && self.docker().has_volume(name).await.map_err(Failure::from)?
            {
                return Ok(Files::Workspace(workspace.clone()));
            }
            let observed = self.docker().observe().await?;
            let theirs = observed.iter().any(|sandbox| sandbox.user == *user);
            Ok(if theirs { Files::Sandbox } else { Files::None })
        };
        match asked.await {
            Err(failure @ Failure { kind: FailureKind::Unreachable, .. }) => {
                let seats = FileStore::new(self.home().seats()).load_seats().await?;
                if seats.iter().any(|seat| seat.user == *user) {
                    return Err(failure.into());
                }
                Ok(Files::None)
            }
            other => Ok(other?),
        }
    }
}
