//! The provider that works through certbot and a public authority.
//!
//! For: certbot's command line, and its files under `live/`.
//! Not for: trying twice. Public authorities count failed attempts and lock a domain out for an
//! hour or a week, so each call here is one attempt.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use thon_core::adapter::{Failure, FailureKind};
use thon_core::certificate::CertificateNames;

use crate::files;
use crate::process::Run;
use crate::settings::TlsSettings;

/// certbot's own folder unless it is told another.
const DEFAULT_DIR: &str = "/etc/letsencrypt";
/// How long certbot may take: an authority answers within seconds, a slow name server within two
/// minutes.
const LIMIT: Duration = Duration::from_mins(5);

/// What certbot is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lineage {
    /// certbot's name of it.
    pub(crate) name: String,
    /// The names that a public authority would certify.
    pub(crate) names: CertificateNames,
    pub(crate) chain: PathBuf,
    pub(crate) key: PathBuf,
}

impl Lineage {
    /// What `names` come to for a public authority: addresses and `localhost` are left out.
    pub(crate) fn new(settings: &TlsSettings, names: &CertificateNames) -> Result<Self, Failure> {
        let mut dns: BTreeSet<String> = names.public_dns().map(str::to_owned).collect();
        dns.extend(settings.domain.clone());
        let primary = dns.get(&names.primary).or_else(|| dns.first());
        let Some(name) = settings.domain.clone().or_else(|| primary.cloned()) else {
            return Err(Failure::new(
                FailureKind::Missing,
                format!("asking certbot for a certificate for {}", names.primary),
                "a public authority certifies domains, and there is none",
                "set nginx.domain, or set nginx.ssl_provider to embedded",
            ));
        };
        // certbot names its folder after a wildcard's domain.
        let name = name.trim_start_matches("*.").to_owned();
        let live = settings.letsencrypt_dir.join("live").join(&name);
        Ok(Self {
            names: CertificateNames { primary: name.clone(), dns, ips: BTreeSet::new() },
            chain: live.join("fullchain.pem"),
            key: live.join("privkey.pem"),
            name,
        })
    }

    /// One attempt to get the certificate or to renew it.
    pub(crate) async fn get(&self, settings: &TlsSettings, program: &Path) -> Result<(), Failure> {
        if let Some(wildcard) = self.names.dns.iter().find(|name| name.starts_with("*.")) {
            return Err(Failure::new(
                FailureKind::Other,
                format!("asking certbot for a certificate for {wildcard}"),
                "a wildcard takes a change in the domain's name server, which THON can't make",
                format!("get it once with certbot's DNS plugin as --cert-name {}", self.name),
            ));
        }
        let (port, webroot) = (settings.challenge_port, settings.webroot.clone());
        let challenge = files::blocking(move || challenge(port, webroot)).await?;
        let args = self.arguments(settings, &challenge);
        Run::new(program, format!("getting a certificate for {} with certbot", self.name))
            .args(args)
            .limit(LIMIT)
            .advice(format!(
                "check that {} leads to this machine and that port {} is open to the internet, \
                 that THON runs as root, and try again in an hour at the earliest; until then set \
                 nginx.ssl_provider to embedded",
                self.name, settings.challenge_port
            ))
            .run()
            .await
            .map(drop)
    }

