//! What a runtime returns for a sandbox: the endpoint, and what follows from it.
//!
//! For: detecting the network mode from the endpoint, and keeping apart what the browser sees (the
//! public path) and what the proxy dials (the upstream).
//! Not for: choosing ports; that is [`crate::port`].

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::name::quoted;

/// A TCP port, 1 to 65535.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Port(u16);

impl Port {
    /// Checks and wraps a port number.
    pub fn new(number: u32) -> Result<Self, EndpointError> {
        match u16::try_from(number) {
            Ok(number) if number > 0 => Ok(Self(number)),
            _ => Err(EndpointError::Port { value: number.to_string() }),
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl TryFrom<u32> for Port {
    type Error = EndpointError;

    fn try_from(number: u32) -> Result<Self, EndpointError> {
        Self::new(number)
    }
}

impl From<Port> for u32 {
    fn from(port: Port) -> Self {
        Self::from(port.0)
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Port {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        text.parse::<u32>()
            .map_err(|_| EndpointError::Port { value: text.to_owned() })
            .and_then(Self::new)
    }
}

/// How a sandbox meets the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkMode {
    /// A network of the sandbox's own, reached through a published port.
    #[default]
    Bridge,
    /// The host's network.
    Host,
}

impl fmt::Display for NetworkMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Bridge => "bridge",
            Self::Host => "host",
        })
    }
}

/// A text that is no endpoint or no port.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EndpointError {
    /// Not a port number.
    #[error("{} is no port: allowed are whole numbers from 1 to 65535", quoted(.value))]
    Port {
        /// The text as given.
        value: String,
    },
    /// Not an endpoint.
    #[error(
        "{} is no endpoint: expected <host>:<port>, or <host>:<port>/proxy/<port>", quoted(.value)
    )]
    Shape {
        /// The text as given.
        value: String,
    },
}

/// Where a sandbox's code-server answers, as the runtime returns it:
/// `127.0.0.1:8443` in host mode, `127.0.0.1:52322/proxy/8443` in bridge mode.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    host: String,
    port: Port,
    /// The port of code-server behind `/proxy/`; nothing in host mode.
    proxied: Option<Port>,
}

impl Endpoint {
    /// An endpoint in host mode.
    #[must_use]
    pub fn host(address: impl Into<String>, port: Port) -> Self {
        Self { host: address.into(), port, proxied: None }
    }

    /// An endpoint in bridge mode: `port` on the host leads to `code_port` in the sandbox.
    #[must_use]
    pub fn bridge(address: impl Into<String>, port: Port, code_port: Port) -> Self {
        Self { host: address.into(), port, proxied: Some(code_port) }
    }

    /// The mode that the endpoint's form tells.
    #[must_use]
    pub fn network_mode(&self) -> NetworkMode {
        if self.proxied.is_some() { NetworkMode::Bridge } else { NetworkMode::Host }
    }

    /// The port on the host.
    #[must_use]
    pub fn port(&self) -> Port {
        self.port
    }

    /// The port of code-server itself.
    #[must_use]
    pub fn code_port(&self) -> Port {
        self.proxied.unwrap_or(self.port)
    }

    /// What the browser sees after `https://<ip>/`: everything after the host and the colon.
    #[must_use]
    pub fn public_path(&self) -> PublicPath {
        PublicPath(match self.proxied {
            Some(code_port) => format!("/{}/proxy/{code_port}/", self.port),
            None => format!("/{}/", self.port),
        })
    }

    /// What the proxy dials when `port` is code-server's own port, published as it is.
    #[must_use]
    pub fn published(&self) -> Upstream {
        Upstream { address: self.address(), path: "/".to_owned() }
    }

    /// What the proxy dials when it reaches the sandbox itself, at `address`.
    #[must_use]
    pub fn at(&self, address: IpAddr) -> Upstream {
        let address = SocketAddr::new(address, self.code_port().get()).to_string();
        Upstream { address, path: "/".to_owned() }
    }

    /// What the proxy dials when an agent behind `port` serves `/proxy/<port>` itself.
    #[must_use]
    pub fn through_agent(&self) -> Upstream {
        let path = self.proxied.map_or_else(|| "/".to_owned(), |port| format!("/proxy/{port}/"));
        Upstream { address: self.address(), path }
    }

    fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)?;
        self.proxied.map_or(Ok(()), |port| write!(f, "/proxy/{port}"))
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let shape = || EndpointError::Shape { value: text.to_owned() };
        let (address, path) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let (host, port) = address.rsplit_once(':').ok_or_else(shape)?;
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
        if host.is_empty() || !host.chars().all(legal) {
            return Err(shape());
        }
        let port = port.parse().map_err(|_| shape())?;
        let proxied = match path {
            None | Some("") => None,
            Some(path) => {
                let number = path.trim_end_matches('/').strip_prefix("proxy/").ok_or_else(shape)?;
                Some(number.parse().map_err(|_| shape())?)
            }
        };
        Ok(Self { host: host.to_owned(), port, proxied })
    }
}

impl Serialize for Endpoint {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Endpoint {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The path under which the browser finds an instance; starts and ends with a slash.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct PublicPath(String);

impl PublicPath {
    /// The path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path without its last slash: the form that code-server's `--abs-proxy-base-path` takes.
    #[must_use]
    pub fn without_slash(&self) -> &str {
        self.0.trim_end_matches('/')
    }
}

impl fmt::Display for PublicPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the proxy dials: an address `host:port` and a path that starts and ends with a slash.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Upstream {
    /// `host:port`.
    pub address: String,
    /// The path in front of everything that is asked for.
    pub path: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_tells_the_mode() {
        let host: Endpoint = "127.0.0.1:8443".parse().unwrap();
        assert_eq!(host.network_mode(), NetworkMode::Host);
        assert_eq!(host.public_path().as_str(), "/8443/");
        assert_eq!(host.published().address, "127.0.0.1:8443");

        let bridge: Endpoint = "127.0.0.1:52322/proxy/8443".parse().unwrap();
        assert_eq!(bridge.network_mode(), NetworkMode::Bridge);
        assert_eq!(bridge.public_path().as_str(), "/52322/proxy/8443/");
        assert_eq!(bridge.code_port().get(), 8443);
        assert_eq!(bridge.published().path, "/");
        assert_eq!(bridge.through_agent().path, "/proxy/8443/");
    }

    #[test]
    fn what_is_written_reads_back() {
        for text in ["127.0.0.1:8443", "[::1]:9000", "host-1.lan:52322/proxy/8443"] {
            let endpoint: Endpoint = text.parse().unwrap();
            assert_eq!(endpoint.to_string(), text);
        }
    }

    #[test]
    fn what_could_break_out_of_a_proxy_line_is_refused() {
        for text in ["", "8443", "h:0", "h:70000", "h:1/other/2", "h:1/proxy/x", "h;x:1", "h x:1"] {
            assert!(text.parse::<Endpoint>().is_err(), "{text}");
        }
    }
}
