//! nginx and its ports as they are.
//!
//! For: what the doctor asks: version, what is accepted, what runs, who has a port.
//! Not for: judging it, and not for changing anything.

use std::collections::BTreeSet;
use std::sync::Arc;

use thon_core::adapter::Failure;
use thon_core::doctor::{ConnectionFacts, Fact, NginxFacts, PortHolder};
use thon_core::endpoint::Port;

use crate::error::NginxError;
use crate::settings::{Machine, NginxSettings, Version};
use crate::turn::{self, blocking};
use crate::{NginxProxy, files, is_system, managed, process, system, whole};

/// Who listens on `port`, as a person knows it: `python3 (process 4711)`. Blocking.
#[must_use]
pub fn port_holder(port: Port) -> PortHolder {
    turn::port_holder(port, &[], None)
}

/// The ports of this machine that something listens on. Blocking.
#[must_use]
pub fn listening_ports() -> BTreeSet<u16> {
    process::listening_ports()
}

impl NginxProxy {
    /// How nginx stands.
    pub async fn facts(&self) -> Result<NginxFacts, Failure> {
        let proxy = self.clone();
        whole(async move { facts(proxy.settled(false).await?).await }, "looking at nginx").await
    }

    /// Who has each of `ports`; an nginx that serves for this node has them rightly.
    pub async fn port_holders(&self, ports: &[Port]) -> Result<Vec<PortHolder>, Failure> {
        let (proxy, ports) = (self.clone(), ports.to_vec());
        let work = async move { holders(proxy.settled(false).await?, ports).await };
        whole(work, "looking at nginx's ports").await
    }
}

async fn facts(settings: Arc<NginxSettings>) -> Result<NginxFacts, NginxError> {
    let look = Arc::clone(&settings);
    let (is_system, running) = blocking(move || {
        let is_system = is_system(&look);
        let master = if is_system { system::running(&look) } else { managed::running(&look) };
        Ok((is_system, master.is_some()))
    })
    .await?;
    let mode = if is_system { system::MODE } else { managed::MODE }.to_owned();
    let Ok(program) = turn::program(&settings) else {
        let (lacks, refuses, connections) = (None, None, Fact::Absent);
        return Ok(NginxFacts { version: None, lacks, mode, running, refuses, connections });
    };
    let (said, refuses) = tokio::join!(program.run(["-v"]), async {
        if is_system { system::refusal(&settings).await } else { managed::refusal(&settings).await }
    });
    let text = said?.text;
    let version = Version::parse(&text);
    let old = version.is_some_and(|version| version < Version::COOKIE_FLAGS);
    let connections = blocking(move || {
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
        if is_system {
            return Ok(system::connections(&settings, cores));
        }
        let per_worker = Machine::look(version).worker_connections();
        let set_in = "by THON, from the limit of open files".to_owned();
        Ok(Some(ConnectionFacts { workers: cores, per_worker, set_in }))
    })
    .await?;
    Ok(NginxFacts {
        version: Some(text.trim().trim_start_matches("nginx version: ").to_owned()),
        lacks: old.then_some("proxy_cookie_flags, which hides session cookies from scripts"),
        mode,
        running,
        refuses: refuses?,
        connections: connections.into(),
    })
}

async fn holders(
    settings: Arc<NginxSettings>,
    ports: Vec<Port>,
) -> Result<Vec<PortHolder>, NginxError> {
    blocking(move || {
        let is_system = is_system(&settings);
        let master =
            if is_system { system::running(&settings) } else { managed::running(&settings) };
        let mut ours: Vec<u32> = master.iter().map(|master| master.pid).collect();
        ours.extend(process::orphans(&settings.home));
        let conf = if is_system { settings.available() } else { settings.managed_conf() };
        // A configuration that can't be read only makes it harder to know nginx's sockets for ours.
        let present = files::read(&conf).ok().flatten();
        let present = present.as_deref().map(String::from_utf8_lossy);
        let holder = |port: Port| turn::port_holder(port, &ours, present.as_deref());
        Ok(ports.into_iter().map(holder).collect())
    })
    .await
}
