//! Making a sandbox's container.
//!
//! For: translating a specification into what Docker is asked for: limits, hardening, labels, the
//! published port and the workspace's mount; and putting the files in place.
//! Not for: starting it.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use bollard::models::{
    ContainerCreateBody, ContainerStateStatusEnum, HostConfig, HostConfigLogConfig, Mount,
    MountType, MountVolumeOptions, NetworkingConfig, PortBinding, RestartPolicy,
    RestartPolicyNameEnum,
};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, InspectContainerOptions, RemoveContainerOptionsBuilder,
};
use thon_core::adapter::FailureKind;
use thon_core::endpoint::NetworkMode;
use thon_core::name::NodeName;
use thon_core::sandbox::{SandboxId, SandboxSpec, USER_ID};
use thon_core::workspace::{MOUNT_POINT, Workspace};

use crate::address::kept;
use crate::client::{DockerRuntime, QUICK, SLOW};
use crate::error::{DockerError, is_conflict, is_missing};
use crate::health::Known;
use crate::labels;
use crate::network::{Reach, network_name};

/// Docker keeps what a sandbox writes; with two files of this size a talkative one can't fill the
/// disk.
const LOG_FILE_SIZE: &str = "10m";
const LOG_FILES: &str = "2";
/// Docker asks the machine's nameservers on a sandbox's behalf, by which words could be passed on to
/// anyone who runs a domain. This address is nobody's (RFC 7600), and the walls refuse what goes
/// there.
const NO_NAMESERVER: &str = "192.0.0.8";
/// Docker swallows a question that can't be passed on; without these, whoever asks waits for twenty
/// seconds.
const GIVE_UP_SOON: [&str; 2] = ["timeout:1", "attempts:1"];
/// Docker counts CPUs in billionths.
const NANO: i64 = 1_000_000_000;

impl DockerRuntime {
    /// Creates the container with its files in place.
    pub(crate) async fn make(&self, spec: &SandboxSpec) -> Result<SandboxId, DockerError> {
        let name = spec.user.container_name(self.node());
        let tried = format!("creating sandbox {name}");
        let Some(image) = self.image_info(&spec.image).await? else {
            return Err(DockerError::engine(
                FailureKind::Missing,
                tried,
                format!("the image {} is not here", spec.image),
                "build it with `thon image build`, or name another one in `sandbox.image`",
            ));
        };
        if is_offline(spec) {
            self.ready_offline().await?;
        }
        let body = self.body(&tried, spec).await?;
        let id = self.create_container(&tried, &name, body).await?;
        if let Err(error) = self.inject(&name, &id, &image.id, &spec.all_files()).await {
            // What remains if this fails as well is a container that never started, which the next
            // run makes anew; the first error is the one to tell.
            drop(self.discard(&tried, &id.0).await);
            return Err(error);
        }
        let known = Known { name, endpoint: Some(spec.endpoint()), inspected: None };
        self.known().insert(id.clone(), known);
        Ok(id)
    }

    async fn create_container(
        &self,
        tried: &str,
        name: &str,
        body: ContainerCreateBody,
    ) -> Result<SandboxId, DockerError> {
        let client = self.client().await?;
        let options = CreateContainerOptionsBuilder::default().name(name).build();
        let request = || client.create_container(Some(options.clone()), body.clone());
        let error = match self.raw(tried, SLOW, request()).await? {
            Ok(created) => return Ok(SandboxId(created.id)),
            Err(error) => error,
        };
        if !is_conflict(&error) {
            return Err(self.error(tried, &error));
        }
        self.clear_half_made(tried, name).await?;
        self.call(tried, SLOW, request()).await.map(|created| SandboxId(created.id))
    }

    /// Removes what holds the name if it is ours and never ran: an earlier run was killed between
    /// creating and starting it.
    async fn clear_half_made(&self, tried: &str, name: &str) -> Result<(), DockerError> {
        let client = self.client().await?;
        let question = client.inspect_container(name, None::<InspectContainerOptions>);
        let found = match self.raw(tried, QUICK, question).await? {
            Ok(found) => found,
            Err(error) if is_missing(&error) => return Ok(()),
            Err(error) => return Err(self.error(tried, &error)),
        };
        let no_labels = HashMap::new();
        let found_labels = found.config.and_then(|config| config.labels).unwrap_or(no_labels);
        let ours = labels::are_of(self.node(), &found_labels);
        let status = found.state.and_then(|state| state.status);
        match (ours, status) {
            (true, Some(ContainerStateStatusEnum::CREATED)) => {
                self.discard(tried, found.id.as_deref().unwrap_or(name)).await
            }
            (true, _) => Err(DockerError::engine(
                FailureKind::Conflict,
                tried,
                format!("the sandbox {name} is there already"),
                "somebody else made it meanwhile: run `thon run` again",
            )),
            (false, _) => Err(DockerError::engine(
                FailureKind::Conflict,
                tried,
                format!("a container {name} is there that THON did not make"),
                format!(
                    "remove it with `docker rm -f {name}`, rename it, or use another node name"
                ),
            )),
        }
    }

