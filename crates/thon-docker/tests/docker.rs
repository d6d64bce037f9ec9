//! The runtime against a real engine.
//!
//! Needs a running Docker engine and the sandbox image (`THON_TEST_IMAGE`, by default the one that
//! `thon image build` makes). Each test has a node of its own and removes it again.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use std::net::TcpListener;

use bollard::models::ContainerCreateBody;
use bollard::query_parameters as query;
use support::{Node, free_port, image, unique};
use thon_core::adapter::{FailureKind, SandboxRuntime};
use thon_core::endpoint::NetworkMode;
use thon_core::sandbox::{Health, InjectedFile, Phase, SandboxSpec};
use thon_core::testing::contract;
use thon_core::workspace::{Workspace, WorkspaceChange};
use thon_docker::{DockerRuntime, DockerSettings};

#[tokio::test]
async fn the_contract_of_a_runtime_is_kept() {
    let node = Node::new();
    let spec = node.spec("alpha/alice");
    let without_image =
        SandboxSpec { image: "thon-test/nothing:none".parse().unwrap(), ..spec.clone() };
    let fixture = contract::RuntimeFixture { runtime: &node.runtime, spec, without_image };
    contract::runtime(&fixture).await;
}

#[tokio::test]
async fn a_sandbox_is_confined_and_its_password_is_its_own_secret() {
    let node = Node::new();
    let mut spec = node.spec("alpha/alice");
    spec.files.push(InjectedFile {
        path: "/home/vscode/.config/made/for-us/tool.json".to_owned(),
        mode: 0o640,
        contents: b"{}".to_vec(),
    });
    let id = node.launch(&spec).await;

    let seen = node.inspect(&id).await;
    let host = &seen["HostConfig"];
    assert_eq!(host["CapDrop"], serde_json::json!(["ALL"]));
    assert_eq!(host["SecurityOpt"], serde_json::json!(["no-new-privileges"]));
    assert_eq!(host["PidsLimit"], 300);
    assert_eq!(host["Memory"], 700 << 20);
    assert_eq!(host["MemorySwap"], 700 << 20);
    assert!(host["NanoCpus"].as_u64().unwrap() <= 1_500_000_000);
    assert_eq!(host["RestartPolicy"]["Name"], "unless-stopped");
    assert_eq!(host["Privileged"], false);
    let published = &seen["NetworkSettings"]["Ports"][format!("{}/tcp", spec.code_port)];
    let loopback_only =
        serde_json::json!([{"HostIp": "127.0.0.1", "HostPort": spec.host_port.to_string()}]);
    assert_eq!(*published, loopback_only);
    assert!(!seen.to_string().contains("hunter2"), "Docker shows the password to nobody");

    // What the kernel says counts, not what was asked for.
    let status = node.run(&id, &["cat", "/proc/self/status"]).await;
    for line in ["CapEff:\t0000000000000000", "NoNewPrivs:\t1", "Uid:\t1001\t1001\t1001\t1001"] {
        assert!(status.contains(line), "{line} in {status}");
    }
    assert_eq!(node.run(&id, &["hostname"]).await, "alice");
    assert_eq!(node.run(&id, &["printenv", "TEAM"]).await, "alpha");

    let owned = |path| ["stat", "--format=%a %u %g", path];
    let config = "/home/vscode/.config/code-server/config.yaml";
    assert_eq!(node.run(&id, &owned(config)).await, "600 1001 1001");
    let text = node.run(&id, &["cat", config]).await;
    assert!(text.contains("hashed-password: ") && !text.contains("hunter2"), "{text}");
    let made = "/home/vscode/.config/made";
    assert_eq!(node.run(&id, &owned(made)).await, "755 1001 1001");
    assert_eq!(
        node.run(&id, &owned("/home/vscode/.config/made/for-us/tool.json")).await,
        "640 1001 1001"
    );

    let log = node.runtime.logs(&id, 50).await.unwrap();
    assert!(log.contains("HTTP server listening"), "{log}");
    assert!(!log.contains("hunter2"), "{log}");
}

