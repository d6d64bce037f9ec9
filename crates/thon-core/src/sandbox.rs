//! A sandbox: what is asked of the runtime, and what the runtime says of it.
//!
//! For: the specification of one user's container, the fingerprint by which a changed one is told
//! from an unchanged one, and code-server's command line and files.
//! Not for: Docker's vocabulary; the adapter translates.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::config::Layout;
use crate::endpoint::{Endpoint, NetworkMode, Port, Upstream};
use crate::image::ImageRef;
use crate::limits::Limits;
use crate::name::UserId;
use crate::seat::Password;
use crate::workspace::{MOUNT_POINT, Workspace};

/// The home of the image's user `vscode`.
pub const HOME: &str = "/home/vscode";

/// The fixed uid and gid of the image's user `vscode`: the ancestor's, so that the files of a
/// workspace that it made still belong to their user.
pub const USER_ID: u32 = 1001;

/// Seconds for which code-server keeps the editor of a browser that went away. Its own default of
/// three hours lets the memory of closed tabs pile up.
const RECONNECTION_GRACE_SECONDS: u32 = 600;

/// Where the image keeps what Node has compiled of code-server (see the Dockerfile). A launch that
/// is pointed to it takes a tenth less CPU time; where an image lacks it, Node does without.
const COMPILE_CACHE: (&str, &str) = ("NODE_COMPILE_CACHE", "/usr/local/share/thon/compile-cache");

/// code-server's own name for the cookie of a session; a suffix tells one instance's from another's.
const SESSION_COOKIE: &str = "code-server-session";

/// The name of the cookie with which a browser stays signed in, with what tells it from others'.
#[must_use]
pub fn session_cookie(session: Option<&str>) -> String {
    session.map_or_else(|| SESSION_COOKIE.to_owned(), |suffix| format!("{SESSION_COOKIE}-{suffix}"))
}

/// The runtime's name for a sandbox.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SandboxId(pub String);

impl SandboxId {
    /// The first twelve characters, as Docker's own tools show ids.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

impl fmt::Display for SandboxId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.short())
    }
}

/// Who is let into the editor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// Whoever knows the password.
    Password(Password),
    /// Whoever finds the URL.
    Open,
}

/// A file to be placed in a sandbox before it starts, owned by `vscode`.
#[derive(Clone, PartialEq, Eq)]
pub struct InjectedFile {
    /// The absolute path in the sandbox.
    pub path: String,
    /// The permission bits.
    pub mode: u32,
    /// The contents; never printed, for they may hold keys.
    pub contents: Vec<u8>,
}

impl fmt::Debug for InjectedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:o}, {} bytes)", self.path, self.mode, self.contents.len())
    }
}

/// One user's sandbox as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SandboxSpec {
    /// Whose.
    pub user: UserId,
    /// From which image.
    pub image: ImageRef,
    /// How it meets the network.
    pub network_mode: NetworkMode,
    /// The port of code-server in the sandbox.
    pub code_port: Port,
    /// The port on the host's loopback; not used in host mode.
    pub host_port: Port,
    /// How browsers find it. No part of the fingerprint: nobody's sandbox is worth replacing for it.
    pub layout: Layout,
    /// Where the user's files live.
    pub workspace: Workspace,
    /// What it may use up.
    pub limits: Limits,
    /// Whether it reaches the internet.
    pub internet: bool,
    /// Who is let in.
    pub access: Access,
    /// Environment variables, none of them secret: `docker inspect` shows them.
    pub environment: BTreeMap<String, String>,
    /// Further files; the access file is not among them.
    pub files: Vec<InjectedFile>,
}

