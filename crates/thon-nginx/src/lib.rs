//! nginx as THON's reverse proxy.
//!
//! For: [`ReverseProxy`] over nginx: one server with a location per instance, or a server per instance
//! on a port or under a name of its own.
//! A change is one write, one `nginx -t` and one reload, and none of them if nginx serves just this
//! already; what nginx refuses never replaces what it serves. nginx is either the machine's own
//! (`system`) or a process of ours (`managed`).
//!
//! Not for: making certificates, and deciding which routes there are.
//!
//! What nginx serves is asked of nginx: every configuration carries its fingerprint and answers it
//! on `/thon-generation`. A run that was killed between writing and reloading is noticed that way,
//! and so is a configuration that someone else changed.

mod error;
mod facts;
mod files;
mod managed;
mod page;
mod probe;
mod process;
mod route;
mod scan;
mod settings;
mod site;
mod system;
mod turn;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use thon_core::adapter::{Failure, ReverseProxy};
use thon_core::config::NginxMode;
use thon_core::endpoint::Port;
use thon_core::name::UserId;
use thon_core::proxy::{ProxyChange, ProxySite, ProxyStatus, Route, RouteCheck};

pub use crate::error::NginxError;
pub use crate::facts::{listening_ports, port_holder};
pub use crate::settings::NginxSettings;

use crate::files::{Applied, Lock};
use crate::turn::{Turn, blocking};

/// nginx, told what to serve.
#[derive(Debug, Clone)]
pub struct NginxProxy {
    settings: Arc<NginxSettings>,
}

impl NginxProxy {
    /// A proxy with these settings. Nothing is started or written until it is applied.
    #[must_use]
    pub fn new(settings: NginxSettings) -> Self {
        Self { settings: Arc::new(settings) }
    }

    /// The settings with `home` as the operating system knows it: nginx shows it in its title.
    async fn settled(&self, make: bool) -> Result<Arc<NginxSettings>, NginxError> {
        let settings = Arc::clone(&self.settings);
        blocking(move || {
            if make {
                files::private_folder(&settings.home)?;
            }
            let absolute = std::path::absolute(&settings.home)
                .map_err(NginxError::io("finding", &settings.home))?;
            // Where there is no folder, no nginx of ours shows its name either.
            let home = absolute.canonicalize().unwrap_or(absolute);
            Ok(Arc::new(NginxSettings { home, ..(*settings).clone() }))
        })
        .await
    }

    /// The configuration as it would be written for `site`, without a look at what runs.
    ///
    /// It is the managed one, which holds the system's site as well.
    pub async fn render(&self, site: &ProxySite) -> Result<String, NginxError> {
        let turn = Turn::new(self.settled(false).await?, Arc::new(site.clone())).await?;
        Ok(turn.render_managed().await?.text)
    }
}

/// Which nginx serves, found out. Blocking.
fn is_system(settings: &NginxSettings) -> bool {
    match settings.mode {
        NginxMode::System => true,
        NginxMode::Managed => false,
        // What serves an event is not exchanged because someone installs an nginx beside it.
        NginxMode::Auto => managed::running(settings).is_none() && system::usable(settings),
    }
}

/// Those of `ports` that others listen on. Blocking.
fn taken(settings: &NginxSettings, ports: &[Port]) -> BTreeSet<Port> {
    let masters = [managed::running(settings), system::running(settings)];
    let mut ours: Vec<u32> = masters.into_iter().flatten().map(|master| master.pid).collect();
    ours.extend(process::orphans(&settings.home));
    let texts = [settings.managed_conf(), settings.available()];
    let texts = texts.iter().filter_map(|path| std::fs::read_to_string(path).ok());
    let text = texts.collect::<String>();
    // The system's nginx serves others' sites too: what our configuration has no server on isn't
    // ours, whoever listens there.
    let (served, foreign): (Vec<Port>, Vec<Port>) =
        ports.iter().copied().partition(|port| process::listens(&text, *port));
    let mut taken = process::held_by_others(&served, &ours, &text);
    taken.extend(process::held_by_others(&foreign, &[], ""));
    taken
}

