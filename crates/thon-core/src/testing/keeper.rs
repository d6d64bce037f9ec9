//! Workspaces in memory.
//!
//! For: tests of what is done with whole workspaces.
//! Not for: looking into archives; it keeps what it was given last.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::Faults;
use crate::adapter::{Failure, FailureKind, TarStream, WorkspaceKeeper};
use crate::name::UserId;
use crate::workspace::{FoundWorkspace, Workspace};

/// A keeper that remembers which archive was written last.
#[derive(Debug)]
pub struct MemoryKeeper {
    faults: Arc<Faults>,
    archives: Mutex<BTreeMap<(UserId, String), Kept>>,
}

#[derive(Debug)]
struct Kept {
    workspace: Workspace,
    tar: Vec<u8>,
}

impl MemoryKeeper {
    /// A keeper without a workspace.
    #[must_use]
    pub fn new(faults: Arc<Faults>) -> Self {
        Self { faults, archives: Mutex::default() }
    }

    /// Makes an empty workspace.
    pub fn make(&self, user: &UserId, workspace: &Workspace) {
        let kept = Kept { workspace: workspace.clone(), tar: Vec::new() };
        self.archives().insert(key(user, workspace), kept);
    }

    fn archives(&self) -> MutexGuard<'_, BTreeMap<(UserId, String), Kept>> {
        self.archives.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(user: &UserId, workspace: &Workspace) -> (UserId, String) {
    (user.clone(), workspace.to_string())
}

fn none(user: &UserId) -> Failure {
    let tried = format!("finding the workspace of {user}");
    Failure::new(FailureKind::Missing, tried, "there is none", "make it first")
}

#[async_trait]
impl WorkspaceKeeper for MemoryKeeper {
    async fn list(
        &self,
        measured: &(dyn for<'a> Fn(&'a UserId) -> bool + Sync),
    ) -> Result<Vec<FoundWorkspace>, Failure> {
        self.faults.check("list", "").await?;
        let found = |((user, _), kept): (&(UserId, String), &Kept)| FoundWorkspace {
            user: user.clone(),
            workspace: kept.workspace.clone(),
            size: measured(user).then_some(kept.tar.len() as u64),
            changed_at: None,
        };
        Ok(self.archives().iter().map(found).collect())
    }

    async fn read(&self, user: &UserId, workspace: &Workspace) -> Result<TarStream, Failure> {
        self.faults.check("read", &user.to_string()).await?;
        let archives = self.archives();
        let kept = archives.get(&key(user, workspace)).ok_or_else(|| none(user))?;
        Ok(Box::new(Cursor::new(kept.tar.clone())))
    }

    async fn write(
        &self,
        user: &UserId,
        workspace: &Workspace,
        mut tar: TarStream,
    ) -> Result<(), Failure> {
        self.faults.check("write", &user.to_string()).await?;
        let mut archives = self.archives();
        let kept = archives.get_mut(&key(user, workspace)).ok_or_else(|| none(user))?;
        let mut all = Vec::new();
        tar.read_to_end(&mut all).map_err(|error| {
            let tried = format!("writing the workspace of {user}");
            Failure::new(FailureKind::Other, tried, error.to_string(), "try again")
        })?;
        kept.tar = all;
        Ok(())
    }

    async fn delete(&self, user: &UserId, workspace: &Workspace) -> Result<(), Failure> {
        self.faults.check("delete", &user.to_string()).await?;
        self.archives().remove(&key(user, workspace));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::contract::{KeeperFixture, keeper};

    #[tokio::test]
    async fn the_contract_of_a_keeper_is_kept() {
        let user: UserId = "alpha/alice".parse().unwrap();
        let workspace = Workspace::Volume("thon-workspace-alpha_alice".to_owned());
        let memory = MemoryKeeper::new(Arc::default());
        memory.make(&user, &workspace);
        let tar = b"not looked into: hello".to_vec();
        keeper(&KeeperFixture { keeper: &memory, user, workspace, tar, text: "hello" }).await;
    }
}
