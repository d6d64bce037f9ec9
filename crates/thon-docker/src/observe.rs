//! What Docker says is there.
//!
//! For: reading every sandbox of the node from one list, without asking for each.
//! Not for: health; a list only tells what containers do.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use bollard::models::{
    ContainerInspectResponse, ContainerStateStatusEnum, ContainerSummary,
    ContainerSummaryStateEnum, PortSummaryTypeEnum,
};
use thon_core::endpoint::{Endpoint, NetworkMode, Port};
use thon_core::name::NodeName;
use thon_core::sandbox::{Fingerprint, ObservedSandbox, Phase, SandboxId};

use crate::{address, labels};

/// Where published ports are reached.
const LOOPBACK: &str = "127.0.0.1";

/// Reads one entry of the list. Nothing for what doesn't say in its labels that it is of `node` and
/// whose it is: what we can't name isn't ours to touch.
pub(crate) fn sandbox(node: &NodeName, summary: ContainerSummary) -> Option<ObservedSandbox> {
    let found = summary.labels.unwrap_or_default();
    if !labels::are_of(node, &found) {
        return None;
    }
    let user = labels::user(&found)?;
    let fingerprint = labels::fingerprint(&found);
    let mode = match summary.host_config.and_then(|config| config.network_mode).as_deref() {
        Some("host") => NetworkMode::Host,
        _ => NetworkMode::Bridge,
    };
    let published: Vec<(u16, u16)> = summary
        .ports
        .unwrap_or_default()
        .into_iter()
        .filter(|port| port.typ == Some(PortSummaryTypeEnum::TCP))
        .filter_map(|port| Some((port.private_port, port.public_port?)))
        .collect();
    let endpoint = endpoint(mode, &published, fingerprint.as_ref());
    let address = summary.network_settings.and_then(|settings| address::own(settings.networks?));
    Some(ObservedSandbox {
        id: SandboxId(summary.id?),
        name: summary
            .names
            .unwrap_or_default()
            .first()
            .map(|name| name.trim_start_matches('/').to_owned())
            .unwrap_or_default(),
        user,
        phase: summary_phase(summary.state),
        upstream: endpoint.as_ref().map(|endpoint| {
            let address = address.filter(|_| mode == NetworkMode::Bridge);
            address.map_or_else(|| endpoint.published(), |address| endpoint.at(address))
        }),
        endpoint,
        fingerprint,
        created_at: summary
            .created
            .and_then(|seconds| u64::try_from(seconds).ok())
            .map(|seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)),
        exit_code: summary.status.as_deref().and_then(exit_code),
    })
}

/// Where code-server answers: what Docker publishes, or, while it publishes nothing because the
/// container is down, what it was made with.
pub(crate) fn endpoint(
    mode: NetworkMode,
    published: &[(u16, u16)],
    fingerprint: Option<&Fingerprint>,
) -> Option<Endpoint> {
    let made_with = fingerprint.map(Fingerprint::ports);
    if mode == NetworkMode::Host {
        return made_with.map(|ports| Endpoint::host(LOOPBACK, ports.code_port));
    }
    let code_port = made_with.map(|ports| ports.code_port.get());
    let of_code = published
        .iter()
        .find(|(private, _)| Some(*private) == code_port)
        .or_else(|| published.first())
        .and_then(|(private, public)| {
            let public = Port::new((*public).into()).ok()?;
            Some(Endpoint::bridge(LOOPBACK, public, Port::new((*private).into()).ok()?))
        });
    let as_made =
        || made_with.map(|ports| Endpoint::bridge(LOOPBACK, ports.host_port, ports.code_port));
    of_code.or_else(as_made)
}

