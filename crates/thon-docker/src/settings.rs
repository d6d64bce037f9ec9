//! What a [`crate::DockerRuntime`] is told when it is made.
//!
//! For: the node's name and how the engine is reached.
//! Not for: anything of a single sandbox; that comes with its specification.

use std::time::Duration;

use thon_core::name::NodeName;

use crate::firewall::FirewallSettings;

/// Where the engine listens unless something else is said.
pub(crate) const DEFAULT_HOST: &str = "unix:///var/run/docker.sock";

/// How long the engine may take for an answer unless something else is said.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);

/// The settings of a runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DockerSettings {
    /// The node: the value of the label by which everything of ours is found again, and the name
    /// of the network.
    pub node: NodeName,
    /// The engine's address, `unix:///path` or `tcp://host:port`. Nothing means the environment
    /// variable `DOCKER_HOST`, and without that Docker's usual socket.
    pub docker_host: Option<String>,
    /// The subnet of the node's network, such as `10.200.0.0/20`. Nothing means the first of a
    /// list of private ones that overlaps with no network of Docker's and no route of the host.
    pub subnet: Option<String>,
    /// What of this machine sandboxes reach. Nothing means that no walls are put up.
    pub firewall: Option<FirewallSettings>,
    /// How long the engine may take for an answer; four times as long for work on the disk.
    pub timeout: Duration,
}

impl Default for DockerSettings {
    fn default() -> Self {
        Self {
            node: NodeName::default(),
            docker_host: None,
            subnet: None,
            firewall: None,
            timeout: TIMEOUT,
        }
    }
}

impl DockerSettings {
    /// The settings for `node`, the rest left to the environment.
    #[must_use]
    pub fn for_node(node: NodeName) -> Self {
        Self { node, ..Self::default() }
    }

    /// A limit that was chosen for [`TIMEOUT`], as the settings want it.
    pub(crate) fn scaled(&self, limit: Duration) -> Duration {
        limit.mul_f64(self.timeout.as_secs_f64() / TIMEOUT.as_secs_f64())
    }

    /// The engine's address that these settings amount to.
    pub(crate) fn host(&self) -> String {
        self.docker_host
            .clone()
            .or_else(|| std::env::var("DOCKER_HOST").ok())
            .filter(|host| !host.trim().is_empty())
            .unwrap_or_else(|| DEFAULT_HOST.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_follow_the_timeout() {
        let limit = |timeout, limit| {
            DockerSettings { timeout, ..DockerSettings::default() }.scaled(limit).as_secs_f64()
        };
        assert!((limit(TIMEOUT, TIMEOUT * 4) - 120.0).abs() < 0.001);
        assert!((limit(Duration::from_secs(1), TIMEOUT * 4) - 4.0).abs() < 0.001);
    }
}