    fn arguments(&self, settings: &TlsSettings, challenge: &Challenge) -> Vec<OsString> {
        let mut args: Vec<OsString> = Vec::new();
        let mut add = |words: &[&dyn AsRef<std::ffi::OsStr>]| {
            args.extend(words.iter().map(|word| word.as_ref().to_owned()));
        };
        add(&[&"certonly", &"--non-interactive", &"--agree-tos", &"--keep-until-expiring"]);
        // Without it certbot asks back when the names of a certificate change, and nobody answers.
        add(&[&"--renew-with-new-domains"]);
        match &settings.certbot_email {
            Some(email) => add(&[&"--email", email]),
            None => add(&[&"--register-unsafely-without-email"]),
        }
        add(&[&"--cert-name", &self.name]);
        for name in &self.names.dns {
            add(&[&"--domain", name]);
        }
        match challenge {
            Challenge::Standalone => add(&[&"--standalone"]),
            Challenge::Webroot(folder) => add(&[&"--webroot", &"--webroot-path", folder]),
        }
        if settings.challenge_port != 80 {
            add(&[&"--http-01-port", &settings.challenge_port.to_string()]);
        }
        if !settings.deploy_hook.is_empty() {
            let words: Vec<_> = settings.deploy_hook.iter().map(|word| quoted(word)).collect();
            // Its check of a hook looks for a program named like the quoted first word.
            add(&[&"--disable-hook-validation", &"--deploy-hook", &words.join(" ")]);
        }
        let dir = &settings.letsencrypt_dir;
        if dir != Path::new(DEFAULT_DIR) {
            add(&[&"--config-dir", dir]);
            add(&[&"--work-dir", &dir.join("work"), &"--logs-dir", &dir.join("logs")]);
        }
        args
    }
}

/// How the authority's question on port 80 is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Challenge {
    /// By certbot itself: nobody listens there yet.
    Standalone,
    /// By the proxy, from this folder.
    Webroot(PathBuf),
}

fn challenge(port: u16, webroot: Option<PathBuf>) -> Result<Challenge, Failure> {
    match TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)) {
        Err(error) if error.kind() == ErrorKind::AddrInUse => {}
        // Free; or refused for a reason that certbot will meet too and can explain.
        Ok(_) | Err(_) => return Ok(Challenge::Standalone),
    }
    let Some(folder) = webroot else {
        return Err(Failure::new(
            FailureKind::PortTaken,
            "getting a certificate with certbot",
            format!("port {port} is taken and no folder is served on it for the challenge"),
            format!("free port {port} while the certificate is made"),
        ));
    };
    std::fs::create_dir_all(&folder)
        .map_err(|error| files::failure("making the challenge's folder", &folder, &error))?;
    Ok(Challenge::Webroot(folder))
}

/// A word as the shell reads it back unchanged: certbot keeps its hooks as command lines.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Provider;

    fn arguments(settings: &TlsSettings, challenge: &Challenge) -> Vec<String> {
        let names = CertificateNames::for_node("hack.example.org", "203.0.113.7".parse().ok());
        let lineage = Lineage::new(settings, &names).unwrap();
        let args = lineage.arguments(settings, challenge);
        args.into_iter().map(|arg| arg.into_string().unwrap()).collect()
    }

    #[test]
    fn the_command_line_is_certbots_own() {
        let mut settings = TlsSettings::new(Provider::Certbot, "/tls");
        assert_eq!(
            arguments(&settings, &Challenge::Standalone).join(" "),
            "certonly --non-interactive --agree-tos --keep-until-expiring \
             --renew-with-new-domains --register-unsafely-without-email \
             --cert-name hack.example.org --domain hack.example.org --standalone"
        );
        settings.certbot_email = Some("me@example.org".to_owned());
        settings.deploy_hook = vec!["/opt/it's/thon".to_owned(), "nginx".to_owned()];
        let args = arguments(&settings, &Challenge::Webroot("/acme folder".into()));
        assert!(args.windows(2).any(|two| two == ["--email", "me@example.org"]), "{args:?}");
        assert!(args.windows(2).any(|two| two == ["--webroot-path", "/acme folder"]), "{args:?}");
        let hook = r"'/opt/it'\''s/thon' nginx";
        assert!(args.windows(2).any(|two| two == ["--deploy-hook", hook]), "{args:?}");
    }

    #[test]
    fn an_address_alone_is_nothing_for_a_public_authority() {
        let settings = TlsSettings::new(Provider::Certbot, "/tls");
        let names = CertificateNames::for_node("203.0.113.7", None);
        let failure = Lineage::new(&settings, &names).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Missing);
        assert!(failure.advice.contains("nginx.domain"), "{failure}");
    }
}
