//! The node's own networks.
//!
//! For: one bridge per node on which sandboxes reach the outside and not each other, and a second
//! one for those who are to reach nothing, made when the first of them comes.
//! Not for: firewall rules between sandboxes and the host; see [`crate::firewall`].

use std::collections::HashMap;

use bollard::errors::Error as EngineError;
use bollard::models::{Ipam, IpamConfig, Network, NetworkCreateRequest};
use bollard::query_parameters::ListNetworksOptionsBuilder;
use thon_core::adapter::FailureKind;
use thon_core::doctor::NetworkFacts;
use thon_core::name::NodeName;
use thon_core::sandbox::SandboxSpec;

use crate::client::{DockerRuntime, QUICK, SLOW};
use crate::error::{DockerError, is_conflict, is_missing};
use crate::labels;
use crate::subnet::{self, Subnet};

/// Docker's option that keeps containers on one bridge apart when it is `false`.
const ISOLATION: &str = "com.docker.network.bridge.enable_icc";
/// Docker's option for the name of the bridge's interface.
const INTERFACE: &str = "com.docker.network.bridge.name";
/// Docker's option that lends the machine's address to what leaves the bridge unless it is `false`.
const MASQUERADE: &str = "com.docker.network.bridge.enable_ip_masquerade";
/// The kernel's table of IPv4 routes.
const ROUTES: &str = "/proc/net/route";
/// How many free subnets are tried before giving up: each failure means that somebody took it
/// between our look and our request.
const ATTEMPTS: usize = 8;

/// Which of the node's networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// The one from which the internet is reached.
    Online,
    /// The one from which nothing is reached, and whose sandboxes are reached all the same.
    Offline,
}

impl Reach {
    /// The one that a sandbox with published ports is on.
    pub(crate) fn of(spec: &SandboxSpec) -> Self {
        if spec.internet { Self::Online } else { Self::Offline }
    }
}

/// The network's name. No node's name has an underscore, so that no other node's network has it.
pub(crate) fn network_name(node: &NodeName, reach: Reach) -> String {
    match reach {
        Reach::Online => node.to_string(),
        Reach::Offline => format!("{node}_offline"),
    }
}

impl DockerRuntime {
    /// Makes one of the node's networks if it isn't there. Two processes that do so at once end up with
    /// one: the interface's name belongs to the node, and Docker gives it only once.
    pub(crate) async fn ensure_network(&self, reach: Reach) -> Result<(), DockerError> {
        let name = network_name(self.node(), reach);
        let tried = format!("making the network {name}");
        let networks = self.networks(&tried).await?;
        if let Some(found) = named(&name, &networks) {
            return self.judge(&tried, &name, found);
        }
        let mut last = None;
        for subnet in self.subnets(&tried, reach, &networks).await? {
            let client = self.client().await?;
            let request = self.network_request(reach, subnet);
            match self.raw(&tried, SLOW, client.create_network(request)).await? {
                Ok(_) => return Ok(()),
                Err(error) => {
                    // Somebody else may have made it meanwhile; then all is well.
                    if let Some(found) = named(&name, &self.networks(&tried).await?) {
                        return self.judge(&tried, &name, found);
                    }
                    if !collides(&error) {
                        return Err(self.error(&tried, &error));
                    }
                    last = Some(error);
                }
            }
        }
        Err(DockerError::engine(
            FailureKind::Conflict,
            &tried,
            last.map_or_else(
                || "every subnet on the list overlaps with a network or a route".to_owned(),
                |error| error.to_string(),
            ),
            "remove networks that nobody uses with `docker network prune`, or name a free subnet \
             in the configuration",
        ))
    }

