//! The way in: the certificate, the routes, and a look at whether they lead somewhere.
//!
//! For: one change of the proxy for everything that is there, whatever the layout.
//! Not for: who has which entrance; see [`super::public`] and [`crate::layout`].

use std::collections::{BTreeMap, BTreeSet};

use super::{Orchestrator, RunError, SiteSettings};
use crate::adapter::Failure;
use crate::certificate::{Certificate, CertificateChange, CertificateNames};
use crate::endpoint::Port;
use crate::event::Event;
use crate::layout::certificate_names;
use crate::name::UserId;
use crate::proxy::{Entrance, ProxyChange, ProxySite, Route, RouteCheck};
use crate::sandbox::{Fingerprint, ObservedSandbox, Phase, session_cookie};
use crate::seat::Seat;

/// What came of serving: what the proxy had to do, what kept it from it, and whose routes work.
pub(super) type Served = (Option<ProxyChange>, Option<Failure>, Vec<RouteCheck>);

impl Orchestrator {
    /// Writes the proxy's routes anew from what runs.
    pub async fn sync_proxy(&self) -> Result<(Option<ProxyChange>, Vec<RouteCheck>), RunError> {
        let observed = self.adapters.runtime.observe().await?;
        let users: Vec<UserId> = observed.iter().map(|sandbox| sandbox.user.clone()).collect();
        let seats = self.seats_to_serve(&observed, &users).await?;
        let certificate = self.certificate(&users).await?;
        let (change, failure, checks) =
            self.serve(certificate.as_ref(), &observed, &seats, &users).await;
        failure.map_or(Ok((change, checks)), |failure| Err(failure.into()))
    }

    /// The seats of `users`, who are there, with the public ports that the layout asks for.
    pub(super) async fn seats_to_serve(
        &self,
        observed: &[ObservedSandbox],
        users: &[UserId],
    ) -> Result<BTreeMap<UserId, Seat>, RunError> {
        let mut seats = self.known_seats(observed).await?;
        if self.give_public_ports(&mut seats, users).await? {
            let seats: Vec<Seat> = seats.values().cloned().collect();
            self.adapters.store.save_seats(&seats).await?;
        }
        Ok(seats)
    }

    /// The certificate that is served now, without a word; one is made only where there is none.
    pub(super) async fn present_certificate(
        &self,
        users: &[UserId],
    ) -> Result<Option<Certificate>, Failure> {
        let Some(site) = &self.settings.site else { return Ok(None) };
        match self.adapters.certificates.current(&site.names_for(users)).await? {
            Some(certificate) => Ok(Some(certificate)),
            None => self.certificate(users).await,
        }
    }

    /// The certificate, before anything is made that would need it.
    pub(super) async fn certificate(
        &self,
        users: impl IntoIterator<Item = &UserId>,
    ) -> Result<Option<Certificate>, Failure> {
        let Some(site) = &self.settings.site else { return Ok(None) };
        let step = "certificate".to_owned();
        self.events.emit(Event::StepStarted {
            step: step.clone(),
            text: format!("looking for one for {}", site.host),
        });
        let certificate = self.adapters.certificates.ensure(&site.names_for(users)).await?;
        let text = match certificate.change {
            CertificateChange::Reused => {
                format!("the one by {} is still good", certificate.provider)
            }
            change => format!("{change} by {}", certificate.provider),
        };
        self.events.emit(Event::StepFinished { step, text });
        Ok(Some(certificate))
    }

