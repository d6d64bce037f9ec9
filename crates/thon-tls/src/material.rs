//! What certificates and keys say, and whether a pair may go on being served.
//!
//! For: parsing PEM, comparing names and keys exactly, judging a pair against names, root and time.
//! Not for: reading files or making certificates.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use rcgen::{KeyPair, PublicKeyData};
use thon_core::certificate::{CertificateNames, RENEWAL_MARGIN};
use x509_parser::prelude::{ASN1Time, FromDer, GeneralName, Pem, X509Certificate};

use crate::names;
use crate::settings::Provider;

/// Certificates that live shorter than this are renewed when a third of their life is left, as
/// public authorities advise for their short-lived ones.
const SHORT_LIFE: Duration = Duration::from_hours(60 * 24);

/// Why a pair can't be served, in words that fit after "the present one".
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Flaw {
    NoCertificate,
    NoKey,
    NoRoot,
    KeyMismatch,
    Exposed,
    NotYetValid,
    Lacks(String),
    OtherRoot,
    NotAServers,
    OtherProvider(Provider),
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCertificate => f.write_str("holds no certificate that can be parsed"),
            Self::NoKey => f.write_str("has no key that can be parsed"),
            Self::NoRoot => f.write_str("lacks its root"),
            Self::KeyMismatch => f.write_str("has a key that belongs to another certificate"),
            Self::Exposed => f.write_str("has a key that others can read"),
            Self::NotYetValid => f.write_str("is not valid yet; check the machine's clock"),
            Self::Lacks(name) => write!(f, "does not cover {name}"),
            Self::OtherRoot => f.write_str("was not issued by the present root"),
            Self::NotAServers => f.write_str("is an authority's, not a server's"),
            Self::OtherProvider(provider) => write!(f, "was made by {provider}"),
        }
    }
}

/// What is to be done about a pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Fits,
    /// It fits in every respect but will expire soon, or has.
    Expiring,
    Unfit(Flaw),
}

/// The root of an authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Root {
    pub(crate) pem: String,
    der: Vec<u8>,
    pub(crate) not_after: SystemTime,
}

impl Root {
    /// A root, or why it is none.
    pub(crate) fn parse(pem: &str) -> Result<Self, String> {
        let der = first_certificate(pem).ok_or("it holds no certificate in PEM")?;
        let (_, certificate) =
            X509Certificate::from_der(&der).map_err(|_| "its certificate can't be parsed")?;
        if !certificate.is_ca() {
            return Err("its certificate is not an authority's".to_owned());
        }
        let not_after = system_time(certificate.validity().not_after);
        Ok(Self { pem: pem.to_owned(), der, not_after })
    }

    /// True if `key` is this root's.
    pub(crate) fn has_key(&self, key: &KeyPair) -> bool {
        X509Certificate::from_der(&self.der).is_ok_and(|(_, root)| belongs(key, &root))
    }

    fn issued(&self, leaf: &X509Certificate<'_>) -> bool {
        X509Certificate::from_der(&self.der).is_ok_and(|(_, root)| {
            leaf.issuer() == root.subject()
                && leaf.verify_signature(Some(root.public_key())).is_ok()
        })
    }
}

/// A certificate and its key that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pair {
    der: Vec<u8>,
    not_before: SystemTime,
    not_after: SystemTime,
    dns: BTreeSet<String>,
    ips: BTreeSet<IpAddr>,
    is_ca: bool,
    /// Who made it, as far as it can be told: our own providers sign their work.
    pub(crate) maker: Option<Provider>,
}

impl Pair {
    /// Parses the leaf, the first certificate of `chain`, and `key`.
    pub(crate) fn parse(chain: &str, key: &str) -> Result<Self, Flaw> {
        let der = first_certificate(chain).ok_or(Flaw::NoCertificate)?;
        let (_, leaf) = X509Certificate::from_der(&der).map_err(|_| Flaw::NoCertificate)?;
        let key = parse_key(key).ok_or(Flaw::NoKey)?;
        if !belongs(&key, &leaf) {
            return Err(Flaw::KeyMismatch);
        }
        let (dns, ips) = alternative_names(&leaf);
        Ok(Self {
            not_before: system_time(leaf.validity().not_before),
            not_after: system_time(leaf.validity().not_after),
            dns,
            ips,
            is_ca: leaf.is_ca(),
            maker: maker(&leaf),
            der,
        })
    }

