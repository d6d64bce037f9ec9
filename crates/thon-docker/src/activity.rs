//! How a running sandbox is used.
//!
//! For: when a browser was last there, and how much CPU time it has used.
//! Not for: judging whether that is idleness; the core does.

use std::time::{Duration, SystemTime};

use bollard::query_parameters::StatsOptionsBuilder;
use futures_util::TryStreamExt;
use thon_core::adapter::FailureKind;
use thon_core::sandbox::{SandboxId, Usage};

use crate::client::{DockerRuntime, QUICK};
use crate::error::DockerError;
use crate::probe;
use crate::runtime::no_endpoint;

impl DockerRuntime {
    /// When a browser was last there; code-server knows it, and says so without taking the question
    /// for use.
    pub(crate) async fn last_browser(
        &self,
        id: &SandboxId,
    ) -> Result<Option<SystemTime>, DockerError> {
        let known = self.recall(id).await?;
        let tried = format!("asking when sandbox {} was last used", known.name);
        let endpoint = known.endpoint.ok_or_else(|| no_endpoint(&tried))?;
        probe::heartbeat(&endpoint.published().address).await.map_err(|cause| {
            let advice = "`thon status` tells how it stands";
            DockerError::engine(FailureKind::Other, &tried, cause, advice)
        })
    }

    /// What everything in it uses.
    pub(crate) async fn in_use(&self, id: &SandboxId) -> Result<Usage, DockerError> {
        let tried = format!("asking what sandbox {} uses", self.name(id));
        let client = self.client().await?;
        // One look: Docker would otherwise wait for a second one.
        let options = StatsOptionsBuilder::default().stream(false).one_shot(true).build();
        let mut stats = client.stats(&id.0, Some(options));
        let stats = self.call(&tried, QUICK, stats.try_next()).await?;
        let (cpu, memory) =
            stats.map_or((None, None), |stats| (stats.cpu_stats, stats.memory_stats));
        let used = cpu.and_then(|cpu| cpu.cpu_usage).and_then(|usage| usage.total_usage);
        let memory = memory.and_then(|memory| {
            let counted = memory.stats.unwrap_or_default();
            // What was read from files and isn't used now, as each version of the cgroups calls it.
            let cached = counted.get("total_inactive_file").or(counted.get("inactive_file"));
            Some(memory.usage?.saturating_sub(cached.copied().unwrap_or_default()))
        });
        used.map(|cpu| Usage { cpu: Duration::from_nanos(cpu), memory }).ok_or_else(|| {
            let advice = "whether it works can't be told";
            DockerError::engine(FailureKind::Other, &tried, "Docker doesn't count it", advice)
        })
    }
}
