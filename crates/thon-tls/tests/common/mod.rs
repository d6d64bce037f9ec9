//! What the tests share: a clock to turn, a node's folders, and openssl's opinion of a certificate.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;
use thon_core::adapter::Clock;
use thon_core::certificate::{Certificate, CertificateNames};
use thon_tls::{Provider, Tls, TlsSettings};

pub(crate) const DAY: Duration = Duration::from_hours(24);

/// The providers whose root is the node's own.
pub(crate) const OWN: [Provider; 3] = [Provider::Embedded, Provider::Openssl, Provider::Mkcert];

/// A clock that goes right until it is turned.
#[derive(Default)]
pub(crate) struct TurnedClock(Mutex<Duration>);

impl TurnedClock {
    pub(crate) fn turn(&self, ahead: Duration) {
        *self.0.lock().unwrap() = ahead;
    }
}

impl Clock for TurnedClock {
    fn now(&self) -> SystemTime {
        SystemTime::now() + *self.0.lock().unwrap()
    }
}

/// A node with nothing in it yet.
pub(crate) struct Node {
    pub(crate) home: TempDir,
    pub(crate) clock: Arc<TurnedClock>,
}

impl Node {
    pub(crate) fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap(), clock: Arc::default() }
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.home.path().join("tls")
    }

    pub(crate) fn settings(&self, provider: Provider) -> TlsSettings {
        let mut settings = TlsSettings::new(provider, self.dir());
        settings.node_name = "test".into();
        settings.mkcert = Some(self.stand_in("mkcert"));
        settings
    }

    pub(crate) fn tls(&self, provider: Provider) -> Tls {
        self.with(self.settings(provider))
    }

    pub(crate) fn with(&self, settings: TlsSettings) -> Tls {
        Tls::new(settings, self.clock.clone())
    }

    /// A link in a folder of its own to one of the programs in `stand-in`. A link and not a copy:
    /// the kernel refuses to start a file that another thread's child still holds open for writing.
    pub(crate) fn stand_in(&self, name: &str) -> PathBuf {
        let dir = self.home.path().join("stand-in").join(name);
        std::fs::create_dir_all(&dir).unwrap();
        let (program, link) = (
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stand-in").join(name),
            dir.join(name),
        );
        if !link.exists() {
            std::os::unix::fs::symlink(program, &link).unwrap();
        }
        link
    }

    /// The folder in which a stand-in looks for orders and leaves its records.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.stand_in(name).parent().unwrap().to_owned()
    }

    /// A provider that works through the stand-in for certbot.
    pub(crate) fn certbot(&self) -> Tls {
        self.with(self.certbot_settings())
    }

    pub(crate) fn certbot_settings(&self) -> TlsSettings {
        let mut settings = self.settings(Provider::Certbot);
        settings.certbot = Some(self.stand_in("certbot"));
        settings.letsencrypt_dir = self.home.path().join("letsencrypt");
        settings.challenge_port = 0;
        settings
    }

    /// Has the public authority answer with a certificate of this life.
    pub(crate) fn answer_with(&self, domains: &[&str], begin: SystemTime, life: Duration) {
        let names: Vec<String> = domains.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = begin.into();
        params.not_after = (begin + life).into();
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let next = self.beside("certbot").join("next");
        std::fs::create_dir_all(&next).unwrap();
        std::fs::write(next.join("fullchain.pem"), certificate.pem()).unwrap();
        std::fs::write(next.join("privkey.pem"), key.serialize_pem()).unwrap();
    }

    pub(crate) fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.dir().join(file)).unwrap()
    }

    /// The files in the node's folder that are neither served nor the authority's.
    pub(crate) fn leftovers(&self) -> Vec<String> {
        let known = ["thon.pem", "thon-key.pem", "rootCA.pem", "ca", ".lock", "caroot"];
        let mut names = Vec::new();
        for dir in [self.dir(), self.dir().join("ca")] {
            let Ok(entries) = dir.read_dir() else { continue };
            names.extend(entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()));
        }
        names.retain(|name| !known.contains(&name.as_str()) && name != "rootCA-key.pem");
        names
    }
}

pub(crate) fn names(public: &str) -> CertificateNames {
    CertificateNames::for_node(public, None)
}

pub(crate) fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o7777
}

pub(crate) fn days_left(certificate: &Certificate) -> u64 {
    certificate.not_after.duration_since(SystemTime::now()).unwrap().as_secs() / DAY.as_secs()
}

/// Fails unless openssl, at its strictest, accepts the chain for a server of all of `names`.
pub(crate) fn assert_openssl_accepts(certificate: &Certificate, names: &CertificateNames) {
    let root = certificate.root.as_ref().unwrap();
    let dns = names.dns.iter().map(|name| ("-verify_hostname", name.clone()));
    let ips = names.ips.iter().map(|ip| ("-verify_ip", ip.to_string()));
    for (option, name) in dns.chain(ips) {
        let output = Command::new("openssl")
            .args(["verify", "-x509_strict", "-purpose", "sslserver", "-CAfile"])
            .arg(root)
            .args([option, &name])
            .arg(&certificate.chain)
            .output()
            .expect("openssl must be installed for this test");
        assert!(
            output.status.success(),
            "{} for {name}: {}",
            certificate.provider,
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

/// What openssl prints of a certificate.
pub(crate) fn text_of(certificate: &Path) -> String {
    let output =
        Command::new("openssl").args(["x509", "-noout", "-text", "-in"]).arg(certificate).output();
    String::from_utf8(output.expect("openssl must be installed for this test").stdout).unwrap()
}
