//! Keys that can each be right and still not go together.
//!
//! For: finding that before anything is started. Needs nothing but the configuration.
//! Not for: what only the machine can tell: files, free ports, memory, reachability.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use super::choices::{Layout, SslProvider};
use super::error::{Problem, Severity};
use super::schema::Config;
use super::types::is_loopback;
use crate::endpoint::{NetworkMode, Port};
use crate::roster::Roster;

/// Where Linux begins to hand out ports to outgoing connections
/// (`net.ipv4.ip_local_port_range`, its default).
pub(super) const EPHEMERAL: u16 = 32_768;

/// Problems as they are found.
#[derive(Default)]
pub(super) struct Findings(Vec<Problem>);

impl Findings {
    fn add(
        &mut self,
        severity: Severity,
        key: &str,
        problem: impl Into<String>,
        fix: impl Into<String>,
    ) {
        let (key, problem, fix) = (key.to_owned(), problem.into(), fix.into());
        self.0.push(Problem { severity, key, problem, fix });
    }

    pub(super) fn error(&mut self, key: &str, problem: impl Into<String>, fix: impl Into<String>) {
        self.add(Severity::Error, key, problem, fix);
    }

    pub(super) fn warning(
        &mut self,
        key: &str,
        problem: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.add(Severity::Warning, key, problem, fix);
    }
}

impl Config {
    /// Gives a configuration that asks for a demonstration its user, as long as nobody else takes
    /// part. Groups without users stay.
    pub fn add_demo(&mut self) {
        if self.demo && self.groups.user_count() == 0 {
            for (id, user) in Roster::demo().users() {
                // Refused only where they are there already, and nobody is.
                drop(self.groups.add(id.group, user.clone()));
            }
        }
    }

    /// Everything in this configuration that can't work, or probably doesn't work as wished.
    #[must_use]
    pub fn validate(&self) -> Vec<Problem> {
        let mut findings = Findings::default();
        self.check_roster(&mut findings);
        self.check_not_yet(&mut findings);
        self.check_walls(&mut findings);
        self.check_ports(&mut findings);
        self.check_layout(&mut findings);
        self.check_certificate(&mut findings);
        self.check_models(&mut findings);
        self.check_access(&mut findings);
        findings.0
    }

    /// What is read and kept, and does nothing in this version.
    fn check_not_yet(&self, findings: &mut Findings) {
        let sections = [
            ("lemonade.enabled", self.lemonade.enabled && self.lemonade.url.is_empty()),
            ("gateway.enabled", self.gateway.enabled),
            ("langfuse.enabled", self.langfuse.enabled),
        ];
        for (key, _) in sections.into_iter().filter(|(_, enabled)| *enabled) {
            findings.warning(
                key,
                "this version reads and keeps it, and does nothing with it yet",
                "leave it for a later version, or set it to false",
            );
        }
    }

    /// A model server that is there already has to be one that sandboxes reach.
    fn check_model_server(&self, findings: &mut Findings) {
        let lemonade = &self.lemonade;
        let Some((_, rest)) = lemonade.url.split_once("://") else { return };
        if !lemonade.enabled {
            findings.warning(
                "lemonade.url",
                "nobody is told of it",
                "set lemonade.enabled to true, or remove it",
            );
        }
        let authority = rest.split('/').next().unwrap_or_default();
        let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if is_loopback(host) && self.sandbox.network_mode == NetworkMode::Bridge {
            findings.error(
                "lemonade.url",
                format!("{host} is each sandbox itself"),
                "use an address of this machine that the server listens on, and put its port into \
                 sandbox.host_services",
            );
        }
    }

    fn check_roster(&self, findings: &mut Findings) {
        let users = self.groups.user_count();
        for group in self.groups.groups().iter().filter(|group| group.users.is_empty()) {
            findings.warning(
                &format!("groups.{}", group.name),
                "this group has no users",
                "add some, or remove the group",
            );
        }
        if users == 0 && !self.demo {
            findings.warning(
                "groups",
                "nobody takes part",
                "add groups with users, or set demo: true",
            );
        }
        if self.workspace.ephemeral && self.workspace.dir.is_some() {
            findings.error(
                "workspace.ephemeral",
                "workspaces can't be in the container and in workspace.dir",
                "remove one of the two",
            );
        }
        let sandbox = &self.sandbox;
        let last = usize::from(sandbox.starting_port.get()) + users.saturating_sub(1);
        if last > usize::from(u16::MAX) {
            findings.error(
                "sandbox.starting_port",
                format!(
                    "counting from {}, port 65535 comes before the last of {users} users",
                    sandbox.starting_port
                ),
                "start lower",
            );
        }
        if sandbox.network_mode == NetworkMode::Host {
            return;
        }
        if sandbox.host_ports.size() < users {
            findings.error(
                "sandbox.host_ports",
                format!(
                    "{} holds {} ports for {users} users",
                    sandbox.host_ports,
                    sandbox.host_ports.size()
                ),
                "widen it",
            );
        }
        if sandbox.host_ports.last().get() >= EPHEMERAL {
            findings.warning(
                "sandbox.host_ports",
                format!("ports from {EPHEMERAL} up are taken by outgoing connections, over a reboot even a user's"),
                "choose ports below",
            );
        }
        if let Some(capacity) = sandbox.subnet.capacity().filter(|capacity| *capacity < users) {
            findings.error(
                "sandbox.subnet",
                format!(
                    "{} has addresses for {capacity} sandboxes, there are {users} users",
                    sandbox.subnet
                ),
                "choose a larger network",
            );
        }
    }

