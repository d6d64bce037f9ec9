//! What of this machine is open to sandboxes, and who is kept off the internet.
//!
//! For: the one rule by which ports are open or closed, from the configuration alone.
//! Not for: closing them; the runtime does that.

use super::schema::Config;
use super::types::is_loopback;
use crate::endpoint::{NetworkMode, Port};

impl Config {
    /// The TCP ports of this machine that sandboxes reach; all others are closed to them. Nothing in
    /// host mode, where they share this machine's network and no port can be closed to them.
    #[must_use]
    pub fn open_ports(&self) -> Option<Vec<Port>> {
        if self.sandbox.network_mode == NetworkMode::Host {
            return None;
        }
        let mut open = self.sandbox.host_services.ports().to_vec();
        // Behind a gateway the models' own port would be a way around its limits. One that listens on
        // the loopback only isn't reached from a sandbox anyway.
        let lemonade = &self.lemonade;
        let own = lemonade.enabled && lemonade.url.is_empty();
        let direct = own && !self.gateway.enabled && !is_loopback(&lemonade.host);
        if direct && !open.contains(&lemonade.port) {
            open.push(lemonade.port);
        }
        Some(open)
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

    fn open(text: &str) -> Option<Vec<u16>> {
        let ports = Config::parse(text, "thon.yaml").unwrap().config.open_ports()?;
        Some(ports.into_iter().map(Port::get).collect())
    }

    #[test]
    fn only_what_is_named_or_needed_is_open() {
        assert_eq!(open("demo: true"), Some(vec![]));
        assert_eq!(open("sandbox: {host_services: [9080]}"), Some(vec![9080]));
        let models = "lemonade: {enabled: true, host: 0.0.0.0, port: 13305}";
        assert_eq!(open(models), Some(vec![13305]));
        assert_eq!(open("lemonade: {enabled: true}"), Some(vec![]));
        let elsewhere = "lemonade: {enabled: true, host: 0.0.0.0, url: 'http://10.0.0.5:13305/v1'}";
        assert_eq!(open(elsewhere), Some(vec![]), "nothing of this machine is used");
        let both = "lemonade: {enabled: true, host: 0.0.0.0}\ngateway: {enabled: true}";
        assert_eq!(open(both), Some(vec![]), "the gateway's limits have no way around them");
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
