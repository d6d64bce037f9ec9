//! Routes, in words that nginx may be given.
//!
//! For: checking every value of a route that goes into a configuration, and what several routes have
//! in common.
//! Not for: rendering; that is [`crate::site`].

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use thon_core::endpoint::Port;
use thon_core::name::NodeName;
use thon_core::proxy::{Entrance, ProxySite, Route};

use crate::error::NginxError;
use crate::site::{dns_name, port_suffix, server_name};

/// A route as the templates take it.
#[derive(Serialize)]
pub(crate) struct RouteView<'a> {
    name: String,
    address: &'a str,
    path: &'a str,
    bare_path: &'a str,
    upstream_path: &'a str,
    session: &'a str,
    /// The addresses of its own server; none if it is a path on the shared one.
    listen: Vec<String>,
    server_names: String,
    port_suffix: String,
    /// Which of the shapes its path has, counted from 1.
    shape: usize,
    paused: bool,
}

impl RouteView<'_> {
    /// True if it has a server of its own.
    pub(crate) fn is_own_origin(&self) -> bool {
        !self.listen.is_empty()
    }
}

/// The shapes of all paths, sorted.
pub(crate) fn shapes(routes: &[Route]) -> Vec<String> {
    let shapes: BTreeSet<String> = routes.iter().map(|route| shape(route.path.as_str())).collect();
    shapes.into_iter().collect()
}

/// The routes as the templates take them. `listen` gives the addresses of a TLS port.
pub(crate) fn views<'a>(
    node: &NodeName,
    site: &'a ProxySite,
    shapes: &[String],
    listen: impl Fn(Port) -> Vec<String>,
) -> Result<Vec<RouteView<'a>>, NginxError> {
    let mut paths = BTreeMap::new();
    let mut doors = BTreeMap::new();
    let mut views = Vec::with_capacity(site.routes.len());
    for route in &site.routes {
        let path = url_path("a public path", route.path.as_str())?;
        // Every instance has a path of its own, in whichever layout.
        let mut first =
            paths.insert(path, &route.user).map(|first| (format!("the path {path}"), first));
        let (host, port) = site.door(route);
        let own = route.entrance != Entrance::Path;
        if own && let Some(user) = doors.insert((host, port), &route.user) {
            first.get_or_insert((site.url(route), user));
        }
        if let Some((what, first)) = first {
            let (first, second) = (first.to_string(), route.user.to_string());
            return Err(NginxError::Clash { what, first, second });
        }
        views.push(RouteView {
            name: upstream_name(path, &route.user.container_name(node)),
            address: address(&route.upstream.address)?,
            path,
            bare_path: path.trim_end_matches('/'),
            upstream_path: url_path("an upstream path", &route.upstream.path)?,
            session: cookie_name(&route.session_cookie)?,
            listen: if own { listen(port) } else { Vec::new() },
            server_names: if own { server_name(host)? } else { String::new() },
            port_suffix: port_suffix(port),
            shape: shapes.binary_search(&shape(path)).unwrap_or_default() + 1,
            paused: route.paused,
        });
    }
    // The order in which routes were found out is no reason for a reload.
    views.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(views)
}

/// One-to-one with the user, whose container it names. The path comes first because nginx compares
/// every name with every other one while it reads: with ten thousand that differ only at their ends
/// it takes 7.5 s, with as many that differ at once 1.3 s.
fn upstream_name(path: &str, container: &str) -> String {
    format!("{}.{container}", path.trim_matches('/').replace('/', "-"))
}

/// Refuses two uses of one port.
pub(crate) fn distinct_ports(site: &ProxySite) -> Result<(), NginxError> {
    let clash = |port: Port, first: &str, second: String| {
        Err(NginxError::Clash { what: format!("port {port}"), first: first.to_owned(), second })
    };
    let dashboard = site.dashboard.as_ref().map(|route| (route.port, "dashboard.tls_port"));
    let own = [(site.https_port, "nginx.https_port"), (site.http_port, "nginx.http_port")];
    let mut taken = BTreeMap::new();
    for (port, key) in own.into_iter().chain(dashboard) {
        if let Some(first) = taken.insert(port, key) {
            return clash(port, first, key.to_owned());
        }
    }
    for route in &site.routes {
        if let Entrance::Port(port) = route.entrance
            && let Some(first) = taken.get(&port)
        {
            return clash(port, first, route.user.to_string());
        }
    }
    Ok(())
}

/// A pattern for all paths that differ from `path` in their numbers only: one pattern for a whole
/// roster instead of one per user.
fn shape(path: &str) -> String {
    let mut shape = String::new();
    for part in path.split_inclusive('/') {
        let name = part.trim_end_matches('/');
        if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit()) {
            shape.push_str("[0-9]+/");
        } else {
            shape.push_str(part);
        }
    }
    shape
}

/// A path in a URL, as endpoints have it: it starts and ends with a slash.
fn url_path<'a>(what: &'static str, path: &'a str) -> Result<&'a str, NginxError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_');
    if path.starts_with('/')
        && path.ends_with('/')
        && !path.contains("//")
        && path.chars().all(plain)
    {
        return Ok(path);
    }
    Err(NginxError::Value {
        what,
        value: path.to_owned(),
        allowed: "letters, digits, `-`, `_` and single slashes, one at the start and one at the end",
    })
}

/// `host:port`, where the host is a name, an IPv4 address or a bracketed IPv6 address.
fn address(text: &str) -> Result<&str, NginxError> {
    let legal = text.rsplit_once(':').is_some_and(|(host, port)| {
        let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => dns_name(host).is_ok(),
        };
        host && port.parse::<Port>().is_ok()
    });
    if legal {
        return Ok(text);
    }
    Err(NginxError::Value {
        what: "an upstream address",
        value: text.to_owned(),
        allowed: "<host>:<port>, such as 127.0.0.1:52322",
    })
}

/// The name of a cookie, as far as sessions have one: nothing in it means anything to nginx.
fn cookie_name(text: &str) -> Result<&str, NginxError> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    if !text.is_empty() && text.bytes().all(plain) {
        return Ok(text);
    }
    Err(NginxError::Value {
        what: "the name of a session's cookie",
        value: text.to_owned(),
        allowed: "letters, digits, `-` and `_`",
    })
}