    /// In host mode sandboxes share this machine's network, in which no walls stand.
    fn check_walls(&self, findings: &mut Findings) {
        if self.sandbox.network_mode != NetworkMode::Host {
            return;
        }
        let node = (!self.sandbox.internet).then(|| "sandbox.internet".to_owned());
        let offline = self.groups.groups().iter().filter(|g| g.rules.internet == Some(false));
        let groups = offline.map(|group| format!("groups.{}.internet", group.name));
        for key in node.into_iter().chain(groups) {
            findings.error(
                &key,
                "false can't be had with sandbox.network_mode: host, which shares this machine's \
                 network",
                "set it to true, or sandbox.network_mode: bridge",
            );
        }
    }

    /// Every port of this machine that something of ours listens on, with its key.
    fn listeners(&self) -> Vec<(&'static str, Port)> {
        let mut listeners = vec![
            ("dashboard.port", self.dashboard.port),
            ("dashboard.web_port", self.dashboard.web_port),
        ];
        if self.nginx.enabled {
            listeners.push(("nginx.https_port", self.nginx.https_port));
            listeners.push(("nginx.http_port", self.nginx.http_port));
            listeners.extend(self.dashboard.tls_port.map(|port| ("dashboard.tls_port", port)));
        }
        if self.lemonade.enabled && self.lemonade.url.is_empty() {
            listeners.push(("lemonade.port", self.lemonade.port));
        }
        listeners
    }

    fn check_ports(&self, findings: &mut Findings) {
        if self.dashboard.tls_port.is_some() && !self.nginx.enabled {
            findings.error(
                "dashboard.tls_port",
                "nginx would serve it, and nginx.enabled is false",
                "leave it out, or set nginx.enabled: true",
            );
        }
        let listeners = self.listeners();
        for (index, (key, port)) in listeners.iter().enumerate() {
            if let Some((other, _)) = listeners[..index].iter().find(|(_, taken)| taken == port) {
                findings.error(
                    key,
                    format!("port {port} is that of {other} too"),
                    "give each a port of its own",
                );
            }
        }
        let (range_key, range) = self.sandbox_ports();
        let mut ranges = vec![(range_key, range, "the sandboxes")];
        if let Some(public) = self.public_ports() {
            ranges.push(("nginx.instance_ports", public, "the instances in layout port"));
        }
        for (key, port) in listeners {
            for (range_key, range, whose) in &ranges {
                if range.contains(&usize::from(port.get())) {
                    let (first, last) = (range.start(), range.end());
                    findings.error(
                        key,
                        format!(
                            "port {port} is among those of {whose}, {first} to {last} ({range_key})"
                        ),
                        "move one of them",
                    );
                }
            }
        }
    }

    /// The ports of this machine that sandboxes take, with the key that decides.
    pub(super) fn sandbox_ports(&self) -> (&'static str, RangeInclusive<usize>) {
        let sandbox = &self.sandbox;
        match sandbox.network_mode {
            NetworkMode::Bridge => {
                let range = sandbox.host_ports;
                (
                    "sandbox.host_ports",
                    usize::from(range.first().get())..=usize::from(range.last().get()),
                )
            }
            NetworkMode::Host => {
                let first = usize::from(sandbox.starting_port.get());
                (
                    "sandbox.starting_port",
                    first..=first + self.groups.user_count().saturating_sub(1),
                )
            }
        }
    }

    /// The ports on which instances are found in public, where each has one.
    pub(super) fn public_ports(&self) -> Option<RangeInclusive<usize>> {
        let range = self.nginx.instance_ports;
        (self.nginx.enabled && self.nginx.layout == Layout::Port)
            .then(|| usize::from(range.first().get())..=usize::from(range.last().get()))
    }

    fn check_certificate(&self, findings: &mut Findings) {
        if !self.nginx.enabled || self.nginx.ssl_provider != SslProvider::Certbot {
            return;
        }
        if self.nginx.domain.is_none() {
            findings.error(
                "nginx.domain",
                "Let's Encrypt certifies names only, and there is none",
                "set the name of this machine, or nginx.ssl_provider: auto",
            );
        }
        if self.nginx.certbot_email.is_empty() {
            findings.warning(
                "nginx.certbot_email",
                "nobody is warned before the certificate ends",
                "set an e-mail address",
            );
        }
    }