/// The endpoint of a container that was inspected.
pub(crate) fn inspected_endpoint(container: &ContainerInspectResponse) -> Option<Endpoint> {
    let no_labels = HashMap::new();
    let found = container.config.as_ref().and_then(|config| config.labels.as_ref());
    let fingerprint = labels::fingerprint(found.unwrap_or(&no_labels));
    let mode = match container.host_config.as_ref().and_then(|c| c.network_mode.as_deref()) {
        Some("host") => NetworkMode::Host,
        _ => NetworkMode::Bridge,
    };
    let ports = container.network_settings.as_ref().and_then(|network| network.ports.as_ref());
    let published: Vec<(u16, u16)> = ports
        .into_iter()
        .flatten()
        .filter_map(|(private, bindings)| {
            let private = private.strip_suffix("/tcp")?.parse().ok()?;
            let public = bindings.as_ref()?.first()?.host_port.as_ref()?.parse().ok()?;
            Some((private, public))
        })
        .collect();
    endpoint(mode, &published, fingerprint.as_ref())
}

fn summary_phase(state: Option<ContainerSummaryStateEnum>) -> Phase {
    use ContainerSummaryStateEnum as State;
    match state {
        Some(State::CREATED) => Phase::Created,
        Some(State::RUNNING) => Phase::Running,
        Some(State::RESTARTING) => Phase::Restarting,
        Some(State::PAUSED) => Phase::Paused,
        Some(State::EXITED) => Phase::Exited,
        _ => Phase::Unknown,
    }
}

/// The phase of a container that was inspected.
pub(crate) fn inspected_phase(state: Option<ContainerStateStatusEnum>) -> Phase {
    use ContainerStateStatusEnum as State;
    match state {
        Some(State::CREATED) => Phase::Created,
        Some(State::RUNNING) => Phase::Running,
        Some(State::RESTARTING) => Phase::Restarting,
        Some(State::PAUSED) => Phase::Paused,
        Some(State::EXITED) => Phase::Exited,
        _ => Phase::Unknown,
    }
}

