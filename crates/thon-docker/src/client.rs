//! The connection to the engine.
//!
//! For: connecting when it is first needed, agreeing on a version, giving every call a limit in
//! time, and remembering the few things about a sandbox that don't change while it lives.
//! Not for: what is asked of the engine; the other modules do that.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error as EngineError;
use bollard::models::SystemInfo;
use thon_core::name::NodeName;
use thon_core::sandbox::SandboxId;
use tokio::sync::OnceCell;

use crate::error::DockerError;
use crate::health::Known;
use crate::settings::DockerSettings;

/// For questions that the engine answers from memory. A machine that is starting dozens of editors
/// may take seconds for them. Both limits follow [`DockerSettings::timeout`].
pub(crate) const QUICK: Duration = crate::settings::TIMEOUT;

/// For work on the disk: creating, removing, unpacking.
pub(crate) const SLOW: Duration = Duration::from_secs(4 * QUICK.as_secs());

/// The limit in bollard itself. Longer than any of ours, so that ours, which say what was tried,
/// are the ones that strike; builds and imports may be silent for long.
const OUTER_SECONDS: u64 = 3600;

/// The engine's own account of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineVersion {
    /// The engine's version, such as `20.10.24`.
    pub version: String,
    /// The newest version of its interface, such as `1.41`.
    pub api_version: String,
}

/// The machine that the engine runs on, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Machine {
    /// Most CPUs that the engine lets a container have.
    pub(crate) cpus: i64,
    /// True if containers' networks lie behind a wall of the engine's own, where the host's
    /// programs reach published ports only: a machine within the machine, or an engine without
    /// root's rights.
    pub(crate) walled: bool,
}

impl Machine {
    fn read(info: &SystemInfo) -> Self {
        let options = info.security_options.as_deref().unwrap_or_default();
        let rootless = options.iter().any(|option| option.contains("rootless"));
        let desktop = info.operating_system.as_deref().is_some_and(|os| os.contains("Desktop"));
        Self {
            cpus: info.ncpu.filter(|count| *count > 0).unwrap_or(1),
            walled: rootless || desktop,
        }
    }
}

/// Docker as a [`thon_core::adapter::SandboxRuntime`].
#[derive(Debug)]
pub struct DockerRuntime {
    settings: DockerSettings,
    host: String,
    client: OnceCell<Docker>,
    machine: OnceCell<Machine>,
    /// What is known of sandboxes without asking again.
    known: Mutex<HashMap<SandboxId, Known>>,
    /// The network of those without internet, as soon as it is there behind its walls.
    pub(crate) offline: OnceCell<()>,
    /// Folders seen in images, by the image's id and the path.
    folders: Mutex<HashSet<(String, String)>>,
}

impl DockerRuntime {
    /// A runtime for these settings. The engine is first asked when something is wanted of it, so
    /// that a runtime can be made before Docker is started; what is wrong with the address itself
    /// is said at once.
    pub fn connect(settings: DockerSettings) -> Result<Self, DockerError> {
        let host = settings.host();
        let plain = host.starts_with("unix://") || host.starts_with("tcp://");
        if !plain && !host.starts_with("http://") {
            let error = EngineError::UnsupportedURISchemeError { uri: host.clone() };
            return Err(DockerError::from_engine("connecting to Docker", &host, &error));
        }
        Ok(Self {
            settings,
            host,
            client: OnceCell::new(),
            machine: OnceCell::new(),
            offline: OnceCell::new(),
            known: Mutex::default(),
            folders: Mutex::default(),
        })
    }

    /// The node that this runtime works for.
    #[must_use]
    pub fn node(&self) -> &NodeName {
        &self.settings.node
    }

    /// Asks whether the engine answers.
    pub async fn ping(&self) -> Result<(), DockerError> {
        let client = self.client().await?;
        self.call("asking whether Docker answers", QUICK, client.ping()).await.map(drop)
    }

    /// Asks the engine for its version.
    pub async fn version(&self) -> Result<EngineVersion, DockerError> {
        let client = self.client().await?;
        let version = self.call("asking Docker for its version", QUICK, client.version()).await?;
        Ok(EngineVersion {
            version: version.version.unwrap_or_default(),
            api_version: version.api_version.unwrap_or_default(),
        })
    }

    /// What the engine says about the machine that it runs on.
    pub(crate) async fn machine(&self) -> Result<Machine, DockerError> {
        let ask = async {
            let client = self.client().await?;
            // The whole answer is large; only these leave the box.
            let answer = Box::pin(async { client.info().await.map(|info| Machine::read(&info)) });
            self.call("asking Docker about the machine", QUICK, answer).await
        };
        self.machine.get_or_try_init(|| ask).await.copied()
    }

    /// The engine's address.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// True if the engine is on this machine as far as its address tells: only then are its folders,
    /// its networks and its packet filter those that we see. A TCP port may be a tunnel.
    pub(crate) fn is_here(&self) -> bool {
        self.host().starts_with("unix://")
    }

    pub(crate) fn settings(&self) -> &DockerSettings {
        &self.settings
    }

    /// The client, connected and agreed on a version; tried again by the next call if it fails.
    pub(crate) async fn client(&self) -> Result<&Docker, DockerError> {
        let tried = "connecting to Docker";
        self.client
            .get_or_try_init(|| async {
                let mut client = Docker::connect_with_host(&self.host)
                    .map_err(|error| DockerError::from_engine(tried, &self.host, &error))?;
                client.set_timeout(Duration::from_secs(OUTER_SECONDS));
                self.call(tried, QUICK, Box::pin(client.negotiate_version())).await
            })
            .await
    }

    /// Waits for an answer, for at most `limit`, and puts what goes wrong into words.
    pub(crate) async fn call<T>(
        &self,
        tried: &str,
        limit: Duration,
        answer: impl Future<Output = Result<T, EngineError>>,
    ) -> Result<T, DockerError> {
        self.raw(tried, limit, answer).await?.map_err(|error| self.error(tried, &error))
    }

    /// As [`Self::call`], with the engine's own error left for the caller to look at.
    pub(crate) async fn raw<T>(
        &self,
        tried: &str,
        limit: Duration,
        answer: impl Future<Output = Result<T, EngineError>>,
    ) -> Result<Result<T, EngineError>, DockerError> {
        let limit = self.settings.scaled(limit);
        tokio::time::timeout(limit, answer).await.map_err(|_| DockerError::timed_out(tried, limit))
    }

    /// Puts the engine's error into words.
    pub(crate) fn error(&self, tried: &str, error: &EngineError) -> DockerError {
        DockerError::from_engine(tried, &self.host, error)
    }

    // The two maps hold nothing that a panic could leave half-written, so a poisoned lock is fine.

    pub(crate) fn known(&self) -> MutexGuard<'_, HashMap<SandboxId, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn folders(&self) -> MutexGuard<'_, HashSet<(String, String)>> {
        self.folders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
