//! Keys of the public layout that can each be right and still not go together.
//!
//! For: ports and names of instances that can't be had, found before anything is started.
//! Not for: whether a port is free or a name leads here; only the machine can tell.

use super::choices::{Layout, SslProvider};
use super::schema::Config;
use super::validate::{EPHEMERAL, Findings};
use crate::layout::{LONGEST_NAME, MOST_PUBLIC_NAMES, host_name};
use crate::name::UserId;

impl Config {
    /// What the layout needs.
    pub(super) fn check_layout(&self, findings: &mut Findings) {
        if !self.nginx.enabled {
            return;
        }
        match self.nginx.layout {
            Layout::Path => {}
            Layout::Port => self.check_public_ports(findings),
            Layout::Subdomain => self.check_names(findings),
        }
    }

    fn check_public_ports(&self, findings: &mut Findings) {
        let (key, range) = ("nginx.instance_ports", self.nginx.instance_ports);
        let users = self.groups.user_count();
        if range.size() < users {
            findings.error(
                key,
                format!("{range} holds {} ports for {users} users", range.size()),
                "widen it",
            );
        }
        if range.last().get() >= EPHEMERAL {
            findings.warning(
                key,
                format!(
                    "ports from {EPHEMERAL} up are taken by outgoing connections, over a reboot even a user's"
                ),
                "choose ports below",
            );
        }
        let (other, ports) = self.sandbox_ports();
        let (first, last) = (usize::from(range.first().get()), usize::from(range.last().get()));
        if first <= *ports.end() && *ports.start() <= last {
            findings.error(
                key,
                format!(
                    "{range} meets the ports of the sandboxes, {} to {} ({other})",
                    ports.start(),
                    ports.end()
                ),
                "move one of them",
            );
        }
    }

    fn check_names(&self, findings: &mut Findings) {
        let Some(domain) = &self.nginx.domain else {
            findings.error(
                "nginx.domain",
                "layout subdomain gives everyone a name below a domain, and there is none",
                "set the name of this machine, or nginx.layout: port",
            );
            return;
        };
        for group in self.groups.groups() {
            for user in &group.users {
                let id = UserId::new(group.name.clone(), user.name.clone());
                let name = host_name(&id, domain.as_str());
                if name.len() > LONGEST_NAME {
                    findings.error(
                        &format!("groups.{}", group.name),
                        format!(
                            "the host name of {id} would have {} characters below {domain}, and \
                             DNS allows {LONGEST_NAME}",
                            name.len()
                        ),
                        "shorten the user, the group or nginx.domain, or set nginx.layout: port",
                    );
                }
            }
        }
        let names = self.groups.user_count() + 1;
        if self.nginx.ssl_provider == SslProvider::Certbot && names > MOST_PUBLIC_NAMES {
            findings.error(
                "nginx.ssl_provider",
                format!(
                    "Let's Encrypt puts at most {MOST_PUBLIC_NAMES} names into a certificate, and \
                     layout subdomain needs {names}"
                ),
                "set nginx.layout: port, or another provider",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::error::Severity;
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        let config = Config::parse(text, "thon.yaml").unwrap().config;
        let found = config.validate();
        let errors = found.iter().filter(|problem| problem.severity == Severity::Error);
        errors.map(ToString::to_string).collect()
    }

    /// One error, at this key, with these words.
    #[track_caller]
    fn refused(text: &str, key: &str, words: &[&str]) {
        let found = problems(text);
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert!(found[0].starts_with(&format!("{key}: ")), "{found:?}");
        for word in words {
            assert!(found[0].contains(word), "{word} in {found:?}");
        }
    }

    #[test]
    fn each_layout_needs_what_it_is_made_of() {
        let three = "groups: {a: [x, y, z]}";
        let port = |keys: &str| format!("nginx: {{layout: port, {keys}}}\n{three}");
        refused(
            &port("instance_ports: 30000-30001"),
            "nginx.instance_ports",
            &["2 ports", "3 users"],
        );
        refused(
            &port("instance_ports: 29990-30005"),
            "nginx.instance_ports",
            &["sandbox.host_ports"],
        );
        refused(&port("https_port: 30001"), "nginx.https_port", &["nginx.instance_ports"]);
        refused(
            &format!("{}\ndashboard: {{port: 30500}}", port("mode: auto")),
            "dashboard.port",
            &["30500", "nginx.instance_ports"],
        );
        refused(
            "nginx: {layout: port, instance_ports: 8440-8450}\nsandbox: {network_mode: host}\n\
             groups: {a: [x]}",
            "nginx.instance_ports",
            &["sandbox.starting_port"],
        );
        refused("nginx: {layout: subdomain}\ngroups: {a: [x]}", "nginx.domain", &["subdomain"]);
        for fine in [
            port("instance_ports: 30000-30002"),
            format!("nginx: {{layout: subdomain, domain: hack.example.org}}\n{three}"),
            format!("nginx: {{layout: subdomain, enabled: false}}\n{three}"),
            // Only the layout that uses them keeps others away from them.
            format!("nginx: {{instance_ports: 20000-29999}}\ndashboard: {{port: 30500}}\n{three}"),
        ] {
            assert_eq!(problems(&fine), [""; 0], "{fine}");
        }
    }

    #[test]
    fn the_dashboard_is_never_at_a_participant_s_port_whatever_the_layout() {
        for (port, key) in [(443, "nginx.https_port"), (80, "nginx.http_port")] {
            let found = problems(&format!("dashboard: {{port: {port}}}\ngroups: {{a: [x]}}"));
            assert!(found.iter().any(|line| line.starts_with(key)), "{found:?}");
        }
        refused("dashboard: {port: 20001}\ngroups: {a: [x]}", "dashboard.port", &["host_ports"]);
    }

    #[test]
    fn a_host_name_that_dns_does_not_allow_is_found_with_its_user() {
        let domain = ["a".repeat(63), "b".repeat(63), "c".repeat(61)].join(".");
        let names = |user: usize| {
            let (user, group) = ("u".repeat(user), "g".repeat(32));
            format!("nginx: {{layout: subdomain, domain: {domain}}}\ngroups: {{{group}: [{user}]}}")
        };
        assert_eq!(problems(&names(30)), [""; 0]);
        refused(&names(31), &format!("groups.{}", "g".repeat(32)), &["254 characters", "253"]);
    }

    #[test]
    fn a_certificate_by_a_public_authority_has_room_for_ninety_nine() {
        let config = |users: usize| {
            let users: Vec<String> = (0..users).map(|n| format!("u{n}")).collect();
            format!(
                "nginx: {{layout: subdomain, domain: d.test, ssl_provider: certbot, \
                 certbot_email: a@d.test}}\ngroups: {{a: [{}]}}",
                users.join(", ")
            )
        };
        assert_eq!(problems(&config(99)), [""; 0]);
        refused(&config(100), "nginx.ssl_provider", &["101", "at most 100"]);
    }
}