    /// When it stops being accepted: its own end or its root's, whichever comes first.
    pub(crate) fn end(&self, root: Option<&Root>) -> SystemTime {
        root.map_or(self.not_after, |root| root.not_after.min(self.not_after))
    }

    /// Since when it is accepted.
    pub(crate) const fn not_before(&self) -> SystemTime {
        self.not_before
    }

    /// True if both are the same certificate.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.der == other.der
    }

    /// Whether it may be served for `names` at `now`. `root` is the present root of the authority
    /// that must have issued it, where that authority is ours.
    pub(crate) fn judge(
        &self,
        names: &CertificateNames,
        root: Option<&Root>,
        now: SystemTime,
    ) -> Verdict {
        if self.is_ca {
            return Verdict::Unfit(Flaw::NotAServers);
        }
        if let Some(name) = names.dns.iter().find(|name| !names::covers(&self.dns, name)) {
            return Verdict::Unfit(Flaw::Lacks(name.clone()));
        }
        if let Some(ip) = names.ips.difference(&self.ips).next() {
            return Verdict::Unfit(Flaw::Lacks(ip.to_string()));
        }
        if let Some(root) = root {
            let issued =
                X509Certificate::from_der(&self.der).is_ok_and(|(_, leaf)| root.issued(&leaf));
            if !issued {
                return Verdict::Unfit(Flaw::OtherRoot);
            }
        }
        if now < self.not_before {
            return Verdict::Unfit(Flaw::NotYetValid);
        }
        let left = self.end(root).duration_since(now).unwrap_or_default();
        // A root's last certificate can't outlive it, so a new one would be no better.
        let is_last = root.is_some_and(|root| root.not_after <= self.not_after);
        if left.is_zero() || (left <= self.margin() && !is_last) {
            return Verdict::Expiring;
        }
        Verdict::Fits
    }

    /// True if a browser would accept its dates at `now`.
    pub(crate) fn is_valid(&self, root: Option<&Root>, now: SystemTime) -> bool {
        self.not_before <= now && now < self.end(root)
    }

    fn margin(&self) -> Duration {
        match self.not_after.duration_since(self.not_before).unwrap_or_default() {
            life if life < SHORT_LIFE => life / 3,
            _ => RENEWAL_MARGIN,
        }
    }
}

/// A private key in PEM. Why it can't be parsed is not told: the parser's words could quote it.
pub(crate) fn parse_key(pem: &str) -> Option<KeyPair> {
    KeyPair::from_pem(pem).ok()
}

fn belongs(key: &KeyPair, certificate: &X509Certificate<'_>) -> bool {
    key.der_bytes() == &*certificate.public_key().subject_public_key.data
}

fn first_certificate(pem: &str) -> Option<Vec<u8>> {
    Pem::iter_from_buffer(pem.as_bytes())
        .map_while(Result::ok)
        .find(|block| block.label == "CERTIFICATE")
        .map(|block| block.contents)
}

fn alternative_names(leaf: &X509Certificate<'_>) -> (BTreeSet<String>, BTreeSet<IpAddr>) {
    let mut dns = BTreeSet::new();
    let mut ips = BTreeSet::new();
    let extension = leaf.subject_alternative_name().ok().flatten();
    for name in extension.iter().flat_map(|extension| &extension.value.general_names) {
        match name {
            GeneralName::DNSName(name) => drop(dns.insert(name.to_ascii_lowercase())),
            GeneralName::IPAddress(bytes) => {
                if let Ok(bytes) = <[u8; 4]>::try_from(*bytes) {
                    ips.insert(IpAddr::from(bytes));
                } else if let Ok(bytes) = <[u8; 16]>::try_from(*bytes) {
                    ips.insert(IpAddr::from(bytes));
                }
            }
            _ => {}
        }
    }
    (dns, ips)
}

/// openssl and the embedded authority put their name into the unit; mkcert its own words into the
/// organization.
fn maker(leaf: &X509Certificate<'_>) -> Option<Provider> {
    let subject = leaf.subject();
    let organization = subject.iter_organization().find_map(|name| name.as_str().ok());
    let unit = subject.iter_organizational_unit().find_map(|name| name.as_str().ok());
    match (organization?, unit) {
        ("THON", Some(unit)) => unit.parse().ok(),
        ("mkcert development certificate", _) => Some(Provider::Mkcert),
        _ => None,
    }
}

/// A certificate's date. Certificates from before 1970 are as good as those of 1970: expired.
fn system_time(time: ASN1Time) -> SystemTime {
    let seconds = u64::try_from(time.timestamp()).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}