#[tokio::test]
async fn folders_of_the_image_keep_their_owner_and_mode() {
    let node = Node::new();
    let folders =
        ["/home/vscode", "/home/vscode/.config", "/home/vscode/.config/code-server", "/etc"];
    let plain = SandboxSpec { workspace: Workspace::Ephemeral, ..node.spec("alpha/alice") };
    let with_more = SandboxSpec {
        files: vec![InjectedFile {
            path: "/etc/thon-test.conf".to_owned(),
            mode: 0o644,
            contents: b"x".to_vec(),
        }],
        ..SandboxSpec { workspace: Workspace::Ephemeral, ..node.spec("alpha/bob") }
    };
    // The first sandbox of an image has its folders looked at, the second is spared that.
    let mut seen = Vec::new();
    for spec in [&plain, &with_more] {
        let id = node.launch(spec).await;
        let mut arguments = vec!["stat", "--format=%n %a %u"];
        arguments.extend(folders);
        seen.push(node.run(&id, &arguments).await);
    }
    let body = ContainerCreateBody {
        image: Some(image().to_string()),
        entrypoint: Some(vec!["stat".to_owned(), "--format=%n %a %u".to_owned()]),
        cmd: Some(folders.map(str::to_owned).to_vec()),
        ..ContainerCreateBody::default()
    };
    let mut node = node;
    let untouched = stranger(&mut node, body).await;
    let options = None::<query::WaitContainerOptions>;
    drop(futures_util::StreamExt::next(&mut node.docker.wait_container(&untouched, options)).await);
    let original = node.runtime.logs(&thon_core::sandbox::SandboxId(untouched), 10).await.unwrap();
    assert_eq!(seen, [original.trim(), original.trim()]);
}

/// Makes and starts a container that has nothing to do with THON.
async fn stranger(node: &mut Node, body: ContainerCreateBody) -> String {
    let name = unique("thon-test-stranger");
    node.strangers.push(name.clone());
    let options = query::CreateContainerOptionsBuilder::default().name(&name).build();
    let id = node.docker.create_container(Some(options), body).await.unwrap().id;
    node.docker.start_container(&id, None::<query::StartContainerOptions>).await.unwrap();
    id
}

#[tokio::test]
async fn files_in_a_volume_outlive_the_sandbox() {
    let node = Node::new();
    let spec = node.spec("alpha/alice");
    let first = node.launch(&spec).await;
    node.run(&first, &["sh", "-c", "echo kept > /workspace/notes.txt"]).await;
    node.runtime.remove(&first).await.unwrap();
    let kept = node.runtime.ensure_workspace(&spec.user, &spec.workspace).await.unwrap();
    assert_eq!(kept, WorkspaceChange::Kept);
    let second = node.launch(&spec).await;
    assert_ne!(first, second);
    assert_eq!(node.run(&second, &["cat", "/workspace/notes.txt"]).await, "kept");
}

#[tokio::test]
async fn files_in_a_host_folder_outlive_the_sandbox() {
    let node = Node::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alpha/alice");
    let spec = SandboxSpec { workspace: Workspace::Bind(path.clone()), ..node.spec("alpha/alice") };
    let first = node.launch(&spec).await;
    node.run(&first, &["sh", "-c", "echo kept > /workspace/notes.txt"]).await;
    assert_eq!(std::fs::read_to_string(path.join("notes.txt")).unwrap(), "kept\n");
    node.runtime.remove(&first).await.unwrap();
    let second = node.launch(&spec).await;
    assert_eq!(node.run(&second, &["cat", "/workspace/notes.txt"]).await, "kept");
}

#[tokio::test]
async fn a_taken_port_is_named_and_starting_works_once_it_is_free() {
    let node = Node::new();
    let spec = node.spec("alpha/alice");
    let holder = TcpListener::bind(("127.0.0.1", spec.host_port.get())).unwrap();
    let in_use = node.runtime.ports_in_use(&[spec.host_port, spec.code_port]).await.unwrap();
    assert_eq!(in_use.into_iter().collect::<Vec<_>>(), [spec.host_port]);

    let id = node.create(&spec).await;
    let failure = node.runtime.start(&id).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::PortTaken, "{failure}");
    assert!(failure.to_string().contains(&spec.host_port.to_string()), "{failure}");
    assert!(!failure.to_string().contains('\n'));

    drop(holder);
    node.runtime.start(&id).await.unwrap();
    node.until(&id, |health| *health == Health::Healthy).await;
}

#[tokio::test]
async fn two_sandboxes_that_want_one_port_do_not_share_it() {
    let node = Node::new();
    let first = node.spec("alpha/alice");
    node.launch(&first).await;
    let second = SandboxSpec { host_port: first.host_port, ..node.spec("alpha/bob") };
    let id = node.create(&second).await;
    let failure = node.runtime.start(&id).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::PortTaken, "{failure}");
}

