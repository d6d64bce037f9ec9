//! The trait that the orchestrator knows.
//!
//! For: answering its calls with those of the other modules.
//! Not for: anything of its own beyond starting, stopping and removing.

use std::collections::BTreeSet;
use std::time::SystemTime;

use async_trait::async_trait;
use bollard::errors::Error as EngineError;
use bollard::query_parameters::{
    ListContainersOptionsBuilder, LogsOptionsBuilder, RestartContainerOptionsBuilder,
    StartContainerOptions, StopContainerOptionsBuilder, WaitContainerOptionsBuilder,
};
use futures_util::{StreamExt, TryStreamExt};
use thon_core::adapter::{Failure, FailureKind, SandboxRuntime};
use thon_core::disk::{DiskGuard, DiskUse};
use thon_core::endpoint::{Endpoint, NetworkMode, Port};
use thon_core::image::ImageRef;
use thon_core::log::{LogLines, LogRequest};
use thon_core::name::UserId;
use thon_core::sandbox::{Health, ObservedSandbox, Phase, SandboxId, SandboxSpec, Usage};
use thon_core::shell::{Shell, ShellRequest};
use thon_core::workspace::{Workspace, WorkspaceChange};

use crate::client::{DockerRuntime, QUICK, SLOW};
use crate::error::{DockerError, is_conflict, is_missing};
use crate::health::Known;
use crate::network::Reach;
use crate::observe::{self, inspected_endpoint, inspected_phase};
use crate::{address, labels, probe};

/// Seconds that code-server has to end by itself; it keeps nothing in memory that needs longer.
pub(crate) const GRACE_SECONDS: i32 = 5;

#[async_trait]
impl SandboxRuntime for DockerRuntime {
    async fn observe(&self) -> Result<Vec<ObservedSandbox>, Failure> {
        Ok(self.list().await?)
    }

    async fn prepare(&self) -> Result<Vec<String>, Failure> {
        self.ensure_network(Reach::Online).await?;
        Ok(self.wall_off().await)
    }

    async fn has_image(&self, image: &ImageRef) -> Result<bool, Failure> {
        Ok(self.image_info(image).await?.is_some())
    }

    async fn ports_in_use(&self, ports: &[Port]) -> Result<BTreeSet<Port>, Failure> {
        Ok(probe::held(ports).await)
    }

    async fn ensure_workspace(
        &self,
        user: &UserId,
        workspace: &Workspace,
    ) -> Result<WorkspaceChange, Failure> {
        Ok(self.make_workspace(user, workspace).await?)
    }

    async fn create(&self, spec: &SandboxSpec) -> Result<SandboxId, Failure> {
        Ok(Box::pin(self.make(spec)).await?)
    }

    async fn start(&self, id: &SandboxId) -> Result<Endpoint, Failure> {
        Ok(self.set_going(id).await?)
    }

    async fn health(&self, id: &SandboxId) -> Result<Health, Failure> {
        Ok(self.look(id).await?)
    }

    async fn heartbeat(&self, id: &SandboxId) -> Result<Option<SystemTime>, Failure> {
        Ok(self.last_browser(id).await?)
    }

    async fn usage(&self, id: &SandboxId) -> Result<Usage, Failure> {
        Ok(self.in_use(id).await?)
    }

    async fn stop(&self, id: &SandboxId) -> Result<(), Failure> {
        Ok(self.bring_down(id).await?)
    }

    async fn pause(&self, id: &SandboxId) -> Result<(), Failure> {
        Ok(self.freeze(id).await?)
    }

    async fn resume(&self, id: &SandboxId) -> Result<(), Failure> {
        Ok(self.thaw(id).await?)
    }

    async fn restart(&self, id: &SandboxId) -> Result<Endpoint, Failure> {
        Ok(self.begin_again(id).await?)
    }

    async fn remove(&self, id: &SandboxId) -> Result<(), Failure> {
        let tried = format!("removing sandbox {}", self.name(id));
        self.discard(&tried, &id.0).await?;
        self.known().remove(id);
        Ok(())
    }

    async fn disk_guard(&self, spec: &SandboxSpec) -> Result<DiskGuard, Failure> {
        Ok(self.guard_of_disk(spec).await?)
    }

    async fn disk_use(&self, id: &SandboxId) -> Result<DiskUse, Failure> {
        Ok(self.measure(id).await?)
    }

    async fn logs(&self, id: &SandboxId, tail: usize) -> Result<String, Failure> {
        Ok(self.last_lines(id, tail).await?)
    }

    async fn follow_log(&self, id: &SandboxId, request: &LogRequest) -> Result<LogLines, Failure> {
        Ok(self.lines(id, request).await?)
    }

    async fn attach(&self, id: &SandboxId, request: &ShellRequest) -> Result<Shell, Failure> {
        Ok(self.talk(id, request).await?)
    }
}

impl DockerRuntime {
    /// Every sandbox of the node, from one list.
    async fn list(&self) -> Result<Vec<ObservedSandbox>, DockerError> {
        let client = self.client().await?;
        let options = ListContainersOptionsBuilder::default()
            .all(true)
            .filters(&labels::filter(self.node()))
            .build();
        let tried = "listing the sandboxes";
        let listed = self.call(tried, QUICK, client.list_containers(Some(options))).await?;
        let found: Vec<ObservedSandbox> = listed
            .into_iter()
            .filter_map(|summary| observe::sandbox(self.node(), summary))
            .collect();
        let mut known = self.known();
        known.clear();
        for sandbox in &found {
            let entry = Known {
                name: sandbox.name.clone(),
                endpoint: sandbox.endpoint.clone(),
                inspected: None,
            };
            known.insert(sandbox.id.clone(), entry);
        }
        drop(known);
        Ok(found)
    }

