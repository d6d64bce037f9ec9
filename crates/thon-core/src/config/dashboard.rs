//! Where the organizer's own pages are.
//!
//! For: the way to them that the proxy is told.
//! Not for: who is let in; [`crate::access`] has those rules.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Config, DashboardConfig};
use crate::proxy::DashboardRoute;

impl Config {
    /// The way through the proxy to the organizer's own pages; nothing where none is asked for.
    #[must_use]
    pub fn dashboard_route(&self) -> Option<DashboardRoute> {
        let port = self.dashboard.tls_port.filter(|_| self.nginx.enabled)?;
        let upstream = format!("{}:{}", self.dashboard.dialled(), self.dashboard.web_port);
        Some(DashboardRoute { port, upstream })
    }
}

impl DashboardConfig {
    /// The host under which a program on this machine finds what listens at `host`.
    fn dialled(&self) -> String {
        let bare = self.host.trim_start_matches('[').trim_end_matches(']');
        let address = match bare.parse::<IpAddr>() {
            Ok(IpAddr::V4(address)) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            Ok(IpAddr::V6(address)) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            Ok(address) => address,
            Err(_) => return bare.to_owned(),
        };
        match address {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_leads_to_where_it_listens_and_only_where_it_is_asked_for() {
        let route = |text: &str| {
            let config = Config::parse(text, "thon.yaml").unwrap().config;
            config.dashboard_route().map(|route| route.upstream)
        };
        let at = |host: &str| route(&format!("dashboard: {{host: \"{host}\", tls_port: 8502}}"));
        assert_eq!(route("node: thon"), None);
        assert_eq!(at("127.0.0.1").as_deref(), Some("127.0.0.1:8501"));
        assert_eq!(at("0.0.0.0").as_deref(), Some("127.0.0.1:8501"));
        assert_eq!(at("::").as_deref(), Some("[::1]:8501"));
        assert_eq!(at("10.1.2.3").as_deref(), Some("10.1.2.3:8501"));
        assert_eq!(at("localhost").as_deref(), Some("localhost:8501"));
    }

    #[test]
    fn its_port_is_nobody_elses_and_needs_nginx() {
        let refused = |text: &str| {
            let config = Config::parse(text, "thon.yaml").unwrap().config;
            let problems: Vec<_> = config.validate().iter().map(ToString::to_string).collect();
            problems.join("\n")
        };
        let said = refused("dashboard: {tls_port: 443}");
        assert!(
            said.contains("dashboard.tls_port: port 443 is that of nginx.https_port"),
            "{said}"
        );
        let said = refused("dashboard: {tls_port: 20005}");
        assert!(said.contains("sandbox.host_ports"), "{said}");
        let said = refused("dashboard: {tls_port: 8502}\nnginx: {enabled: false}");
        assert!(said.contains("nginx.enabled"), "{said}");
    }
}
