//! Disk space of sandboxes that have a limit of it.
//!
//! For: saying before a launch what the limit is worth on this machine, and finding out who is near
//! it or over it, in bounded time.
//! Not for: stopping anyone. Where the file system doesn't, what is in a full workspace is still
//! somebody's work.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::Orchestrator;
use crate::disk::{DiskSpace, DiskUse};
use crate::event::Event;
use crate::plan::{Action, Plan};
use crate::sandbox::{Fingerprint, ObservedSandbox, SandboxId};

/// How many sandboxes are measured at once: whoever counts files keeps the disk busy.
const AT_ONCE: usize = 4;

/// For measuring everyone. Who isn't measured by then is shown without a number.
const LIMIT: Duration = Duration::from_secs(20);

impl Orchestrator {
    /// Says, once for all, what the disk limits of the sandboxes that are about to be launched are
    /// worth here.
    pub(super) async fn say_disk_guard(&self, plan: &Plan) {
        let mut said = BTreeSet::new();
        for action in &plan.actions {
            let (Action::Create { spec } | Action::Recreate { spec, .. }) = action else {
                continue;
            };
            if spec.limits.disk.is_none() {
                continue;
            }
            let text = match self.adapters.runtime.disk_guard(spec).await {
                Ok(guard) => guard.warning(),
                Err(failure) => failure.to_string(),
            };
            if said.insert(text.clone()) {
                self.events.emit(Event::Warning { text });
            }
        }
    }

    /// The disk space of everyone in `observed` who has a limit of it.
    pub(super) async fn disk_spaces(
        &self,
        observed: &[ObservedSandbox],
    ) -> BTreeMap<SandboxId, DiskSpace> {
        let limit = |sandbox: &ObservedSandbox| {
            let limit = sandbox.fingerprint.as_ref().map(Fingerprint::limits)?.disk?;
            Some((sandbox.id.clone(), DiskSpace { limit, used: None }))
        };
        let mut spaces: BTreeMap<_, _> = observed.iter().filter_map(limit).collect();
        let gate = Arc::new(Semaphore::new(AT_ONCE));
        let mut tasks: JoinSet<Option<(SandboxId, DiskUse)>> = JoinSet::new();
        for id in spaces.keys().cloned() {
            let (this, gate) = (self.clone(), Arc::clone(&gate));
            tasks.spawn(async move {
                let _permit = gate.acquire_owned().await;
                let used = this.adapters.runtime.disk_use(&id).await.ok()?;
                Some((id, used))
            });
        }
        let measure = async {
            while let Some(joined) = tasks.join_next().await {
                let Some((id, used)) = joined.ok().flatten() else { continue };
                if let Some(space) = spaces.get_mut(&id) {
                    space.used = Some(used);
                }
            }
        };
        // Those that are still on their way end with the set.
        drop(tokio::time::timeout(LIMIT, measure).await);
        spaces
    }

    /// Says who is near their limit or over it.
    pub(super) fn say_disk_pressing(
        &self,
        observed: &[ObservedSandbox],
        spaces: &BTreeMap<SandboxId, DiskSpace>,
    ) {
        for sandbox in observed {
            let Some(space) = spaces.get(&sandbox.id) else { continue };
            let Some((used, level)) = space.pressing() else { continue };
            self.events.emit(Event::DiskPressing {
                user: sandbox.user.clone(),
                level,
                used: used.total().bytes(),
                limit: space.limit.bytes(),
            });
        }
    }
}
