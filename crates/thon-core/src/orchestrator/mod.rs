//! The orchestrator: from a roster to running instances, knowing only the traits.
//!
//! For: the order of things. Seats before specifications, the certificate before the first sandbox,
//! workspaces before those who use them, one change of the proxy per batch, a check through the
//! proxy before a URL is given out. One user's failure never stops another's instance.
//! Not for: Docker, nginx, files or terminals; and not for reading a configuration.

mod disk;
mod follow;
mod launch;
mod lifecycle;
mod prepare;
mod public;
mod serve;
mod view;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use thiserror::Error;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

pub use follow::LogNews;
pub use lifecycle::{ChangeReport, Unchanged};
pub use prepare::Prepared;
pub use view::InstanceView;
pub use watch::{Enforced, IdlePolicy};

use crate::adapter::{
    CertificateProvider, Entropy, Failure, FailureKind, PasswordHasher, ReverseProxy,
    SandboxRuntime, Store,
};
use crate::certificate::{Certificate, CertificateNames};
use crate::config::Layout;
use crate::endpoint::{NetworkMode, Port};
use crate::event::{Event, EventStream};
use crate::image::ImageRef;
use crate::instance::InstanceState;
use crate::kilo::KiloTemplate;
use crate::layout::Coverage;
use crate::limits::Limits;
use crate::name::{GroupName, NodeName, UserId};
use crate::plan::{Action, Plan};
use crate::port::{PortError, PortRanges};
use crate::proxy::{DashboardRoute, ProxyChange};
use crate::roster::GroupRules;
use crate::sandbox::{Health, InjectedFile, ObservedSandbox, Phase, SandboxId};
use crate::workspace::WorkspaceMode;

/// How many quick questions (a look at a health, the making of a volume) are asked at once.
const QUESTIONS: usize = 16;

/// What the orchestrator has to know of the configuration.
#[derive(Debug, Clone)]
pub struct NodeSettings {
    /// The node's name.
    pub node: NodeName,
    /// The image of all sandboxes.
    pub image: ImageRef,
    /// How sandboxes are created; how they are reached is told by their endpoints.
    pub network_mode: NetworkMode,
    /// What a sandbox may use up.
    pub limits: Limits,
    /// Whether sandboxes reach the internet.
    pub internet: bool,
    /// What holds for single groups in the place of the two above.
    pub groups: BTreeMap<GroupName, GroupRules>,
    /// Where ports come from.
    pub ports: PortRanges,
    /// Where workspaces are kept.
    pub workspace: WorkspaceMode,
    /// Whether every instance asks for its own password.
    pub secure: bool,
    /// Environment variables for all sandboxes, none of them secret.
    pub environment: BTreeMap<String, String>,
    /// Files for all sandboxes.
    pub files: Vec<InjectedFile>,
    /// Kilo Code's configuration for all sandboxes, with what is each user's own in it.
    pub kilo: Option<KiloTemplate>,
    /// The e-mail addresses of those who have one.
    pub emails: BTreeMap<UserId, String>,
    /// How many sandboxes start at once.
    pub launch_concurrency: usize,
    /// How long a sandbox may take from its start to its first healthy answer.
    pub ready_timeout: Duration,
    /// What the proxy is to serve; nothing where there is no proxy.
    pub site: Option<SiteSettings>,
}

/// What the proxy is to serve.
#[derive(Debug, Clone)]
pub struct SiteSettings {
    /// The name or address in the URLs.
    pub host: String,
    /// The port for HTTPS.
    pub https_port: Port,
    /// The port for plain HTTP.
    pub http_port: Port,
    /// The organizer's own pages, where the proxy serves them too.
    pub dashboard: Option<DashboardRoute>,
    /// How instances are laid out in public.
    pub layout: Layout,
    /// Where the TLS ports of the layout `port` come from.
    pub instance_ports: RangeInclusive<u16>,
    /// What the certificate must cover, whoever takes part.
    pub names: CertificateNames,
    /// How it covers the names of instances.
    pub coverage: Coverage,
}

/// The adapters that an orchestrator works with.
#[derive(Clone)]
pub struct Adapters {
    /// Runs sandboxes.
    pub runtime: Arc<dyn SandboxRuntime>,
    /// Leads browsers to them; used only where [`NodeSettings::site`] is set.
    pub proxy: Arc<dyn ReverseProxy>,
    /// Provides the proxy's certificate.
    pub certificates: Arc<dyn CertificateProvider>,
    /// Remembers seats.
    pub store: Arc<dyn Store>,
    /// Draws passwords.
    pub entropy: Arc<dyn Entropy>,
    /// Makes the form of them that code-server is given.
    pub hasher: Arc<dyn PasswordHasher>,
}