#[tokio::test]
async fn in_host_mode_it_listens_on_the_loopback_and_a_taken_port_is_named_too() {
    let node = Node::new();
    let spec = SandboxSpec { network_mode: NetworkMode::Host, ..node.spec("alpha/alice") };
    let holder = TcpListener::bind(("127.0.0.1", spec.code_port.get())).unwrap();
    let id = node.create(&spec).await;
    let failure = node.runtime.start(&id).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::PortTaken, "{failure}");
    drop(holder);

    let endpoint = node.runtime.start(&id).await.unwrap();
    assert_eq!(endpoint.to_string(), format!("127.0.0.1:{}", spec.code_port));
    node.until(&id, |health| *health == Health::Healthy).await;
    let seen = node.runtime.observe().await.unwrap();
    assert_eq!(seen[0].endpoint.as_ref(), Some(&endpoint));
    // Started already: its own port is no obstacle to itself.
    assert_eq!(node.runtime.start(&id).await.unwrap(), endpoint);
}

#[tokio::test]
async fn only_the_nodes_own_sandboxes_are_seen() {
    let mut node = Node::new();
    let other = Node::new();
    let spec = node.spec("alpha/alice");
    let id = node.create(&spec).await;
    other.create(&other.spec("alpha/alice")).await;
    let body = ContainerCreateBody {
        image: Some(image().to_string()),
        entrypoint: Some(vec!["sleep".to_owned(), "300".to_owned()]),
        ..ContainerCreateBody::default()
    };
    stranger(&mut node, body).await;
    let seen = node.runtime.observe().await.unwrap();
    assert_eq!(seen.iter().map(|sandbox| &sandbox.id).collect::<Vec<_>>(), [&id]);
    assert_eq!(other.runtime.observe().await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_image_that_is_not_here_is_missing() {
    let node = Node::new();
    let spec = SandboxSpec {
        image: "thon-test/nothing:none".parse().unwrap(),
        ..node.spec("alpha/alice")
    };
    node.runtime.prepare().await.unwrap();
    let failure = node.runtime.create(&spec).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Missing, "{failure}");
    assert!(failure.advice.contains("thon image build"), "{failure}");
    assert_eq!(node.runtime.observe().await.unwrap(), Vec::new());
}

#[tokio::test]
async fn an_engine_that_is_not_there_is_unreachable_and_the_advice_helps() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("docker.sock");
    let at = |host: String| {
        let settings = DockerSettings { docker_host: Some(host), ..DockerSettings::default() };
        DockerRuntime::connect(settings).unwrap()
    };
    let unix = at(format!("unix://{}", socket.display()));
    let failure = unix.observe().await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unreachable);
    assert!(failure.to_string().contains("thon setup"), "{failure}");

    // A socket that an engine left behind when it was killed.
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let failure = unix.observe().await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unreachable);
    assert!(failure.to_string().contains("systemctl start docker"), "{failure}");

    let failure = at("tcp://127.0.0.1:1".to_owned()).observe().await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unreachable, "{failure}");

    let settings =
        DockerSettings { docker_host: Some("ssh://host".to_owned()), ..DockerSettings::default() };
    assert!(DockerRuntime::connect(settings).unwrap_err().to_string().contains("unix://"));
}

#[tokio::test]
async fn an_engine_behind_a_tcp_port_works_as_well() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = format!("tcp://{}", listener.local_addr().unwrap());
    let usual = std::env::var("DOCKER_HOST").unwrap_or_default();
    let socket = usual.strip_prefix("unix://").unwrap_or("/var/run/docker.sock").to_owned();
    tokio::spawn(async move {
        while let Ok((mut outer, _)) = listener.accept().await {
            let mut inner = tokio::net::UnixStream::connect(&socket).await.unwrap();
            tokio::spawn(async move {
                drop(tokio::io::copy_bidirectional(&mut outer, &mut inner).await);
            });
        }
    });
    let settings = DockerSettings { docker_host: Some(host), ..DockerSettings::default() };
    let runtime = DockerRuntime::connect(settings).unwrap();
    runtime.ping().await.unwrap();
    let engine = runtime.engine_facts().await.unwrap();
    // A tunnel may lead anywhere.
    assert!(!engine.local && engine.unlimited.is_empty(), "{engine:?}");
    assert!(engine.data_root.is_absolute() && engine.time.is_some(), "{engine:?}");
    let version = runtime.version().await.unwrap();
    assert!(version.version.starts_with(|c: char| c.is_ascii_digit()), "{version:?}");
    runtime.observe().await.unwrap();
}

