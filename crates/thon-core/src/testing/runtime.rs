//! A sandbox runtime in memory.
//!
//! For: launching thousands of sandboxes in a test, with a limit beyond which starts die of
//! starvation, as they do on a real machine.
//! Not for: running code-server.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use tokio::time::Instant;

use super::Faults;
use crate::adapter::{Failure, FailureKind, SandboxRuntime};
use crate::disk::{DiskGuard, DiskUse};
use crate::endpoint::{Endpoint, Port};
use crate::image::ImageRef;
use crate::name::{NodeName, UserId};
use crate::sandbox::{Health, ObservedSandbox, Phase, SandboxId, SandboxSpec};
use crate::workspace::{Workspace, WorkspaceChange};

/// A runtime that remembers what it was told to run. The time that starts take is tokio's, which
/// tests may pause.
#[derive(Debug)]
pub struct MemoryRuntime {
    node: NodeName,
    faults: Arc<Faults>,
    start_takes: Duration,
    starves_beyond: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    made: usize,
    sandboxes: BTreeMap<SandboxId, Sandbox>,
    workspaces: BTreeMap<String, usize>,
    images: Option<BTreeSet<String>>,
    busy: BTreeSet<Port>,
    most_starting: usize,
    written: BTreeMap<UserId, DiskUse>,
}

#[derive(Debug)]
struct Sandbox {
    spec: SandboxSpec,
    phase: Phase,
    ready_at: Option<Instant>,
    exit_code: Option<i64>,
}

impl MemoryRuntime {
    /// A runtime with every image at hand, whose starts take `start_takes`.
    #[must_use]
    pub fn new(node: NodeName, faults: Arc<Faults>, start_takes: Duration) -> Self {
        Self { node, faults, start_takes, starves_beyond: usize::MAX, state: Mutex::default() }
    }

    /// Lets a start die when more than `many` others are on their way at that moment.
    #[must_use]
    pub fn starving_beyond(mut self, many: usize) -> Self {
        self.starves_beyond = many;
        self
    }

    /// Lets a program that isn't a sandbox hold a port of the host.
    pub fn occupy(&self, port: Port) {
        self.state().busy.insert(port);
    }

    /// Takes all images away.
    pub fn without_images(&self) {
        self.state().images = Some(BTreeSet::new());
    }

    /// Leaves only this image at hand.
    pub fn only_image(&self, image: &ImageRef) {
        self.state().images = Some(BTreeSet::from([image.as_str().to_owned()]));
    }

    /// The most starts that were under way at once.
    #[must_use]
    pub fn most_starting(&self) -> usize {
        self.state().most_starting
    }

    /// How many workspaces there are.
    #[must_use]
    pub fn workspaces(&self) -> usize {
        self.state().workspaces.len()
    }

    /// Lets a user have written so much.
    pub fn write(&self, user: &UserId, written: DiskUse) {
        self.state().written.insert(user.clone(), written);
    }