/// Who and how.
#[derive(Debug, Clone, Default)]
pub struct RunRequest {
    /// Everyone in the roster.
    pub roster: Vec<UserId>,
    /// Those that this run is about, in the order in which they are launched.
    pub selected: Vec<UserId>,
    /// Remove the sandboxes of users that are not in the roster.
    pub prune: bool,
    /// Replace sandboxes even if nothing about them changed.
    pub recreate: bool,
    /// How long an instance may run; nothing where that is not limited.
    pub lifetime: Option<Duration>,
}

/// Why a whole run could not be done. What ran before runs on.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RunError {
    /// An adapter failed at something that everybody needs.
    #[error(transparent)]
    Adapter(#[from] Failure),
    /// There are not enough ports.
    #[error(transparent)]
    Ports(#[from] PortError),
}

/// What failed for one user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UserFailure {
    /// Whose.
    pub user: UserId,
    /// What.
    pub failure: Failure,
}

/// What came of a run.
#[derive(Debug, Clone)]
pub struct RunReport {
    /// What was decided.
    pub plan: Plan,
    /// Everyone that the run was about, as they are now.
    pub instances: Vec<InstanceView>,
    /// What failed, by user.
    pub failures: Vec<UserFailure>,
    /// What kept the proxy from serving, if anything did.
    pub proxy_failure: Option<Failure>,
    /// What the proxy had to do.
    pub proxy_change: Option<ProxyChange>,
    /// The certificate that the proxy serves.
    pub certificate: Option<Certificate>,
    /// Those whose sandbox this run started.
    pub started: Vec<UserId>,
}

impl RunReport {
    /// True if every instance of the run can be used.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.failures.is_empty() && self.proxy_failure.is_none()
    }
}

/// Carries plans out.
#[derive(Clone)]
pub struct Orchestrator {
    settings: Arc<NodeSettings>,
    adapters: Adapters,
    events: EventStream,
}

impl Orchestrator {
    /// Puts an orchestrator together.
    #[must_use]
    pub fn new(settings: NodeSettings, adapters: Adapters, events: EventStream) -> Self {
        Self { settings: Arc::new(settings), adapters, events }
    }

    /// The stream that everything is said on.
    #[must_use]
    pub const fn events(&self) -> &EventStream {
        &self.events
    }

    /// The settings it works with.
    #[must_use]
    pub fn settings(&self) -> &NodeSettings {
        &self.settings
    }

    /// Makes what is there into what is wanted. Running it twice changes nothing the second time;
    /// interrupting it anywhere and running it again converges.
    pub async fn run(&self, request: &RunRequest) -> Result<RunReport, RunError> {
        let mut prepared = self.prepare(request).await?;
        // Before anything starts: whatever happens, the end of what started is known.
        prepared.give_ends(&request.selected, request.lifetime, self.events.now());
        self.adapters.store.save_seats(&prepared.seats()).await?;
        self.events.emit(Event::Planned { summary: prepared.plan.summary() });
        let users = request.roster.iter().chain(prepared.plan.actions.iter().map(Action::user));
        let certificate = self.certificate(users).await?;
        let mut failures = self.make_workspaces(&prepared).await;
        self.make_ready(&prepared.plan).await?;
        self.say_disk_guard(&prepared.plan).await;
        let launched = self.launch_all(&prepared.plan, &failures).await;
        let started = launched.started;
        failures.extend(launched.failures);
        let observed = self.adapters.runtime.observe().await?;
        let spaces = self.disk_spaces(&observed).await;
        self.say_disk_pressing(&observed, &spaces);
        let (proxy_change, proxy_failure, checks) =
            self.serve(certificate.as_ref(), &observed, &prepared.seats, &request.selected).await;
        let healthy = launched.healthy;
        let mut instances = Vec::with_capacity(request.selected.len());
        for user in &request.selected {
            let sandbox = observed.iter().find(|sandbox| sandbox.user == *user);
            let mut view = self.view(user, sandbox, healthy.contains(user), prepared.seat(user));
            view.disk = sandbox.and_then(|sandbox| spaces.get(&sandbox.id)).copied();
            if proxy_failure.is_some() {
                view.url = None;
            }
            if let Some(problem) =
                checks.iter().find(|c| c.user == *user).and_then(|c| c.problem.as_ref())
            {
                view.health = format!("unreachable: {problem}");
                failures.push(unreachable(user, problem));
            }
            instances.push(view);
        }
        Ok(RunReport {
            plan: prepared.plan,
            instances,
            failures,
            proxy_failure,
            proxy_change,
            certificate,
            started,
        })
    }

