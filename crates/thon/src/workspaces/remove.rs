//! Taking workspaces away for good.
//!
//! For: deleting what its owner has left, after somebody said yes.
//! Not for: asking; the front-end does that.

use thon_core::adapter::{Failure, FailureKind, SandboxRuntime, WorkspaceKeeper};
use thon_core::name::UserId;
use thon_core::orchestrator::UserFailure;
use thon_core::workspace::Workspace;

use super::{Steps, WorkspaceView, of};
use crate::error::Error;
use crate::node::Node;

/// A workspace that is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    /// Whose it was.
    pub user: UserId,
    /// Where it was.
    pub workspace: Workspace,
    /// What it took on the disk, in bytes, where that was known.
    pub size: Option<u64>,
}

impl Node {
    /// Deletes these workspaces, and the stopped sandboxes that hold on to them. One whose sandbox
    /// runs by now is refused, and stops no other.
    pub async fn remove_workspaces(
        &self,
        views: &[WorkspaceView],
    ) -> Result<(Vec<Removed>, Vec<UserFailure>), Error> {
        let steps = Steps::begin(self, "remove", "deleting workspaces", views.len());
        let (mut removed, mut failures) = (Vec::new(), Vec::new());
        for (done, view) in views.iter().enumerate() {
            steps.at(done, view.user.to_string());
            match self.remove_workspace(view).await {
                Ok(()) => removed.push(Removed {
                    user: view.user.clone(),
                    workspace: view.workspace.clone(),
                    size: view.size,
                }),
                Err(failure) => failures.push(UserFailure { user: view.user.clone(), failure }),
            }
        }
        steps.end(format!("{} of {} deleted", removed.len(), views.len()));
        Ok((removed, failures))
    }

    async fn remove_workspace(&self, view: &WorkspaceView) -> Result<(), Failure> {
        // What it did when somebody was asked may be long ago.
        let sandboxes = self.runtime().observe().await?;
        let sandbox = of(&sandboxes, &view.user);
        let now = WorkspaceView { sandbox: sandbox.map(|s| s.phase), ..view.clone() };
        if now.is_in_use() {
            return Err(in_use(&view.user));
        }
        if let Some(sandbox) = sandbox.filter(|_| view.configured) {
            self.runtime().remove(&sandbox.id).await?;
        }
        self.keeper().delete(&view.user, &view.workspace).await?;
        // What was noted of it is of no use any more, and in nobody's way.
        drop(std::fs::remove_file(self.import_note(&view.user)));
        Ok(())
    }
}

/// Why a workspace stays.
fn in_use(user: &UserId) -> Failure {
    Failure::new(
        FailureKind::Conflict,
        format!("deleting the workspace of {user}"),
        "their sandbox is running or paused",
        format!("stop it first with `thon stop {user}`"),
    )
}
