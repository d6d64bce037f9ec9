//! The contract of [`SandboxRuntime`].

use std::time::Duration;

use crate::adapter::{FailureKind, SandboxRuntime};
use crate::endpoint::Endpoint;
use crate::sandbox::{Health, ObservedSandbox, Phase, SandboxId, SandboxSpec};
use crate::workspace::WorkspaceChange;

/// How long a sandbox may take to become healthy, or to be seen as down.
const PATIENCE: Duration = Duration::from_secs(90);

/// What the suite needs of the implementation under test.
pub struct RuntimeFixture<'a> {
    /// The runtime, with nothing of its node in it yet.
    pub runtime: &'a dyn SandboxRuntime,
    /// A sandbox that it can run, with a workspace that lasts.
    pub spec: SandboxSpec,
    /// The same with an image that isn't there.
    pub without_image: SandboxSpec,
}

/// The life of a sandbox: made, started, healthy, stopped, started again, removed; its workspace
/// outlives it; everything that may be repeated can be.
pub async fn runtime(fixture: &RuntimeFixture<'_>) {
    let RuntimeFixture { runtime, spec, .. } = fixture;
    assert_eq!(observe(*runtime).await, Vec::new(), "nothing is there yet");
    assert_eq!(runtime.prepare().await, Ok(()));
    assert_eq!(runtime.prepare().await, Ok(()), "preparing twice is fine");
    assert_eq!(runtime.has_image(&spec.image).await, Ok(true));

    let ensure = || runtime.ensure_workspace(&spec.user, &spec.workspace);
    assert_eq!(ensure().await, Ok(WorkspaceChange::Made));
    assert_eq!(ensure().await, Ok(WorkspaceChange::Kept));

    let id = create(*runtime, spec).await;
    let seen = only(*runtime).await;
    assert_eq!((&seen.id, seen.phase), (&id, Phase::Created));
    assert_eq!(seen.user, spec.user);
    assert_eq!(seen.fingerprint, Some(spec.fingerprint()), "the label is read back");

    let endpoint = start(*runtime, &id).await;
    assert_eq!(endpoint, spec.endpoint());
    until(*runtime, &id, |health| *health == Health::Healthy).await;
    let seen = only(*runtime).await;
    assert_eq!(seen.phase, Phase::Running);
    assert_eq!(seen.endpoint, Some(endpoint.clone()), "an adopted sandbox has the same endpoint");
    assert_eq!(seen.upstream, Some(endpoint.published()));

    assert!(runtime.disk_guard(spec).await.is_ok());
    assert!(runtime.disk_use(&id).await.is_ok(), "what runs can be measured");

    assert_eq!(runtime.stop(&id).await, Ok(()));
    assert!(runtime.disk_use(&id).await.is_ok(), "and so can what is down");
    assert_eq!(runtime.stop(&id).await, Ok(()), "stopping twice is fine");
    until(*runtime, &id, |health| matches!(health, Health::Died { .. })).await;
    let seen = only(*runtime).await;
    assert_eq!(seen.phase, Phase::Exited);
    assert_eq!(seen.endpoint, Some(endpoint), "one that is down keeps its place in the proxy");

    start(*runtime, &id).await;
    until(*runtime, &id, |health| *health == Health::Healthy).await;

    assert_eq!(runtime.remove(&id).await, Ok(()));
    assert_eq!(runtime.remove(&id).await, Ok(()), "removing twice is fine");
    assert_eq!(observe(*runtime).await, Vec::new());
    assert_eq!(ensure().await, Ok(WorkspaceChange::Kept), "the workspace outlives the sandbox");

    let failure = runtime.has_image(&fixture.without_image.image).await;
    assert_eq!(failure, Ok(false));
    match runtime.start(&id).await {
        Ok(endpoint) => panic!("a removed sandbox started at {endpoint}"),
        Err(failure) => assert_eq!(failure.kind, FailureKind::Missing, "{failure}"),
    }
}

async fn observe(runtime: &dyn SandboxRuntime) -> Vec<ObservedSandbox> {
    match runtime.observe().await {
        Ok(observed) => observed,
        Err(failure) => panic!("{failure}"),
    }
}

async fn only(runtime: &dyn SandboxRuntime) -> ObservedSandbox {
    let mut observed = observe(runtime).await;
    assert_eq!(observed.len(), 1, "{observed:?}");
    observed.remove(0)
}

async fn create(runtime: &dyn SandboxRuntime, spec: &SandboxSpec) -> SandboxId {
    match runtime.create(spec).await {
        Ok(id) => id,
        Err(failure) => panic!("{failure}"),
    }
}

async fn start(runtime: &dyn SandboxRuntime, id: &SandboxId) -> Endpoint {
    match runtime.start(id).await {
        Ok(endpoint) => endpoint,
        Err(failure) => panic!("{failure}"),
    }
}

async fn until(runtime: &dyn SandboxRuntime, id: &SandboxId, wanted: impl Fn(&Health) -> bool) {
    let mut last = None;
    let waiting = async {
        loop {
            match runtime.health(id).await {
                Ok(health) if wanted(&health) => return,
                other => last = Some(other),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let reached = tokio::time::timeout(PATIENCE, waiting).await;
    assert!(reached.is_ok(), "within {PATIENCE:?} it was only seen as {last:?}");
}
