//! What only root may do.
//!
//! For: a command with root's rights.
//! Not for: what the product does with such rights.

use std::process::Command;

/// A command with root's rights: as it is for root, through `sudo -n`, which never asks, otherwise.
pub(crate) fn as_root(program: &str) -> Command {
    if rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.args(["-n", program]);
    command
}
