//! What a [`crate::DockerRuntime`] is told when it is made.
//!
//! For: the node's name and how the engine is reached.
//! Not for: anything of a single sandbox; that comes with its specification.

use thon_core::name::NodeName;

use crate::firewall::FirewallSettings;

/// Where the engine listens unless something else is said.
pub(crate) const DEFAULT_HOST: &str = "unix:///var/run/docker.sock";

/// The settings of a runtime.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
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
}

impl DockerSettings {
    /// The settings for `node`, the rest left to the environment.
    #[must_use]
    pub fn for_node(node: NodeName) -> Self {
        Self { node, ..Self::default() }
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
