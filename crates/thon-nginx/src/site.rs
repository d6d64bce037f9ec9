//! What is served, in words that nginx may be given.
//!
//! For: checking every value that goes into a configuration, and rendering it.
//! Not for: files of nginx's and processes; a certificate is read here because its bytes are part
//! of what is served.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::Path;

use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use ring::digest::{SHA256, digest};
use serde::Serialize;
use thon_core::certificate::Trust;
use thon_core::endpoint::Port;
use thon_core::name::NodeName;
use thon_core::proxy::{DashboardRoute, Entrance, ProxySite};

use crate::error::NginxError;
use crate::page;
use crate::route::{self, RouteView};
use crate::settings::Machine;

/// Stands for the fingerprint while the text that it is made of is rendered.
const PENDING: &str = "thon-generation-pending";

/// How long old workers live on after a reload; why is in the template.
pub(crate) const SHUTDOWN_TIMEOUT: &str = "4h";

/// nginx reads a quoted text into a buffer of 4096 bytes (`NGX_CONF_BUFFER`).
const LONGEST_TEXT: usize = 4000;

/// Whose nginx the text is for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target<'a> {
    /// A whole configuration for a process of ours with this prefix.
    Managed {
        /// The prefix.
        home: &'a Path,
    },
    /// A file that others' configuration includes.
    System {
        /// True where requests for unknown names may be ours on the HTTP port.
        default_http: bool,
        /// The same for the HTTPS port.
        default_https: bool,
        /// True where nobody else says how long the names of servers may be.
        names_hash: bool,
    },
}

/// A configuration, ready to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rendered {
    /// The text.
    pub(crate) text: String,
    /// The fingerprint of the text and of the certificate; nginx answers it on `/thon-generation`.
    pub(crate) generation: String,
}

#[derive(Serialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "switches of a template, not states of something"
)]
struct View<'a> {
    node: &'a NodeName,
    id: String,
    home: Option<&'a str>,
    worker_user: Option<&'a str>,
    open_files: u64,
    worker_connections: u64,
    shutdown_timeout: &'static str,
    http_listen: Vec<String>,
    https_listen: Vec<String>,
    http_names: String,
    server_names: String,
    names_hash: bool,
    port_suffix: String,
    generation: &'static str,
    root: Option<&'a str>,
    acme_webroot: Option<&'a str>,
    chain: &'a str,
    key: &'a str,
    strict_transport: bool,
    cookie_flags: bool,
    /// True if some routes are origins of their own.
    own_origins: bool,
    /// True if some routes lie below paths of the shared origin.
    shared_origin: bool,
    shapes: Vec<String>,
    routes: Vec<RouteView<'a>>,
    dashboard: Option<DashboardView>,
    welcome_page: String,
    missing_page: String,
    slow_page: String,
    starting_page: String,
    paused_page: String,
    asleep_page: String,
}

/// The server of the organizer's own pages.
#[derive(Serialize)]
struct DashboardView {
    listen: Vec<String>,
    server_names: String,
    port: Port,
    upstream: String,
}

impl DashboardView {
    /// Whatever name it is asked under, it answers: who may come in is for what is behind to say.
    fn new(route: &DashboardRoute, host: &str, ipv6: bool) -> Result<Self, NginxError> {
        let (name, port) = route.upstream.rsplit_once(':').unwrap_or((&route.upstream, ""));
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        let name = server_name(bare)?;
        let number: u16 = port.parse().map_err(|_| NginxError::Value {
            what: "the dashboard's address",
            value: route.upstream.clone(),
            allowed: "a name or an address with a port",
        })?;
        Ok(Self {
            listen: listen(route.port, ipv6, None, true),
            server_names: format!("{} _", server_name(host)?),
            port: route.port,
            upstream: format!("{name}:{number}"),
        })
    }
}