async fn apply(settings: Arc<NginxSettings>, site: ProxySite) -> Result<ProxyChange, NginxError> {
    let _lock = Lock::take(&settings.home).await?;
    let look = Arc::clone(&settings);
    let (system, leftover) =
        blocking(move || Ok((is_system(&look), system::has_changes(&look)?))).await?;
    let turn = Turn::new(settings, Arc::new(site)).await?;
    if system {
        return system::apply(&turn).await;
    }
    if leftover {
        // The mode was changed: the system's nginx makes room.
        system::cleanup(&turn.settings).await?;
    }
    managed::apply(&turn).await
}

async fn status(settings: Arc<NginxSettings>) -> Result<ProxyStatus, NginxError> {
    blocking(move || {
        let (mode, master, config): (_, _, PathBuf) = if is_system(&settings) {
            (system::MODE, system::running(&settings), settings.available())
        } else {
            (managed::MODE, managed::running(&settings), settings.managed_conf())
        };
        let text = files::read(&config)?;
        let text = text.as_deref().map(String::from_utf8_lossy);
        let applied: Applied =
            files::load(&files::applied_path(&settings.home))?.unwrap_or_default();
        Ok(ProxyStatus {
            mode: mode.to_owned(),
            running: master.is_some(),
            pid: master.map(|master| master.pid),
            config: config.display().to_string(),
            routes: text.map(|text| text.matches("\nupstream ").count()),
            reloads: applied.reloads,
        })
    })
    .await
}

async fn cleanup(settings: Arc<NginxSettings>) -> Result<(), NginxError> {
    let look = Arc::clone(&settings);
    if !blocking(move || Ok(look.home.exists())).await? {
        return Ok(());
    }
    let _lock = Lock::take(&settings.home).await?;
    let look = Arc::clone(&settings);
    if blocking(move || system::has_changes(&look)).await? {
        system::cleanup(&settings).await?;
    }
    managed::cleanup(&settings).await?;
    blocking(move || files::remove(&files::applied_path(&settings.home))).await
}

/// Runs `work` in a task of its own: whoever stops waiting for it (a key press, a time limit)
/// doesn't leave a change half done.
async fn whole<T, W>(work: W, tried: &str) -> Result<T, Failure>
where
    T: Send + 'static,
    W: Future<Output = Result<T, NginxError>> + Send + 'static,
{
    let result = tokio::spawn(work).await.unwrap_or_else(|error| Err(error.into()));
    result.map_err(|error| error.into_failure(tried))
}

#[async_trait]
impl ReverseProxy for NginxProxy {
    async fn apply(&self, site: &ProxySite) -> Result<ProxyChange, Failure> {
        let (proxy, site) = (self.clone(), site.clone());
        let tried = format!("serving the routes on {}", site.base_url());
        whole(async move { apply(proxy.settled(true).await?, site).await }, &tried).await
    }

    async fn check(&self, site: &ProxySite, users: &[UserId]) -> Result<Vec<RouteCheck>, Failure> {
        let mut known = Vec::new();
        for user in users {
            known.push(site.routes.iter().find(|route| route.user == *user).cloned().ok_or(user));
        }
        let routes: Vec<Route> = known.iter().filter_map(|route| route.clone().ok()).collect();
        let checks = probe::check(site, routes).await;
        let checks = checks.map_err(|error| {
            error.into_failure(&format!("checking the routes on {}", site.base_url()))
        })?;
        let mut checks = checks.into_iter();
        let merged = known.into_iter().filter_map(|route| match route {
            Ok(_) => checks.next(),
            Err(user) => Some(RouteCheck {
                user: user.clone(),
                problem: Some("there is no route for this user".to_owned()),
            }),
        });
        Ok(merged.collect())
    }

    async fn ports_taken(&self, ports: &[Port]) -> Result<BTreeSet<Port>, Failure> {
        let (proxy, ports) = (self.clone(), ports.to_vec());
        let look = async move {
            let settings = proxy.settled(false).await?;
            blocking(move || Ok(taken(&settings, &ports))).await
        };
        whole(look, "looking for free ports").await
    }

    async fn status(&self) -> Result<ProxyStatus, Failure> {
        let proxy = self.clone();
        whole(async move { status(proxy.settled(false).await?).await }, "looking at nginx").await
    }

    async fn cleanup(&self) -> Result<(), Failure> {
        let proxy = self.clone();
        whole(async move { cleanup(proxy.settled(false).await?).await }, "taking nginx's part away")
            .await
    }
}
