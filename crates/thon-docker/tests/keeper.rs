//! Whole workspaces in a real engine's volumes and in folders of the host.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use std::sync::Arc;

use support::{Node, image};
use thon_core::adapter::{FailureKind, SandboxRuntime, WorkspaceKeeper};
use thon_core::name::UserId;
use thon_core::testing::contract::{self, KeeperFixture};
use thon_core::workspace::{Workspace, WorkspaceMode};
use thon_docker::{DockerRuntime, DockerSettings, DockerWorkspaces};

const TEXT: &str = "hello from the contract";

fn archive() -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_uid(1001);
    header.set_gid(1001);
    header.set_size(TEXT.len() as u64);
    builder.append_data(&mut header, "folder/file", TEXT.as_bytes()).unwrap();
    builder.into_inner().unwrap()
}

fn keeper(node: &Node, mode: WorkspaceMode) -> DockerWorkspaces {
    let settings = DockerSettings::for_node(node.name.clone());
    DockerWorkspaces::new(Arc::new(DockerRuntime::connect(settings).unwrap()), image(), mode)
}

async fn holds_the_contract(node: &Node, mode: WorkspaceMode) {
    let user: UserId = "alpha/alice".parse().unwrap();
    let workspace = Workspace::of(&user, &node.name, &mode);
    node.runtime.ensure_workspace(&user, &workspace).await.unwrap();
    let keeper = keeper(node, mode);
    let fixture = KeeperFixture { keeper: &keeper, user, workspace, tar: archive(), text: TEXT };
    contract::keeper(&fixture).await;
    keeper.settle().await;
}

#[tokio::test]
async fn the_contract_of_a_keeper_is_kept_with_volumes() {
    holds_the_contract(&Node::new(), WorkspaceMode::Volume).await;
}

#[tokio::test]
async fn the_contract_of_a_keeper_is_kept_with_folders() {
    let folder = tempfile::tempdir().unwrap();
    holds_the_contract(&Node::new(), WorkspaceMode::Bind(folder.path().join("ws"))).await;
}

#[tokio::test]
async fn a_volume_of_somebody_else_is_left_alone() {
    let (ours, theirs) = (Node::new(), Node::new());
    let user: UserId = "alpha/alice".parse().unwrap();
    let workspace = Workspace::of(&user, &theirs.name, &WorkspaceMode::Volume);
    theirs.runtime.ensure_workspace(&user, &workspace).await.unwrap();
    let keeper = keeper(&ours, WorkspaceMode::Volume);
    assert!(keeper.list(&|_| true).await.unwrap().is_empty());
    let read = keeper.read(&user, &workspace).await.map(drop).unwrap_err();
    assert_eq!(read.kind, FailureKind::Conflict);
    let deleted = keeper.delete(&user, &workspace).await.unwrap_err();
    assert_eq!(deleted.kind, FailureKind::Conflict);
}
