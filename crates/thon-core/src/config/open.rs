//! What of this machine is open to sandboxes.
//!
//! For: the one rule by which ports are open or closed, from the configuration alone.
//! Not for: closing them; the runtime does that.

use std::ops::RangeInclusive;

use super::choices::Layout;
use super::schema::Config;
use super::types::is_loopback;
use crate::endpoint::{NetworkMode, Port};

/// The TCP ports of this machine that sandboxes reach; all others are closed to them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenPorts {
    /// Open to every sandbox.
    pub services: Vec<Port>,
    /// The proxy's: everybody on this machine's network reaches them, and so do sandboxes, save those
    /// without internet, to whom a neighbour's dev server behind the proxy would be a way out.
    pub public: Vec<RangeInclusive<Port>>,
}

impl Config {
    /// What is open to sandboxes; nothing in host mode, where they share this machine's network and
    /// no port can be closed to them.
    #[must_use]
    pub fn open_ports(&self) -> Option<OpenPorts> {
        if self.sandbox.network_mode == NetworkMode::Host {
            return None;
        }
        let mut services = self.sandbox.host_services.ports().to_vec();
        // Behind a gateway the models' own port would be a way around its limits. One that listens on
        // the loopback only isn't reached from a sandbox anyway.
        let lemonade = &self.lemonade;
        let direct = lemonade.enabled && !self.gateway.enabled && !is_loopback(&lemonade.host);
        if direct && !services.contains(&lemonade.port) {
            services.push(lemonade.port);
        }
        let mut public = Vec::new();
        let nginx = &self.nginx;
        if nginx.enabled {
            public.push(nginx.https_port..=nginx.https_port);
            public.push(nginx.http_port..=nginx.http_port);
            if nginx.layout == Layout::Port {
                public.push(nginx.instance_ports.first()..=nginx.instance_ports.last());
            }
        }
        Some(OpenPorts { services, public })
    }

    /// Whether some sandboxes are to be kept off the internet.
    #[must_use]
    pub fn keeps_offline(&self) -> bool {
        let groups = self.groups.groups();
        groups.iter().any(|group| !group.rules.internet.unwrap_or(self.sandbox.internet))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(text: &str) -> Option<OpenPorts> {
        Config::parse(text, "thon.yaml").unwrap().config.open_ports()
    }

    fn services(text: &str) -> Vec<u16> {
        open(text).unwrap().services.iter().map(|port| port.get()).collect()
    }

    #[test]
    fn only_what_is_named_or_needed_is_open() {
        assert_eq!(services("demo: true"), [0_u16; 0]);
        assert_eq!(services("sandbox: {host_services: [9080]}"), [9080]);
        assert_eq!(services("lemonade: {enabled: true, host: 0.0.0.0, port: 13305}"), [13305]);
        assert_eq!(services("lemonade: {enabled: true}"), [0_u16; 0]);
        let both = "lemonade: {enabled: true, host: 0.0.0.0}\ngateway: {enabled: true}";
        assert_eq!(services(both), [0_u16; 0], "the gateway's limits have no way around them");
    }

    #[test]
    fn the_proxys_ports_are_everybodys() {
        let ports = |text: &str| open(text).unwrap().public.len();
        assert_eq!(ports("demo: true"), 2);
        assert_eq!(ports("nginx: {layout: port}"), 3);
        assert_eq!(ports("nginx: {enabled: false}"), 0);
    }

    #[test]
    fn nothing_can_be_closed_in_host_mode() {
        assert_eq!(open("sandbox: {network_mode: host}"), None);
    }

    #[test]
    fn a_groups_own_rule_decides_who_is_offline() {
        let offline = |text: &str| Config::parse(text, "t").unwrap().config.keeps_offline();
        assert!(!offline("groups: {a: [x]}"));
        assert!(offline("groups: {a: [x], b: {internet: false, users: [y]}}"));
        assert!(offline("sandbox: {internet: false}\ngroups: {a: [x]}"));
        assert!(!offline("sandbox: {internet: false}\ngroups: {a: {internet: true, users: [x]}}"));
    }
}