    /// Removes a container whatever it does. Volumes stay.
    pub(crate) async fn discard(&self, tried: &str, container: &str) -> Result<(), DockerError> {
        let client = self.client().await?;
        let options = RemoveContainerOptionsBuilder::default().force(true).v(false).build();
        match self.raw(tried, SLOW, client.remove_container(container, Some(options))).await? {
            Ok(()) => Ok(()),
            Err(error) if is_missing(&error) => Ok(()),
            Err(error) if is_conflict(&error) => self.await_removal(tried, container).await,
            Err(error) => Err(self.error(tried, &error)),
        }
    }

    async fn body(
        &self,
        tried: &str,
        spec: &SandboxSpec,
    ) -> Result<ContainerCreateBody, DockerError> {
        let cpus = self.machine().await?.cpus;
        let address = self.address_for(tried, spec).await?;
        let label = serde_json::to_string(&spec.fingerprint()).map_err(|error| {
            let advice = "this is a fault in THON: please report it";
            DockerError::host(FailureKind::Other, tried, error.to_string(), advice)
        })?;
        Ok(body(self.node(), spec, cpus, label, address))
    }
}

/// Whether the sandbox belongs on the network that leads nowhere.
fn is_offline(spec: &SandboxSpec) -> bool {
    !spec.internet && spec.network_mode == NetworkMode::Bridge
}

fn body(
    node: &NodeName,
    spec: &SandboxSpec,
    cpus: i64,
    fingerprint: String,
    address: Option<Ipv4Addr>,
) -> ContainerCreateBody {
    let mut labels = labels::of_user(node, &spec.user);
    labels.insert(labels::FINGERPRINT.to_owned(), fingerprint);
    let port = format!("{}/tcp", spec.code_port);
    let bridge = spec.network_mode == NetworkMode::Bridge;
    let network = network_name(node, Reach::of(spec));
    let environment = spec.variables().into_iter().map(|(name, value)| format!("{name}={value}"));
    ContainerCreateBody {
        image: Some(spec.image.to_string()),
        cmd: Some(spec.arguments()),
        hostname: Some(spec.user.user.to_string()),
        // Said by number, so that an image whose default user is root doesn't run as root.
        user: Some(format!("{USER_ID}:{USER_ID}")),
        env: Some(environment.collect()),
        exposed_ports: bridge.then(|| vec![port.clone()]),
        labels: Some(labels),
        networking_config: address.map(|address| NetworkingConfig {
            endpoints_config: Some(HashMap::from([(network.clone(), kept(address))])),
        }),
        host_config: Some(HostConfig {
            network_mode: Some(if bridge { network } else { "host".to_owned() }),
            dns: is_offline(spec).then(|| vec![NO_NAMESERVER.to_owned()]),
            dns_options: is_offline(spec).then(|| GIVE_UP_SOON.map(str::to_owned).to_vec()),
            port_bindings: bridge.then(|| HashMap::from([(port, Some(vec![binding(spec)]))])),
            mounts: mount(node, spec).map(|mount| vec![mount]),
            ..confinement(spec, cpus)
        }),
        ..ContainerCreateBody::default()
    }
}

/// Limits and hardening: what every sandbox gets whatever else it is.
fn confinement(spec: &SandboxSpec, cpus: i64) -> HostConfig {
    let limits = &spec.limits;
    let memory = i64::try_from(limits.memory.bytes()).ok();
    // Docker refuses more CPUs than the machine has, and then all it has is meant.
    let nano_cpus = i64::try_from(limits.cpus.nano()).ok().map(|wanted| wanted.min(cpus * NANO));
    HostConfig {
        cap_drop: Some(vec!["ALL".to_owned()]),
        security_opt: Some(vec!["no-new-privileges".to_owned()]),
        privileged: Some(false),
        pids_limit: Some(limits.pids.into()),
        memory,
        // Memory and swap together: no swap on top.
        memory_swap: memory,
        nano_cpus,
        // Collects the orphans that terminals leave behind.
        init: Some(true),
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::UNLESS_STOPPED),
            maximum_retry_count: None,
        }),
        log_config: Some(HostConfigLogConfig {
            typ: Some("json-file".to_owned()),
            config: Some(HashMap::from([
                ("max-size".to_owned(), LOG_FILE_SIZE.to_owned()),
                ("max-file".to_owned(), LOG_FILES.to_owned()),
            ])),
        }),
        ..HostConfig::default()
    }
}

fn binding(spec: &SandboxSpec) -> PortBinding {
    PortBinding {
        host_ip: Some("127.0.0.1".to_owned()),
        host_port: Some(spec.host_port.to_string()),
    }
}