#[tokio::test]
async fn a_sandbox_left_half_made_is_made_again_and_a_strangers_is_left_alone() {
    let mut node = Node::new();
    let spec = node.spec("alpha/alice");
    let first = node.create(&spec).await;
    let second = node.runtime.create(&spec).await.unwrap();
    assert_ne!(first, second);
    assert_eq!(node.runtime.observe().await.unwrap().len(), 1);

    // One that runs is not taken for half-made.
    node.runtime.start(&second).await.unwrap();
    let failure = node.runtime.create(&spec).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Conflict, "{failure}");
    node.runtime.remove(&second).await.unwrap();

    let name = spec.user.container_name(&node.name);
    node.strangers.push(name.clone());
    let options = query::CreateContainerOptionsBuilder::default().name(&name).build();
    let body =
        ContainerCreateBody { image: Some(image().to_string()), ..ContainerCreateBody::default() };
    let foreign = node.docker.create_container(Some(options), body).await.unwrap().id;
    let failure = node.runtime.create(&spec).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Conflict);
    assert!(failure.to_string().contains(&name), "{failure}");
    let options = None::<query::InspectContainerOptions>;
    assert!(node.docker.inspect_container(&foreign, options).await.is_ok());
}

#[tokio::test]
async fn a_frozen_sandbox_is_seen_as_such_and_thawed_by_a_start() {
    let node = Node::new();
    let id = node.launch(&node.spec("alpha/alice")).await;
    node.docker.pause_container(&id.0).await.unwrap();
    assert_eq!(node.until(&id, |health| *health == Health::Paused).await, Health::Paused);
    assert_eq!(node.runtime.observe().await.unwrap()[0].phase, Phase::Paused);
    node.runtime.start(&id).await.unwrap();
    node.until(&id, |health| *health == Health::Healthy).await;
}

#[tokio::test]
async fn a_sandbox_that_falls_over_has_died_and_a_start_brings_it_back() {
    let node = Node::new();
    let spec = node.spec("alpha/alice");
    let id = node.launch(&spec).await;
    let options = query::KillContainerOptionsBuilder::default().signal("KILL").build();
    node.docker.kill_container(&id.0, Some(options)).await.unwrap();
    let health = node.until(&id, |health| matches!(health, Health::Died { .. })).await;
    assert_eq!(health, Health::Died { exit_code: Some(137), out_of_memory: false });
    assert_eq!(node.runtime.observe().await.unwrap()[0].exit_code, Some(137));
    assert_eq!(node.runtime.start(&id).await.unwrap(), spec.endpoint());
    node.until(&id, |health| *health == Health::Healthy).await;
}

#[tokio::test]
async fn a_code_server_that_cannot_start_has_died_and_its_log_says_why() {
    let node = Node::new();
    let mut spec = node.spec("alpha/alice");
    spec.files.push(InjectedFile {
        // Placed after the access file, and so in its stead.
        path: "/home/vscode/.config/code-server/config.yaml".to_owned(),
        mode: 0o600,
        contents: b"no-such-option: true\n".to_vec(),
    });
    let id = node.create(&spec).await;
    node.runtime.start(&id).await.unwrap();
    node.until(&id, |health| matches!(health, Health::Died { .. })).await;
    let log = node.runtime.logs(&id, 50).await.unwrap();
    assert!(log.contains("no-such-option"), "{log}");
}

#[tokio::test]
async fn nothing_is_held_by_free_ports() {
    let node = Node::new();
    let ports = [free_port(), free_port()];
    assert!(node.runtime.ports_in_use(&ports).await.unwrap().is_empty());
}

#[tokio::test]
async fn two_who_remove_it_at_once_both_succeed_and_it_is_gone() {
    let node = Node::new();
    let spec = node.spec("alpha/alice");
    let id = node.launch(&spec).await;
    let (one, two) = tokio::join!(node.runtime.remove(&id), node.runtime.remove(&id));
    assert_eq!((one, two), (Ok(()), Ok(())));
    assert_eq!(node.runtime.observe().await.unwrap(), Vec::new());
    // Its name is free again.
    node.create(&spec).await;
}