    /// The node's network as it is, or as it would be made. Makes nothing.
    pub async fn network_facts(&self) -> Result<NetworkFacts, DockerError> {
        let tried = "looking at the sandboxes' network";
        let networks = self.networks(tried).await?;
        let table = tokio::fs::read_to_string(ROUTES).await.unwrap_or_default();
        let name = network_name(self.node(), Reach::Online);
        let found = named(&name, &networks);
        let subnet = match found {
            Some(found) => subnets_of(found).next(),
            None => self.subnets(tried, Reach::Online, &networks).await?.into_iter().next(),
        };
        let own = interface_name(self.node(), Reach::Online);
        let own = found.and_then(|found| option(found, INTERFACE)).unwrap_or(&own);
        let others =
            networks.iter().filter(|network| network.name != found.and_then(|f| f.name.clone()));
        let others = others.flat_map(|network| {
            let name = network.name.as_deref().unwrap_or_default();
            subnets_of(network).map(move |subnet| (format!("Docker's network {name}"), subnet))
        });
        let routes = subnet::routes(&table).into_iter();
        let routes = routes.filter(|(interface, _)| *interface != own);
        let routes =
            routes.map(|(interface, subnet)| (format!("the route by {interface}"), subnet));
        let overlaps = others
            .chain(routes)
            .filter(|(_, other)| subnet.is_some_and(|subnet| subnet.overlaps(*other)));
        Ok(NetworkFacts {
            present: found.is_some(),
            subnet: subnet.map(|subnet| subnet.to_string()),
            capacity: subnet.map(Subnet::capacity),
            overlaps: overlaps.map(|(whose, other)| format!("{whose} ({other})")).collect(),
            flaw: found.and_then(|found| self.flaw(&name, found)),
        })
    }

    /// The subnet of one of the node's networks; nothing if it isn't there.
    pub(crate) async fn subnet_of(
        &self,
        tried: &str,
        reach: Reach,
    ) -> Result<Option<Subnet>, DockerError> {
        let networks = self.networks(tried).await?;
        let found = named(&network_name(self.node(), reach), &networks);
        Ok(found.and_then(|network| subnets_of(network).next()))
    }

    async fn networks(&self, tried: &str) -> Result<Vec<Network>, DockerError> {
        let client = self.client().await?;
        let options = ListNetworksOptionsBuilder::default().build();
        self.call(tried, QUICK, client.list_networks(Some(options))).await
    }

    /// A network of our name is fine if it is ours and keeps sandboxes apart.
    fn judge(&self, tried: &str, name: &str, network: &Network) -> Result<(), DockerError> {
        let Some(cause) = self.flaw(name, network) else { return Ok(()) };
        let advice = format!(
            "remove it with `docker network rm {name}` and run again, or choose another node name"
        );
        Err(DockerError::engine(FailureKind::Conflict, tried, cause, advice))
    }

    /// Why sandboxes can't be put into a network of our name.
    fn flaw(&self, name: &str, network: &Network) -> Option<String> {
        let ours = network.labels.as_ref().is_some_and(|found| labels::are_of(self.node(), found));
        let isolates = option(network, ISOLATION) == Some("false");
        match (ours, isolates) {
            (true, true) => None,
            (false, _) => Some(format!("a network {name} is there and is not ours")),
            (true, false) => Some("the network lets sandboxes reach each other".to_owned()),
        }
    }

    /// Removes the node's networks and the firewall's rules. A network that something is attached to
    /// stays, and so do the rules.
    pub async fn dismantle(&self) -> Result<(), DockerError> {
        for reach in [Reach::Online, Reach::Offline] {
            let name = network_name(self.node(), reach);
            let tried = format!("removing the network {name}");
            let found = self.networks(&tried).await?;
            let ours = |network: &Network| {
                network.labels.as_ref().is_some_and(|found| labels::are_of(self.node(), found))
            };
            if !named(&name, &found).is_some_and(ours) {
                continue;
            }
            let client = self.client().await?;
            match self.raw(&tried, SLOW, client.remove_network(&name)).await? {
                Ok(()) => {}
                Err(error) if is_missing(&error) => {}
                Err(EngineError::DockerResponseServerError { status_code: 403, .. }) => {
                    return Ok(());
                }
                Err(error) => return Err(self.error(&tried, &error)),
            }
        }
        self.pull_down().await
    }

    /// The subnets to try: the configured one, or the first free ones.
    async fn subnets(
        &self,
        tried: &str,
        reach: Reach,
        networks: &[Network],
    ) -> Result<Vec<Subnet>, DockerError> {
        if let (Reach::Online, Some(text)) = (reach, &self.settings().subnet) {
            let subnet = text.parse().map_err(|()| {
                DockerError::host(
                    FailureKind::Other,
                    tried,
                    format!("{} is no IPv4 subnet", thon_core::name::quoted(text)),
                    "write it as address/length, such as 10.200.0.0/20",
                )
            })?;
            return Ok(vec![subnet]);
        }
        let mut taken: Vec<Subnet> = networks.iter().flat_map(subnets_of).collect();
        // Where the table can't be read there is no Linux to collide with.
        let table = tokio::fs::read_to_string(ROUTES).await.unwrap_or_default();
        taken.extend(subnet::routes(&table).into_iter().map(|(_, subnet)| subnet));
        Ok(subnet::free(&taken).take(ATTEMPTS).collect())
    }

