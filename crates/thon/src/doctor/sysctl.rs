//! Values of the kernel, set now and for every boot.
//!
//! For: one line in `/etc/sysctl.d/90-thon.conf` and the same value in `/proc/sys`.
//! Not for: choosing values.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;

use thon_core::adapter::{Failure, FailureKind};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::host::sysctl_file;
use crate::setup::is_root;

/// What is read at boot.
const KEPT_IN: &str = "/etc/sysctl.d/90-thon.conf";

/// The first line of a file that isn't there yet.
const HEADING: &str = "# Written by `thon doctor --fix`.\n";

/// Sets `key` to `value` and says what it was before.
pub(super) async fn set(key: &str, value: u64) -> Result<String, Failure> {
    let file = sysctl_file(key);
    let before = std::fs::read_to_string(&file).unwrap_or_default();
    let before = before.trim();
    let kept = std::fs::read_to_string(KEPT_IN).unwrap_or_else(|_| HEADING.to_owned());
    // What works now is worth more than what will work after a reboot.
    put(&file, &format!("{value}\n")).await?;
    put(Path::new(KEPT_IN), &with_line(&kept, key, value)).await?;
    Ok(format!("{key} was {before} and is {value}, kept in {KEPT_IN}"))
}

/// The text of the file with this value in it, and with no other for the same key.
fn with_line(text: &str, key: &str, value: u64) -> String {
    let other = |line: &&str| line.split('=').next().map(str::trim) != Some(key);
    let kept = text.lines().filter(other).flat_map(|line| [line, "\n"]);
    kept.collect::<String>() + &format!("{key} = {value}\n")
}

/// Writes a file that belongs to root: directly, or through a `sudo` that asks nothing.
async fn put(path: &Path, text: &str) -> Result<(), Failure> {
    let failed = |cause: String| {
        let advice = "run this as root, or after `sudo -v`";
        let tried = format!("writing {}", path.display());
        Failure::new(FailureKind::Denied, tried, cause, advice)
    };
    if is_root() {
        return std::fs::write(path, text).map_err(|error| failed(error.to_string()));
    }
    let mut child = Command::new("sudo")
        .args([OsStr::new("-n"), OsStr::new("tee"), path.as_os_str()])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(text.as_bytes()).await.map_err(|error| failed(error.to_string()))?;
    }
    let output = child.wait_with_output().await.map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    Err(failed(String::from_utf8_lossy(&output.stderr).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_kept_once_and_others_stay() {
        let text = with_line(HEADING, "fs.file-max", 7);
        assert_eq!(text, format!("{HEADING}fs.file-max = 7\n"));
        let text = with_line(&text, "kernel.pid_max", 9);
        let text = with_line(&text, "fs.file-max", 8);
        assert_eq!(text, format!("{HEADING}kernel.pid_max = 9\nfs.file-max = 8\n"));
        assert_eq!(with_line("fs.file-max=1", "fs.file-max", 2), "fs.file-max = 2\n");
    }
}
