//! A sandbox runtime in memory.
//!
//! For: launching thousands of sandboxes in a test, with a limit beyond which starts die of
//! starvation, as they do on a real machine. A program that is attached to says what it is told, and
//! ends with the number after the last `exit ` in its arguments.
//! Not for: running code-server.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Faults;
use crate::adapter::{Failure, FailureKind, SandboxRuntime};
use crate::disk::{DiskGuard, DiskUse};
use crate::endpoint::{Endpoint, Port, Upstream};
use crate::image::ImageRef;
use crate::log::{LogLine, LogLines, LogRequest};
use crate::name::{NodeName, UserId};
use crate::sandbox::{Health, ObservedSandbox, Phase, SandboxId, SandboxSpec, Usage};
use crate::shell::{Shell, ShellInput, ShellOutput, ShellRequest};
use crate::workspace::{Workspace, WorkspaceChange};

/// A runtime that remembers what it was told to run. The time that starts take is tokio's, which
/// tests may pause.
#[derive(Debug)]
pub struct MemoryRuntime {
    node: NodeName,
    faults: Arc<Faults>,
    start_takes: Duration,
    starves_beyond: usize,
    agent: Option<Port>,
    state: Arc<Mutex<State>>,
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
    log: Vec<LogLine>,
    heartbeat: Option<SystemTime>,
    cpu: Duration,
}

impl Sandbox {
    /// Writes a line into the log, a second after the one before.
    fn write(&mut self, text: &str) {
        let seconds = self.log.len() as u64 + 1;
        let at = Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        self.log.push(LogLine { at, text: text.to_owned() });
    }
}

impl MemoryRuntime {
    /// A runtime with every image at hand, whose starts take `start_takes`.
    #[must_use]
    pub fn new(node: NodeName, faults: Arc<Faults>, start_takes: Duration) -> Self {
        Self {
            node,
            faults,
            start_takes,
            starves_beyond: usize::MAX,
            agent: None,
            state: Arc::default(),
        }
    }

    /// Lets a start die when more than `many` others are on their way at that moment.
    #[must_use]
    pub fn starving_beyond(mut self, many: usize) -> Self {
        self.starves_beyond = many;
        self
    }

    /// Puts an agent in front of every sandbox, at this port of the host: it serves them below
    /// `/proxy/<code-server's port>/`, whatever network they were made for.
    #[must_use]
    pub fn through_agent(mut self, port: Port) -> Self {
        self.agent = Some(port);
        self
    }

    /// Where a sandbox is found, and what the proxy dials for that.
    fn reached(&self, spec: &SandboxSpec) -> (Endpoint, Upstream) {
        match self.agent {
            Some(port) => {
                let endpoint = Endpoint::bridge("127.0.0.1", port, spec.code_port);
                let upstream = endpoint.through_agent();
                (endpoint, upstream)
            }
            None => (spec.endpoint(), spec.endpoint().published()),
        }
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
    pub fn fill(&self, user: &UserId, written: DiskUse) {
        self.state().written.insert(user.clone(), written);
    }

    /// Lets a user's sandbox go down with `exit_code`, as if code-server had fallen over.
    pub fn kill(&self, user: &UserId, exit_code: i64) {
        for sandbox in self.state().sandboxes.values_mut().filter(|s| s.spec.user == *user) {
            (sandbox.phase, sandbox.exit_code) = (Phase::Exited, Some(exit_code));
        }
    }

    /// Lets a user's sandbox write a line.
    pub fn write(&self, user: &UserId, text: &str) {
        for sandbox in self.state().sandboxes.values_mut().filter(|s| s.spec.user == *user) {
            sandbox.write(text);
        }
    }

    /// Lets a browser be at a user's sandbox at this time.
    pub fn browse(&self, user: &UserId, at: SystemTime) {
        for sandbox in self.state().sandboxes.values_mut().filter(|s| s.spec.user == *user) {
            sandbox.heartbeat = Some(at);
        }
    }

    /// Lets a user's sandbox use so much CPU time.
    pub fn work(&self, user: &UserId, time: Duration) {
        for sandbox in self.state().sandboxes.values_mut().filter(|s| s.spec.user == *user) {
            sandbox.cpu += time;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes an operation down under the user's name, and fails it if a rule says so.
    async fn checked(&self, name: &'static str, id: &SandboxId) -> Result<(), Failure> {
        let user = self.state().sandboxes.get(id).map(|sandbox| sandbox.spec.user.to_string());
        self.faults.check(name, &user.ok_or_else(|| Self::unknown(id))?).await
    }

    fn turn(&self, id: &SandboxId, doing: &str, from: &[Phase], to: Phase) -> Result<(), Failure> {
        let mut state = self.state();
        let sandbox = state.sandboxes.get_mut(id).ok_or_else(|| Self::unknown(id))?;
        if !from.contains(&sandbox.phase) {
            let tried = format!("{doing} the sandbox of {}", sandbox.spec.user);
            return Err(Failure::new(FailureKind::Conflict, tried, "it is down", "start it"));
        }
        sandbox.phase = to;
        Ok(())
    }

    /// A start, which dies at once if too many others are on their way.
    fn begin(&self, id: &SandboxId) -> Result<Endpoint, Failure> {
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
        sandbox.write("HTTP server listening");
        Ok(self.reached(&sandbox.spec).0)
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
                let (endpoint, upstream) = self.reached(&sandbox.spec);
                ObservedSandbox {
                    id: id.clone(),
                    name: sandbox.spec.user.container_name(&self.node),
                    user: sandbox.spec.user.clone(),
                    phase: sandbox.phase,
                    upstream: Some(upstream),
                    endpoint: Some(endpoint),
                    fingerprint: Some(sandbox.spec.fingerprint()),
                    created_at: Some(SystemTime::UNIX_EPOCH),
                    exit_code: sandbox.exit_code,
                }
            })
            .collect())
    }

