//! Ready-made values for tests.
//!
//! For: specifications and sandboxes that look like an event's.
//! Not for: anything whose details a test is about; it spells those out itself.

use std::collections::BTreeMap;
use std::time::SystemTime;

use crate::config::Layout;
use crate::endpoint::{NetworkMode, Port};
use crate::image::ImageRef;
use crate::limits::Limits;
use crate::name::{NodeName, UserId};
use crate::sandbox::{Access, ObservedSandbox, Phase, SandboxId, SandboxSpec};
use crate::workspace::{Workspace, WorkspaceMode};

/// `many` users, eight to a group.
#[must_use]
pub fn users(many: usize) -> Vec<UserId> {
    // The names are built from numbers: they can't be refused.
    (0..many)
        .filter_map(|number| format!("group-{}/user-{number}", number / 8).parse().ok())
        .collect()
}

/// A specification for each of `many` users.
#[must_use]
pub fn specs(many: usize) -> Vec<SandboxSpec> {
    let port = |base: usize, number: usize| {
        u32::try_from(base + number).ok().and_then(|number| Port::new(number).ok())
    };
    users(many)
        .into_iter()
        .enumerate()
        .filter_map(|(number, user)| {
            Some(SandboxSpec {
                workspace: Workspace::of(&user, &NodeName::default(), &WorkspaceMode::Volume),
                user,
                image: ImageRef::default(),
                network_mode: NetworkMode::Bridge,
                code_port: port(8443, number)?,
                host_port: port(20_000, number)?,
                layout: Layout::Path,
                limits: Limits::default(),
                internet: true,
                access: Access::Open,
                environment: BTreeMap::new(),
                files: Vec::new(),
            })
        })
        .collect()
}

/// A running sandbox made from `spec`.
#[must_use]
pub fn running(spec: &SandboxSpec) -> ObservedSandbox {
    let endpoint = spec.endpoint();
    ObservedSandbox {
        id: SandboxId(format!("id-of-{}", spec.user.consumer_name())),
        name: spec.user.container_name(&NodeName::default()),
        user: spec.user.clone(),
        phase: Phase::Running,
        upstream: Some(endpoint.published()),
        endpoint: Some(endpoint),
        fingerprint: Some(spec.fingerprint()),
        created_at: Some(SystemTime::UNIX_EPOCH),
        exit_code: None,
    }
}
