//! What the tests of the `thon` command share: a node of their own that cleans up after itself.
//!
//! For: a temporary home, a configuration, free ports, running the command, and Docker seen through
//! its own command line, past everything that THON believes.
//! Not for: what only one test target needs; that lives in its folder.
#![allow(
    dead_code,
    unused_imports,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests, and each test target uses a part of it"
)]

mod docker;
mod ports;
mod served;
mod wait;

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;

pub(crate) use docker::{docker, exec, exec_as_user, processes, try_docker, write_file};
pub(crate) use ports::Ports;
pub(crate) use served::{Answer, Served};
pub(crate) use wait::until;

/// The variables of the test's own environment that the command sees. Everything else, and above
/// all what would configure it or lead it to this machine's real home, stays out.
const PASSED_ON: [&str; 6] =
    ["PATH", "DOCKER_HOST", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "LANG", "TMPDIR"];

/// The domain of nodes in the layout `subdomain`; names below `test` are nobody's (RFC 6761).
pub(crate) const DOMAIN: &str = "hack.test";

/// How many ports of a node in a layout are the sandboxes' own; the rest are the public ones.
pub(crate) const PORTS_INSIDE: u16 = 8;

static COUNT: AtomicU32 = AtomicU32::new(0);

/// The image that sandboxes are made from.
pub(crate) fn image() -> String {
    let named = std::env::var("THON_TEST_IMAGE").ok().filter(|name| !name.is_empty());
    named.unwrap_or_else(|| "waterpistol/thon:latest".to_owned())
}

/// How a program ended and what it said.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    /// The exit code; -1 after a signal.
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Output {
    /// The same, where the command did what it was asked for.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        self.expect(0)
    }

    /// The same, where the command ended with this code.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    /// What was printed, read as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl From<std::process::Output> for Output {
    fn from(output: std::process::Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// What `thon status --json --show-passwords` says of a user.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Instance {
    pub(crate) group: String,
    pub(crate) user: String,
    pub(crate) state: String,
    pub(crate) health: String,
    pub(crate) url: Option<String>,
    pub(crate) port: Option<u16>,
    pub(crate) workspace: String,
    pub(crate) container: Option<String>,
    pub(crate) container_id: Option<String>,
    pub(crate) password: Option<String>,
}

impl Instance {
    /// The URL that the participant opens, with a slash at its end.
    #[track_caller]
    pub(crate) fn url(&self) -> &str {
        self.url.as_deref().unwrap_or_else(|| panic!("no URL: {self:?}"))
    }

    /// The URL's path, with a slash at its end.
    #[track_caller]
    pub(crate) fn path(&self) -> &str {
        let url = self.url();
        let host = url.find("://").unwrap() + 3;
        &url[host + url[host..].find('/').unwrap()..]
    }

    #[track_caller]
    pub(crate) fn password(&self) -> &str {
        self.password.as_deref().unwrap_or_else(|| panic!("no password: {self:?}"))
    }

    #[track_caller]
    pub(crate) fn container(&self) -> &str {
        self.container.as_deref().unwrap_or_else(|| panic!("no container: {self:?}"))
    }
}

/// A node of its own: removed with everything in it when it is dropped, however the test ended.
pub(crate) struct Node {
    pub(crate) name: String,
    /// Held as long as the node lives, so that no other test is given them.
    pub(crate) ports: Ports,
    /// The address in the URLs.
    address: IpAddr,
    folder: TempDir,
}

