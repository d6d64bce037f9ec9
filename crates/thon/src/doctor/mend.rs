//! Doing what a finding asks for.
//!
//! For: each remedy by the function that setup or a run does the same with.
//! Not for: asking whether it shall be done; front-ends do.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use thon_core::adapter::{Failure, FailureKind, ReverseProxy};
use thon_core::doctor::Remedy;

use super::sysctl;
use crate::error::Error;
use crate::node::Node;
use crate::setup::EngineStart;

/// What to do where the walls can't be put up; the reason says more.
const NO_WALLS: &str = "close this machine's services to sandboxes by other means until then";

impl Node {
    /// Does it, and says what was done in one line. The node has to be locked.
    pub async fn mend(&self, remedy: &Remedy) -> Result<String, Error> {
        match remedy {
            Remedy::Sysctl { key, value } => Ok(sysctl::set(key, *value).await?),
            Remedy::StartEngine => Ok(match self.start_engine().await? {
                EngineStart::Service => "Docker runs, and from now on at every boot".to_owned(),
                EngineStart::Process(pid) => format!("Docker runs as process {pid}"),
            }),
            Remedy::InstallPackages => {
                let missing = self.missing_packages().await;
                let names: Vec<&str> = missing.iter().map(|package| package.name).collect();
                self.install_packages(&missing).await?;
                Ok(format!("installed {}", names.join(" ")))
            }
            Remedy::MakeNetwork => {
                let gaps = self.ready_network().await?;
                if let Some(gap) = gaps.into_iter().next() {
                    let tried = "putting up the walls around the sandboxes' network";
                    return Err(Failure::new(FailureKind::Other, tried, gap, NO_WALLS).into());
                }
                Ok(format!("the network {} is there, with its walls", self.config.node))
            }
            Remedy::IssueCertificate => {
                let certificate = self.issue_certificate().await?;
                let (path, change) = (certificate.chain.display(), certificate.change);
                if self.proxy.status().await?.running {
                    self.proxy_sync().await?;
                    return Ok(format!("{path} is {change}, and nginx serves it"));
                }
                Ok(format!("{path} is {change}"))
            }
            Remedy::MakePrivate(path) => Ok(private(path)?),
            Remedy::ReadyImage => {
                self.ready_image().await?;
                Ok(format!("{} is ready", self.config.sandbox.image))
            }
            Remedy::SyncProxy => {
                let (_, checks) = self.proxy_sync().await?;
                let well = checks.iter().filter(|check| check.problem.is_none()).count();
                Ok(format!("nginx serves {well} of {}", checks.len()))
            }
        }
    }
}

/// Takes all rights but the owner's away.
fn private(path: &Path) -> Result<String, Failure> {
    let changed = std::fs::metadata(path).and_then(|found| {
        let mode = found.permissions().mode() & 0o700;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map(|()| mode)
    });
    let mode = changed.map_err(|error| {
        let tried = format!("changing the mode of {}", path.display());
        let advice = "run this as the user that it belongs to, or as root";
        Failure::new(FailureKind::Denied, tried, error.to_string(), advice)
    })?;
    Ok(format!("{} has mode {mode:04o}", path.display()))
}
