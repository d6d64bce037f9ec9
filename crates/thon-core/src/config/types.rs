//! The value types of the configuration that no other module owns.
//!
//! For: reading each of them once into a form that can't be wrong, and writing it back.
//! Not for: keys, defaults and meanings; see [`super::schema`].

use std::fmt;
use std::net::Ipv4Addr;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use thiserror::Error;

use super::leaf::{Leaf, refused, text_leaf};
use crate::endpoint::Port;

/// A text that is no value of its type: the value and what is allowed, in one sentence.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct ValueError(String);

impl ValueError {
    pub(super) fn new(value: &str, allowed: &str) -> Self {
        Self(refused(value, allowed))
    }
}

/// Serialises types as the text that they read back from.
macro_rules! serialize_as_text {
    ($($type:ty),* $(,)?) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    )*};
}
pub(super) use serialize_as_text;

/// Consecutive ports, `first-last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PortRange {
    first: Port,
    last: Port,
}

impl PortRange {
    /// The ports from `first` to `last`, both included; nothing where `last` is the lower one.
    #[must_use]
    pub fn new(first: Port, last: Port) -> Option<Self> {
        (first <= last).then_some(Self { first, last })
    }

    /// The lowest port.
    #[must_use]
    pub const fn first(self) -> Port {
        self.first
    }

    /// The highest port.
    #[must_use]
    pub const fn last(self) -> Port {
        self.last
    }

    /// How many ports there are; one at least.
    #[must_use]
    pub const fn size(self) -> usize {
        self.last.get() as usize - self.first.get() as usize + 1
    }

    /// Whether `port` is one of them.
    #[must_use]
    pub fn contains(self, port: Port) -> bool {
        self.first <= port && port <= self.last
    }

    /// The port numbers.
    #[must_use]
    pub const fn numbers(self) -> RangeInclusive<u16> {
        self.first.get()..=self.last.get()
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}-{}", self.first, self.last))
    }
}

/// What a range of ports looks like.
const RANGE: &str = "two ports with a hyphen between, the lower one first, such as 20000-29999";

impl FromStr for PortRange {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let port = |text: &str| text.trim().parse::<Port>().ok();
        text.split_once('-')
            .and_then(|(first, last)| Self::new(port(first)?, port(last)?))
            .ok_or_else(|| ValueError::new(text, RANGE))
    }
}

/// How many sandboxes start at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum LaunchConcurrency {
    /// Chosen from the cores.
    #[default]
    Auto,
    /// So many.
    Fixed(NonZeroU32),
}

impl LaunchConcurrency {
    /// The number on a machine with so many cores. Two per core: on two cores, four code-servers at
    /// a time reach readiness as fast as all at once and none of them starves, where of sixty at
    /// once half give up.
    #[must_use]
    pub fn on(self, cores: usize) -> usize {
        match self {
            Self::Auto => cores.saturating_mul(2).clamp(2, 64),
            Self::Fixed(number) => usize::try_from(number.get()).unwrap_or(usize::MAX),
        }
    }
}

impl fmt::Display for LaunchConcurrency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.pad("auto"),
            Self::Fixed(number) => number.fmt(f),
        }
    }
}

/// The most sandboxes that anybody may ask to start at one time.
const MAX_CONCURRENCY: u32 = 1024;

impl FromStr for LaunchConcurrency {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        if text.eq_ignore_ascii_case("auto") {
            return Ok(Self::Auto);
        }
        let number = text.trim().parse::<u32>().ok().filter(|number| *number <= MAX_CONCURRENCY);
        number
            .map(|number| NonZeroU32::new(number).map_or(Self::Auto, Self::Fixed))
            .ok_or_else(|| ValueError::new(text, "auto, or a whole number from 1 to 1024"))
    }
}

/// The addresses of the sandboxes' network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Subnet {
    /// As the container runtime chooses.
    #[default]
    Auto,
    /// This IPv4 network.
    Network {
        /// Its first address.
        address: Ipv4Addr,
        /// How many leading bits are fixed, 8 to 29.
        prefix: u8,
    },
}

impl Subnet {
    /// How many sandboxes find an address: all but the network's, the broadcast and the gateway's.
    #[must_use]
    pub fn capacity(self) -> Option<usize> {
        match self {
            Self::Auto => None,
            Self::Network { prefix, .. } => Some((1_usize << (32 - u32::from(prefix))) - 3),
        }
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.pad("auto"),
            Self::Network { address, prefix } => f.pad(&format!("{address}/{prefix}")),
        }
    }
}

