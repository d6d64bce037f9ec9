//! Workspaces as wholes: who has one, and taking them out, in and away.
//!
//! For: archives that any `tar` reads and that any `tar` may have made, whoever they come from.
//! Not for: making a user's workspace; a run does that.

mod download;
mod export;
mod files;
mod import;
mod recode;
mod relocate;
mod remove;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use thon_core::adapter::{Failure, FailureKind, SandboxRuntime, WorkspaceKeeper};
use thon_core::archive::readable;
use thon_core::event::{Event, EventStream};
use thon_core::name::UserId;
use thon_core::sandbox::{ObservedSandbox, Phase};
use thon_core::workspace::Workspace;

use crate::error::Error;
use crate::node::Node;

pub use download::Download;
pub use export::Exported;
pub use import::{Import, Imported};
pub use relocate::Relocated;
pub use remove::Removed;

/// A workspace with everything that somebody may want to know before it is touched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkspaceView {
    /// Whose.
    pub user: UserId,
    /// Where.
    pub workspace: Workspace,
    /// What it takes on the disk, in bytes, where that can be found out from here.
    pub size: Option<u64>,
    /// When something in it last changed, where that can be found out from here.
    pub changed_at: Option<SystemTime>,
    /// Whether its user is in the roster.
    pub in_roster: bool,
    /// Whether it is the one that the configuration gives its user; another is left from before.
    pub configured: bool,
    /// What its user's sandbox does, if there is one.
    pub sandbox: Option<Phase>,
    /// Whether an import into it was interrupted and never repeated.
    pub half_imported: bool,
}

impl WorkspaceView {
    /// True if somebody may be working in it.
    #[must_use]
    pub const fn is_in_use(&self) -> bool {
        // Frozen work is work as well.
        self.configured
            && matches!(
                self.sandbox,
                Some(Phase::Running | Phase::Restarting | Phase::Paused | Phase::Unknown)
            )
    }
}

impl Node {
    /// Every workspace of this node, of those too who have left the roster, with the sizes of those
    /// of `measured`. Changes nothing.
    pub async fn workspaces(
        &self,
        measured: impl Fn(&UserId) -> bool + Sync,
    ) -> Result<Vec<WorkspaceView>, Error> {
        let found = self.keeper().list(&measured).await?;
        let sandboxes = self.runtime().observe().await?;
        let roster = &self.config().groups;
        let known: std::collections::BTreeSet<UserId> = roster.users().map(|(id, _)| id).collect();
        found
            .into_iter()
            .map(|found| {
                Ok(WorkspaceView {
                    in_roster: known.contains(&found.user),
                    configured: self.workspace_of(&found.user)? == found.workspace,
                    sandbox: of(&sandboxes, &found.user).map(|sandbox| sandbox.phase),
                    half_imported: self.import_note(&found.user).exists(),
                    user: found.user,
                    workspace: found.workspace,
                    size: found.size,
                    changed_at: found.changed_at,
                })
            })
            .collect()
    }
}

fn of<'a>(sandboxes: &'a [ObservedSandbox], user: &UserId) -> Option<&'a ObservedSandbox> {
    sandboxes.iter().find(|sandbox| sandbox.user == *user)
}

/// Runs `work` where blocking is allowed.
async fn apart<T: Send + 'static, E: From<Failure> + Send + 'static>(
    tried: &str,
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, E> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        let advice = "this is a fault in THON: please report it";
        Err(Failure::new(FailureKind::Other, tried, error.to_string(), advice).into())
    })
}

/// Says how far a step with several workspaces is.
#[derive(Clone)]
struct Steps {
    events: Arc<EventStream>,
    step: &'static str,
    total: usize,
}

impl Steps {
    fn begin(node: &Node, step: &'static str, text: &str, total: usize) -> Self {
        let events = Arc::new(node.events().clone());
        events.emit(Event::StepStarted { step: step.to_owned(), text: text.to_owned() });
        Self { events, step, total }
    }

    fn at(&self, done: usize, text: String) {
        let done = Some((done as u64, self.total as u64));
        self.events.emit(Event::StepProgress { step: self.step.to_owned(), text, done });
    }

    /// What is told after every piece of `user`'s archive, said twice a second.
    fn pieces(&self, done: usize, user: &UserId) -> impl FnMut(&recode::Tally) + Send + use<> {
        const EVERY: Duration = Duration::from_millis(500);
        let (this, user, mut last) = (self.clone(), user.clone(), Instant::now());
        move |tally| {
            if last.elapsed() >= EVERY {
                last = Instant::now();
                this.at(done, format!("{user}: {}", readable(tally.bytes)));
            }
        }
    }

    fn end(&self, text: String) {
        self.events.emit(Event::StepFinished { step: self.step.to_owned(), text });
    }
}