impl SandboxSpec {
    /// The endpoint that a sandbox with published ports of this node will have.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        match self.network_mode {
            NetworkMode::Bridge => Endpoint::bridge("127.0.0.1", self.host_port, self.code_port),
            NetworkMode::Host => Endpoint::host("127.0.0.1", self.code_port),
        }
    }

    /// What is put on the sandbox to tell later whether it still is what is wanted.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint {
            image: self.image.clone(),
            network_mode: self.network_mode,
            code_port: self.code_port,
            host_port: self.host_port,
            workspace: self.workspace.clone(),
            limits: self.limits.clone(),
            internet: self.internet,
            access: match &self.access {
                Access::Password(password) => format!("password {}", password.id),
                Access::Open => "open".to_owned(),
            },
            session: self.session().map(ToOwned::to_owned),
            environment: self.environment.clone(),
        }
    }

    /// What tells its session's cookie from others'. Browsers share cookies between the ports of a
    /// host, so that without it one login would end another. It is made with the password and
    /// nobody's business, so that no participant can plant a cookie of another's name.
    fn session(&self) -> Option<&str> {
        match &self.access {
            Access::Password(password) => Some(&password.id),
            Access::Open => None,
        }
    }

    /// code-server's command line. In host mode it listens on loopback only; in bridge mode the
    /// sandbox's own network is what keeps others out.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        let address = match self.network_mode {
            NetworkMode::Bridge => "0.0.0.0",
            NetworkMode::Host => "127.0.0.1",
        };
        let path = self.endpoint().public_path();
        let mut arguments = vec!["--bind-addr".to_owned(), format!("{address}:{}", self.code_port)];
        let mut add =
            |option: &str, value: &str| arguments.extend([option, value].map(String::from));
        // On an origin of its own there is nothing in front of its paths.
        if self.layout.shares_origin() {
            add("--abs-proxy-base-path", path.without_slash());
        }
        if let Some(session) = self.session() {
            add("--cookie-suffix", session);
        }
        add("--reconnection-grace-time", &RECONNECTION_GRACE_SECONDS.to_string());
        arguments.extend(
            [
                "--disable-telemetry",
                "--disable-update-check",
                "--disable-workspace-trust",
                MOUNT_POINT,
            ]
            .map(String::from),
        );
        arguments
    }

    /// All environment variables: the configured ones, and what makes code-server start faster. The
    /// latter is no part of the fingerprint, for nobody's sandbox is worth replacing for it.
    #[must_use]
    pub fn variables(&self) -> BTreeMap<String, String> {
        let (name, value) = COMPILE_CACHE;
        let mut variables = self.environment.clone();
        variables.entry(name.to_owned()).or_insert_with(|| value.to_owned());
        variables
    }

    /// All files to place, code-server's configuration with the password's hash first. The hash is in
    /// a file of the user's own because a command line or an environment variable would show it in
    /// process lists and to everyone who may ask Docker. The password itself never gets there.
    #[must_use]
    pub fn all_files(&self) -> Vec<InjectedFile> {
        let access = match &self.access {
            // A hash is letters, digits and `$=,+/`: nothing that ends a quoted text in YAML.
            Access::Password(password) => {
                let hash = password.hash.reveal();
                format!("auth: password\nhashed-password: \"{hash}\"\ncert: false\n")
            }
            Access::Open => "auth: none\ncert: false\n".to_owned(),
        };
        let access_file = InjectedFile {
            path: format!("{HOME}/.config/code-server/config.yaml"),
            mode: 0o600,
            contents: access.into_bytes(),
        };
        std::iter::once(access_file).chain(self.files.iter().cloned()).collect()
    }
}

/// The parts of a specification that can't change while the sandbox lives; they travel with it as
/// a label. Nothing secret is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    image: ImageRef,
    network_mode: NetworkMode,
    code_port: Port,
    host_port: Port,
    workspace: Workspace,
    limits: Limits,
    /// Labels from before there was a choice don't say it.
    #[serde(default = "reaches_the_internet")]
    internet: bool,
    access: String,
    /// Nothing on sandboxes from before there was a choice, and where nobody is asked to sign in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    session: Option<String>,
    environment: BTreeMap<String, String>,
}

const fn reaches_the_internet() -> bool {
    true
}

