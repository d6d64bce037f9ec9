//! What the reverse proxy is told, and what it answers.
//!
//! For: routes, the site that holds them, and the results of applying and checking them.
//! Not for: any proxy's configuration language; that is the adapter's.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::Serialize;

use crate::certificate::Certificate;
use crate::endpoint::{Port, PublicPath, Upstream};
use crate::name::UserId;

/// Where browsers enter an instance.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Entrance {
    /// Below its path, on the origin that all share.
    Path,
    /// On a TLS port of its own, which makes it an origin of its own.
    Port(Port),
    /// Under a host name of its own, which makes it an origin of its own.
    Name(String),
}

impl Entrance {
    /// The URL that the participant opens, with a slash at its end: on a node that is reached under
    /// `host` and `https_port`, of an instance with this path.
    #[must_use]
    pub fn url(&self, host: &str, https_port: Port, path: &PublicPath) -> String {
        match self {
            Self::Path => format!("{}{path}", base_url(host, https_port)),
            Self::Port(port) => format!("{}/", base_url(host, *port)),
            Self::Name(name) => format!("{}/", base_url(name, https_port)),
        }
    }
}

/// One instance's way through the proxy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Route {
    /// Whose instance it is.
    pub user: UserId,
    /// Where browsers enter.
    pub entrance: Entrance,
    /// What stands in front of everything on the shared origin. On an origin of its own it leads to
    /// the instance as well: links that programs made before the layout was changed stay right.
    pub path: PublicPath,
    /// What the proxy dials.
    pub upstream: Upstream,
    /// True if the instance is frozen: it would accept a connection and never answer, so that the
    /// proxy answers in its place.
    pub paused: bool,
    /// The cookie with which a browser stays signed in there; no other instance's gets there.
    pub session_cookie: String,
}

/// The organizer's own pages behind the proxy: on a TLS port of their own, and so on an origin that
/// is no participant's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DashboardRoute {
    /// The TLS port.
    pub port: Port,
    /// What the proxy dials: a name or an address, IPv6 in brackets, and a port.
    pub upstream: String,
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
    /// The organizer's own pages, where the proxy serves them too.
    pub dashboard: Option<DashboardRoute>,
    /// The routes, sorted by user.
    pub routes: Vec<Route>,
}

impl ProxySite {
    /// The URL of everything: `https://<host>[:<port>]`, without a slash at the end.
    #[must_use]
    pub fn base_url(&self) -> String {
        base_url(&self.host, self.https_port)
    }

    /// The URL of a route of this site, with a slash at its end.
    #[must_use]
    pub fn url(&self, route: &Route) -> String {
        route.entrance.url(&self.host, self.https_port, &route.path)
    }

    /// The name and the port at which browsers knock for a route of this site.
    #[must_use]
    pub fn door<'a>(&'a self, route: &'a Route) -> (&'a str, Port) {
        match &route.entrance {
            Entrance::Path => (&self.host, self.https_port),
            Entrance::Port(port) => (&self.host, *port),
            Entrance::Name(name) => (name, self.https_port),
        }
    }

    /// Every port on which the proxy listens for this site, each of them once.
    #[must_use]
    pub fn ports(&self) -> BTreeSet<Port> {
        let own = self.routes.iter().filter_map(|route| match route.entrance {
            Entrance::Port(port) => Some(port),
            Entrance::Path | Entrance::Name(_) => None,
        });
        let dashboard = self.dashboard.as_ref().map(|dashboard| dashboard.port);
        own.chain(dashboard).chain([self.https_port, self.http_port]).collect()
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
    use crate::endpoint::Endpoint;

    #[test]
    fn the_usual_port_is_not_written_and_ipv6_is_bracketed() {
        let port = |number| Port::new(number).unwrap();
        assert_eq!(base_url("203.0.113.7", port(443)), "https://203.0.113.7");
        assert_eq!(base_url("203.0.113.7", port(8444)), "https://203.0.113.7:8444");
        assert_eq!(base_url("2001:db8::1", port(443)), "https://[2001:db8::1]");
    }

    #[test]
    fn a_url_is_what_its_entrance_makes_it() {
        let port = |number| Port::new(number).unwrap();
        let path = Endpoint::bridge("127.0.0.1", port(20_001), port(8443)).public_path();
        let url = |entrance: Entrance, https| entrance.url("hack.example.org", port(https), &path);
        assert_eq!(url(Entrance::Path, 443), "https://hack.example.org/20001/proxy/8443/");
        assert_eq!(url(Entrance::Port(port(30_000)), 443), "https://hack.example.org:30000/");
        let name = || Entrance::Name("ada.alpha.hack.example.org".to_owned());
        assert_eq!(url(name(), 443), "https://ada.alpha.hack.example.org/");
        assert_eq!(url(name(), 8443), "https://ada.alpha.hack.example.org:8443/");
        let ipv6 = Entrance::Port(port(30_000)).url("2001:db8::1", port(443), &path);
        assert_eq!(ipv6, "https://[2001:db8::1]:30000/");
    }
}