    /// Applies the routes of everything that is there and checks those of `users`.
    pub(super) async fn serve(
        &self,
        certificate: Option<&Certificate>,
        observed: &[ObservedSandbox],
        seats: &BTreeMap<UserId, Seat>,
        users: &[UserId],
    ) -> Served {
        let (Some(site), Some(certificate)) = (&self.settings.site, certificate) else {
            return (None, None, Vec::new());
        };
        let mut routes = routes(observed, |user| site.entrance(user, seats.get(user)));
        let mut blocked = match self.without_blocked(&mut routes).await {
            Ok(blocked) => blocked,
            Err(failure) => return (None, Some(failure), Vec::new()),
        };
        blocked.retain(|check| users.contains(&check.user));
        let site = ProxySite {
            host: site.host.clone(),
            https_port: site.https_port,
            http_port: site.http_port,
            certificate: certificate.clone(),
            dashboard: site.dashboard.clone(),
            routes,
        };
        let change = match self.adapters.proxy.apply(&site).await {
            Ok(change) => change,
            Err(failure) => return (None, Some(failure), Vec::new()),
        };
        self.events.emit(Event::ProxyApplied { change, routes: site.routes.len() });
        let running: Vec<UserId> = observed
            .iter()
            .filter(|sandbox| sandbox.phase == Phase::Running && users.contains(&sandbox.user))
            .map(|sandbox| sandbox.user.clone())
            .filter(|user| blocked.iter().all(|check| check.user != *user))
            .collect();
        match self.adapters.proxy.check(&site, &running).await {
            Ok(mut checks) => {
                checks.append(&mut blocked);
                for RouteCheck { user, problem } in checks.clone() {
                    self.events.emit(Event::RouteChecked { user, problem });
                }
                (Some(change), None, checks)
            }
            Err(failure) => (Some(change), Some(failure), Vec::new()),
        }
    }

    /// Takes the routes out of `routes` whose port another program has, and says whose they are: one
    /// such port keeps nobody else from being served.
    async fn without_blocked(&self, routes: &mut Vec<Route>) -> Result<Vec<RouteCheck>, Failure> {
        let own = |route: &Route| match route.entrance {
            Entrance::Port(port) => Some(port),
            Entrance::Path | Entrance::Name(_) => None,
        };
        let ports: Vec<Port> = routes.iter().filter_map(own).collect();
        if ports.is_empty() {
            return Ok(Vec::new());
        }
        let taken: BTreeSet<Port> = self.adapters.proxy.ports_taken(&ports).await?;
        let mut blocked = Vec::new();
        routes.retain(|route| match own(route).filter(|port| taken.contains(port)) {
            None => true,
            Some(port) => {
                let problem = format!(
                    "another program listens on its public port {port}: stop that one, and run \
                     `thon run` again"
                );
                blocked.push(RouteCheck { user: route.user.clone(), problem: Some(problem) });
                false
            }
        });
        Ok(blocked)
    }
}

impl SiteSettings {
    /// What the certificate has to cover where these users have instances.
    fn names_for<'a>(&self, users: impl IntoIterator<Item = &'a UserId>) -> CertificateNames {
        let own = certificate_names(self.layout, users, &self.host, self.coverage);
        self.names.clone().with(own)
    }

    /// Where browsers enter a user's instance; nothing where that can't be said yet.
    pub(super) fn entrance(&self, user: &UserId, seat: Option<&Seat>) -> Option<Entrance> {
        let public_port = seat.and_then(|seat| seat.public_port);
        crate::layout::entrance(self.layout, user, &self.host, public_port)
    }
}

/// The routes of everything that is there, in the order of users. A sandbox that is down keeps its
/// route: the proxy says so on a page of its own, and nobody's editor is cut by a reload. One that
/// is paused has to be told to the proxy, for it looks alive and never answers.
fn routes(
    observed: &[ObservedSandbox],
    entrance: impl Fn(&UserId) -> Option<Entrance>,
) -> Vec<Route> {
    let mut routes: Vec<Route> = observed
        .iter()
        .filter(|sandbox| sandbox.phase != Phase::Created)
        .filter_map(|sandbox| {
            let fingerprint = sandbox.fingerprint.as_ref();
            Some(Route {
                user: sandbox.user.clone(),
                entrance: entrance(&sandbox.user)?,
                path: sandbox.endpoint.as_ref()?.public_path(),
                upstream: sandbox.upstream.clone()?,
                paused: sandbox.phase == Phase::Paused,
                session_cookie: session_cookie(fingerprint.and_then(Fingerprint::session)),
            })
        })
        .collect();
    routes.sort();
    routes.dedup_by(|one, other| {
        let own = one.entrance != Entrance::Path && one.entrance == other.entrance;
        own || one.path == other.path
    });
    routes
}