/// Renders one server for what all share, one location in it per route below a path, and one server
/// more per route with an origin of its own. Blocking: reads the certificate.
pub(crate) fn render(
    node: &NodeName,
    site: &ProxySite,
    machine: &Machine,
    acme_webroot: Option<&Path>,
    target: Target<'_>,
) -> Result<Rendered, NginxError> {
    let environment = environment()?;
    let chain = read_certificate(&site.certificate.chain)?;
    let root = site.certificate.root.as_deref().map(read_certificate).transpose()?;
    let root = root.as_deref().map(root_text).transpose()?;
    let shapes = route::shapes(&site.routes);
    let routes = route::views(node, site, &shapes, |port| listen(port, machine.ipv6, None, true))?;
    let dashboard = site.dashboard.as_ref();
    let dashboard =
        dashboard.map(|route| DashboardView::new(route, &site.host, machine.ipv6)).transpose()?;
    let own_origins = routes.iter().filter(|route| route.is_own_origin()).count();
    let view = View {
        node,
        id: id(node),
        home: match target {
            Target::Managed { home } => Some(file_path("nginx's folder", home)?),
            Target::System { .. } => None,
        },
        worker_user: machine.worker_user.as_deref(),
        open_files: machine.open_files,
        worker_connections: connections(machine, site),
        shutdown_timeout: SHUTDOWN_TIMEOUT,
        http_listen: listen(site.http_port, machine.ipv6, Some(target), false),
        https_listen: listen(site.https_port, machine.ipv6, Some(target), true),
        http_names: http_names(site, target)?,
        server_names: server_names(&site.host, target)?,
        names_hash: matches!(target, Target::System { names_hash: true, .. })
            && site.routes.iter().any(|route| matches!(route.entrance, Entrance::Name(_))),
        port_suffix: port_suffix(site.https_port),
        generation: PENDING,
        root: root.as_deref(),
        acme_webroot: acme_webroot.map(|path| file_path("the ACME folder", path)).transpose()?,
        chain: file_path("the certificate's path", &site.certificate.chain)?,
        key: file_path("the key's path", &site.certificate.key)?,
        // A private authority comes and goes with the event; browsers must forget it with it.
        strict_transport: site.certificate.trust == Trust::Public,
        cookie_flags: machine.cookie_flags,
        own_origins: own_origins > 0,
        shared_origin: own_origins < routes.len(),
        routes,
        dashboard,
        shapes,
        welcome_page: page::WELCOME.line(&environment)?,
        missing_page: page::MISSING.line(&environment)?,
        slow_page: page::SLOW.line(&environment)?,
        starting_page: page::STARTING.line(&environment)?,
        paused_page: page::PAUSED.line(&environment)?,
        asleep_page: page::ASLEEP.line(&environment)?,
    };
    route::distinct_ports(site)?;
    let template = match target {
        Target::Managed { .. } => "managed.conf.j2",
        Target::System { .. } => "site.conf.j2",
    };
    let text = environment.get_template(template)?.render(Serde(&view))? + "\n";
    let generation = fingerprint(&text, &chain);
    Ok(Rendered { text: text.replace(PENDING, &generation), generation })
}

fn environment() -> Result<Environment<'static>, NginxError> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    for (name, text) in [
        ("managed.conf.j2", include_str!("../templates/managed.conf.j2")),
        ("site.conf.j2", include_str!("../templates/site.conf.j2")),
        ("maps.conf.j2", include_str!("../templates/maps.conf.j2")),
        ("server.conf.j2", include_str!("../templates/server.conf.j2")),
        ("shared.conf.j2", include_str!("../templates/shared.conf.j2")),
        ("own.conf.j2", include_str!("../templates/own.conf.j2")),
        ("tls.conf.j2", include_str!("../templates/tls.conf.j2")),
        ("dashboard.conf.j2", include_str!("../templates/dashboard.conf.j2")),
        ("page.html.j2", include_str!("../templates/page.html.j2")),
    ] {
        environment.add_template(name, text)?;
    }
    Ok(environment)
}

