//! Freezing a sandbox, thawing it, and beginning it again.
//!
//! For: what Docker calls pause, unpause and restart, each as often as one likes.
//! Not for: what it means for the person; the core says that.

use bollard::errors::Error as EngineError;
use bollard::query_parameters::RestartContainerOptionsBuilder;
use thon_core::adapter::FailureKind;
use thon_core::endpoint::Endpoint;
use thon_core::sandbox::{Phase, SandboxId};

use crate::client::{DockerRuntime, SLOW};
use crate::error::{DockerError, is_missing};
use crate::observe::{inspected_endpoint, inspected_phase};
use crate::runtime::{GRACE_SECONDS, no_endpoint};

impl DockerRuntime {
    /// Freezes it, unless it is frozen.
    pub(crate) async fn freeze(&self, id: &SandboxId) -> Result<(), DockerError> {
        let tried = format!("pausing sandbox {}", self.name(id));
        let client = self.client().await?;
        let said = self.raw(&tried, SLOW, client.pause_container(&id.0)).await?;
        self.settle(&tried, id, said, Phase::Paused).await
    }

    /// Thaws it, unless it runs.
    pub(crate) async fn thaw(&self, id: &SandboxId) -> Result<(), DockerError> {
        let tried = format!("resuming sandbox {}", self.name(id));
        let client = self.client().await?;
        let said = self.raw(&tried, SLOW, client.unpause_container(&id.0)).await?;
        self.settle(&tried, id, said, Phase::Running).await
    }

    /// Docker refuses what is done already, in words that differ from version to version: what it
    /// does is asked for instead of reading them.
    async fn settle(
        &self,
        tried: &str,
        id: &SandboxId,
        said: Result<(), EngineError>,
        wanted: Phase,
    ) -> Result<(), DockerError> {
        let Err(error) = said else { return Ok(()) };
        let answered = matches!(error, EngineError::DockerResponseServerError { .. });
        if !answered || is_missing(&error) {
            return Err(self.error(tried, &error));
        }
        let state = self.inspect(tried, id).await?.state;
        match inspected_phase(state.and_then(|state| state.status)) {
            phase if phase == wanted => Ok(()),
            Phase::Running | Phase::Paused => Err(self.error(tried, &error)),
            _ => Err(DockerError::engine(
                FailureKind::Conflict,
                tried,
                "it is down",
                "`thon run` starts it",
            )),
        }
    }

    /// Stops it and starts it again. Docker does both at one word, so that whoever is interrupted
    /// leaves a sandbox that comes up.
    pub(crate) async fn begin_again(&self, id: &SandboxId) -> Result<Endpoint, DockerError> {
        let known = self.recall(id).await?;
        let tried = format!("restarting sandbox {}", known.name);
        let client = self.client().await?;
        let options = RestartContainerOptionsBuilder::default().t(GRACE_SECONDS).build();
        self.call(&tried, SLOW, client.restart_container(&id.0, Some(options))).await?;
        let container = self.inspect(&tried, id).await?;
        inspected_endpoint(&container).or(known.endpoint).ok_or_else(|| no_endpoint(&tried))
    }
}
