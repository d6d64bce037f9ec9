//! A command that is looked at while it runs.
//!
//! For: what can only be seen meanwhile: memory, and the command lines of every process.
//! Not for: what is left behind.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use crate::support::Output;
use crate::support::until;

/// What was seen.
pub(crate) struct Watched {
    pub(crate) output: Output,
    /// The most memory of its own that it was seen with, in KiB; code is not counted, which the
    /// kernel may drop and which is larger where it isn't optimised.
    pub(crate) peak_kib: u64,
    /// Every command line that any process had meanwhile.
    pub(crate) command_lines: BTreeSet<String>,
}

/// Runs a command to its end.
pub(crate) fn watch(mut command: Command) -> Watched {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let pid = child.id();
    let (mut peak_kib, mut command_lines) = (0, BTreeSet::new());
    // It says far less than a pipe holds, so nobody has to read meanwhile.
    until("the command's end", || {
        peak_kib = peak_kib.max(memory(pid).unwrap_or(0));
        command_lines.extend(all_command_lines());
        child.try_wait().unwrap()
    });
    Watched { output: child.wait_with_output().unwrap().into(), peak_kib, command_lines }
}

/// What a process has in memory beside its code; nothing once it has ended.
fn memory(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

fn all_command_lines() -> impl Iterator<Item = String> {
    std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        let bytes = std::fs::read(entry.path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&bytes).replace('\0', " ")).filter(|line| !line.is_empty())
    })
}