    fn network_request(&self, reach: Reach, subnet: Subnet) -> NetworkCreateRequest {
        let mut options = HashMap::from([
            (ISOLATION.to_owned(), "false".to_owned()),
            (INTERFACE.to_owned(), interface_name(self.node(), reach)),
        ]);
        if reach == Reach::Offline {
            // Should the firewall ever be gone, no answer finds its way back.
            options.insert(MASQUERADE.to_owned(), "false".to_owned());
        }
        NetworkCreateRequest {
            name: network_name(self.node(), reach),
            driver: Some("bridge".to_owned()),
            ipam: Some(Ipam {
                config: Some(vec![IpamConfig {
                    subnet: Some(subnet.to_string()),
                    ..IpamConfig::default()
                }]),
                ..Ipam::default()
            }),
            options: Some(options),
            labels: Some(labels::of_node(self.node())),
            ..NetworkCreateRequest::default()
        }
    }
}

fn named<'a>(name: &str, networks: &'a [Network]) -> Option<&'a Network> {
    networks.iter().find(|network| network.name.as_deref() == Some(name))
}

fn subnets_of(network: &Network) -> impl Iterator<Item = Subnet> {
    let configs = network.ipam.as_ref().and_then(|ipam| ipam.config.as_ref());
    configs.into_iter().flatten().filter_map(|config| config.subnet.as_deref()?.parse().ok())
}

fn option<'a>(network: &'a Network, name: &str) -> Option<&'a str> {
    network.options.as_ref()?.get(name).map(String::as_str)
}

/// True if the engine refused a subnet or a name because something has it.
fn collides(error: &EngineError) -> bool {
    let overlaps = matches!(
        error,
        EngineError::DockerResponseServerError { message, .. }
            if message.to_ascii_lowercase().contains("overlap")
    );
    overlaps || is_conflict(error)
}

/// The interface's name: `thon0` and `thon1` on the default node, which people look for with
/// `ip addr`; a digest of the node's name on others, for the kernel allows 15 characters only, and
/// `eth` or `docker` with a 0 behind it is taken on most hosts.
pub(crate) fn interface_name(node: &NodeName, reach: Reach) -> String {
    let default = *node == NodeName::default();
    let digest = digest(node.as_str()) & 0xff_ffff_ffff;
    match (reach, default) {
        (Reach::Online, true) => "thon0".to_owned(),
        (Reach::Offline, true) => "thon1".to_owned(),
        (Reach::Online, false) => format!("thon-{digest:010x}"),
        (Reach::Offline, false) => format!("thof-{digest:010x}"),
    }
}

/// FNV-1a, with the constants of its 64-bit form: stable, and small enough to be written here.
pub(crate) fn digest(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interface_names_fit_the_kernel_and_differ() {
        assert_eq!(interface_name(&NodeName::default(), Reach::Online), "thon0");
        assert_eq!(interface_name(&NodeName::default(), Reach::Offline), "thon1");
        let names: Vec<String> = ["eth", "docker", "a", "x".repeat(32).as_str()]
            .iter()
            .flat_map(|node| {
                [Reach::Online, Reach::Offline]
                    .map(|reach| interface_name(&node.parse().unwrap(), reach))
            })
            .collect();
        for name in &names {
            assert_eq!(name.len(), 15, "{name}");
            assert_eq!(names.iter().filter(|other| *other == name).count(), 1);
        }
    }

    #[test]
    fn a_collision_is_told_from_another_refusal() {
        let answer = |status_code, message: &str| EngineError::DockerResponseServerError {
            status_code,
            message: message.to_owned(),
        };
        assert!(collides(&answer(403, "Pool overlaps with other one on this address space")));
        assert!(collides(&answer(409, "network with name thon already exists")));
        assert!(!collides(&answer(500, "bridge module not loaded")));
    }
}
