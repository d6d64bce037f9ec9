//! Before anything is changed: seats, specifications and the plan.
//!
//! For: everything that a dry run shows. Reads the world, changes nothing.
//! Not for: saving seats or carrying the plan out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use super::{Adapters, Orchestrator, RunError, RunRequest};
use crate::lifetime;
use crate::name::UserId;
use crate::plan::{Action, Plan, PlanInput};
use crate::port::allocate;
use crate::sandbox::{Access, ObservedSandbox, SandboxSpec};
use crate::seat::{Password, Seat, SeatPorts};
use crate::workspace::Workspace;

/// A run that is ready to be carried out, or to be looked at.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// What is to be done.
    pub plan: Plan,
    pub(super) seats: BTreeMap<UserId, Seat>,
}

impl Prepared {
    /// All seats, those of users who are not in the roster any more included: whoever comes back
    /// finds their URL again.
    #[must_use]
    pub fn seats(&self) -> Vec<Seat> {
        self.seats.values().cloned().collect()
    }

    /// One user's seat.
    #[must_use]
    pub fn seat(&self, user: &UserId) -> Option<&Seat> {
        self.seats.get(user)
    }

    /// Gives each of `users` an end, as far as lifetimes are limited.
    pub(super) fn give_ends(
        &mut self,
        users: &[UserId],
        lifetime: Option<Duration>,
        now: SystemTime,
    ) {
        for user in users {
            if let Some(seat) = self.seats.get_mut(user) {
                seat.expires_at = lifetime::end(seat.expires_at, lifetime, now);
            }
        }
    }

    /// The specifications in the plan.
    pub fn specs(&self) -> impl Iterator<Item = &SandboxSpec> {
        self.plan.actions.iter().filter_map(|action| match action {
            Action::Create { spec }
            | Action::Keep { spec, .. }
            | Action::Start { spec, .. }
            | Action::Resume { spec, .. }
            | Action::Recreate { spec, .. } => Some(spec),
            Action::Stop { .. } | Action::Orphan { .. } => None,
        })
    }
}

impl Orchestrator {
    /// Looks at what is wanted and what is there, and decides what to do. Changes nothing.
    pub async fn prepare(&self, request: &RunRequest) -> Result<Prepared, RunError> {
        let observed = self.adapters.runtime.observe().await?;
        let mut seats = self.seats(request, &observed).await?;
        // Also those who are not asked for: what runs keeps a route whoever this run is about.
        let there = observed.iter().map(|sandbox| sandbox.user.clone());
        let users: Vec<UserId> = request.selected.iter().cloned().chain(there).collect();
        self.give_public_ports(&mut seats, &users).await?;
        let desired: Vec<SandboxSpec> = request
            .selected
            .iter()
            .filter_map(|user| seats.get(user))
            .map(|seat| self.spec(seat))
            .collect();
        let roster: BTreeSet<UserId> =
            request.roster.iter().chain(&request.selected).cloned().collect();
        let plan = Plan::new(&PlanInput {
            desired: &desired,
            roster: &roster,
            observed: &observed,
            prune: request.prune,
            recreate: request.recreate,
        });
        Ok(Prepared { plan, seats })
    }

    /// The seats that there are: as remembered, else as found on a sandbox.
    pub(super) async fn known_seats(
        &self,
        observed: &[ObservedSandbox],
    ) -> Result<BTreeMap<UserId, Seat>, RunError> {
        let remembered = self.adapters.store.load_seats().await?;
        let mut seats: BTreeMap<UserId, Seat> =
            remembered.into_iter().map(|seat| (seat.user.clone(), seat)).collect();
        for sandbox in observed {
            if let Some(fingerprint) = &sandbox.fingerprint {
                let SeatPorts { code_port, host_port } = fingerprint.ports();
                seats.entry(sandbox.user.clone()).or_insert_with(|| Seat {
                    user: sandbox.user.clone(),
                    code_port,
                    host_port,
                    public_port: None,
                    password: None,
                    expires_at: None,
                });
            }
        }
        Ok(seats)
    }

    /// Everybody's seat: a known one, else a new one.
    async fn seats(
        &self,
        request: &RunRequest,
        observed: &[ObservedSandbox],
    ) -> Result<BTreeMap<UserId, Seat>, RunError> {
        let mut seats = self.known_seats(observed).await?;
        for (user, SeatPorts { code_port, host_port }) in self.new_ports(request, &seats).await? {
            let seat = Seat {
                user: user.clone(),
                code_port,
                host_port,
                public_port: None,
                password: None,
                expires_at: None,
            };
            seats.insert(user, seat);
        }
        if self.settings.secure {
            let passwordless = |seat: &&mut Seat| seat.password.is_none();
            for seat in seats.values_mut().filter(passwordless) {
                let Adapters { entropy, hasher, .. } = &self.adapters;
                seat.password = Some(Password::generate(entropy.as_ref(), hasher.as_ref())?);
            }
        }
        Ok(seats)
    }

    /// Ports for those who have none, free at this moment: what turns out to be in use is left out
    /// and the next free ones are tried.
    async fn new_ports(
        &self,
        request: &RunRequest,
        seats: &BTreeMap<UserId, Seat>,
    ) -> Result<BTreeMap<UserId, SeatPorts>, RunError> {
        let ports =
            |seat: &Seat| SeatPorts { code_port: seat.code_port, host_port: seat.host_port };
        let given = seats.iter().map(|(user, seat)| (user.clone(), ports(seat))).collect();
        let mut busy = BTreeSet::new();
        loop {
            let new = allocate(&request.selected, &given, &self.settings.ports, &busy)?;
            let wanted: Vec<_> = new.values().map(|ports| ports.host_port).collect();
            let taken = self.adapters.runtime.ports_in_use(&wanted).await?;
            if taken.is_subset(&busy) {
                return Ok(new);
            }
            busy.extend(taken);
        }
    }

    fn spec(&self, seat: &Seat) -> SandboxSpec {
        let settings = &self.settings;
        let password = seat.password.clone().filter(|_| settings.secure);
        let rules = settings.groups.get(&seat.user.group).copied().unwrap_or_default();
        let email = settings.emails.get(&seat.user).map(String::as_str);
        let kilo = settings.kilo.as_ref().map(|kilo| kilo.file(&seat.user, email));
        SandboxSpec {
            user: seat.user.clone(),
            image: settings.image.clone(),
            network_mode: settings.network_mode,
            code_port: seat.code_port,
            host_port: seat.host_port,
            layout: settings.site.as_ref().map(|site| site.layout).unwrap_or_default(),
            workspace: Workspace::of(&seat.user, &settings.node, &settings.workspace),
            limits: rules.limits(&settings.limits),
            internet: rules.internet.unwrap_or(settings.internet),
            access: password.map_or(Access::Open, Access::Password),
            environment: settings.environment.clone(),
            files: settings.files.iter().cloned().chain(kilo).collect(),
        }
    }
}