fn mount(node: &NodeName, spec: &SandboxSpec) -> Option<Mount> {
    let (typ, source, volume_options) = match &spec.workspace {
        Workspace::Volume(name) => {
            let options = MountVolumeOptions {
                labels: Some(labels::of_user(node, &spec.user)),
                ..MountVolumeOptions::default()
            };
            (MountType::VOLUME, name.clone(), Some(options))
        }
        Workspace::Bind(path) => (MountType::BIND, path.display().to_string(), None),
        Workspace::Ephemeral => return None,
    };
    Some(Mount {
        target: Some(MOUNT_POINT.to_owned()),
        source: Some(source),
        typ: Some(typ),
        volume_options,
        ..Mount::default()
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use thon_core::config::Layout;
    use thon_core::endpoint::Port;
    use thon_core::limits::{ByteSize, Cpus, Limits};
    use thon_core::sandbox::Access;
    use thon_core::seat::Password;
    use thon_core::secret::Secret;

    use super::*;

    fn spec() -> SandboxSpec {
        SandboxSpec {
            user: "alpha/alice".parse().unwrap(),
            image: "thon:1".parse().unwrap(),
            network_mode: NetworkMode::Bridge,
            code_port: Port::new(8444).unwrap(),
            host_port: Port::new(20_001).unwrap(),
            layout: Layout::Path,
            workspace: Workspace::Volume("thon-workspace-alpha_alice".to_owned()),
            limits: Limits {
                memory: ByteSize::mib(512),
                cpus: Cpus::from_milli(1500),
                pids: 200,
                disk: None,
            },
            internet: true,
            access: Access::Password(Password {
                secret: Secret::new("hunter2"),
                hash: Secret::new("$argon2id$v=19$m=256,t=1,p=1$c2FsdHNhbHRzYWx0c2FsdA$aGFzaA"),
                id: "p1".to_owned(),
            }),
            environment: BTreeMap::from([("TEAM".to_owned(), "alpha".to_owned())]),
            files: Vec::new(),
        }
    }

    fn asked(spec: &SandboxSpec, cpus: i64) -> serde_json::Value {
        let label = serde_json::to_string(&spec.fingerprint()).unwrap();
        serde_json::to_value(body(&NodeName::default(), spec, cpus, label, None)).unwrap()
    }

    #[test]
    fn an_address_is_asked_for_on_the_network_that_the_sandbox_is_on() {
        for (spec, network) in
            [(spec(), "thon"), (SandboxSpec { internet: false, ..spec() }, "thon_offline")]
        {
            let address = Some(Ipv4Addr::new(10, 200, 15, 253));
            let body = body(&NodeName::default(), &spec, 4, String::new(), address);
            let asked = serde_json::to_value(body).unwrap();
            let given = &asked["NetworkingConfig"]["EndpointsConfig"][network]["IPAMConfig"];
            assert_eq!(given["IPv4Address"], "10.200.15.253", "{network}");
        }
    }

    #[test]
    fn the_password_is_in_nothing_that_docker_shows() {
        assert!(!asked(&spec(), 4).to_string().contains("hunter2"));
    }

    #[test]
    fn only_the_loopback_is_published_and_only_in_bridge_mode() {
        let bridge = asked(&spec(), 4);
        let binding = &bridge["HostConfig"]["PortBindings"]["8444/tcp"];
        assert_eq!(*binding, serde_json::json!([{"HostIp": "127.0.0.1", "HostPort": "20001"}]));
        assert_eq!(bridge["HostConfig"]["NetworkMode"], "thon");

        let host = asked(&SandboxSpec { network_mode: NetworkMode::Host, ..spec() }, 4);
        assert_eq!(host["HostConfig"]["NetworkMode"], "host");
        assert!(host["HostConfig"].get("PortBindings").is_none());
    }

    #[test]
    fn without_the_internet_it_is_on_a_network_without_a_nameserver() {
        let offline = asked(&SandboxSpec { internet: false, ..spec() }, 4);
        assert_eq!(offline["HostConfig"]["NetworkMode"], "thon_offline");
        assert_eq!(offline["HostConfig"]["Dns"], serde_json::json!(["192.0.0.8"]));
        let options = serde_json::json!(["timeout:1", "attempts:1"]);
        assert_eq!(offline["HostConfig"]["DnsOptions"], options);
        assert!(asked(&spec(), 4)["HostConfig"].get("Dns").is_none());
    }

    #[test]
    fn a_machine_with_fewer_cpus_than_the_limit_gives_what_it_has() {
        assert_eq!(asked(&spec(), 4)["HostConfig"]["NanoCpus"], 1_500_000_000);
        assert_eq!(asked(&spec(), 1)["HostConfig"]["NanoCpus"], 1_000_000_000);
    }

    #[test]
    fn each_kind_of_workspace_is_mounted_in_its_way() {
        let mount = |workspace| {
            let body = asked(&SandboxSpec { workspace, ..spec() }, 4);
            body["HostConfig"]["Mounts"][0].clone()
        };
        let volume = mount(spec().workspace);
        assert_eq!(volume["Type"], "volume");
        assert_eq!(volume["Target"], "/workspace");
        assert_eq!(volume["VolumeOptions"]["Labels"]["thon.user"], "alice");
        assert_eq!(mount(Workspace::Bind("/srv/a/b".into()))["Source"], "/srv/a/b");
        assert!(mount(Workspace::Ephemeral).is_null());
    }
}