impl Fingerprint {
    /// What `self` has otherwise than `wanted`, in words; empty if they are the same.
    #[must_use]
    pub fn differences(&self, wanted: &Self) -> Vec<String> {
        let mut found = Vec::new();
        let mut compare = |what: &str, now: String, then: String| {
            if now != then {
                found.push(format!("{what} {now} -> {then}"));
            }
        };
        compare("image", self.image.to_string(), wanted.image.to_string());
        compare("network mode", self.network_mode.to_string(), wanted.network_mode.to_string());
        compare("code-server port", self.code_port.to_string(), wanted.code_port.to_string());
        compare("host port", self.host_port.to_string(), wanted.host_port.to_string());
        compare("workspace", self.workspace.to_string(), wanted.workspace.to_string());
        compare("limits", self.limits.to_string(), wanted.limits.to_string());
        let reach = |internet: bool| if internet { "open" } else { "closed" }.to_owned();
        compare("internet", reach(self.internet), reach(wanted.internet));
        if self.access != wanted.access {
            found.push(match (self.access.as_str(), wanted.access.as_str()) {
                ("open", _) => "a password is now asked for".to_owned(),
                (_, "open") => "no password is asked for any more".to_owned(),
                _ => "the password changed".to_owned(),
            });
        }
        if self.environment != wanted.environment {
            found.push("environment variables changed".to_owned());
        }
        found
    }

    /// The image that it was made from.
    #[must_use]
    pub const fn image(&self) -> &ImageRef {
        &self.image
    }

    /// Where the user's files live.
    #[must_use]
    pub const fn workspace(&self) -> &Workspace {
        &self.workspace
    }

    /// What the sandbox may use.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// What tells its session's cookie from others'; nothing where that has no name of its own.
    #[must_use]
    pub fn session(&self) -> Option<&str> {
        self.session.as_deref()
    }

    /// True if browsers that hold sessions of several such sandboxes can tell them apart wherever
    /// they are found.
    #[must_use]
    pub fn has_own_session(&self) -> bool {
        self.session.is_some() || !self.asks_for_password()
    }

    /// True if the instance asks for a password.
    #[must_use]
    pub fn asks_for_password(&self) -> bool {
        self.access != "open"
    }

    /// The ports, from which a lost seat is found again.
    #[must_use]
    pub fn ports(&self) -> crate::seat::SeatPorts {
        crate::seat::SeatPorts { code_port: self.code_port, host_port: self.host_port }
    }
}

/// What a runtime says a sandbox is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Made, never started: whoever made it was interrupted.
    Created,
    /// Running.
    Running,
    /// The runtime is bringing it up again after it went down.
    Restarting,
    /// Frozen.
    Paused,
    /// Down.
    Exited,
    /// Something that this version doesn't know.
    Unknown,
}

/// A sandbox as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedSandbox {
    /// The runtime's name for it.
    pub id: SandboxId,
    /// The name that people see.
    pub name: String,
    /// Whose it is.
    pub user: UserId,
    /// What it is doing.
    pub phase: Phase,
    /// Where its code-server answers, if that can be told.
    pub endpoint: Option<Endpoint>,
    /// What the proxy dials for it.
    pub upstream: Option<Upstream>,
    /// What it was made from; nothing where the label can't be read any more.
    pub fingerprint: Option<Fingerprint>,
    /// When it was made.
    pub created_at: Option<SystemTime>,
    /// What it ended with, where it did.
    pub exit_code: Option<i64>,
}

/// What a sandbox uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// CPU time since it was started.
    pub cpu: Duration,
    /// Memory now, in bytes, without what the kernel gives back at once; nothing where that isn't
    /// counted.
    pub memory: Option<u64>,
}