    /// Lets a user's sandbox go down with `exit_code`, as if code-server had fallen over.
    pub fn kill(&self, user: &UserId, exit_code: i64) {
        for sandbox in self.state().sandboxes.values_mut().filter(|s| s.spec.user == *user) {
            (sandbox.phase, sandbox.exit_code) = (Phase::Exited, Some(exit_code));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unknown(id: &SandboxId) -> Failure {
        Failure::new(FailureKind::Missing, format!("finding {id}"), "no such sandbox", "run again")
    }
}

#[async_trait]
impl SandboxRuntime for MemoryRuntime {
    async fn observe(&self) -> Result<Vec<ObservedSandbox>, Failure> {
        self.faults.check("observe", "").await?;
        let state = self.state();
        Ok(state
            .sandboxes
            .iter()
            .map(|(id, sandbox)| {
                let endpoint = sandbox.spec.endpoint();
                ObservedSandbox {
                    id: id.clone(),
                    name: sandbox.spec.user.container_name(&self.node),
                    user: sandbox.spec.user.clone(),
                    phase: sandbox.phase,
                    upstream: Some(endpoint.published()),
                    endpoint: Some(endpoint),
                    fingerprint: Some(sandbox.spec.fingerprint()),
                    created_at: Some(SystemTime::UNIX_EPOCH),
                    exit_code: sandbox.exit_code,
                }
            })
            .collect())
    }

    async fn prepare(&self) -> Result<(), Failure> {
        self.faults.check("prepare", "").await
    }

    async fn has_image(&self, image: &ImageRef) -> Result<bool, Failure> {
        self.faults.check("has_image", image.as_str()).await?;
        Ok(self.state().images.as_ref().is_none_or(|images| images.contains(image.as_str())))
    }

    async fn ports_in_use(&self, ports: &[Port]) -> Result<BTreeSet<Port>, Failure> {
        self.faults.check("ports_in_use", "").await?;
        let state = self.state();
        Ok(ports.iter().copied().filter(|port| state.busy.contains(port)).collect())
    }

    async fn ensure_workspace(
        &self,
        user: &UserId,
        workspace: &Workspace,
    ) -> Result<WorkspaceChange, Failure> {
        self.faults.check("ensure_workspace", &user.to_string()).await?;
        if *workspace == Workspace::Ephemeral {
            return Ok(WorkspaceChange::Made);
        }
        let mut state = self.state();
        let count = state.workspaces.entry(workspace.to_string()).or_default();
        *count += 1;
        Ok(if *count == 1 { WorkspaceChange::Made } else { WorkspaceChange::Kept })
    }

    async fn create(&self, spec: &SandboxSpec) -> Result<SandboxId, Failure> {
        self.faults.check("create", &spec.user.to_string()).await?;
        let mut state = self.state();
        if state.sandboxes.values().any(|sandbox| sandbox.spec.user == spec.user) {
            return Err(Failure::new(
                FailureKind::Conflict,
                format!("creating the sandbox of {}", spec.user),
                "the name is taken",
                "remove the other one",
            ));
        }
        state.made += 1;
        let id = SandboxId(format!("{:064x}", state.made));
        let sandbox =
            Sandbox { spec: spec.clone(), phase: Phase::Created, ready_at: None, exit_code: None };
        state.sandboxes.insert(id.clone(), sandbox);
        Ok(id)
    }

    async fn start(&self, id: &SandboxId) -> Result<Endpoint, Failure> {
        let user = self.state().sandboxes.get(id).map(|s| s.spec.user.to_string());
        self.faults.check("start", &user.ok_or_else(|| Self::unknown(id))?).await?;
        let mut state = self.state();
        let now = Instant::now();
        let starting = state
            .sandboxes
            .values()
            .filter(|s| s.phase == Phase::Running && s.ready_at.is_some_and(|at| at > now))
            .count();
        state.most_starting = state.most_starting.max(starting + 1);
        let busy = state.busy.clone();
        let sandbox = state.sandboxes.get_mut(id).ok_or_else(|| Self::unknown(id))?;
        let port = sandbox.spec.endpoint().port();
        if busy.contains(&port) {
            return Err(Failure::new(
                FailureKind::PortTaken,
                format!("starting the sandbox of {}", sandbox.spec.user),
                format!("port {port} is in use"),
                "free it",
            ));
        }
        sandbox.ready_at = Some(now + self.start_takes);
        let starves = starting >= self.starves_beyond;
        sandbox.phase = if starves { Phase::Exited } else { Phase::Running };
        sandbox.exit_code = starves.then_some(1);
        Ok(sandbox.spec.endpoint())
    }

    async fn health(&self, id: &SandboxId) -> Result<Health, Failure> {
        let state = self.state();
        let sandbox = state.sandboxes.get(id).ok_or_else(|| Self::unknown(id))?;
        Ok(match sandbox.phase {
            Phase::Running if sandbox.ready_at.is_some_and(|at| at <= Instant::now()) => {
                Health::Healthy
            }
            Phase::Paused => Health::Paused,
            Phase::Exited => Health::Died { exit_code: sandbox.exit_code, out_of_memory: false },
            _ => Health::Starting,
        })
    }

    async fn stop(&self, id: &SandboxId) -> Result<(), Failure> {
        self.faults.check("stop", &id.0).await?;
        if let Some(sandbox) = self.state().sandboxes.get_mut(id) {
            (sandbox.phase, sandbox.exit_code) = (Phase::Exited, Some(143));
        }
        Ok(())
    }

    async fn remove(&self, id: &SandboxId) -> Result<(), Failure> {
        self.faults.check("remove", &id.0).await?;
        self.state().sandboxes.remove(id);
        Ok(())
    }

    async fn disk_guard(&self, spec: &SandboxSpec) -> Result<DiskGuard, Failure> {
        self.faults.check("disk_guard", &spec.user.to_string()).await?;
        Ok(DiskGuard::Measured { reason: "nothing is written".to_owned() })
    }

    async fn disk_use(&self, id: &SandboxId) -> Result<DiskUse, Failure> {
        let user = self.state().sandboxes.get(id).map(|sandbox| sandbox.spec.user.clone());
        let user = user.ok_or_else(|| Self::unknown(id))?;
        self.faults.check("disk_use", &user.to_string()).await?;
        Ok(self.state().written.get(&user).copied().unwrap_or_default())
    }

    async fn logs(&self, id: &SandboxId, _tail: usize) -> Result<String, Failure> {
        self.faults.check("logs", &id.0).await?;
        Ok("error timed out".to_owned())
    }
}
