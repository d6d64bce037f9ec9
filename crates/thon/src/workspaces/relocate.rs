//! Taking a user's files along to another name or group.
//!
//! For: copying a workspace to the place where the new name is looked for, and giving the old one up
//! once the roster says the new name.
//! Not for: what may be moved; [`thon_core::state::Editor`] says that.
//!
//! Until the roster is changed everything of before is there, so that whatever fails leaves somebody
//! who works on under the old name. From then on the new name holds, and what can't be cleared away
//! is named.

use std::fs;
use std::io;

use thon_core::adapter::{Failure, FailureKind, SandboxRuntime, Store, WorkspaceKeeper};
use thon_core::archive::{Bounds, Gate};
use thon_core::name::UserId;
use thon_core::orchestrator::RunRequest;
use thon_core::sandbox::Phase;
use thon_core::workspace::Workspace;
use thon_docker::feed;

use super::recode::{Direction, Stopped, recode};
use super::{Steps, of};
use crate::error::Error;
use crate::files::Files;
use crate::node::Node;
use crate::store::FileStore;

/// Somebody who was moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relocated {
    /// Whether their sandbox was running or paused before, so that they want to go on.
    pub was_at_work: bool,
    /// What of the old name could not be cleared away.
    pub left_behind: Option<Failure>,
}

impl Node {
    /// Makes `user` into `to`, files, ports and password included. `commit` changes the roster; where
    /// it fails, or anything before it, they work on under the old name. Sandboxes are not moved:
    /// the caller launches `to`.
    pub async fn relocate(
        &self,
        user: &UserId,
        to: &UserId,
        commit: impl AsyncFnOnce() -> Result<(), Error>,
    ) -> Result<Relocated, Error> {
        let sandboxes = self.runtime().observe().await?;
        let sandbox = of(&sandboxes, user);
        let at_work = sandbox.is_some_and(|sandbox| {
            matches!(sandbox.phase, Phase::Running | Phase::Restarting | Phase::Paused)
        });
        if at_work {
            // Nothing is to change in it while it is copied.
            let (_, failures) = self.stop(Some(std::slice::from_ref(user))).await?;
            if let Some(failed) = failures.into_iter().next() {
                return Err(failed.failure.into());
            }
        }
        let carried = async {
            self.carry_files(user, to).await?;
            commit().await
        };
        if let Err(error) = carried.await {
            self.give_up(user, to).await;
            if at_work {
                let roster = self.config().groups.users().map(|(id, _)| id).collect();
                let selected = vec![user.clone()];
                drop(self.run(&RunRequest { roster, selected, ..RunRequest::default() }).await);
            }
            return Err(error);
        }
        // From here on the files are theirs, and no later move may take them for left-overs.
        drop(fs::remove_file(self.import_note(to)));
        let left_behind = self.clear_away(user, to).await.err();
        Ok(Relocated { was_at_work: at_work, left_behind })
    }

    /// Copies the files of `user` to where `to` finds theirs.
    async fn carry_files(&self, user: &UserId, to: &UserId) -> Result<(), Error> {
        let (from, place) = (self.workspace_of(user)?, self.workspace_of(to)?);
        let there = self.files(user).await?;
        if there == Files::Sandbox && from == Workspace::Ephemeral {
            let cause = "their files are in the sandbox alone (`workspace.ephemeral`)";
            let advice =
                "let them save elsewhere, then remove the sandbox in the dashboard and try again";
            return Err(moving(user, to, FailureKind::Conflict, cause, advice).into());
        }
        // Left by the same move that was killed: nobody has been at work in it under that name.
        self.give_up(user, to).await;
        if let files @ (Files::Workspace(_) | Files::Sandbox) = self.files(to).await? {
            let cause = format!("there are {files} of {to} already");
            let advice = format!(
                "`thon workspace export {to}` them, then remove them, or choose another name"
            );
            return Err(moving(user, to, FailureKind::Conflict, &cause, &advice).into());
        }
        if !matches!(there, Files::Workspace(_)) {
            return Ok(());
        }
        let steps = Steps::begin(self, "move", &format!("taking the files of {user} along"), 1);
        self.note_import(to, &note_of(user))?;
        self.runtime().ensure_workspace(to, &place).await?;
        let source = self.keeper().read(user, &from).await?;
        let mut say = steps.pieces(0, user);
        let stream = feed(move |target| {
            let target = io::BufWriter::with_capacity(1 << 16, target);
            let mut gate = Gate::new(Bounds::NONE);
            let passed = recode(source, target, &mut gate, Direction::Across, &mut say);
            passed.map(drop).map_err(|stopped| match stopped {
                Stopped::Source(error) | Stopped::Target(error) => error,
                Stopped::Refused(refusal) => io::Error::other(refusal.to_string()),
                Stopped::Damaged(cause) => io::Error::other(cause),
            })
        });
        let advice = "free some memory and try again";
        let stream = stream
            .map_err(|error| moving(user, to, FailureKind::Other, &error.to_string(), advice))?;
        let written = self.keeper().write(to, &place, stream).await;
        self.keeper().settle().await;
        written?;
        steps.end(format!("{user} has their files as {to}"));
        Ok(())
    }

    /// Takes away what was copied for a move of `user` that didn't come to its end. What another
    /// move, or an import, has left is somebody's to look at.
    async fn give_up(&self, user: &UserId, to: &UserId) {
        let note = self.import_note(to);
        if !fs::read_to_string(&note).is_ok_and(|text| text.trim() == note_of(user)) {
            return;
        }
        let Ok(place) = self.workspace_of(to) else { return };
        if self.keeper().delete(to, &place).await.is_ok() {
            drop(fs::remove_file(note));
        }
    }

    /// Gives the seat to the new name and clears away what is left of the old one.
    async fn clear_away(&self, user: &UserId, to: &UserId) -> Result<(), Failure> {
        let store = FileStore::new(self.home().seats());
        let mut seats = store.load_seats().await?;
        seats.retain(|seat| seat.user != *to);
        for seat in seats.iter_mut().filter(|seat| seat.user == *user) {
            seat.user = to.clone();
        }
        store.save_seats(&seats).await?;
        let sandboxes = self.runtime().observe().await?;
        if let Some(sandbox) = of(&sandboxes, user) {
            self.runtime().remove(&sandbox.id).await?;
        }
        let from = self.workspace_of(user).map_err(|error| {
            let advice = "correct the configuration";
            moving(user, to, FailureKind::Other, &error.to_string(), advice)
        })?;
        self.keeper().delete(user, &from).await
    }
}

/// What is written down while the files of `user` are copied.
fn note_of(user: &UserId) -> String {
    format!("move of {user}")
}

fn moving(user: &UserId, to: &UserId, kind: FailureKind, cause: &str, advice: &str) -> Failure {
    Failure::new(kind, format!("moving {user} to {to}"), cause, advice)
}
