//! One change of nginx from what it serves to what it shall serve, as far as both modes share it.
//!
//! For: rendering, looking at ports, waiting until nginx serves what it was told.
//! Not for: where the files are; that differs between the modes.

use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use thon_core::doctor::PortHolder;
use thon_core::endpoint::Port;
use thon_core::proxy::ProxySite;
use tokio::time::Instant;

use crate::error::NginxError;
use crate::files;
use crate::probe;
use crate::process::{self, Master, Program};
use crate::settings::{Machine, NginxSettings};
use crate::site::{self, Rendered, Target};

/// How long nginx may take to serve a new configuration: reading ten thousand routes takes about
/// two seconds on two busy cores.
const SERVE_TIMEOUT: Duration = Duration::from_secs(30);

/// How often it is looked at meanwhile.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What everything in one change needs.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) settings: Arc<NginxSettings>,
    pub(crate) site: Arc<ProxySite>,
    pub(crate) program: Program,
    pub(crate) machine: Arc<Machine>,
}

impl Turn {
    pub(crate) async fn new(
        settings: Arc<NginxSettings>,
        site: Arc<ProxySite>,
    ) -> Result<Self, NginxError> {
        let program = program(&settings)?;
        let version = program.version().await?;
        let machine = tokio::task::spawn_blocking(move || Machine::look(version)).await?;
        Ok(Self { settings, site, program, machine: Arc::new(machine) })
    }

    /// Renders the managed configuration.
    pub(crate) async fn render_managed(&self) -> Result<Rendered, NginxError> {
        let (settings, site, machine) = self.shared();
        blocking(move || {
            let target = Target::Managed { home: &settings.home };
            site::render(&settings.node, &site, &machine, settings.acme_webroot.as_deref(), target)
        })
        .await
    }

    /// Renders the site for the system's nginx.
    pub(crate) async fn render_system(
        &self,
        default_http: bool,
        default_https: bool,
        names_hash: bool,
    ) -> Result<Rendered, NginxError> {
        let (settings, site, machine) = self.shared();
        blocking(move || {
            let target = Target::System { default_http, default_https, names_hash };
            site::render(&settings.node, &site, &machine, settings.acme_webroot.as_deref(), target)
        })
        .await
    }

    fn shared(&self) -> (Arc<NginxSettings>, Arc<ProxySite>, Arc<Machine>) {
        (Arc::clone(&self.settings), Arc::clone(&self.site), Arc::clone(&self.machine))
    }

    /// The fingerprint of what nginx serves now on the site's port.
    pub(crate) async fn served(&self) -> Option<String> {
        probe::generation(&authority(&self.site), self.site.http_port).await
    }

    /// Refuses ports that belong to others. `ours` are processes that may hold them, and
    /// `present` is the configuration with which they run.
    pub(crate) async fn look_at_ports(
        &self,
        ours: Vec<u32>,
        present: Option<String>,
    ) -> Result<(), NginxError> {
        let ports: Vec<Port> = self.site.ports().into_iter().collect();
        blocking(move || {
            let taken = process::held_by_others(&ports, &ours, present.as_deref().unwrap_or(""));
            let Some(port) = taken.first().copied() else { return Ok(()) };
            let holder = process::describe(&process::holders(port));
            Err(NginxError::PortTaken { port, holder })
        })
        .await
    }

