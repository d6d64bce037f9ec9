//! The provider that works through the program mkcert.
//!
//! For: leaves from mkcert's root, and having mkcert put the root into this machine's trust stores
//! when someone asks for it.
//! Not for: `mkcert -install` on our own account: it changes what the whole machine trusts.

use std::path::{Path, PathBuf};

use thon_core::adapter::Failure;
use thon_core::certificate::CertificateNames;

use crate::process::Run;

const ADVICE: &str = "run mkcert by hand to see more, or set nginx.ssl_provider to embedded";

/// The folder of the person's own mkcert root, whether or not there is a root in it.
pub(crate) async fn own_caroot(program: &Path) -> Option<PathBuf> {
    let said =
        Run::new(program, "asking mkcert for its root").args(["-CAROOT"]).run().await.ok()?;
    let path = said.stdout.trim_end_matches('\n');
    // The answer is a path even if there is nothing at it; a relative one would depend on where
    // THON was started.
    Some(PathBuf::from(path)).filter(|path| path.is_absolute())
}

/// Makes a leaf for `names` at `chain` and `key`; where `caroot` has no root yet, mkcert makes one.
pub(crate) async fn make_leaf(
    program: &Path,
    caroot: &Path,
    names: &CertificateNames,
    (chain, key): (&Path, &Path),
) -> Result<(), Failure> {
    Run::new(program, format!("making a certificate for {} with mkcert", names.primary))
        .env("CAROOT", caroot)
        .args(["-cert-file".as_ref(), chain.as_os_str(), "-key-file".as_ref(), key.as_os_str()])
        .args(names.ips.iter().map(ToString::to_string))
        .args(&names.dns)
        .advice(ADVICE)
        .run()
        .await
        .map(drop)
}

/// Puts the root in `caroot` into the trust stores of this machine and returns what mkcert said.
pub(crate) async fn install(program: &Path, caroot: &Path) -> Result<Vec<String>, Failure> {
    let said = Run::new(program, "putting the root into this machine's trust stores with mkcert")
        .env("CAROOT", caroot)
        .args(["-install"])
        .advice("run it as a user who may use sudo; Firefox and Chromium need libnss3-tools too")
        .run()
        .await?;
    let lines = said.stdout.lines().chain(said.stderr.lines());
    Ok(lines.map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect())
}
