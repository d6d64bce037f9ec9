//! The traits that adapters implement, and the one way in which they fail.
//!
//! For: what the orchestrator needs of the outside world, in the orchestrator's words.
//! Not for: what Docker, nginx or mkcert happen to offer; that stays in their crates.

use std::collections::BTreeSet;
use std::time::SystemTime;

use async_trait::async_trait;
use serde::Serialize;
use thiserror::Error;

use crate::certificate::{Certificate, CertificateNames};
use crate::disk::{DiskGuard, DiskUse};
use crate::endpoint::{Endpoint, Port};
use crate::image::ImageRef;
use crate::log::{LogLines, LogRequest, harmless};
use crate::name::UserId;
use crate::proxy::{ProxyChange, ProxySite, ProxyStatus, RouteCheck};
use crate::sandbox::{Health, ObservedSandbox, SandboxId, SandboxSpec, Usage};
use crate::seat::Seat;
use crate::secret::Secret;
use crate::shell::{Shell, ShellRequest};
use crate::workspace::{FoundWorkspace, Workspace, WorkspaceChange};

/// What kind of failure it was, as far as someone has to react differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The other side can't be reached at all: Docker is down, the disk is gone.
    Unreachable,
    /// What was asked for isn't there: an image, a container, a program.
    Missing,
    /// A port that was wanted belongs to something else.
    PortTaken,
    /// What was to be made is there already and isn't ours.
    Conflict,
    /// What it was decided on was changed by someone else meanwhile.
    Stale,
    /// Not permitted: a folder, a socket, a low port.
    Denied,
    /// It took longer than it may.
    TimedOut,
    /// It came up and went down again: code-server that starved while it started.
    Died,
    /// Anything else.
    Other,
}

/// What an adapter could not do: what was tried, why it failed, and what the person can do.
/// One line, free of secrets.
#[derive(Debug, Clone, PartialEq, Eq, Error, Serialize)]
#[error("{tried}: {cause}; {advice}")]
pub struct Failure {
    /// The kind.
    pub kind: FailureKind,
    /// What was tried, on what: `starting sandbox thon-sandbox-a_b`.
    pub tried: String,
    /// Why it failed, in the other side's words.
    pub cause: String,
    /// What the person can do about it.
    pub advice: String,
}

impl Failure {
    /// Puts a failure together; line breaks become spaces, so that an error stays one line.
    #[must_use]
    pub fn new(
        kind: FailureKind,
        tried: impl AsRef<str>,
        cause: impl AsRef<str>,
        advice: impl AsRef<str>,
    ) -> Self {
        Self {
            kind,
            tried: one_line(tried.as_ref()),
            cause: one_line(cause.as_ref()),
            advice: one_line(advice.as_ref()),
        }
    }
}

