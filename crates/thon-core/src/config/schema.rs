//! The keys of thon.yaml: sandboxes and the way to them.
//!
//! For: the one declaration of each key; struct, defaults, reading, writing, the table of keys and
//! the environment all follow from it.
//! Not for: what the keys cause; for models and gateway see [`super::schema_ai`], for who may come in
//! [`super::schema_access`].

use std::net::IpAddr;
use std::path::PathBuf;

use super::choices::{IdleAction, Layout, LogLevel, NginxMode, SslProvider};
use super::node::{Env, section};
use super::ports::PortList;
use super::schema_access::{AuthConfig, DashboardConfig};
use super::schema_ai::{GatewayConfig, KiloConfig, LangfuseConfig, LemonadeConfig};
use super::types::{DnsName, LaunchConcurrency, PortRange, Subnet, is_email};
use crate::endpoint::{NetworkMode, Port};
use crate::image::ImageRef;
use crate::limits::{ByteSize, Cpus, Limits};
use crate::name::NodeName;
use crate::roster::Roster;

/// A port among the defaults.
#[expect(
    clippy::expect_used,
    reason = "the callers are the defaults of this schema, and a test makes them all"
)]
pub(super) fn port(number: u16) -> Port {
    Port::new(number.into()).expect("a default is no port")
}

/// The default range of host ports.
#[expect(clippy::expect_used, reason = "20000 is less than 29999")]
fn host_ports() -> PortRange {
    PortRange::new(port(20_000), port(29_999)).expect("the default range is in order")
}

/// The default range of public ports of the layout `port`; it lies below 32768 as well.
#[expect(clippy::expect_used, reason = "30000 is less than 32767")]
fn instance_ports() -> PortRange {
    PortRange::new(port(30_000), port(32_767)).expect("the default range is in order")
}

section! {
    /// The whole of thon.yaml.
    pub struct Config {
        /// Start one user `workspace` in one group `default` where no groups are configured.
        pub demo: bool = false;
        /// The name of this node: the prefix of its containers, volumes and network. It keeps two
        /// installations on one Docker daemon apart.
        pub node: NodeName = NodeName::default(), env Env::named("THON_NODE");
        /// The address under which participants reach this machine; found out where it is empty.
        pub external_ip: Option<IpAddr> = None, env Env::PATH;
        /// How much is logged.
        pub log_level: LogLevel = LogLevel::Info, env Env::named("THON_LOG_LEVEL");
        /// The participants by group.
        pub groups: Roster = Roster::default();
        /// The sandboxes.
        pub sandbox: SandboxConfig = SandboxConfig::default();
        /// VS Code in the sandboxes.
        pub vscode: VscodeConfig = VscodeConfig::default();
        /// The way to the sandboxes.
        pub nginx: NginxConfig = NginxConfig::default();
        /// The participants' files.
        pub workspace: WorkspaceConfig = WorkspaceConfig::default();
        /// The local model server.
        pub lemonade: LemonadeConfig = LemonadeConfig::default();
        /// The Kilo Code assistant.
        pub kilo: KiloConfig = KiloConfig::default();
        /// The gateway between participants and models.
        pub gateway: GatewayConfig = GatewayConfig::default();
        /// Traces of what the models are asked.
        pub langfuse: LangfuseConfig = LangfuseConfig::default();
        /// The REST API and the web dashboard.
        pub dashboard: DashboardConfig = DashboardConfig::default();
        /// Login to the API and the dashboard.
        pub auth: AuthConfig = AuthConfig::default();
    }
}

