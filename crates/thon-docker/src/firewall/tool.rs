//! The programs that work on this machine's packet filter.
//!
//! For: running iptables as root, by an argument vector, within a limit in time.
//! Not for: what the rules say; see [`super::rules`].

use std::ffi::OsString;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// For a program that may have to wait for another one's lock.
const LIMIT: Duration = Duration::from_secs(30);

/// Runs `program` as root with `input`, directly or through a `sudo` that asks nothing, and returns
/// what it printed; else why not.
pub(super) async fn run(program: &str, arguments: &[&str], input: &str) -> Result<String, String> {
    let mut words = if is_root() { Vec::new() } else { vec!["sudo", "-n"] };
    words.push(program);
    words.extend(arguments);
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).env("PATH", path()).kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let work = async {
        let mut child = command.spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // A program that ended early says why itself.
            drop(stdin.write_all(input.as_bytes()).await);
        }
        child.wait_with_output().await
    };
    let output = match tokio::time::timeout(LIMIT, work).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(format!("there is no {} on this machine", words[0]));
        }
        Ok(Err(error)) => return Err(format!("{}: {error}", words[0])),
        Err(_) => return Err(format!("{program} did not end within {} s", LIMIT.as_secs())),
    };
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let said = said.lines().find(|line| !line.trim().is_empty()).unwrap_or("it gave no reason");
    Err(format!("{program} failed: {said}"))
}

/// True if this process may do everything on this machine.
fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    // The owner of one's own process entry is one's effective user.
    std::fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}

/// A person's `PATH` often lacks the folders that iptables lives in.
fn path() -> OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/local/sbin:/usr/sbin:/sbin");
    path
}
