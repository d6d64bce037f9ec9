//! What the reverse proxy is told, and what it answers.
//!
//! For: routes, the site that holds them, and the results of applying and checking them.
//! Not for: any proxy's configuration language; that is the adapter's.

use std::net::IpAddr;

use serde::Serialize;

use crate::certificate::Certificate;
use crate::endpoint::{Port, PublicPath, Upstream};
use crate::name::UserId;

/// One instance's way through the proxy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Route {
    /// Whose instance it is.
    pub user: UserId,
    /// What the browser asks for.
    pub path: PublicPath,
    /// What the proxy dials.
    pub upstream: Upstream,
    /// True if the instance is frozen: it would accept a connection and never answer, so that the
    /// proxy answers in its place.
    pub paused: bool,
}

/// Everything that the proxy serves for this node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProxySite {
    /// The name or address in the URLs.
    pub host: String,
    /// The port for HTTPS, 443 unless configured.
    pub https_port: Port,
    /// The port for plain HTTP, which only redirects and serves `/ca.crt`.
    pub http_port: Port,
    /// The certificate.
    pub certificate: Certificate,
    /// The routes, sorted by user.
    pub routes: Vec<Route>,
}

impl ProxySite {
    /// The URL of everything: `https://<host>[:<port>]`, without a slash at the end.
    #[must_use]
    pub fn base_url(&self) -> String {
        base_url(&self.host, self.https_port)
    }
}

/// `https://<host>[:<port>]`, the port left out where it is 443 and IPv6 addresses in brackets.
#[must_use]
pub fn base_url(host: &str, https_port: Port) -> String {
    let host = match host.parse::<IpAddr>() {
        Ok(IpAddr::V6(address)) => format!("[{address}]"),
        _ => host.to_owned(),
    };
    if https_port.get() == 443 {
        format!("https://{host}")
    } else {
        format!("https://{host}:{https_port}")
    }
}

/// What [`crate::adapter::ReverseProxy::apply`] had to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProxyChange {
    /// It serves just this already: no write, no reload.
    Unchanged,
    /// Written, tested, reloaded once.
    Reloaded,
    /// Written, tested, and the proxy started because it wasn't running.
    Started,
}

/// What a request and a websocket handshake through the proxy came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RouteCheck {
    /// Whose route.
    pub user: UserId,
    /// Nothing if both passed; else what went wrong, in one line.
    pub problem: Option<String>,
}

/// What the proxy does now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProxyStatus {
    /// `system` or `managed`.
    pub mode: String,
    /// True if the proxy's process runs.
    pub running: bool,
    /// The process id of its master, where known.
    pub pid: Option<u32>,
    /// The configuration file that is ours.
    pub config: String,
    /// How many routes that file holds; nothing if it isn't there.
    pub routes: Option<usize>,
    /// How often it was told to reload, since it was first applied or last cleaned up.
    pub reloads: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_port_is_not_written_and_ipv6_is_bracketed() {
        let port = |number| Port::new(number).unwrap();
        assert_eq!(base_url("203.0.113.7", port(443)), "https://203.0.113.7");
        assert_eq!(base_url("203.0.113.7", port(8444)), "https://203.0.113.7:8444");
        assert_eq!(base_url("2001:db8::1", port(443)), "https://[2001:db8::1]");
    }
}