section! {
    /// The sandboxes: their image, their network, what they may use.
    pub struct SandboxConfig {
        /// The container image.
        pub image: ImageRef = ImageRef::default(), env Env::PATH.always();
        /// The image that the sandbox image is built on; empty for the one of the Dockerfile, or for
        /// one made from the distribution's packages where no registry answers.
        pub base_image: Option<ImageRef> = None;
        /// The first user's code-server port inside their sandbox; each further user gets the next.
        pub starting_port: Port = port(8443);
        /// The ports on 127.0.0.1 of this machine that lead to the sandboxes. The default lies below
        /// 32768, where Linux begins to hand out ports to outgoing connections, so that no connection
        /// takes a sandbox's port over a reboot.
        pub host_ports: PortRange = host_ports();
        /// `bridge`: a network of the sandboxes' own; `host`: the network of this machine.
        pub network_mode: NetworkMode = NetworkMode::Bridge;
        /// The addresses of the sandboxes' own network: `auto`, or an IPv4 network.
        pub subnet: Subnet = Subnet::Auto;
        /// How many sandboxes start at one time: `auto` (chosen from the cores), or a number.
        pub launch_concurrency: LaunchConcurrency = LaunchConcurrency::Auto;
        /// How long a sandbox may take until its code-server answers, in seconds.
        pub ready_timeout_seconds: u32 = 120, must "a whole number from 1 to 3600" |n| (1..=3600).contains(n);
        /// How long Docker may take for an answer, in seconds; four times as long for work on the disk.
        pub docker_timeout_seconds: u32 = 30, must "a whole number from 1 to 3600" |n| (1..=3600).contains(n);
        /// How long a sandbox lives from its start, in minutes; 0 for no end.
        pub timeout_minutes: u32 = 0, must "a whole number from 0 to 525600" |n| *n <= 525_600;
        /// The memory of each sandbox; a program that needs more is killed.
        pub memory: ByteSize = ByteSize::gib(2),
            must "at least 64m" |size| size.is_memory();
        /// The CPUs of each sandbox.
        pub cpus: Cpus = Cpus::from_milli(2000),
            must "a number from 0.01 to 1024" |cpus| Limits::is_cpus(*cpus);
        /// The processes and threads of each sandbox.
        pub pids: u32 = 1024, must "a whole number from 64 to 4194304" |n| Limits::is_pids(*n);
        /// The disk space of each sandbox and its workspace; empty for no limit. Measured and
        /// warned of in `thon run` and `thon status`; nothing stops a write.
        pub disk: Option<ByteSize> = None,
            must "at least 64m" |size| size.is_none_or(ByteSize::is_disk);
        /// Whether sandboxes reach the internet; a group's own `internet` decides for the group.
        pub internet: bool = true;
        /// TCP ports of this machine that sandboxes may reach; all others are closed to them.
        pub host_services: PortList = PortList::default();
        /// What becomes of an instance that nobody has used for `idle_minutes`: `ignore`, `pause`, or
        /// `stop`.
        pub idle: IdleAction = IdleAction::Ignore;
        /// After how many minutes without a browser and without work an instance counts as idle.
        pub idle_minutes: u32 = 30, must "a whole number from 1 to 525600" |n| (1..=525_600).contains(n);
        /// A file with further certificate authorities (PEM) that the sandboxes trust, for networks
        /// whose proxy opens TLS; where it is empty, the one that this machine uses is found out.
        pub ca_bundle: Option<PathBuf> = None;
    }
    obsolete {
        "domain" => "THON talks to Docker itself, set the environment variable DOCKER_HOST for a daemon elsewhere";
        "api_key" => "THON talks to Docker itself and needs no key, remove the line";
        "python_version" => "the image brings its Python, choose another image with sandbox.image";
    }
}

impl SandboxConfig {
    /// What each sandbox may use.
    #[must_use]
    pub fn limits(&self) -> Limits {
        Limits { memory: self.memory, cpus: self.cpus, pids: self.pids, disk: self.disk }
    }
}

section! {
    /// VS Code in the sandboxes.
    pub struct VscodeConfig {
        /// Every user's VS Code asks for a password of their own.
        pub secure: bool = true, env Env::named("THON_SECURE");
        /// A file with VS Code settings (JSON) that every user starts with.
        pub settings_file: Option<PathBuf> = None, env Env::named("THON_VSCODE_SETTINGS");
        /// A file with the extensions of the image, one `publisher.name` per line.
        pub extensions_file: Option<PathBuf> = None;
    }
}

section! {
    /// The way to the sandboxes: nginx and its certificate.
    pub struct NginxConfig {
        /// Serve the instances through nginx over TLS.
        pub enabled: bool = true;
        /// `system` (the nginx service of this machine), `managed` (a process of THON's own), or
        /// `auto`.
        pub mode: NginxMode = NginxMode::Auto;
        /// The port for HTTPS.
        pub https_port: Port = port(443);
        /// The port for HTTP, which leads to HTTPS.
        pub http_port: Port = port(80);
        /// How instances are laid out: `path`, one path for each on one port; `port`, one TLS port for
        /// each; `subdomain`, one name for each below `domain`. Only the latter two make every
        /// participant an origin of their own to browsers.
        pub layout: Layout = Layout::Path;
        /// The TLS ports of the layout `port`, one for each user.
        pub instance_ports: PortRange = instance_ports();
        /// The folder of certificates and keys; empty for `tls` in THON's own folder.
        pub ssl_dir: Option<PathBuf> = None;
        /// Where the certificate comes from.
        pub ssl_provider: SslProvider = SslProvider::Auto, env Env::named("THON_SSL_PROVIDER");
        /// The name under which participants reach this machine; empty where they use its address.
        pub domain: Option<DnsName> = None, env Env::named("THON_DOMAIN");
        /// The e-mail address that Let's Encrypt writes to before a certificate ends.
        pub certbot_email: String = String::new(), env Env::named("THON_CERTBOT_EMAIL"),
            must "an e-mail address such as ada@example.org, or nothing" |text| text.is_empty() || is_email(text);
    }
}

section! {
    /// The participants' files.
    pub struct WorkspaceConfig {
        /// A folder on this machine that holds every workspace as `<group>/<user>`; empty for a Docker
        /// volume per user.
        pub dir: Option<PathBuf> = None, env Env::named("THON_WORKSPACE_DIR");
        /// Keep the files inside the container, where they are lost with it. Not together with `dir`.
        pub ephemeral: bool = false;
    }
}