    /// Waits until nginx serves `generation` and nothing else.
    pub(crate) async fn wait_until_served(
        &self,
        generation: &str,
        before: &Before,
        master: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Result<(), NginxError> {
        let master = Arc::new(master);
        let deadline = Instant::now() + SERVE_TIMEOUT;
        loop {
            let seen = self.served().await;
            let (watch, running) = (before.clone(), Arc::clone(&master));
            let (busy, fatal, running) = blocking(move || {
                Ok((process::still_serving(&watch.workers), watch.fatal(), running()))
            })
            .await?;
            if seen.as_deref() == Some(generation) && !busy {
                return Ok(());
            }
            let log = before.log.clone();
            if let Some(line) = fatal {
                return Err(NginxError::NotReloaded { line, log });
            }
            if !running {
                let line = "its process is gone".to_owned();
                return Err(NginxError::NotReloaded { line, log });
            }
            if Instant::now() > deadline {
                let line = format!(
                    "after {} s port {} still {}",
                    SERVE_TIMEOUT.as_secs(),
                    self.site.http_port,
                    if seen.is_some() {
                        "serves the old one"
                    } else {
                        "doesn't answer for this site"
                    },
                );
                return Err(NginxError::NotReloaded { line, log });
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Notes what is served now.
    pub(crate) async fn note(
        &self,
        mode: &'static str,
        generation: &str,
        reloads: u64,
    ) -> Result<(), NginxError> {
        let path = files::applied_path(&self.settings.home);
        let generation = generation.to_owned();
        blocking(move || {
            let before: files::Applied = files::load(&path)?.unwrap_or_default();
            let reloads = before.reloads + reloads;
            let now = files::Applied { mode: mode.to_owned(), generation, reloads };
            if now == before { Ok(()) } else { files::save(&path, &now) }
        })
        .await
    }
}

/// What was there before nginx was told anything new.
#[derive(Debug, Clone)]
pub(crate) struct Before {
    /// The workers that served.
    workers: Vec<u32>,
    /// The error log.
    log: PathBuf,
    /// Its length.
    length: u64,
}

impl Before {
    /// Looks. Blocking.
    pub(crate) fn look(master: Option<&Master>, log: &Path) -> Self {
        Self {
            workers: master.map(Master::workers).unwrap_or_default(),
            log: log.to_owned(),
            length: fs::metadata(log).map(|log| log.len()).unwrap_or_default(),
        }
    }

    /// What nginx has logged since then as fatal.
    fn fatal(&self) -> Option<String> {
        let mut log = fs::File::open(&self.log).ok()?;
        log.seek(SeekFrom::Start(self.length)).ok()?;
        let mut fresh = Vec::new();
        // A failed reload says so in a few lines; more is noise of others.
        log.take(64 * 1024).read_to_end(&mut fresh).ok()?;
        process::fatal_line(&String::from_utf8_lossy(&fresh), None)
    }
}

/// The program to run.
pub(crate) fn program(settings: &NginxSettings) -> Result<Program, NginxError> {
    let path = settings.find_binary().ok_or_else(|| NginxError::NoBinary {
        searched: match &settings.binary {
            Some(binary) => format!("nothing at {}", binary.display()),
            None => "searched in PATH, /usr/sbin and /usr/local/sbin".to_owned(),
        },
    })?;
    Ok(Program { path })
}

/// Runs what blocks where it may.
pub(crate) async fn blocking<T, F>(work: F) -> Result<T, NginxError>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, NginxError> + Send + 'static,
{
    tokio::task::spawn_blocking(work).await?
}

/// The site's name as a `Host` header has it.
fn authority(site: &ProxySite) -> String {
    match site.host.parse() {
        Ok(IpAddr::V6(address)) => format!("[{address}]"),
        _ => site.host.clone(),
    }
}

/// Who has `port`. Blocking.
pub(crate) fn port_holder(port: Port, ours: &[u32], present: Option<&str>) -> PortHolder {
    if process::port_state(port) != process::PortState::Taken {
        return PortHolder::Nobody;
    }
    let holders = process::holders(port);
    if holders.iter().any(|holder| ours.contains(holder)) {
        return PortHolder::Ours;
    }
    // A process with capabilities of its own hides its sockets from its own user.
    if holders.is_empty()
        && !ours.is_empty()
        && present.is_some_and(|text| process::listens(text, port))
    {
        return PortHolder::Ours;
    }
    PortHolder::Other(process::describe(&holders))
}