/// The code in `Exited (143) 2 minutes ago` and `Restarting (1) 3 seconds ago`.
fn exit_code(status: &str) -> Option<i64> {
    let rest = status.strip_prefix("Exited (").or_else(|| status.strip_prefix("Restarting ("))?;
    rest.split(')').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bollard::models::{
        ContainerSummaryHostConfig, ContainerSummaryNetworkSettings, EndpointIpamConfig,
        EndpointSettings, PortSummary,
    };
    use thon_core::config::Layout;
    use thon_core::limits::Limits;
    use thon_core::sandbox::{Access, SandboxSpec};
    use thon_core::workspace::Workspace;

    use super::*;

    fn spec() -> SandboxSpec {
        SandboxSpec {
            user: "alpha/alice".parse().unwrap(),
            image: "thon:1".parse().unwrap(),
            network_mode: NetworkMode::Bridge,
            code_port: Port::new(8444).unwrap(),
            host_port: Port::new(20_001).unwrap(),
            layout: Layout::Path,
            workspace: Workspace::Ephemeral,
            limits: Limits::default(),
            internet: true,
            access: Access::Open,
            environment: BTreeMap::new(),
            files: Vec::new(),
        }
    }

    fn summary(node: &NodeName) -> ContainerSummary {
        let mut found = labels::of_user(node, &spec().user);
        let fingerprint = serde_json::to_string(&spec().fingerprint()).unwrap();
        found.insert(labels::FINGERPRINT.to_owned(), fingerprint);
        ContainerSummary {
            id: Some("abc".to_owned()),
            names: Some(vec!["/thon-sandbox-alpha_alice".to_owned()]),
            labels: Some(found),
            state: Some(ContainerSummaryStateEnum::RUNNING),
            status: Some("Up 2 minutes".to_owned()),
            created: Some(1_700_000_000),
            ports: Some(vec![PortSummary {
                ip: Some(LOOPBACK.to_owned()),
                private_port: 8444,
                public_port: Some(20_007),
                typ: Some(PortSummaryTypeEnum::TCP),
            }]),
            ..ContainerSummary::default()
        }
    }

    #[test]
    fn a_running_sandbox_is_read_from_the_list_alone() {
        let node = NodeName::default();
        let found = sandbox(&node, summary(&node)).unwrap();
        assert_eq!(found.user.to_string(), "alpha/alice");
        assert_eq!(found.name, "thon-sandbox-alpha_alice");
        assert_eq!(found.phase, Phase::Running);
        // What Docker says counts, not what was asked for.
        assert_eq!(found.endpoint.unwrap().to_string(), "127.0.0.1:20007/proxy/8444");
        assert_eq!(found.upstream.unwrap().address, "127.0.0.1:20007");
        assert!(found.fingerprint.unwrap().differences(&spec().fingerprint()).is_empty());
        assert_eq!(found.exit_code, None);
    }

    #[test]
    fn the_proxy_dials_the_address_that_a_sandbox_keeps() {
        let node = NodeName::default();
        let on_network = |given: Option<&str>| {
            let mut summary = summary(&node);
            let endpoint = EndpointSettings {
                ip_address: Some("10.200.0.7".to_owned()),
                ipam_config: given.map(|address| EndpointIpamConfig {
                    ipv4_address: Some(address.to_owned()),
                    ..EndpointIpamConfig::default()
                }),
                ..EndpointSettings::default()
            };
            summary.network_settings = Some(ContainerSummaryNetworkSettings {
                networks: Some(HashMap::from([("thon".to_owned(), endpoint)])),
            });
            sandbox(&node, summary).unwrap()
        };
        let found = on_network(Some("10.200.15.246"));
        assert_eq!(found.upstream.unwrap().address, "10.200.15.246:8444");
        // People's paths are made from the published port all the same.
        assert_eq!(found.endpoint.unwrap().to_string(), "127.0.0.1:20007/proxy/8444");
        // One that Docker chose may be another sandbox's after the next start.
        assert_eq!(on_network(None).upstream.unwrap().address, "127.0.0.1:20007");
    }

    #[test]
    fn a_stopped_one_keeps_the_endpoint_that_it_was_made_with() {
        let node = NodeName::default();
        let mut stopped = summary(&node);
        stopped.ports = None;
        stopped.state = Some(ContainerSummaryStateEnum::EXITED);
        stopped.status = Some("Exited (143) 2 minutes ago".to_owned());
        let found = sandbox(&node, stopped).unwrap();
        assert_eq!(found.endpoint.unwrap().to_string(), "127.0.0.1:20001/proxy/8444");
        assert_eq!((found.phase, found.exit_code), (Phase::Exited, Some(143)));
    }

    #[test]
    fn host_mode_shows_in_the_endpoint() {
        let node = NodeName::default();
        let mut host = summary(&node);
        host.ports = None;
        host.host_config = Some(ContainerSummaryHostConfig {
            network_mode: Some("host".to_owned()),
            ..ContainerSummaryHostConfig::default()
        });
        let found = sandbox(&node, host).unwrap();
        assert_eq!(found.endpoint.unwrap().to_string(), "127.0.0.1:8444");
    }

    #[test]
    fn what_we_cannot_name_is_not_ours() {
        let node = NodeName::default();
        let other: NodeName = "other".parse().unwrap();
        assert!(sandbox(&other, summary(&node)).is_none());
        let mut nameless = summary(&node);
        nameless.labels.as_mut().unwrap().remove(labels::USER);
        assert!(sandbox(&node, nameless).is_none());
        assert!(sandbox(&node, ContainerSummary::default()).is_none());
    }

    #[test]
    fn an_unreadable_fingerprint_and_an_unusual_state_are_no_error() {
        let node = NodeName::default();
        let mut odd = summary(&node);
        odd.state = Some(ContainerSummaryStateEnum::REMOVING);
        odd.labels.as_mut().unwrap().insert(labels::FINGERPRINT.to_owned(), "{}".to_owned());
        let found = sandbox(&node, odd).unwrap();
        assert_eq!((found.phase, found.fingerprint), (Phase::Unknown, None));
        // The published port still tells where it answers.
        assert_eq!(found.endpoint.unwrap().to_string(), "127.0.0.1:20007/proxy/8444");
    }
}