impl Node {
    /// A node whose configuration has these groups, as YAML below the key `groups`:
    /// `"alpha: [ada]\nbeta: [bob]"`. Nothing is started.
    pub(crate) fn new(groups: &str) -> Self {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("test-cli-{}-{count}", std::process::id());
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("home")).unwrap();
        let address = Ipv4Addr::LOCALHOST.into();
        let node = Self { name, ports: Ports::take(), address, folder };
        node.set_groups(groups);
        node
    }

    /// The configuration for `groups`, to be changed and given to [`Node::write_config`].
    pub(crate) fn config_text(&self, groups: &str) -> String {
        let groups = if groups.is_empty() { "{}" } else { groups };
        let groups = groups.replace('\n', "\n  ");
        let Ports { https, http, api, web, first, last, .. } = self.ports;
        format!(
            "node: {name}\n\
             external_ip: {address}\n\
             sandbox:\n  image: {image}\n  host_ports: {first}-{last}\n  memory: 1g\n\
             nginx:\n  mode: managed\n  https_port: {https}\n  http_port: {http}\n\
             dashboard:\n  port: {api}\n  web_port: {web}\n\
             groups:\n  {groups}\n",
            name = self.name,
            address = self.address,
            image = image(),
        )
    }

    /// The same in a network mode and a layout: a few ports for sandboxes, and as many public ones
    /// behind them.
    pub(crate) fn laid_out(&self, groups: &str, mode: &str, layout: &str) -> String {
        let Ports { first, last, .. } = self.ports;
        let public = first + PORTS_INSIDE;
        let domain = if layout == "subdomain" { DOMAIN } else { "\"\"" };
        let sandbox = format!("  network_mode: {mode}\n  starting_port: {first}\n");
        let nginx =
            format!("  layout: {layout}\n  instance_ports: {public}-{last}\n  domain: {domain}\n");
        self.config_text(groups)
            .replace(&format!("{first}-{last}"), &format!("{first}-{}", public - 1))
            .replace("sandbox:\n", &format!("sandbox:\n{sandbox}"))
            .replace("nginx:\n", &format!("nginx:\n{nginx}"))
    }

    /// Writes the usual configuration with these groups.
    pub(crate) fn set_groups(&self, groups: &str) {
        self.write_config(&self.config_text(groups));
    }

    /// Puts another address than 127.0.0.1 into the URLs, and writes the usual configuration with
    /// these groups.
    pub(crate) fn set_address(&mut self, address: IpAddr, groups: &str) {
        self.address = address;
        self.set_groups(groups);
    }

    /// Writes the whole configuration.
    pub(crate) fn write_config(&self, text: &str) {
        std::fs::write(self.config_file(), text).unwrap();
    }

    /// thon.yaml.
    pub(crate) fn config_file(&self) -> PathBuf {
        self.folder.path().join("thon.yaml")
    }

    /// What the command takes for `THON_HOME`.
    pub(crate) fn thon_home(&self) -> PathBuf {
        self.folder.path().join("thon")
    }

    /// What the command takes for the person's home.
    pub(crate) fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// A folder for whatever a test wants to keep beside it; gone with the node.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The command with its environment and the configuration, for tests that start it themselves.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_thon"));
        command.env_clear().envs(passed_on());
        command.env("HOME", self.home()).env("THON_HOME", self.thon_home());
        command.current_dir(self.folder()).stdin(Stdio::null());
        command.arg("--config").arg(self.config_file()).args(args);
        command
    }

    /// Runs `thon` with these arguments to its end.
    pub(crate) fn thon(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap().into()
    }

    /// Runs `thon run --yes`, which has to succeed, and returns everyone.
    #[track_caller]
    pub(crate) fn run(&self) -> Vec<Instance> {
        self.thon(&["run", "--yes"]).ok();
        self.instances()
    }

    /// What `thon status --json --show-passwords` prints.
    #[track_caller]
    pub(crate) fn status_json(&self) -> Value {
        self.thon(&["--json", "status", "--show-passwords"]).ok().json()
    }

    /// The same, read.
    #[track_caller]
    pub(crate) fn instances(&self) -> Vec<Instance> {
        serde_json::from_value(self.status_json()).unwrap()
    }

    /// The instance of one user of this group.
    #[track_caller]
    pub(crate) fn instance(&self, group: &str, user: &str) -> Instance {
        let all = self.instances();
        let found = all.iter().find(|one| one.group == group && one.user == user);
        found.unwrap_or_else(|| panic!("no {group}/{user} in {all:?}")).clone()
    }

    /// Writes the root certificate that participants import and returns the file.
    #[track_caller]
    pub(crate) fn root_certificate(&self) -> PathBuf {
        let file = self.folder().join("participants-root.pem");
        self.thon(&["tls", "ca", "--output", file.to_str().unwrap()]).ok();
        file
    }

    /// The ids of the node's containers, the stopped ones too.
    pub(crate) fn containers(&self) -> Vec<String> {
        self.labelled(&["container", "ls", "--all", "--quiet", "--no-trunc"])
    }

    /// The node's volumes.
    pub(crate) fn volumes(&self) -> Vec<String> {
        self.labelled(&["volume", "ls", "--quiet"])
    }

    fn labelled(&self, list: &[&str]) -> Vec<String> {
        let filter = format!("label=thon.node={}", self.name);
        let found = try_docker(&[list, &["--filter", &filter]].concat());
        found.stdout.lines().map(str::to_owned).collect()
    }

    /// The process of the managed nginx, if it runs.
    pub(crate) fn nginx_pid(&self) -> Option<u32> {
        let home = self.thon_home().join("nginx");
        let pid = std::fs::read_to_string(home.join("nginx.pid")).ok()?.trim().parse().ok()?;
        // The number may be somebody else's by now; nginx shows its arguments in its title.
        let title = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let title = String::from_utf8_lossy(&title).into_owned();
        title.contains(home.to_str()?).then_some(pid)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // A test may have left a configuration that is refused, or a `thon` that can't do its work:
        // what remains after this is removed by its label.
        drop(std::fs::write(self.config_file(), self.config_text("")));
        drop(self.command(&["down", "--yes"]).output());
        if let Some(pid) = self.nginx_pid() {
            let pid = Pid::from_raw(pid.cast_signed());
            let _ = pid.map(|pid| kill_process(pid, Signal::TERM));
        }
        for (remove, names) in [
            (["container", "rm", "--force", "--volumes"].as_slice(), self.containers()),
            (&["volume", "rm"], self.volumes()),
            (&["network", "rm"], self.labelled(&["network", "ls", "--quiet"])),
        ] {
            for name in names {
                try_docker(&[remove, &[&name]].concat());
            }
        }
    }
}

/// The part of the environment that is passed on.
fn passed_on() -> impl Iterator<Item = (&'static str, OsString)> {
    PASSED_ON.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)))
}