impl FromStr for Subnet {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        if text.eq_ignore_ascii_case("auto") {
            return Ok(Self::Auto);
        }
        let refused = || ValueError::new(text, "auto, or an IPv4 network such as 10.201.0.0/20");
        let (address, prefix) = text.split_once('/').ok_or_else(refused)?;
        let address: Ipv4Addr = address.parse().map_err(|_| refused())?;
        let prefix: u8 = prefix.parse().map_err(|_| refused())?;
        if !(8..=29).contains(&prefix) {
            return Err(ValueError::new(text, "a prefix from /8 to /29"));
        }
        let start = Ipv4Addr::from_bits(address.to_bits() & (u32::MAX << (32 - u32::from(prefix))));
        if start != address {
            return Err(ValueError::new(
                text,
                &format!("the network's first address, {start}/{prefix}"),
            ));
        }
        Ok(Self::Network { address, prefix })
    }
}

/// A DNS name in lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DnsName(String);

impl DnsName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What a DNS name looks like (RFC 1123: labels of 1 to 63 characters, 253 in all).
const DNS: &str = "a DNS name such as hack.example.org: letters, digits, hyphens and dots (a name in another \
                   script in its xn-- form; an address belongs into external_ip)";

impl FromStr for DnsName {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.chars().all(legal)
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let numeric_end =
            text.rsplit('.').next().is_some_and(|last| last.chars().all(|c| c.is_ascii_digit()));
        if text.len() > 253 || numeric_end || !text.split('.').all(label) {
            return Err(ValueError::new(text, DNS));
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

/// Which llama.cpp is used.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum LlamaBinary {
    /// The one that comes with Lemonade.
    #[default]
    Builtin,
    /// The latest release.
    Latest,
    /// The program at this path.
    Path(PathBuf),
}

impl fmt::Display for LlamaBinary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Builtin => f.pad("builtin"),
            Self::Latest => f.pad("latest"),
            Self::Path(path) => write!(f, "{}", path.display()),
        }
    }
}

impl FromStr for LlamaBinary {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text {
            "builtin" => Ok(Self::Builtin),
            "latest" => Ok(Self::Latest),
            path if path.contains('/') => PathBuf::parse(path).map(Self::Path).map_err(ValueError),
            _ => Err(ValueError::new(text, "builtin, latest, or the path of a program")),
        }
    }
}

serialize_as_text!(PortRange, LaunchConcurrency, Subnet, DnsName, LlamaBinary);

text_leaf! {
    PortRange: "a range of ports such as 20000-29999",
    LaunchConcurrency: "auto, or a whole number from 1 to 1024",
    Subnet: "auto, or an IPv4 network such as 10.201.0.0/20",
    DnsName: "a DNS name such as hack.example.org",
    LlamaBinary: "builtin, latest, or the path of a program",
}

/// Whether a text can be an e-mail address: one `@` with something on both sides, no spaces or
/// control characters, at most 254 characters (RFC 5321). Whether it works, only a mail tells.
#[must_use]
pub(crate) fn is_email(text: &str) -> bool {
    let legal = |c: char| !c.is_whitespace() && !super::error::unprintable(c);
    let sides = text.split_once('@');
    let both = sides
        .is_some_and(|(local, host)| !local.is_empty() && !host.is_empty() && !host.contains('@'));
    both && text.len() <= 254 && text.chars().all(legal)
}

/// Whether a text can be the name or address of a host that something listens on or is reached at.
#[must_use]
pub(crate) fn is_host(text: &str) -> bool {
    text.parse::<std::net::IpAddr>().is_ok() || text.parse::<DnsName>().is_ok()
}

/// Whether a host is this machine's loopback.
#[must_use]
pub(crate) fn is_loopback(host: &str) -> bool {
    let address = host.parse::<std::net::IpAddr>();
    address.map_or(host == "localhost", |address| address.is_loopback())
}

/// Whether a text is the address of a web service.
#[must_use]
pub(crate) fn is_url(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let legal = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\'' | '<' | '>' | '\\' | '`');
    rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/') && rest.chars().all(legal))
}
