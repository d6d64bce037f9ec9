//! What the tests against a real engine share: a node of their own that cleans up after itself.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests, and each test file uses a part of it"
)]

use std::collections::{BTreeMap, HashMap};
use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bollard::Docker;
use bollard::query_parameters as query;
use thon_core::adapter::SandboxRuntime;
use thon_core::config::Layout;
use thon_core::endpoint::{NetworkMode, Port};
use thon_core::image::ImageRef;
use thon_core::limits::{ByteSize, Cpus, Limits};
use thon_core::name::{NodeName, UserId};
use thon_core::sandbox::{Access, Health, SandboxId, SandboxSpec};
use thon_core::seat::Password;
use thon_core::secret::Secret;
use thon_core::workspace::Workspace;
use thon_docker::{DockerRuntime, DockerSettings, ExecOutput};

/// How long a sandbox may take to reach a state; never waited for in full when all is well.
const PATIENCE: Duration = Duration::from_secs(90);

static COUNT: AtomicU32 = AtomicU32::new(0);

/// The image that sandboxes are made from.
pub(crate) fn image() -> ImageRef {
    let name = std::env::var("THON_TEST_IMAGE").unwrap_or_default();
    if name.is_empty() { ImageRef::default() } else { name.parse().unwrap() }
}

/// A name that no other test of this or another run at this time has.
pub(crate) fn unique(prefix: &str) -> String {
    format!("{prefix}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A port that nothing holds. From below the range that the kernel gives out by itself, so that no
/// connection of another test is given it meanwhile, and never the same twice.
pub(crate) fn free_port() -> Port {
    loop {
        let number =
            22_000 + (std::process::id() % 400) * 20 + COUNT.fetch_add(1, Ordering::Relaxed);
        if TcpListener::bind(("127.0.0.1", u16::try_from(number).unwrap())).is_ok() {
            return Port::new(number).unwrap();
        }
    }
}

/// A node of its own, removed with everything in it when the test ends, however it ends.
pub(crate) struct Node {
    pub(crate) name: NodeName,
    pub(crate) runtime: DockerRuntime,
    /// Bollard itself, to look at things past the runtime.
    pub(crate) docker: Docker,
    /// Containers without our labels that the test made.
    pub(crate) strangers: Vec<String>,
}

impl Node {
    pub(crate) fn new() -> Self {
        let name: NodeName = unique("test").parse().unwrap();
        let runtime = DockerRuntime::connect(DockerSettings::for_node(name.clone())).unwrap();
        let docker = Docker::connect_with_defaults().unwrap();
        Self { name, runtime, docker, strangers: Vec::new() }
    }

    /// A specification for `user` with a volume and a password.
    pub(crate) fn spec(&self, user: &str) -> SandboxSpec {
        let user: UserId = user.parse().unwrap();
        SandboxSpec {
            workspace: Workspace::Volume(user.volume_name(&self.name)),
            user,
            image: image(),
            network_mode: NetworkMode::Bridge,
            code_port: free_port(),
            host_port: free_port(),
            layout: Layout::Path,
            limits: Limits {
                memory: ByteSize::mib(700),
                cpus: Cpus::from_milli(1500),
                pids: 300,
                disk: None,
            },
            internet: true,
            access: Access::Password(Password {
                secret: Secret::new("hunter2-hunter2"),
                hash: Secret::new("$argon2id$v=19$m=256,t=1,p=1$c2FsdHNhbHRzYWx0c2FsdA$aGFzaA"),
                id: "p1".to_owned(),
            }),
            environment: BTreeMap::from([("TEAM".to_owned(), "alpha".to_owned())]),
            files: Vec::new(),
        }
    }

    /// Everything up to a sandbox that is there and not started.
    pub(crate) async fn create(&self, spec: &SandboxSpec) -> SandboxId {
        self.runtime.prepare().await.unwrap();
        self.runtime.ensure_workspace(&spec.user, &spec.workspace).await.unwrap();
        self.runtime.create(spec).await.unwrap()
    }

    /// Everything up to a sandbox that answers.
    pub(crate) async fn launch(&self, spec: &SandboxSpec) -> SandboxId {
        let id = self.create(spec).await;
        self.runtime.start(&id).await.unwrap();
        self.until(&id, |health| *health == Health::Healthy).await;
        id
    }

    /// Waits for a state of health.
    pub(crate) async fn until(&self, id: &SandboxId, wanted: impl Fn(&Health) -> bool) -> Health {
        let mut last = None;
        let waiting = async {
            loop {
                match self.runtime.health(id).await {
                    Ok(health) if wanted(&health) => return health,
                    other => last = Some(other),
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let reached = tokio::time::timeout(PATIENCE, waiting).await;
        let log = self.runtime.logs(id, 20).await;
        reached.unwrap_or_else(|_| panic!("last seen as {last:?}; its log: {log:?}"))
    }

    /// Runs a program as the sandbox's user and expects it to succeed.
    pub(crate) async fn run(&self, id: &SandboxId, arguments: &[&str]) -> String {
        let output = self.exec(id, arguments).await;
        assert_eq!(output.exit_code, 0, "{arguments:?}: {output:?}");
        output.stdout.trim().to_owned()
    }

    pub(crate) async fn exec(&self, id: &SandboxId, arguments: &[&str]) -> ExecOutput {
        self.runtime.exec(id, arguments, None).await.unwrap()
    }

    /// What Docker itself says of a container, as JSON.
    pub(crate) async fn inspect(&self, id: &SandboxId) -> serde_json::Value {
        let options = None::<query::InspectContainerOptions>;
        let found = self.docker.inspect_container(&id.0, options).await.unwrap();
        serde_json::to_value(found).unwrap()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let (name, strangers) = (self.name.clone(), std::mem::take(&mut self.strangers));
        // A thread with a runtime of its own: a test that failed is unwinding on its own one.
        let cleaner = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(clean_up(&name, &strangers));
        });
        drop(cleaner.join());
    }
}

/// Removes what carries the node's label, its network, and the named containers. Goes on whatever
/// fails: it may run twice.
async fn clean_up(node: &NodeName, strangers: &[String]) {
    let docker = Docker::connect_with_defaults().unwrap();
    let labelled = vec![format!("{}={node}", thon_docker::NODE)];
    let filters = HashMap::from([("label".to_owned(), labelled)]);
    let options =
        query::ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
    let found = docker.list_containers(Some(options)).await.unwrap_or_default();
    let ids = found.into_iter().filter_map(|container| container.id);
    for id in ids.chain(strangers.iter().cloned()) {
        let options = query::RemoveContainerOptionsBuilder::default().force(true).build();
        drop(docker.remove_container(&id, Some(options)).await);
    }
    let options = query::ListVolumesOptionsBuilder::default().filters(&filters).build();
    if let Ok(found) = docker.list_volumes(Some(options)).await {
        for volume in found.volumes.unwrap_or_default() {
            drop(docker.remove_volume(&volume.name, None::<query::RemoveVolumeOptions>).await);
        }
    }
    let runtime = DockerRuntime::connect(DockerSettings::for_node(node.clone())).unwrap();
    drop(runtime.dismantle().await);
    drop(docker.remove_network(node.as_str()).await);
}