    /// Everything of this node as it is now: those in `roster` first, in its order, then whatever
    /// else runs. Changes nothing.
    pub async fn status(&self, roster: &[UserId]) -> Result<Vec<InstanceView>, RunError> {
        let observed = self.adapters.runtime.observe().await?;
        let seats = self.adapters.store.load_seats().await?;
        let (healthy, spaces) = tokio::join!(self.healthy(&observed), self.disk_spaces(&observed));
        let heartbeats = self.heartbeats(&healthy).await;
        let served = self.is_served().await;
        let mut users: Vec<&UserId> = roster.iter().collect();
        let known: BTreeSet<&UserId> = roster.iter().collect();
        let strangers: BTreeSet<&UserId> = observed.iter().map(|sandbox| &sandbox.user).collect();
        users.extend(strangers.difference(&known));
        Ok(users
            .into_iter()
            .map(|user| {
                let sandbox = observed.iter().find(|sandbox| sandbox.user == *user);
                let seat = seats.iter().find(|seat| seat.user == *user);
                let healthy = sandbox.is_some_and(|sandbox| healthy.contains(&sandbox.id));
                let mut view = self.view(user, sandbox, healthy, seat);
                view.in_roster = known.contains(user);
                view.disk = sandbox.and_then(|sandbox| spaces.get(&sandbox.id)).copied();
                view.active_at = sandbox.and_then(|sandbox| heartbeats.get(&sandbox.id)).copied();
                view.url = view.url.filter(|_| served);
                view
            })
            .collect())
    }

    /// True if the proxy runs and has a configuration of ours: a URL is worth being shown.
    async fn is_served(&self) -> bool {
        let status = self.adapters.proxy.status().await;
        self.settings.site.is_some()
            && status.is_ok_and(|status| status.running && status.routes.is_some())
    }

    /// Stops the sandboxes of `users`, or everyone's; with `remove` they are taken away as well.
    /// Workspaces stay. Returns whose were stopped, and what failed; stopping what is gone succeeds,
    /// but not for someone who never had a sandbox.
    pub async fn stop(
        &self,
        users: Option<&[UserId]>,
        remove: bool,
    ) -> Result<(Vec<UserId>, Vec<UserFailure>), RunError> {
        let observed = self.adapters.runtime.observe().await?;
        let wanted = |user: &UserId| users.is_none_or(|users| users.contains(user));
        let mut failures = self.unknown(users.unwrap_or_default(), &observed).await?;
        let gate = Arc::new(Semaphore::new(QUESTIONS));
        let mut tasks = JoinSet::new();
        for sandbox in observed.into_iter().filter(|sandbox| wanted(&sandbox.user)) {
            if !remove && matches!(sandbox.phase, Phase::Exited | Phase::Created) {
                continue;
            }
            let (this, gate) = (self.clone(), Arc::clone(&gate));
            tasks.spawn(async move {
                let _permit = gate.acquire_owned().await;
                let result = this.stop_one(&sandbox, remove).await;
                (sandbox.user, result)
            });
        }
        let mut stopped = Vec::new();
        while let Some(joined) = tasks.join_next().await {
            match joined {
                Ok((user, Ok(()))) => stopped.push(user),
                Ok((user, Err(failure))) => failures.push(UserFailure { user, failure }),
                Err(_) => {}
            }
        }
        stopped.sort();
        Ok((stopped, failures))
    }

    /// Those of `users` who have no sandbox and never had a seat: misspelt, most likely.
    async fn unknown(
        &self,
        users: &[UserId],
        observed: &[ObservedSandbox],
    ) -> Result<Vec<UserFailure>, RunError> {
        let there = |user: &UserId| observed.iter().any(|sandbox| sandbox.user == *user);
        let without: Vec<&UserId> = users.iter().filter(|user| !there(user)).collect();
        if without.is_empty() {
            return Ok(Vec::new());
        }
        let seats = self.adapters.store.load_seats().await?;
        let seated = |user: &UserId| seats.iter().any(|seat| seat.user == *user);
        let unknown = without.into_iter().filter(|user| !seated(user));
        let failure = |user: &UserId| {
            Failure::new(
                FailureKind::Missing,
                format!("stopping the sandbox of {user}"),
                "there is none",
                "`thon status` lists who has one",
            )
        };
        Ok(unknown.map(|user| UserFailure { user: user.clone(), failure: failure(user) }).collect())
    }

    /// Takes the proxy's configuration away.
    pub async fn cleanup_proxy(&self) -> Result<(), RunError> {
        Ok(self.adapters.proxy.cleanup().await?)
    }