    fn check_models(&self, findings: &mut Findings) {
        if self.gateway.enabled && !self.lemonade.enabled && self.gateway.admin_key.is_empty() {
            findings.error(
                "gateway.enabled",
                "the gateway has no models behind it",
                "set lemonade.enabled: true, or gateway.admin_key for a gateway that is set up elsewhere",
            );
        }
        let own = self.lemonade.enabled && self.lemonade.url.is_empty();
        if own && !self.lemonade.generate_keys && self.lemonade.api_key.is_empty() {
            findings.warning(
                "lemonade.api_key",
                "whoever reaches the model server can use it",
                "set a key, or lemonade.generate_keys: true",
            );
        }
        if self.langfuse.enabled
            && (self.langfuse.public_key.is_empty() || self.langfuse.secret_key.is_empty())
        {
            findings.error(
                "langfuse.enabled",
                "traces need both keys of the Langfuse project",
                "set langfuse.public_key and langfuse.secret_key (LANGFUSE_SECRET_KEY), or switch it off",
            );
        }
        self.check_model_server(findings);
        let models = self.lemonade.chat_models.iter().map(|model| model.name.as_str());
        check_twice("lemonade.chat_models", models, findings);
        let limits = self.gateway.model_concurrency.iter().map(|limit| limit.model.as_str());
        check_twice("gateway.model_concurrency", limits, findings);
    }
}

/// Names that entries of a list share.
fn check_twice<'a>(key: &str, names: impl Iterator<Item = &'a str>, findings: &mut Findings) {
    let mut seen = BTreeSet::new();
    for (index, name) in names.enumerate() {
        if !seen.insert(name) {
            let name = crate::name::quoted(name);
            findings.error(
                &format!("{key}[{index}]"),
                format!("{name} is in this list twice"),
                "remove one of them",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        let config = Config::parse(text, "thon.yaml").unwrap().config;
        let found = config.validate();
        assert!(found.iter().all(|problem| !problem.to_string().contains('\n')));
        found
            .iter()
            .filter(|problem| problem.severity == Severity::Error)
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn the_default_with_a_group_has_nothing_wrong() {
        let config = Config::parse("groups: {alpha: [alice]}", "thon.yaml").unwrap().config;
        assert_eq!(config.validate(), []);
    }

    #[test]
    fn each_contradiction_is_found_at_its_key() {
        for (text, key) in [
            ("nginx: {https_port: 80}", "nginx.http_port"),
            ("nginx: {https_port: 20443}", "nginx.https_port"),
            ("nginx: {ssl_provider: certbot}", "nginx.domain"),
            ("sandbox: {host_ports: 20000-20001}\ngroups: {a: [x, y, z]}", "sandbox.host_ports"),
            ("sandbox: {starting_port: 65534}\ngroups: {a: [x, y, z]}", "sandbox.starting_port"),
            ("sandbox: {subnet: 10.0.0.0/29}\ngroups: {a: [u, v, w, x, y, z]}", "sandbox.subnet"),
            (
                "sandbox: {network_mode: host, starting_port: 8099}\ngroups: {a: [x, y]}",
                "dashboard.port",
            ),
            ("sandbox: {network_mode: host, internet: false}", "sandbox.internet"),
            (
                "sandbox: {network_mode: host}\ngroups: {a: {internet: false, users: [x]}}",
                "groups.a.internet",
            ),
            ("lemonade: {enabled: true, url: 'http://localhost:13305/v1'}", "lemonade.url"),
            ("lemonade: {enabled: true, url: 'http://[::1]:13305/v1'}", "lemonade.url"),
            ("gateway: {enabled: true}", "gateway.enabled"),
            ("langfuse: {enabled: true, public_key: pk}", "langfuse.enabled"),
            ("auth: {enabled: true}", "auth.enabled"),
            ("auth: {enabled: true, github: {client_id: x}}", "auth.github.client_secret"),
            ("auth: {enabled: true, session_secret: short}", "auth.session_secret"),
            (
                "lemonade: {chat_models: [{name: a, checkpoint: x}, {name: a, checkpoint: y}]}",
                "lemonade.chat_models[1]",
            ),
        ] {
            let found = problems(text);
            assert!(
                found.iter().any(|line| line.starts_with(&format!("{key}: "))),
                "{text}: {found:?}"
            );
        }
    }

    #[test]
    fn one_port_more_is_enough() {
        assert_eq!(problems("sandbox: {host_ports: 20000-20002}\ngroups: {a: [x, y, z]}"), [""; 0]);
        assert_eq!(problems("sandbox: {starting_port: 65533}\ngroups: {a: [x, y, z]}"), [""; 0]);
        assert_eq!(
            problems("sandbox: {subnet: 10.0.0.0/29}\ngroups: {a: [v, w, x, y, z]}"),
            [""; 0]
        );
    }

    #[test]
    fn what_is_open_to_strangers_is_said() {
        let config =
            Config::parse("vscode: {secure: false}\ndashboard: {host: 0.0.0.0}\ndemo: true", "t")
                .unwrap();
        let keys: Vec<String> =
            config.config.validate().into_iter().map(|problem| problem.key).collect();
        assert_eq!(keys, ["vscode.secure", "dashboard.host"]);
    }

    #[test]
    fn no_secret_is_in_a_finding() {
        let found = problems("auth: {enabled: true, session_secret: hunter2}").join("\n");
        assert!(!found.contains("hunter2"), "{found}");
    }
}
