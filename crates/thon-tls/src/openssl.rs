//! The provider that works through the program openssl.
//!
//! For: a root and leaves like the embedded authority's, made with openssl's `ca` command: of its
//! commands the one that takes dates, in every version since 1.1.
//! Not for: deciding when to issue.

use std::fmt::Write as _;
use std::path::Path;
use std::time::SystemTime;

use thon_core::adapter::Failure;
use thon_core::certificate::CertificateNames;
use time::OffsetDateTime;

use crate::authority::{ROOT, ROOT_KEY};
use crate::embedded::{leaf_validity, root_name, root_validity};
use crate::files::{self, PRIVATE};
use crate::names::common_name;
use crate::process::Run;
use crate::settings::Provider;

/// What both configurations say. All paths in it are relative to the staging folder, so that no
/// folder's name has to be escaped.
const COMMON: &str = "\
[ca]
default_ca = thon
[thon]
database = index.txt
new_certs_dir = .
rand_serial = yes
default_md = sha256
policy = any
unique_subject = no
email_in_dn = no
[any]
organizationName = optional
organizationalUnitName = optional
commonName = supplied
[req]
prompt = no
utf8 = yes
distinguished_name = subject
";

/// Makes a root in `dir`, which is private and empty.
pub(crate) async fn make_root(
    program: &Path,
    dir: &Path,
    node: &str,
    now: SystemTime,
) -> Result<(), Failure> {
    let config = format!(
        "{COMMON}[subject]\nO = THON\nCN = {}\n[extensions]\n\
         basicConstraints = critical, CA:TRUE, pathlen:0\n\
         keyUsage = critical, keyCertSign, cRLSign\n\
         subjectKeyIdentifier = hash\n",
        root_name(node)
    );
    let openssl = Openssl { program, dir, what: "a root" };
    openssl.prepare(config).await?;
    openssl.key(ROOT_KEY).await?;
    openssl.request(ROOT_KEY).await?;
    let signer = ["-selfsign", "-keyfile", ROOT_KEY];
    openssl.sign(&signer, root_validity(now), ROOT).await
}

/// Makes a leaf for `names` at `now` in `dir`, which is private and empty, signed by the root in
/// `authority` that ends at `root_end`.
pub(crate) async fn make_leaf(
    program: &Path,
    (dir, authority): (&Path, &Path),
    names: &CertificateNames,
    (now, root_end): (SystemTime, SystemTime),
    (chain, key): (&str, &str),
) -> Result<(), Failure> {
    let mut config = format!(
        "{COMMON}[subject]\nO = THON\nOU = {}\nCN = {}\n[extensions]\n\
         basicConstraints = critical, CA:FALSE\n\
         keyUsage = critical, digitalSignature\n\
         extendedKeyUsage = serverAuth\n\
         subjectKeyIdentifier = hash\n\
         authorityKeyIdentifier = keyid\n\
         subjectAltName = @names\n[names]\n",
        Provider::Openssl,
        common_name(&names.primary)
    );
    // Writing to a String can't fail.
    for (index, name) in names.dns.iter().enumerate() {
        let _ = writeln!(config, "DNS.{index} = {name}");
    }
    for (index, ip) in names.ips.iter().enumerate() {
        let _ = writeln!(config, "IP.{index} = {ip}");
    }
    let openssl = Openssl { program, dir, what: "a certificate" };
    openssl.prepare(config).await?;
    openssl.key(key).await?;
    openssl.request(key).await?;
    let (root, root_key) = (authority.join(ROOT), authority.join(ROOT_KEY));
    let signer = ["-cert".as_ref(), root.as_os_str(), "-keyfile".as_ref(), root_key.as_os_str()];
    openssl.sign(&signer, leaf_validity(now, root_end), chain).await
}

struct Openssl<'a> {
    program: &'a Path,
    dir: &'a Path,
    what: &'a str,
}

impl Openssl<'_> {
    async fn prepare(&self, config: String) -> Result<(), Failure> {
        let dir = self.dir.to_owned();
        files::blocking(move || {
            files::create(&dir.join("openssl.cnf"), &config, PRIVATE)?;
            files::create(&dir.join("index.txt"), "", PRIVATE)
        })
        .await
    }

    fn run(&self) -> Run<'_> {
        Run::new(self.program, format!("making {} with openssl", self.what))
            .current_dir(self.dir)
            .advice("set nginx.ssl_provider to embedded, which needs no program")
    }

    async fn key(&self, out: &str) -> Result<(), Failure> {
        let curve = "ec_paramgen_curve:P-256";
        let args = ["genpkey", "-algorithm", "EC", "-pkeyopt", curve, "-out", out];
        self.run().args(args).run().await.map(drop)
    }

    async fn request(&self, key: &str) -> Result<(), Failure> {
        let args = ["req", "-new", "-config", "openssl.cnf", "-key", key, "-out", "request.pem"];
        self.run().args(args).run().await.map(drop)
    }

    async fn sign<A: AsRef<std::ffi::OsStr>>(
        &self,
        signer: &[A],
        (begin, end): (SystemTime, SystemTime),
        out: &str,
    ) -> Result<(), Failure> {
        let (begin, end) = (date(begin), date(end));
        let files = ["-config", "openssl.cnf", "-in", "request.pem", "-out", out];
        let dates = ["-startdate", &begin, "-enddate", &end];
        self.run()
            .args(["ca", "-batch", "-notext", "-extensions", "extensions"])
            .args(files)
            .args(dates)
            .args(signer)
            .run()
            .await
            .map(drop)
    }
}

/// A date as openssl takes it: `YYYYMMDDHHMMSSZ`.
fn date(time: SystemTime) -> String {
    let time = OffsetDateTime::from(time);
    format!(
        "{:04}{:02}{:02}{:02}{:02}{:02}Z",
        time.year(),
        u8::from(time.month()),
        time.day(),
        time.hour(),
        time.minute(),
        time.second()
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn dates_are_written_as_openssl_reads_them() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_770_000_009);
        assert_eq!(date(time), "20260202024009Z");
    }
}
