//! The node's network against a real engine.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, EndpointIpamConfig, EndpointSettings, HostConfig, NetworkingConfig,
};
use bollard::query_parameters as query;
use support::Node;
use thon_core::adapter::{FailureKind, SandboxRuntime};
use thon_core::sandbox::Health;
use thon_docker::{DockerRuntime, DockerSettings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn neighbours_cannot_reach_each_other() {
    let node = Node::new();
    let (alice, bob) = (node.spec("alpha/alice"), node.spec("beta/bob"));
    let (alice_id, bob_id) = (node.launch(&alice).await, node.launch(&bob).await);
    let seen = node.inspect(&bob_id).await;
    let address = seen["NetworkSettings"]["Networks"][node.name.as_str()]["IPAddress"]
        .as_str()
        .unwrap()
        .to_owned();
    let healthz = format!("http://{address}:{}/healthz", bob.code_port);
    let ask = |url| ["curl", "--silent", "--max-time", "3", url];
    // The neighbour answers itself, so that what fails below fails for the right reason.
    assert!(node.run(&bob_id, &ask(&healthz)).await.contains("status"));
    assert_ne!(node.exec(&alice_id, &ask(&healthz)).await.exit_code, 0);
    let published = format!("http://127.0.0.1:{}/healthz", bob.host_port);
    assert_ne!(node.exec(&alice_id, &ask(&published)).await.exit_code, 0);
}

#[tokio::test]
async fn two_runs_at_once_make_one_network_and_two_nodes_do_not_overlap() {
    let node = Node::new();
    let settings = DockerSettings::for_node(node.name.clone());
    let twin = DockerRuntime::connect(settings).unwrap();
    let (one, two) = tokio::join!(node.runtime.prepare(), twin.prepare());
    assert_eq!((one, two), (Ok(Vec::new()), Ok(Vec::new())));
    let other = Node::new();
    other.runtime.prepare().await.unwrap();

    let options = query::ListNetworksOptionsBuilder::default().build();
    let networks = node.docker.list_networks(Some(options)).await.unwrap();
    let of = |name: &str| {
        let found: Vec<_> =
            networks.iter().filter(|network| network.name.as_deref() == Some(name)).collect();
        assert_eq!(found.len(), 1, "networks of the name {name}");
        found[0].clone()
    };
    let network = of(node.name.as_str());
    let option = |name: &str| network.options.as_ref().unwrap().get(name).cloned();
    let no_traffic = option("com.docker.network.bridge.enable_icc");
    assert_eq!(no_traffic.as_deref(), Some("false"));
    let subnet = |network: bollard::models::Network| {
        network.ipam.unwrap().config.unwrap()[0].subnet.clone().unwrap()
    };
    let (first, second) = (subnet(network), subnet(of(other.name.as_str())));
    assert!(first.ends_with("/20") && second.ends_with("/20"));
    assert_ne!(first, second);
}

#[tokio::test]
async fn a_network_of_our_name_that_is_not_ours_is_refused() {
    let node = Node::new();
    let request = bollard::models::NetworkCreateRequest {
        name: node.name.to_string(),
        ..bollard::models::NetworkCreateRequest::default()
    };
    node.docker.create_network(request).await.unwrap();
    let failure = node.runtime.prepare().await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Conflict);
    assert!(failure.advice.contains("docker network rm"), "{failure}");
}

#[tokio::test]
async fn a_configured_subnet_is_taken_and_one_that_is_none_is_refused() {
    let node = Node::new();
    let with = |subnet: &str| {
        let settings = DockerSettings::for_node(node.name.clone());
        DockerRuntime::connect(DockerSettings { subnet: Some(subnet.to_owned()), ..settings })
            .unwrap()
    };
    let failure = with("10.0.0.0 and more").prepare().await.unwrap_err();
    assert!(failure.to_string().contains("10.0.0.0 and more"), "{failure}");

    // From TEST-NET-2 of RFC 5737, which nobody routes.
    with("198.51.100.0/26").prepare().await.unwrap();
    let options = None::<query::InspectNetworkOptions>;
    let made = node.docker.inspect_network(node.name.as_str(), options).await.unwrap();
    let subnet = made.ipam.unwrap().config.unwrap()[0].subnet.clone();
    assert_eq!(subnet.as_deref(), Some("198.51.100.0/26"));

    let other = Node::new();
    let settings = DockerSettings::for_node(other.name.clone());
    let settings = DockerSettings { subnet: Some("198.51.100.0/25".to_owned()), ..settings };
    let failure = DockerRuntime::connect(settings).unwrap().prepare().await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Conflict, "{failure}");
}

/// What the proxy is told to dial for the only sandbox, and whether it answers there.
async fn dialled(node: &Node) -> String {
    let seen = node.runtime.observe().await.unwrap();
    let address = seen[0].upstream.clone().unwrap().address;
    let mut stream = TcpStream::connect(&address).await.unwrap();
    let request = format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{address}: {answer}");
    address
}

#[tokio::test]
async fn the_proxy_dials_the_sandbox_itself_at_an_address_that_it_keeps() {
    let node = Node::new();
    let spec = node.spec("alpha/alice");
    let id = node.launch(&spec).await;
    let address = dialled(&node).await;
    assert!(address.starts_with("10.") && address.ends_with(&format!(":{}", spec.code_port)));

    node.runtime.stop(&id).await.unwrap();
    // Docker gives the first free address to whoever comes first.
    let other = node.launch(&node.spec("beta/bob")).await;
    node.runtime.start(&id).await.unwrap();
    node.until(&id, |health| *health == Health::Healthy).await;
    node.runtime.remove(&other).await.unwrap();
    assert_eq!(dialled(&node).await, address);
}

#[tokio::test]
async fn a_sandbox_whose_address_was_taken_starts_and_is_dialled_by_its_port() {
    let mut node = Node::new();
    let spec = node.spec("alpha/alice");
    let id = node.create(&spec).await;
    let seen = node.inspect(&id).await;
    let network = node.name.to_string();
    let wanted = seen["NetworkSettings"]["Networks"][&network]["IPAMConfig"]["IPv4Address"]
        .as_str()
        .unwrap()
        .to_owned();
    let endpoint = EndpointSettings {
        ipam_config: Some(EndpointIpamConfig {
            ipv4_address: Some(wanted),
            ..EndpointIpamConfig::default()
        }),
        ..EndpointSettings::default()
    };
    let body = ContainerCreateBody {
        image: Some(support::image().to_string()),
        entrypoint: Some(vec!["sleep".to_owned(), "600".to_owned()]),
        host_config: Some(HostConfig {
            network_mode: Some(network.clone()),
            ..HostConfig::default()
        }),
        networking_config: Some(NetworkingConfig {
            endpoints_config: Some(HashMap::from([(network, endpoint)])),
        }),
        ..ContainerCreateBody::default()
    };
    let options = None::<query::CreateContainerOptions>;
    let stranger = node.docker.create_container(options, body).await.unwrap().id;
    node.strangers.push(stranger.clone());
    node.docker.start_container(&stranger, None::<query::StartContainerOptions>).await.unwrap();

    node.runtime.start(&id).await.unwrap();
    node.until(&id, |health| *health == Health::Healthy).await;
    assert_eq!(dialled(&node).await, format!("127.0.0.1:{}", spec.host_port));
}