    /// The name that people know it by, as far as it is known.
    pub(crate) fn name(&self, id: &SandboxId) -> String {
        self.known().get(id).map_or_else(|| id.to_string(), |known| known.name.clone())
    }

    async fn set_going(&self, id: &SandboxId) -> Result<Endpoint, DockerError> {
        let known = self.recall(id).await?;
        let tried = format!("starting sandbox {}", known.name);
        self.check_host_port(&tried, id, &known).await?;
        let client = self.client().await?;
        let request = || client.start_container(&id.0, None::<StartContainerOptions>);
        let mut answer = self.raw(&tried, SLOW, request()).await?;
        if answer.as_ref().is_err_and(address::is_refused) {
            self.forget_address(&tried, id).await?;
            answer = self.raw(&tried, SLOW, request()).await?;
        }
        match answer {
            Ok(()) => {}
            Err(error) if is_paused(&error) => {
                self.call(&tried, SLOW, client.unpause_container(&id.0)).await?;
            }
            Err(error) => return Err(self.error(&tried, &error)),
        }
        let mut container = self.inspect(&tried, id).await?;
        let status = container.state.as_ref().and_then(|state| state.status);
        if inspected_phase(status) == Phase::Restarting {
            // Docker counts this as started and waits longer and longer between its own attempts.
            let options = RestartContainerOptionsBuilder::default().t(GRACE_SECONDS).build();
            self.call(&tried, SLOW, client.restart_container(&id.0, Some(options))).await?;
            container = self.inspect(&tried, id).await?;
        }
        inspected_endpoint(&container).or(known.endpoint).ok_or_else(|| no_endpoint(&tried))
    }

    /// In host mode Docker doesn't guard the port: a code-server that finds it taken would go up
    /// and down for ever.
    async fn check_host_port(
        &self,
        tried: &str,
        id: &SandboxId,
        known: &Known,
    ) -> Result<(), DockerError> {
        let Some(endpoint) = &known.endpoint else {
            return Ok(());
        };
        if endpoint.network_mode() == NetworkMode::Bridge {
            return Ok(());
        }
        let port = endpoint.port();
        if probe::held(&[port]).await.is_empty() {
            return Ok(());
        }
        let state = self.inspect(tried, id).await?.state;
        if inspected_phase(state.and_then(|state| state.status)) == Phase::Running {
            return Ok(());
        }
        Err(DockerError::host(
            FailureKind::PortTaken,
            tried,
            format!("port {port} on 127.0.0.1 is held by another program"),
            format!("find it with `ss -ltnp 'sport = :{port}'` and stop it"),
        ))
    }

    async fn bring_down(&self, id: &SandboxId) -> Result<(), DockerError> {
        let tried = format!("stopping sandbox {}", self.name(id));
        let client = self.client().await?;
        let options = StopContainerOptionsBuilder::default().t(GRACE_SECONDS).build();
        match self.raw(&tried, SLOW, client.stop_container(&id.0, Some(options))).await? {
            Ok(()) => Ok(()),
            Err(error) if is_missing(&error) => Ok(()),
            Err(error) => Err(self.error(&tried, &error)),
        }
    }

    /// Waits until a container is gone whose removal somebody else has begun.
    pub(crate) async fn await_removal(
        &self,
        tried: &str,
        container: &str,
    ) -> Result<(), DockerError> {
        let client = self.client().await?;
        let options = WaitContainerOptionsBuilder::default().condition("removed").build();
        let mut gone = client.wait_container(container, Some(options));
        match self.raw(tried, SLOW, async { gone.next().await.transpose() }).await? {
            // The container's own exit code comes as an error, and doesn't matter here.
            Ok(_) | Err(EngineError::DockerContainerWaitError { .. }) => Ok(()),
            Err(error) if is_missing(&error) => Ok(()),
            Err(error) => Err(self.error(tried, &error)),
        }
    }

    async fn last_lines(&self, id: &SandboxId, tail: usize) -> Result<String, DockerError> {
        let tried = format!("reading the log of sandbox {}", self.name(id));
        let client = self.client().await?;
        let options =
            LogsOptionsBuilder::default().stdout(true).stderr(true).tail(&tail.to_string()).build();
        let lines = client.logs(&id.0, Some(options)).try_fold(Vec::new(), |mut all, part| {
            all.extend_from_slice(&part.into_bytes());
            std::future::ready(Ok(all))
        });
        let text = self.call(&tried, QUICK, lines).await?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

/// Neither Docker nor the labels tell where it answers.
pub(crate) fn no_endpoint(tried: &str) -> DockerError {
    DockerError::engine(
        FailureKind::Other,
        tried,
        "Docker publishes no port of it and its labels don't name one",
        "remove the sandbox and run `thon run`, which makes it anew",
    )
}

/// True if the engine won't start a container because it is frozen.
fn is_paused(error: &EngineError) -> bool {
    let says_so = matches!(
        error,
        EngineError::DockerResponseServerError { message, .. } if message.contains("paused")
    );
    says_so && is_conflict(error)
}