/// Of the text and of the certificate's bytes: a renewed certificate in the same files is news.
fn fingerprint(text: &str, chain: &[u8]) -> String {
    use std::fmt::Write;
    let bytes = [text.as_bytes(), chain].join(&0);
    digest(&SHA256, &bytes).as_ref().iter().take(16).fold(String::new(), |mut hex, byte| {
        // Writing into a String can't fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// Enough for browsers, over and above the sockets that wait for them.
fn connections(machine: &Machine, site: &ProxySite) -> u64 {
    let listening = 2 * u64::try_from(site.ports().len()).unwrap_or_default();
    machine.worker_connections().max(2 * listening)
}

/// What stands behind the host's name in URLs.
pub(crate) fn port_suffix(port: Port) -> String {
    if port.get() == 443 { String::new() } else { format!(":{port}") }
}

/// The addresses of a server. `site` is there for those that answer for unknown names, where they may.
fn listen(port: Port, ipv6: bool, site: Option<Target<'_>>, tls: bool) -> Vec<String> {
    let default = match site {
        None => false,
        Some(Target::Managed { .. }) => true,
        Some(Target::System { default_http, default_https, .. }) => {
            if tls {
                default_https
            } else {
                default_http
            }
        }
    };
    let mut options = String::new();
    if tls {
        options.push_str(" ssl");
    }
    if default {
        options.push_str(" default_server");
    }
    let mut listen = vec![format!("{port}{options}")];
    if ipv6 {
        listen.push(format!("[::]:{port}{options}"));
    }
    listen
}

fn server_names(host: &str, target: Target<'_>) -> Result<String, NginxError> {
    let mut names = server_name(host)?;
    if matches!(target, Target::Managed { .. }) {
        names.push_str(" _");
    }
    Ok(names)
}

/// A host's name or address as a `Host` header has it.
pub(crate) fn server_name(host: &str) -> Result<String, NginxError> {
    Ok(match host.parse::<IpAddr>() {
        Ok(IpAddr::V6(address)) => format!("[{address}]"),
        Ok(IpAddr::V4(address)) => address.to_string(),
        Err(_) => dns_name(host)?.to_ascii_lowercase(),
    })
}

/// The names for which plain HTTP is answered: those below the node's own name too, where instances
/// have some.
fn http_names(site: &ProxySite, target: Target<'_>) -> Result<String, NginxError> {
    let mut names = server_names(&site.host, target)?;
    if site.routes.iter().any(|route| matches!(route.entrance, Entrance::Name(_))) {
        names.push_str(" *.");
        names.push_str(&dns_name(&site.host)?.to_ascii_lowercase());
    }
    Ok(names)
}

pub(crate) fn dns_name(host: &str) -> Result<&str, NginxError> {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if host.len() <= 253 && host.split('.').all(label) {
        return Ok(host);
    }
    Err(NginxError::Value {
        what: "the host name",
        value: host.to_owned(),
        allowed: "a DNS name such as hack.example.org, or an IP address",
    })
}

/// A path that may stand between quotes: nothing in it ends a quote, a directive or a block, and
/// nothing in it is taken for a variable.
fn file_path<'a>(what: &'static str, path: &'a Path) -> Result<&'a str, NginxError> {
    let harmless =
        |c: char| !c.is_control() && !matches!(c, '"' | '\'' | '\\' | ';' | '{' | '}' | '$');
    match path.to_str() {
        Some(text) if path.is_absolute() && text.chars().all(harmless) => Ok(text),
        _ => Err(NginxError::Value {
            what,
            value: path.to_string_lossy().into_owned(),
            allowed: "an absolute path without quotes, backslashes, `;`, `{`, `}`, `$` and control \
                      characters",
        }),
    }
}

fn read_certificate(path: &Path) -> Result<Vec<u8>, NginxError> {
    std::fs::read(path).map_err(NginxError::io("reading the certificate", path))
}

/// The root's PEM blocks and nothing else, to be quoted into the configuration: workers needn't be
/// able to read the file, which mostly lies in a folder that only its owner may enter.
fn root_text(bytes: &[u8]) -> Result<String, NginxError> {
    let refused = |problem: &str| NginxError::Certificate(format!("its root {problem}"));
    let text = std::str::from_utf8(bytes).map_err(|_| refused("is not in PEM"))?;
    let mut inside = false;
    let mut lines = Vec::new();
    for line in text.lines().map(str::trim) {
        let body = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=');
        match line {
            "-----BEGIN CERTIFICATE-----" => inside = true,
            "-----END CERTIFICATE-----" if inside => {
                inside = false;
                lines.push(line);
                continue;
            }
            _ if inside && !line.bytes().all(body) => return Err(refused("is not in PEM")),
            _ => {}
        }
        if inside {
            lines.push(line);
        }
    }
    if inside || lines.is_empty() {
        return Err(refused("is not in PEM"));
    }
    let text = lines.join("\n") + "\n";
    if text.len() > LONGEST_TEXT {
        return Err(refused("is larger than 4000 bytes, which nginx can't be told in one word"));
    }
    Ok(text)
}

/// Names of variables longer than this don't fit nginx's hash of them, whose size a site's own file
/// can't set; the longest one adds 22 characters to a node's name.
const LONGEST_NODE: usize = 16;

/// What the variables, zones and upstreams of a node begin with. A node's name has no `_`, so two
/// nodes never share it; a long name is cut and told from others by its digest.
fn id(node: &NodeName) -> String {
    let plain = node.as_str().replace('-', "_");
    if plain.len() <= LONGEST_NODE {
        return format!("sandbox_{plain}");
    }
    let digest = digest(&SHA256, node.as_str().as_bytes());
    let mut id = format!("sandbox_{}__", plain.get(..6).unwrap_or_default());
    for byte in &digest.as_ref()[..4] {
        // Writing to a String can't fail.
        let _ = write!(id, "{byte:02x}");
    }
    id
}

#[cfg(test)]
#[path = "site_tests.rs"]
mod tests;
