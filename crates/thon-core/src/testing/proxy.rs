//! A reverse proxy in memory.
//!
//! For: counting reloads and failing on demand.
//! Not for: passing anything on.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::Faults;
use crate::adapter::{Failure, ReverseProxy};
use crate::endpoint::Port;
use crate::name::UserId;
use crate::proxy::{ProxyChange, ProxySite, ProxyStatus, RouteCheck};

/// A proxy that remembers what it was told to serve.
#[derive(Debug, Default)]
pub struct MemoryProxy {
    faults: Arc<Faults>,
    serving: Mutex<Option<ProxySite>>,
    reloads: Mutex<usize>,
    unreachable: Mutex<Vec<UserId>>,
    taken: Mutex<BTreeSet<Port>>,
}

impl MemoryProxy {
    /// A proxy that isn't running.
    #[must_use]
    pub fn new(faults: Arc<Faults>) -> Self {
        Self { faults, ..Self::default() }
    }

    /// What it serves.
    #[must_use]
    pub fn serving(&self) -> Option<ProxySite> {
        self.serving.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How often it was reloaded or started.
    #[must_use]
    pub fn reloads(&self) -> usize {
        *self.reloads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets every check of this user's route fail.
    pub fn lose_route(&self, user: UserId) {
        self.unreachable.lock().unwrap_or_else(PoisonError::into_inner).push(user);
    }

    /// Lets another program listen on a port.
    pub fn occupy(&self, port: Port) {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).insert(port);
    }
}

#[async_trait]
impl ReverseProxy for MemoryProxy {
    async fn apply(&self, site: &ProxySite) -> Result<ProxyChange, Failure> {
        self.faults.check("apply", &site.host).await?;
        let mut serving = self.serving.lock().unwrap_or_else(PoisonError::into_inner);
        let same = serving.as_ref().is_some_and(|present| {
            // How the certificate came about changes nothing that is served.
            present.routes == site.routes
                && present.certificate.chain == site.certificate.chain
                && (present.host.as_str(), present.https_port, present.http_port)
                    == (site.host.as_str(), site.https_port, site.http_port)
        });
        if same {
            return Ok(ProxyChange::Unchanged);
        }
        *self.reloads.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        let change = if serving.is_some() { ProxyChange::Reloaded } else { ProxyChange::Started };
        *serving = Some(site.clone());
        Ok(change)
    }

    async fn check(&self, site: &ProxySite, users: &[UserId]) -> Result<Vec<RouteCheck>, Failure> {
        self.faults.check("check", &site.host).await?;
        let unreachable = self.unreachable.lock().unwrap_or_else(PoisonError::into_inner);
        let known = |user: &UserId| site.routes.iter().any(|route| route.user == *user);
        Ok(users
            .iter()
            .map(|user| {
                let problem = if unreachable.contains(user) {
                    Some("502".to_owned())
                } else if known(user) {
                    None
                } else {
                    Some("no route".to_owned())
                };
                RouteCheck { user: user.clone(), problem }
            })
            .collect())
    }

    async fn ports_taken(&self, ports: &[Port]) -> Result<BTreeSet<Port>, Failure> {
        self.faults.check("ports_taken", "").await?;
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(ports.iter().copied().filter(|port| taken.contains(port)).collect())
    }

    async fn status(&self) -> Result<ProxyStatus, Failure> {
        self.faults.check("status", "").await?;
        let serving = self.serving.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(ProxyStatus {
            mode: "memory".to_owned(),
            running: serving.is_some(),
            pid: None,
            config: "memory".to_owned(),
            routes: serving.as_ref().map(|site| site.routes.len()),
            reloads: self.reloads() as u64,
        })
    }

    async fn cleanup(&self) -> Result<(), Failure> {
        self.faults.check("cleanup", "").await?;
        *self.serving.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(())
    }
}
