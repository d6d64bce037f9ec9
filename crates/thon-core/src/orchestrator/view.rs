//! An instance as front-ends show it.
//!
//! For: the one set of facts behind the CLI's table, its JSON and the access sheet.
//! Not for: formatting them.

use std::time::{Duration, SystemTime};

use super::Orchestrator;
use crate::disk::DiskSpace;
use crate::endpoint::{Endpoint, NetworkMode, Port};
use crate::image::ImageRef;
use crate::instance::InstanceState;
use crate::name::UserId;
use crate::sandbox::{Fingerprint, ObservedSandbox};
use crate::seat::Seat;
use crate::secret::Secret;
use crate::workspace::Workspace;

/// Everything that there is to say about one user's instance.
#[derive(Debug, Clone)]
pub struct InstanceView {
    /// Whose.
    pub user: UserId,
    /// False if they have a sandbox and are not in the roster any more.
    pub in_roster: bool,
    /// Its state.
    pub state: InstanceState,
    /// `healthy`, `starting`, `down`, `paused`, `none`, or what is wrong.
    pub health: String,
    /// Where the participant opens it; nothing where there is no proxy or no place in it yet.
    pub url: Option<String>,
    /// Where it answers on this machine.
    pub local_url: Option<String>,
    /// Its endpoint.
    pub endpoint: Option<Endpoint>,
    /// The network mode that the endpoint tells.
    pub network_mode: Option<NetworkMode>,
    /// The port on the host.
    pub port: Option<Port>,
    /// Where its files live.
    pub workspace: Workspace,
    /// The container's name; nothing where there is none.
    pub container: Option<String>,
    /// The container's id.
    pub container_id: Option<String>,
    /// The image that it was made from, where the container tells.
    pub image: Option<ImageRef>,
    /// When the container was made.
    pub created_at: Option<SystemTime>,
    /// The password that the instance asks for; nothing where it asks for none.
    pub password: Option<Secret>,
    /// Its disk space, where it has a limit and somebody has looked.
    pub disk: Option<DiskSpace>,
    /// When it is stopped; nothing where it may run for ever.
    pub expires_at: Option<SystemTime>,
    /// When it was last used, as far as is known.
    pub active_at: Option<SystemTime>,
    /// For how long it has been idle; nothing where it isn't.
    pub idle: Option<Duration>,
}

impl Orchestrator {
    pub(super) fn view(
        &self,
        user: &UserId,
        sandbox: Option<&ObservedSandbox>,
        healthy: bool,
        seat: Option<&Seat>,
    ) -> InstanceView {
        let settings = &self.settings;
        let endpoint = sandbox.and_then(|sandbox| sandbox.endpoint.clone());
        let state = sandbox.map_or(InstanceState::Terminated, |sandbox| {
            InstanceState::observed(sandbox.phase, healthy, sandbox.exit_code)
        });
        let health = match (sandbox, state) {
            (None, _) => "none",
            (_, InstanceState::Running) => "healthy",
            (_, InstanceState::Paused | InstanceState::Pausing) => "paused",
            (_, InstanceState::Pending) => "starting",
            _ => "down",
        };
        let url = settings.site.as_ref().zip(endpoint.as_ref()).and_then(|(site, endpoint)| {
            let entrance = site.entrance(user, seat)?;
            Some(entrance.url(&site.host, site.https_port, &endpoint.public_path()))
        });
        let fingerprint = sandbox.and_then(|sandbox| sandbox.fingerprint.as_ref());
        let secured = fingerprint.map_or(settings.secure, Fingerprint::asks_for_password);
        let workspace = fingerprint.map_or_else(
            || Workspace::of(user, &settings.node, &settings.workspace),
            |fingerprint| fingerprint.workspace().clone(),
        );
        InstanceView {
            user: user.clone(),
            in_roster: true,
            state,
            health: health.to_owned(),
            url,
            local_url: endpoint
                .as_ref()
                .map(|endpoint| format!("http://{}/", endpoint.published().address)),
            network_mode: endpoint.as_ref().map(Endpoint::network_mode),
            port: endpoint.as_ref().map(Endpoint::port),
            endpoint,
            workspace,
            container: sandbox.map(|sandbox| sandbox.name.clone()),
            container_id: sandbox.map(|sandbox| sandbox.id.0.clone()),
            image: fingerprint.map(|fingerprint| fingerprint.image().clone()),
            created_at: sandbox.and_then(|sandbox| sandbox.created_at),
            password: seat
                .and_then(|seat| seat.password.as_ref())
                .filter(|_| secured)
                .map(|password| password.secret.clone()),
            disk: None,
            expires_at: seat.and_then(|seat| seat.expires_at),
            active_at: None,
            idle: None,
        }
    }
}