    async fn prepare(&self) -> Result<Vec<String>, Failure> {
        self.faults.check("prepare", "").await.map(|()| Vec::new())
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
        let sandbox = Sandbox {
            spec: spec.clone(),
            phase: Phase::Created,
            ready_at: None,
            exit_code: None,
            log: Vec::new(),
            heartbeat: None,
            cpu: Duration::ZERO,
        };
        state.sandboxes.insert(id.clone(), sandbox);
        Ok(id)
    }

    async fn start(&self, id: &SandboxId) -> Result<Endpoint, Failure> {
        self.checked("start", id).await?;
        self.begin(id)
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

    async fn heartbeat(&self, id: &SandboxId) -> Result<Option<SystemTime>, Failure> {
        self.checked("heartbeat", id).await?;
        let state = self.state();
        Ok(state.sandboxes.get(id).ok_or_else(|| Self::unknown(id))?.heartbeat)
    }

    async fn usage(&self, id: &SandboxId) -> Result<Usage, Failure> {
        self.checked("usage", id).await?;
        let state = self.state();
        let cpu = state.sandboxes.get(id).ok_or_else(|| Self::unknown(id))?.cpu;
        Ok(Usage { cpu, memory: None })
    }

    async fn stop(&self, id: &SandboxId) -> Result<(), Failure> {
        self.faults.check("stop", &id.0).await?;
        if let Some(sandbox) = self.state().sandboxes.get_mut(id) {
            (sandbox.phase, sandbox.exit_code) = (Phase::Exited, Some(143));
        }
        Ok(())
    }

    async fn pause(&self, id: &SandboxId) -> Result<(), Failure> {
        self.checked("pause", id).await?;
        self.turn(id, "pausing", &[Phase::Running, Phase::Paused], Phase::Paused)
    }

    async fn resume(&self, id: &SandboxId) -> Result<(), Failure> {
        self.checked("resume", id).await?;
        self.turn(id, "resuming", &[Phase::Paused, Phase::Running], Phase::Running)
    }

    async fn restart(&self, id: &SandboxId) -> Result<Endpoint, Failure> {
        self.checked("restart", id).await?;
        self.begin(id)
    }

    async fn remove(&self, id: &SandboxId) -> Result<(), Failure> {
        self.faults.check("remove", &id.0).await?;
        self.state().sandboxes.remove(id);
        Ok(())
    }

    async fn disk_guard(&self, spec: &SandboxSpec) -> Result<DiskGuard, Failure> {
        self.faults.check("disk_guard", &spec.user.to_string()).await?;
        Ok(DiskGuard { reason: "nothing is written".to_owned() })
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

    async fn follow_log(&self, id: &SandboxId, request: &LogRequest) -> Result<LogLines, Failure> {
        self.checked("follow_log", id).await?;
        let (lines, reader) = mpsc::channel(16);
        let (state, id, request) = (Arc::clone(&self.state), id.clone(), *request);
        tokio::spawn(async move {
            let mut next = None;
            loop {
                let (fresh, up) = {
                    let state = state.lock().unwrap_or_else(PoisonError::into_inner);
                    let Some(sandbox) = state.sandboxes.get(&id) else { return };
                    let all = &sandbox.log;
                    let first = all.len().saturating_sub(request.tail.unwrap_or(usize::MAX));
                    let fresh = all[next.unwrap_or(first)..].to_vec();
                    next = Some(all.len());
                    (fresh, matches!(sandbox.phase, Phase::Running | Phase::Paused))
                };
                for line in fresh.into_iter().filter(|line| line.at >= request.since) {
                    if lines.send(Ok(line)).await.is_err() {
                        return;
                    }
                }
                if !request.follow || !up {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        Ok(reader)
    }

    async fn attach(&self, id: &SandboxId, request: &ShellRequest) -> Result<Shell, Failure> {
        self.checked("attach", id).await?;
        let (input, mut typed) = mpsc::channel(16);
        let (said, output) = mpsc::channel(16);
        let last = request.arguments.last().map(String::as_str).unwrap_or_default();
        let exit_code = last.rsplit("exit ").next().and_then(|code| code.parse().ok());
        tokio::spawn(async move {
            while let Some(input) = typed.recv().await {
                let ShellInput::Bytes(bytes) = input else { continue };
                if said.send(Ok(ShellOutput::Stdout(bytes))).await.is_err() {
                    return;
                }
            }
            let exit_code = exit_code.unwrap_or_default();
            drop(said.send(Ok(ShellOutput::Ended { exit_code })).await);
        });
        Ok(Shell { input, output })
    }
}