/// One look at a sandbox's code-server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "health")]
pub enum Health {
    /// The container runs, code-server doesn't answer yet.
    Starting,
    /// `/healthz` answered 200.
    Healthy,
    /// The container is frozen.
    Paused,
    /// The container is down or goes up and down.
    Died {
        /// What the container ended with.
        exit_code: Option<i64>,
        /// True if the kernel ended it for want of memory.
        out_of_memory: bool,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn spec() -> SandboxSpec {
        SandboxSpec {
            user: "alpha/alice".parse().unwrap(),
            image: ImageRef::default(),
            network_mode: NetworkMode::Bridge,
            code_port: Port::new(8444).unwrap(),
            host_port: Port::new(20_001).unwrap(),
            layout: Layout::Path,
            workspace: Workspace::Volume("thon-workspace-alpha_alice".to_owned()),
            limits: Limits::default(),
            internet: true,
            access: Access::Password(Password {
                secret: Secret::new("s3cret"),
                hash: Secret::new("h4sh"),
                id: "x".to_owned(),
            }),
            environment: BTreeMap::new(),
            files: Vec::new(),
        }
    }

    #[test]
    fn the_command_line_suits_an_event_and_holds_no_password() {
        let arguments = spec().arguments().join(" ");
        assert_eq!(
            arguments,
            "--bind-addr 0.0.0.0:8444 --abs-proxy-base-path /20001/proxy/8444 --cookie-suffix x \
             --reconnection-grace-time 600 --disable-telemetry --disable-update-check \
             --disable-workspace-trust /workspace"
        );
        let host = SandboxSpec { network_mode: NetworkMode::Host, ..spec() };
        assert!(host.arguments().join(" ").starts_with("--bind-addr 127.0.0.1:8444 "));
    }

    #[test]
    fn another_layout_replaces_no_sandbox_and_has_nothing_in_front_of_paths() {
        let own = SandboxSpec { layout: Layout::Port, ..spec() };
        assert_eq!(own.fingerprint(), spec().fingerprint());
        let arguments = own.arguments().join(" ");
        assert!(!arguments.contains("abs-proxy"), "{arguments}");
        assert!(arguments.contains(" --cookie-suffix x "), "{arguments}");
        let open = SandboxSpec { access: Access::Open, ..spec() };
        assert!(!open.arguments().join(" ").contains("cookie"), "nobody signs in");
    }

    #[test]
    fn a_session_is_told_from_others_by_its_cookie_s_name() {
        let own = spec().fingerprint();
        assert_eq!(session_cookie(own.session()), "code-server-session-x");
        let label = serde_json::to_string(&own).unwrap().replace(",\"session\":\"x\"", "");
        let older: Fingerprint = serde_json::from_str(&label).unwrap();
        assert_eq!(session_cookie(older.session()), "code-server-session");
        assert!(own.has_own_session() && !older.has_own_session());
        assert!(older.differences(&own).is_empty(), "and is no reason to replace it");
    }

    #[test]
    fn what_makes_a_start_faster_replaces_no_sandbox_and_yields_to_the_organizer() {
        let mut own = spec();
        assert!(own.variables()["NODE_COMPILE_CACHE"].starts_with("/usr/local/share/thon/"));
        assert!(!serde_json::to_string(&own.fingerprint()).unwrap().contains("COMPILE"));
        own.environment.insert("NODE_COMPILE_CACHE".to_owned(), "/tmp/mine".to_owned());
        assert_eq!(own.variables()["NODE_COMPILE_CACHE"], "/tmp/mine");
    }

    #[test]
    fn the_hash_is_only_in_a_private_file_and_the_password_nowhere() {
        let spec = spec();
        let file = &spec.all_files()[0];
        assert_eq!(file.mode, 0o600);
        let text = String::from_utf8_lossy(&file.contents);
        assert!(text.contains("hashed-password: \"h4sh\"") && !text.contains("s3cret"), "{text}");
        let shown =
            format!("{spec:?}{file:?}{}", serde_json::to_string(&spec.fingerprint()).unwrap());
        assert!(!shown.contains("s3cret") && !shown.contains("h4sh"), "{shown}");
    }

    #[test]
    fn a_fingerprint_survives_its_label_and_names_what_changed() {
        let before = spec().fingerprint();
        let label = serde_json::to_string(&before).unwrap();
        let read: Fingerprint = serde_json::from_str(&label).unwrap();
        assert!(read.differences(&before).is_empty());

        let mut changed = spec();
        changed.image = "other:1".parse().unwrap();
        changed.access = Access::Open;
        let found = read.differences(&changed.fingerprint());
        assert_eq!(
            found,
            ["image waterpistol/thon:latest -> other:1", "no password is asked for any more"]
        );
    }
}