    /// The last `tail` lines of a user's sandbox.
    pub async fn logs(&self, user: &UserId, tail: usize) -> Result<String, RunError> {
        let observed = self.adapters.runtime.observe().await?;
        let Some(sandbox) = observed.iter().find(|sandbox| sandbox.user == *user) else {
            return Err(RunError::Adapter(Failure::new(
                FailureKind::Missing,
                format!("reading the log of {user}"),
                "there is no sandbox of that user",
                "`thon status` lists who has one",
            )));
        };
        Ok(self.adapters.runtime.logs(&sandbox.id, tail).await?)
    }

    async fn stop_one(&self, sandbox: &ObservedSandbox, remove: bool) -> Result<(), Failure> {
        let was = InstanceState::observed(sandbox.phase, true, sandbox.exit_code);
        let say = |from, to| {
            self.events.emit(Event::InstanceChanged {
                user: sandbox.user.clone(),
                from: Some(from),
                to,
                reason: None,
            });
        };
        say(was, InstanceState::Stopping);
        let runtime = &self.adapters.runtime;
        let stopped = async {
            runtime.stop(&sandbox.id).await?;
            if remove { runtime.remove(&sandbox.id).await } else { Ok(()) }
        };
        let result = stopped.await;
        let to = if result.is_ok() { InstanceState::Terminated } else { InstanceState::Failed };
        say(InstanceState::Stopping, to);
        result
    }

    /// Workspaces for everyone that the run is about, also for those who have no sandbox yet.
    async fn make_workspaces(&self, prepared: &Prepared) -> Vec<UserFailure> {
        let gate = Arc::new(Semaphore::new(QUESTIONS));
        let mut tasks = JoinSet::new();
        for spec in prepared.specs() {
            let (this, gate) = (self.clone(), Arc::clone(&gate));
            let (user, workspace) = (spec.user.clone(), spec.workspace.clone());
            tasks.spawn(async move {
                let _permit = gate.acquire_owned().await;
                let result = this.adapters.runtime.ensure_workspace(&user, &workspace).await;
                (user, result)
            });
        }
        let mut failures = Vec::new();
        while let Some(joined) = tasks.join_next().await {
            match joined {
                Ok((user, Ok(change))) => self.events.emit(Event::WorkspaceReady { user, change }),
                Ok((user, Err(failure))) => failures.push(UserFailure { user, failure }),
                Err(_) => {}
            }
        }
        failures
    }

    /// What has to be there before the first sandbox is made, and around those that run: the walls
    /// may have gone since the last run.
    async fn make_ready(&self, plan: &Plan) -> Result<(), Failure> {
        let makes =
            |action: &&Action| matches!(action, Action::Create { .. } | Action::Recreate { .. });
        if let Some(Action::Create { spec } | Action::Recreate { spec, .. }) =
            plan.actions.iter().find(makes)
            && !self.adapters.runtime.has_image(&spec.image).await?
        {
            return Err(Failure::new(
                FailureKind::Missing,
                format!("launching sandboxes from image {}", spec.image),
                "the image is not on this machine",
                "make it with `thon image build`, or name another in `sandbox.image`",
            ));
        }
        let runs = |action: &Action| !matches!(action, Action::Stop { .. } | Action::Orphan { .. });
        if plan.actions.iter().any(runs) {
            for text in self.adapters.runtime.prepare().await? {
                self.events.emit(Event::Warning { text });
            }
        }
        Ok(())
    }

    /// Those of `observed` whose code-server answers now.
    async fn healthy(&self, observed: &[ObservedSandbox]) -> BTreeSet<SandboxId> {
        let gate = Arc::new(Semaphore::new(QUESTIONS));
        let mut tasks = JoinSet::new();
        for sandbox in observed.iter().filter(|sandbox| sandbox.phase == Phase::Running) {
            let (this, gate, id) = (self.clone(), Arc::clone(&gate), sandbox.id.clone());
            tasks.spawn(async move {
                let _permit = gate.acquire_owned().await;
                let health = this.adapters.runtime.health(&id).await;
                matches!(health, Ok(Health::Healthy)).then_some(id)
            });
        }
        let mut healthy = BTreeSet::new();
        while let Some(joined) = tasks.join_next().await {
            healthy.extend(joined.ok().flatten());
        }
        healthy
    }
}

/// What is wrong with an instance that answers and can't be reached through the proxy.
fn unreachable(user: &UserId, problem: &str) -> UserFailure {
    UserFailure {
        user: user.clone(),
        failure: Failure::new(
            FailureKind::Other,
            format!("reaching the instance of {user} through the proxy"),
            problem,
            "see `thon logs` and `thon nginx status`",
        ),
    }
}