/// Others' words may hold a participant's: they are shown and never obeyed.
fn one_line(text: &str) -> String {
    harmless(&text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Runs sandboxes: Docker, or anything that can hold a code-server.
///
/// Every method is idempotent where the word allows it: removing what is gone succeeds.
#[async_trait]
pub trait SandboxRuntime: Send + Sync {
    /// Everything of this node that exists now, complete; a partial answer is an error.
    async fn observe(&self) -> Result<Vec<ObservedSandbox>, Failure>;

    /// Makes what all sandboxes share (the node's network and the walls around it), where it isn't
    /// there yet. Returns what will not hold and the person should know, one line each.
    async fn prepare(&self) -> Result<Vec<String>, Failure>;

    /// True if the image is at hand, so that a sandbox can be created without a download.
    async fn has_image(&self, image: &ImageRef) -> Result<bool, Failure>;

    /// Those of `ports` on the host that something holds at this moment.
    async fn ports_in_use(&self, ports: &[Port]) -> Result<BTreeSet<Port>, Failure>;

    /// Makes the user's workspace if it isn't there; never touches one that is.
    async fn ensure_workspace(
        &self,
        user: &UserId,
        workspace: &Workspace,
    ) -> Result<WorkspaceChange, Failure>;

    /// Creates the sandbox with its files in place, not yet started.
    async fn create(&self, spec: &SandboxSpec) -> Result<SandboxId, Failure>;

    /// Starts it and returns its endpoint.
    async fn start(&self, id: &SandboxId) -> Result<Endpoint, Failure>;

    /// One look at whether code-server answers. Never waits longer than a few seconds.
    async fn health(&self, id: &SandboxId) -> Result<Health, Failure>;

    /// When a browser was last there, as its code-server knows it; nothing if none ever was. Asking
    /// doesn't count as use.
    async fn heartbeat(&self, id: &SandboxId) -> Result<Option<SystemTime>, Failure>;

    /// What everything in it uses: CPU time since it was started, and memory now.
    async fn usage(&self, id: &SandboxId) -> Result<Usage, Failure>;

    /// Stops it; the sandbox and everything in it stays.
    async fn stop(&self, id: &SandboxId) -> Result<(), Failure>;

    /// Freezes it: what runs in it stands still, its memory and its terminals are kept.
    async fn pause(&self, id: &SandboxId) -> Result<(), Failure>;

    /// Lets a frozen one go on.
    async fn resume(&self, id: &SandboxId) -> Result<(), Failure>;

    /// Stops it, whatever it does, and starts it again, in one go: whoever is interrupted leaves a
    /// sandbox that comes up. Returns its endpoint.
    async fn restart(&self, id: &SandboxId) -> Result<Endpoint, Failure>;

    /// Removes the sandbox, running or not. The workspace stays.
    async fn remove(&self, id: &SandboxId) -> Result<(), Failure>;

    /// What the disk limit of this specification is worth here.
    async fn disk_guard(&self, spec: &SandboxSpec) -> Result<DiskGuard, Failure>;

    /// What a sandbox and its workspace hold on the disk. Never takes longer than some ten seconds.
    async fn disk_use(&self, id: &SandboxId) -> Result<DiskUse, Failure>;

    /// The last `tail` lines that the sandbox wrote.
    async fn logs(&self, id: &SandboxId, tail: usize) -> Result<String, Failure>;

    /// The lines that the sandbox wrote, one by one, and those that it writes until it is down,
    /// where that was asked for.
    async fn follow_log(&self, id: &SandboxId, request: &LogRequest) -> Result<LogLines, Failure>;

    /// Runs a program in a running sandbox, as its user and in the workspace, for someone who talks
    /// to it.
    async fn attach(&self, id: &SandboxId, request: &ShellRequest) -> Result<Shell, Failure>;
}

/// The bytes of a tar archive, read as they come. Reading may block.
pub type TarStream = Box<dyn std::io::Read + Send>;

/// Hands out and takes whole workspaces, and takes them away.
#[async_trait]
pub trait WorkspaceKeeper: Send + Sync {
    /// Every workspace of the node, of those too who have left the roster. How large one is takes
    /// a look at everything in it, and is found out for those of `measured` alone.
    async fn list(
        &self,
        measured: &(dyn for<'a> Fn(&'a UserId) -> bool + Sync),
    ) -> Result<Vec<FoundWorkspace>, Failure>;

    /// Everything in a workspace as a tar archive, with paths below `./`. It may be in use
    /// meanwhile: a file that shrinks while it is read ends the stream with an error.
    async fn read(&self, user: &UserId, workspace: &Workspace) -> Result<TarStream, Failure>;

    /// Puts what is in `tar` into a workspace that is there. Paths in it are plain and relative;
    /// owners and modes are taken as they are. What is there and not in it stays.
    async fn write(
        &self,
        user: &UserId,
        workspace: &Workspace,
        tar: TarStream,
    ) -> Result<(), Failure>;

    /// Deletes a workspace with everything in it. One that is gone is none to delete.
    async fn delete(&self, user: &UserId, workspace: &Workspace) -> Result<(), Failure>;
}

/// Leads browsers to instances: nginx, or anything that terminates TLS and passes websockets on.
#[async_trait]
pub trait ReverseProxy: Send + Sync {
    /// Makes the proxy serve exactly `site`: one write, one test, one reload, and none of them if
    /// nothing changed. On failure what was served before is served on.
    async fn apply(&self, site: &ProxySite) -> Result<ProxyChange, Failure>;

    /// Sends an HTTPS request and a websocket handshake through the proxy to each of `users`'
    /// routes of `site` and says what came of it, in the order of `users`.
    async fn check(&self, site: &ProxySite, users: &[UserId]) -> Result<Vec<RouteCheck>, Failure>;

    /// Those of `ports` on which something other than this proxy listens at this moment.
    async fn ports_taken(&self, ports: &[Port]) -> Result<BTreeSet<Port>, Failure>;

    /// What the proxy does now.
    async fn status(&self) -> Result<ProxyStatus, Failure>;

    /// Takes everything of ours away again and gives back what was there before.
    async fn cleanup(&self) -> Result<(), Failure>;
}

/// Provides the certificate that the proxy serves.
#[async_trait]
pub trait CertificateProvider: Send + Sync {
    /// The name as in `nginx.ssl_provider`.
    fn name(&self) -> &'static str;

    /// A certificate valid now for all of `names`: the present one while it fits and isn't about
    /// to expire, a new one otherwise.
    async fn ensure(&self, names: &CertificateNames) -> Result<Certificate, Failure>;

    /// The certificate that is there now, if any; never issues one.
    async fn current(&self, names: &CertificateNames) -> Result<Option<Certificate>, Failure>;
}

/// Remembers what can't be found again from the runtime.
#[async_trait]
pub trait Store: Send + Sync {
    /// All seats, in no particular order.
    async fn load_seats(&self) -> Result<Vec<Seat>, Failure>;

    /// Replaces all seats, at once or not at all.
    async fn save_seats(&self, seats: &[Seat]) -> Result<(), Failure>;
}

/// The present time, passed in so that plans and tests are deterministic.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> SystemTime;
}

/// Random bytes fit for passwords, passed in so that tests are deterministic.
pub trait Entropy: Send + Sync {
    /// Fills `bytes`.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), Failure>;
}

/// Makes the form of a password that code-server checks a login against.
pub trait PasswordHasher: Send + Sync {
    /// The hash of `password` with `salt`, as `$argon2id$…`.
    fn hash(&self, password: &Secret, salt: &[u8; 16]) -> Result<String, Failure>;
}
