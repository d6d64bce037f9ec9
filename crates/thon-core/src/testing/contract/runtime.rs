//! The contract of [`SandboxRuntime`].

use std::time::Duration;

use crate::adapter::{FailureKind, SandboxRuntime};
use crate::endpoint::Endpoint;
use crate::log::{LogLines, LogRequest};
use crate::sandbox::{Health, ObservedSandbox, Phase, SandboxId, SandboxSpec};
use crate::shell::{Shell, ShellInput, ShellOutput, ShellRequest};
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
    assert!(runtime.prepare().await.is_ok());
    assert!(runtime.prepare().await.is_ok(), "preparing twice is fine");
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
    let upstream = seen.upstream;
    assert!(upstream.is_some(), "the proxy is told what to dial");

    assert!(runtime.disk_guard(spec).await.is_ok());
    assert!(runtime.disk_use(&id).await.is_ok(), "what runs can be measured");
    attached(*runtime, &id).await;
    used(*runtime, &id).await;
    let lines = followed(*runtime, &id).await;
    paused(*runtime, &id).await;
    ended(lines).await;
    restarted(*runtime, &id, &endpoint).await;

    assert_eq!(runtime.stop(&id).await, Ok(()));
    assert!(runtime.disk_use(&id).await.is_ok(), "and so can what is down");
    assert_eq!(runtime.stop(&id).await, Ok(()), "stopping twice is fine");
    until(*runtime, &id, |health| matches!(health, Health::Died { .. })).await;
    let seen = only(*runtime).await;
    assert_eq!(seen.phase, Phase::Exited);
    assert_eq!(seen.endpoint, Some(endpoint), "one that is down keeps its place in the proxy");
    assert_eq!(seen.upstream, upstream, "and is dialled at the same address when it is back");

    match runtime.pause(&id).await {
        Ok(()) => panic!("what is down was paused"),
        Err(failure) => assert_eq!(failure.kind, FailureKind::Conflict, "{failure}"),
    }

    start(*runtime, &id).await;
    until(*runtime, &id, |health| *health == Health::Healthy).await;
    assert_eq!(runtime.pause(&id).await, Ok(()), "a paused one can be removed");
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
    for gone in [runtime.pause(&id).await, runtime.resume(&id).await] {
        assert_eq!(gone.map_err(|failure| failure.kind), Err(FailureKind::Missing));
    }
}

/// What goes in comes out, the end of the input is passed on, and so is the exit code.
async fn attached(runtime: &dyn SandboxRuntime, id: &SandboxId) {
    let script = ["/bin/sh", "-c", "cat; exit 3"].map(str::to_owned).to_vec();
    let Shell { input, mut output } =
        match runtime.attach(id, &ShellRequest::new(script, None)).await {
            Ok(shell) => shell,
            Err(failure) => panic!("{failure}"),
        };
    let (mut sent, mut seen, mut ended) = (Vec::new(), Vec::new(), None);
    for piece in ["one\n", "two\0\u{ff}", ""] {
        sent.extend_from_slice(piece.as_bytes());
        assert!(input.send(ShellInput::Bytes(piece.as_bytes().to_vec())).await.is_ok());
    }
    drop(input);
    while let Some(part) = output.recv().await {
        match part {
            Ok(ShellOutput::Stdout(bytes)) => seen.extend_from_slice(&bytes),
            Ok(ShellOutput::Ended { exit_code }) => ended = Some(exit_code),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((seen, ended), (sent, Some(3)));
}

/// How it is used can be told, and asking again is no use of it.
async fn used(runtime: &dyn SandboxRuntime, id: &SandboxId) {
    let first = runtime.heartbeat(id).await;
    assert_eq!(first, Ok(None), "no browser was ever there");
    let before = runtime.usage(id).await.map(|usage| usage.cpu);
    assert_eq!(runtime.heartbeat(id).await, first);
    let after = runtime.usage(id).await.map(|usage| usage.cpu);
    assert!(before.is_ok() && after.is_ok(), "{before:?}, {after:?}");
    assert!(before.ok() <= after.ok(), "it never goes back");
}

/// The lines that are there, each with its time; and the same with those to come, of which the first
/// is waited for.
async fn followed(runtime: &dyn SandboxRuntime, id: &SandboxId) -> LogLines {
    let read = |tail, follow| async move {
        let request = LogRequest { tail, since: None, follow };
        match runtime.follow_log(id, &request).await {
            Ok(lines) => lines,
            Err(failure) => panic!("{failure}"),
        }
    };
    let mut lines = read(None, false).await;
    let mut all = Vec::new();
    while let Some(line) = lines.recv().await {
        all.extend(line);
    }
    assert!(all.iter().any(|line| line.text.contains("HTTP server listening")), "{all:?}");
    assert!(all.iter().all(|line| line.at.is_some() && !line.text.contains('\n')), "{all:?}");
    let mut following = read(Some(1), true).await;
    let first = following.recv().await.and_then(Result::ok);
    assert!(first.as_ref().map(|line| line.at) >= all.last().map(|line| line.at), "{first:?}");
    following
}

/// It went down: whoever followed its log has come to the end.
async fn ended(mut lines: LogLines) {
    let end = async { while lines.recv().await.is_some() {} };
    assert!(tokio::time::timeout(PATIENCE, end).await.is_ok(), "the log goes on after the end");
}

/// Frozen and thawed, each as often as one likes; a frozen one is seen as such, keeps its endpoint
/// and can be stopped and restarted.
async fn paused(runtime: &dyn SandboxRuntime, id: &SandboxId) {
    let before = only(runtime).await;
    assert_eq!(runtime.pause(id).await, Ok(()));
    assert_eq!(runtime.pause(id).await, Ok(()), "pausing twice is fine");
    let seen = only(runtime).await;
    assert_eq!((seen.phase, &seen.endpoint), (Phase::Paused, &before.endpoint));
    until(runtime, id, |health| *health == Health::Paused).await;
    assert_eq!(runtime.resume(id).await, Ok(()));
    assert_eq!(runtime.resume(id).await, Ok(()), "resuming twice is fine");
    until(runtime, id, |health| *health == Health::Healthy).await;

    assert_eq!(runtime.pause(id).await, Ok(()));
    assert_eq!(runtime.stop(id).await, Ok(()), "a paused one can be stopped");
    until(runtime, id, |health| matches!(health, Health::Died { .. })).await;
    assert_eq!(only(runtime).await.phase, Phase::Exited);
}

/// Restarted from whatever it does, as the same sandbox at the same place.
async fn restarted(runtime: &dyn SandboxRuntime, id: &SandboxId, endpoint: &Endpoint) {
    assert_eq!(runtime.restart(id).await.as_ref(), Ok(endpoint), "from down");
    until(runtime, id, |health| *health == Health::Healthy).await;
    assert_eq!(runtime.pause(id).await, Ok(()));
    assert_eq!(runtime.restart(id).await.as_ref(), Ok(endpoint), "from frozen");
    until(runtime, id, |health| *health == Health::Healthy).await;
    assert_eq!(only(runtime).await.id, *id);
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
