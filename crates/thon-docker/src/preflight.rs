//! What this engine and this kernel can't do for us.
//!
//! For: saying before an event that a limit or a wall will not hold, which Docker itself says only
//! in its log or not at all.
//! Not for: refusing to run; whoever asks decides.

use crate::client::{DockerRuntime, QUICK};
use crate::error::DockerError;

/// Whether the kernel lets traffic between containers of one bridge through the packet filter,
/// which is what keeps them apart. Absent where the module `br_netfilter` isn't loaded.
const BRIDGE_FILTER: &str = "/proc/sys/net/bridge/bridge-nf-call-iptables";

impl DockerRuntime {
    /// What will not hold on this host, one line each with what to do; empty where all is well.
    pub async fn preflight(&self) -> Result<Vec<String>, DockerError> {
        let client = self.client().await?;
        let answer = Box::pin(async {
            let info = client.info().await?;
            Ok((info.memory_limit, info.cpu_cfs_quota, info.pids_limit))
        });
        let tried = "asking Docker what it can enforce";
        let (memory, cpus, pids) = self.call(tried, QUICK, answer).await?;
        let filter = tokio::fs::read_to_string(BRIDGE_FILTER).await.ok();
        Ok(warnings(memory, cpus, pids, filter.as_deref()))
    }
}

/// The lines for what the engine says of limits (nothing said counts as yes) and for the kernel's
/// switch for bridges.
fn warnings(
    memory: Option<bool>,
    cpus: Option<bool>,
    pids: Option<bool>,
    bridge_filter: Option<&str>,
) -> Vec<String> {
    let limits = [(memory, "memory"), (cpus, "CPU time"), (pids, "number of processes")];
    let unlimited = limits.iter().filter(|(able, _)| *able == Some(false)).map(|(_, what)| {
        format!(
            "the kernel can't limit the {what} of a sandbox, so that one of them can starve all: \
             enable the cgroup controller for it"
        )
    });
    let open = bridge_filter.filter(|value| value.trim() == "0").map(|_| {
        "sandboxes can reach each other, because the kernel doesn't filter traffic on bridges: run \
         `sudo sysctl net.bridge.bridge-nf-call-iptables=1`"
            .to_owned()
    });
    unlimited.chain(open).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wall_that_does_not_hold_is_named() {
        assert!(warnings(Some(true), None, Some(true), Some("1\n")).is_empty());
        assert!(warnings(None, None, None, None).is_empty());
        let open = warnings(None, None, None, Some("0\n"));
        assert!(open.len() == 1 && open[0].contains("bridge-nf-call-iptables=1"), "{open:?}");
        let pids = warnings(Some(true), Some(true), Some(false), None);
        assert!(pids.len() == 1 && pids[0].contains("processes"), "{pids:?}");
    }
}
