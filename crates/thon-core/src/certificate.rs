//! Certificates as the proxy and the person need to know them.
//!
//! For: which names a certificate must carry, where its files are, and who will trust it.
//! Not for: making one; that is the certificate adapters'.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use serde::Serialize;

/// A certificate is renewed when less than this is left of it: certbot's own margin of 30 days.
pub const RENEWAL_MARGIN: Duration = Duration::from_hours(30 * 24);

/// The names that a certificate must cover.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CertificateNames {
    /// The first name: what the URLs show. A DNS name or an IP address, as text.
    pub primary: String,
    /// DNS names.
    pub dns: BTreeSet<String>,
    /// IP addresses.
    pub ips: BTreeSet<IpAddr>,
}

impl CertificateNames {
    /// The names of a node that is reached under `public`: it, `localhost` and the loopback
    /// addresses, so that a check on the machine itself passes as well.
    #[must_use]
    pub fn for_node(public: &str, also: Option<IpAddr>) -> Self {
        let mut dns = BTreeSet::from(["localhost".to_owned()]);
        let mut ips = BTreeSet::from([
            IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
            IpAddr::V6(std::net::Ipv6Addr::LOCALHOST),
        ]);
        match public.parse::<IpAddr>() {
            Ok(ip) => drop(ips.insert(ip)),
            Err(_) => drop(dns.insert(public.to_owned())),
        }
        ips.extend(also);
        Self { primary: public.to_owned(), dns, ips }
    }

    /// The same with further DNS names.
    #[must_use]
    pub fn with(mut self, dns: impl IntoIterator<Item = String>) -> Self {
        self.dns.extend(dns);
        self
    }

    /// The names that a public authority would certify: no loopback, no `localhost`.
    pub fn public_dns(&self) -> impl Iterator<Item = &str> {
        self.dns.iter().map(String::as_str).filter(|name| *name != "localhost")
    }
}

/// Who trusts a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// Every browser: it comes from a public authority.
    Public,
    /// Browsers that imported the authority's root, which the proxy serves as `/ca.crt`.
    ImportedRoot,
    /// No browser, import or not: VS Code's web views won't work.
    SelfSigned,
}

/// What happened to the certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CertificateChange {
    /// The one that was there is valid and fits.
    Reused,
    /// There was none, or its names did not fit.
    Issued,
    /// It was about to expire.
    Renewed,
}

impl std::fmt::Display for CertificateChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Reused => "reused",
            Self::Issued => "issued",
            Self::Renewed => "renewed",
        })
    }
}

/// A certificate in files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Certificate {
    /// The provider that made it.
    pub provider: &'static str,
    /// The chain in PEM, leaf first.
    pub chain: PathBuf,
    /// The key in PEM, mode 0600.
    pub key: PathBuf,
    /// The root to import in PEM, where the authority is our own.
    pub root: Option<PathBuf>,
    /// The end of its validity.
    pub not_after: SystemTime,
    /// Who trusts it.
    pub trust: Trust,
    /// What happened to it.
    pub change: CertificateChange,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_and_a_domain_go_where_they_belong() {
        let names = CertificateNames::for_node("203.0.113.7", None);
        assert!(names.ips.contains(&"203.0.113.7".parse().unwrap()));
        assert_eq!(names.public_dns().count(), 0);

        let names = CertificateNames::for_node("hack.example.org", "203.0.113.7".parse().ok());
        assert_eq!(names.public_dns().collect::<Vec<_>>(), ["hack.example.org"]);
        assert!(names.ips.contains(&"203.0.113.7".parse().unwrap()));
    }
}
