//! What the provider of certificates has to know.
//!
//! For: the choice of a provider and the places it works in.
//! Not for: reading a configuration file; whoever composes the node fills this in.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use thon_core::certificate::CertificateNames;

/// Who makes the certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Provider {
    /// mkcert if it is installed, else certbot if there is a domain, else the embedded authority.
    #[default]
    Auto,
    /// The program mkcert.
    Mkcert,
    /// The program certbot, which asks a public authority.
    Certbot,
    /// The program openssl.
    Openssl,
    /// The authority in this crate; needs no program.
    Embedded,
}

impl Provider {
    /// All of them, in the order in which `auto` would have them, `auto` first.
    pub const ALL: [Self; 5] =
        [Self::Auto, Self::Mkcert, Self::Certbot, Self::Embedded, Self::Openssl];

    /// The name as in `nginx.ssl_provider`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Mkcert => "mkcert",
            Self::Certbot => "certbot",
            Self::Openssl => "openssl",
            Self::Embedded => "embedded",
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The name is none of a provider's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownProvider(String);

impl fmt::Display for UnknownProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known: Vec<_> = Provider::ALL.iter().map(|provider| provider.as_str()).collect();
        write!(f, "no provider of certificates is called {:?}; use {}", self.0, known.join(", "))
    }
}

impl std::error::Error for UnknownProvider {}

impl FromStr for Provider {
    type Err = UnknownProvider;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|provider| provider.as_str() == text)
            .ok_or_else(|| UnknownProvider(text.to_owned()))
    }
}

/// Where certificates are kept and with what they are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSettings {
    /// Who makes them.
    pub provider: Provider,
    /// The folder they are kept in: made with mode 0700 if it isn't there.
    pub dir: PathBuf,
    /// The node's name in the name of its root: what participants see in their list of authorities.
    pub node_name: String,
    /// The domain that certbot asks for, and under whose name it keeps the certificate. Without it
    /// the first public name of the certificate is taken.
    pub domain: Option<String>,
    /// Where the public authority writes to before a certificate expires.
    pub certbot_email: Option<String>,
    /// The folder that the proxy serves `/.well-known/acme-challenge/` from on port 80.
    pub webroot: Option<PathBuf>,
    /// The port that the public authority's challenge arrives at: 80, unless something forwards it.
    pub challenge_port: u16,
    /// What certbot starts after each certificate it got, also from its own timer: a program and
    /// its arguments, such as `thon nginx sync`.
    pub deploy_hook: Vec<String>,
    /// certbot's folder.
    pub letsencrypt_dir: PathBuf,
    /// The folder of the authority (`rootCA.pem`, `rootCA-key.pem`), where it isn't to be chosen
    /// here: see [`crate`].
    pub caroot: Option<PathBuf>,
    /// The program mkcert; searched in `PATH` by default.
    pub mkcert: Option<PathBuf>,
    /// The program openssl; searched in `PATH` by default.
    pub openssl: Option<PathBuf>,
    /// The program certbot; searched in `PATH` by default.
    pub certbot: Option<PathBuf>,
}

impl TlsSettings {
    /// Certificates by `provider`, kept in `dir`; everything else as it usually is.
    #[must_use]
    pub fn new(provider: Provider, dir: impl Into<PathBuf>) -> Self {
        Self {
            provider,
            dir: dir.into(),
            node_name: "node".to_owned(),
            domain: None,
            certbot_email: None,
            webroot: None,
            challenge_port: 80,
            deploy_hook: Vec::new(),
            letsencrypt_dir: PathBuf::from("/etc/letsencrypt"),
            caroot: None,
            mkcert: None,
            openssl: None,
            certbot: None,
        }
    }

    /// True if there is a name that a public authority would certify.
    pub(crate) fn has_domain(&self, names: &CertificateNames) -> bool {
        self.domain.is_some() || names.public_dns().next().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_is_known_by_its_name_and_a_typo_names_them_all() {
        for provider in Provider::ALL {
            assert_eq!(provider.to_string().parse(), Ok(provider));
        }
        let typo = "mkcret".parse::<Provider>().unwrap_err().to_string();
        assert!(typo.contains("\"mkcret\""), "{typo}");
        assert!(typo.contains("auto, mkcert, certbot, embedded, openssl"), "{typo}");
    }
}
