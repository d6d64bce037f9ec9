//! Disk space of a sandbox.
//!
//! For: measuring what it and its workspace hold, and telling what stops it at a limit.
//! Not for: judging what was measured; that is the core's.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use bollard::models::ContainerInspectResponse;
use bollard::query_parameters::InspectContainerOptionsBuilder;
use thon_core::adapter::FailureKind;
use thon_core::disk::{DiskGuard, DiskUse};
use thon_core::limits::ByteSize;
use thon_core::sandbox::{SandboxId, SandboxSpec};
use thon_core::workspace::MOUNT_POINT;
use tokio::process::Command;

use crate::client::{DockerRuntime, QUICK};
use crate::error::DockerError;

/// For counting what one sandbox holds. Whoever has more files than can be counted in this time is
/// shown without a number.
const COUNTING: Duration = Duration::from_secs(8);

/// Asks for blocks that are really taken: a file of holes costs nobody anything.
const DU: [&str; 5] = ["du", "-s", "-x", "-B1", "--"];

impl DockerRuntime {
    /// Nothing of Docker's stops a sandbox at its disk limit as it is asked for here; the reason
    /// names the storage, so that the person knows what they have.
    pub(crate) async fn guard_of_disk(&self, _: &SandboxSpec) -> Result<DiskGuard, DockerError> {
        let client = self.client().await?;
        let answer = Box::pin(async {
            let info = client.info().await?;
            let backing = info.driver_status.into_iter().flatten().find_map(|pair| {
                let [name, value] = <[String; 2]>::try_from(pair).ok()?;
                (name == "Backing Filesystem").then_some(value)
            });
            Ok((info.driver.unwrap_or_else(|| "its storage".to_owned()), backing))
        });
        let (driver, backing) = self.call("asking Docker about its storage", QUICK, answer).await?;
        let on = backing.map_or_else(String::new, |backing| format!(" on {backing}"));
        Ok(DiskGuard {
            reason: format!("Docker's {driver}{on} limits no sandbox and its workspace together"),
        })
    }

    /// What the sandbox holds, in its own layer and in its workspace.
    pub(crate) async fn measure(&self, id: &SandboxId) -> Result<DiskUse, DockerError> {
        let tried = format!("measuring the disk space of sandbox {}", self.name(id));
        let client = self.client().await?;
        let options = InspectContainerOptionsBuilder::default().size(true).build();
        let asked = client.inspect_container(&id.0, Some(options));
        let container = self.call(&tried, COUNTING, asked).await?;
        let layer = container.size_rw.and_then(|size| u64::try_from(size).ok()).unwrap_or(0);
        let workspace = match workspace_of(&container) {
            None => 0,
            Some(folder) if self.is_here() && tokio::fs::read_dir(&folder).await.is_ok() => {
                count(&tried, &folder).await?
            }
            // The folder is root's alone, or on another machine: the sandbox can look for itself.
            Some(_) => self.count_inside(&tried, id).await?,
        };
        Ok(DiskUse { sandbox: ByteSize::new(layer), workspace: ByteSize::new(workspace) })
    }

    async fn count_inside(&self, tried: &str, id: &SandboxId) -> Result<u64, DockerError> {
        let arguments = [&DU[..], &[MOUNT_POINT]].concat();
        let output = tokio::time::timeout(COUNTING, self.exec(id, &arguments, None));
        let output = output.await.map_err(|_| too_long(tried))??;
        total(&output.stdout).ok_or_else(|| not_counted(tried, output.stderr.trim()))
    }
}

/// Where the workspace is on Docker's machine; nothing if it is in the sandbox's own layer.
fn workspace_of(container: &ContainerInspectResponse) -> Option<PathBuf> {
    let mounts = container.mounts.as_ref()?;
    let mount = mounts.iter().find(|mount| mount.destination.as_deref() == Some(MOUNT_POINT))?;
    mount.source.as_ref().map(PathBuf::from)
}

/// Counts a folder of this machine. `du` goes down paths of any length and isn't led astray by
/// links that change meanwhile.
async fn count(tried: &str, folder: &Path) -> Result<u64, DockerError> {
    let mut command = Command::new(DU[0]);
    command.args(&DU[1..]).arg(folder).env("LC_ALL", "C").stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(COUNTING, command.output()).await;
    let output = output.map_err(|_| too_long(tried))?;
    let output = output.map_err(|error| not_counted(tried, &error.to_string()))?;
    // A file that vanished while it was counted ends it with 1, and the sum is right.
    total(&String::from_utf8_lossy(&output.stdout))
        .ok_or_else(|| not_counted(tried, String::from_utf8_lossy(&output.stderr).trim()))
}

/// The number before the name in what `du` says.
fn total(said: &str) -> Option<u64> {
    said.lines().last()?.split_whitespace().next()?.parse().ok()
}

fn too_long(tried: &str) -> DockerError {
    DockerError::host(
        FailureKind::TimedOut,
        tried,
        format!("counting took longer than {} s", COUNTING.as_secs()),
        "look at the workspace by hand: it holds very many files, or the disk is busy",
    )
}

fn not_counted(tried: &str, why: &str) -> DockerError {
    let why = if why.is_empty() { "du said nothing" } else { why };
    DockerError::host(FailureKind::Other, tried, why, "start the sandbox, or run THON as root")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_read_from_the_last_line() {
        assert_eq!(total("12288\t/workspace\n"), Some(12_288));
        assert_eq!(total(""), None);
        assert_eq!(total("du: cannot access"), None);
    }

    #[tokio::test]
    async fn what_is_written_is_counted_and_holes_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let before = count("counting", folder.path()).await.unwrap();
        std::fs::write(folder.path().join("-full"), vec![1; 1 << 20]).unwrap();
        std::fs::File::create(folder.path().join("hole")).unwrap().set_len(1 << 40).unwrap();
        let after = count("counting", folder.path()).await.unwrap();
        assert!((1 << 20..2 << 20).contains(&(after - before)), "{before} {after}");
        let gone = count("counting", &folder.path().join("gone")).await.unwrap_err();
        assert!(gone.to_string().starts_with("counting"), "{gone}");
    }
}
