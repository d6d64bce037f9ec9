//! The programs that the integration tests work with.
//!
//! For: finding out which are missing and installing exactly those with apt-get.
//! Not for: other package managers: there the person is told what to install.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::daemon;
use crate::shell::{Shell, say};

/// The programs, each with the Debian package that brings it.
const PROGRAMS: [(&str, &str); 11] = [
    ("docker", "docker.io"),
    ("dockerd", "docker.io"),
    ("nginx", "nginx"),
    ("mkcert", "mkcert"),
    ("openssl", "openssl"),
    ("certutil", "libnss3-tools"),
    ("chromium", "chromium"),
    ("chromedriver", "chromium-driver"),
    ("mmdebstrap", "mmdebstrap"),
    ("ip", "iproute2"),
    ("python3", "python3-venv"),
];

/// What only the benchmarks work with.
const WITNESSES: [(&str, &str); 1] = [("wrk", "wrk")];

/// Installs what is missing for the tests, or says what to install by hand.
pub(crate) fn install(shell: &Shell) -> Result<(), String> {
    // A client may be there without an engine, and an engine that answers may run elsewhere.
    let answers = daemon::ask(shell).is_ok();
    let wanted: Vec<_> =
        PROGRAMS.into_iter().filter(|(program, _)| !(answers && *program == "dockerd")).collect();
    install_all(shell, &wanted)
}

/// The same for the benchmarks.
pub(crate) fn install_witnesses(shell: &Shell) -> Result<(), String> {
    install_all(shell, &WITNESSES)
}

fn install_all(shell: &Shell, programs: &[(&str, &'static str)]) -> Result<(), String> {
    let packages = missing(programs, |program| find(program).is_some());
    if packages.is_empty() {
        say("everything is there");
        return Ok(());
    }
    install_packages(shell, &packages)?;
    match missing(programs, |program| find(program).is_some()).as_slice() {
        [] => Ok(()),
        still => Err(format!("apt-get brought no {}; {}", still.join(", no "), by_hand(&packages))),
    }
}

fn by_hand(packages: &[&str]) -> String {
    format!("install by hand what this works with: apt-get install {}", packages.join(" "))
}

/// Installs these packages of the distribution, whatever is there.
pub(crate) fn install_packages(shell: &Shell, packages: &[&str]) -> Result<(), String> {
    let by_hand = by_hand(packages);
    if find("apt-get").is_none() {
        return Err(format!("there is no apt-get on this machine; {by_hand}"));
    }
    say(&format!("installing {}", packages.join(" ")));
    for (name, args) in [
        ("apt-update", vec!["update"]),
        ("apt-install", ["install", "--yes"].into_iter().chain(packages.iter().copied()).collect()),
    ] {
        let mut command = as_root(shell, "env");
        command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]).args(args);
        match shell.run(name, command, |_, _| {}) {
            Ok(true) => {}
            Ok(false) => return Err(format!("apt-get failed, see above; {by_hand}")),
            Err(problem) => return Err(format!("{problem}; {by_hand}")),
        }
    }
    Ok(())
}

/// The packages of the programs that aren't there.
fn missing(
    programs: &[(&str, &'static str)],
    is_there: impl Fn(&str) -> bool,
) -> Vec<&'static str> {
    let gone = programs.iter().filter(|(program, _)| !is_there(program));
    let mut packages: Vec<_> = gone.map(|(_, package)| *package).collect();
    packages.dedup();
    packages
}

/// A program in `PATH` or where administrators have theirs.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let admins = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(admins)
        .map(|dir| dir.join(program))
        .find(|path| path.is_file())
}

/// A command with root's rights: as it is for root, through `sudo -n`, which never asks, otherwise.
pub(crate) fn as_root(shell: &Shell, program: impl AsRef<Path>) -> Command {
    if rustix::process::geteuid().is_root() {
        return shell.command(program.as_ref());
    }
    let mut command = shell.command("sudo");
    command.arg("-n").arg(program.as_ref());
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_missing_is_installed() {
        assert_eq!(missing(&PROGRAMS, |_| true), Vec::<&str>::new());
        assert_eq!(missing(&PROGRAMS, |program| program != "certutil"), ["libnss3-tools"]);
        // A client alone starts no containers; one package brings both.
        assert_eq!(missing(&PROGRAMS, |program| program != "dockerd"), ["docker.io"]);
        assert_eq!(missing(&PROGRAMS, |_| false).len(), PROGRAMS.len() - 1);
    }

    #[test]
    fn programs_are_found_where_administrators_have_them() {
        assert!(find("sh").is_some());
        assert_eq!(find("no-such-program"), None);
    }
}
