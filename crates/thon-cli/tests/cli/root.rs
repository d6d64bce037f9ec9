//! What only root may do.
//!
//! For: a command with root's rights, and a test that goes on as another process with them.
//! Not for: what the product does with such rights.

use std::process::Command;

/// Set for a test that goes on in a process of its own.
const INSIDE: &str = "THON_TEST_INSIDE";

/// A command with root's rights: as it is for root, through `sudo -n`, which never asks, otherwise.
pub(crate) fn as_root(program: &str) -> Command {
    if rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.args(["-n", program]);
    command
}

/// True for the process that [`go_on`] started.
pub(crate) fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// Runs the test `name` as root in a process of its own, started through `way` and with these
/// variables besides its own; it has to pass.
#[track_caller]
pub(crate) fn go_on(name: &str, way: &[&str], variables: &[(&str, &str)]) {
    let mut command = as_root("env");
    command.arg(format!("{INSIDE}=1"));
    for kept in ["PATH", "TMPDIR", "THON_TEST_IMAGE", "DOCKER_HOST", "RUST_BACKTRACE"] {
        if let Ok(value) = std::env::var(kept) {
            command.arg(format!("{kept}={value}"));
        }
    }
    for (variable, value) in variables {
        command.arg(format!("{variable}={value}"));
    }
    command.args(way).arg(std::env::current_exe().unwrap());
    let output = command.args(["--exact", name, "--nocapture"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
