//! Public ports: where browsers find each instance in the layout `port`.
//!
//! For: giving a TLS port to everyone who needs one and has none, so that it is saved before the
//! proxy uses it and stays theirs.
//! Not for: the rules of the layouts; see [`crate::layout`].

use std::collections::{BTreeMap, BTreeSet};

use super::{Orchestrator, RunError};
use crate::config::Layout;
use crate::endpoint::Port;
use crate::name::UserId;
use crate::port::allocate_public;
use crate::seat::Seat;

impl Orchestrator {
    /// Gives each of `users` who has a seat a public port, where the layout asks for one; true if
    /// anyone got one. What turns out to be in use is left out and the next free ones are tried.
    pub(super) async fn give_public_ports(
        &self,
        seats: &mut BTreeMap<UserId, Seat>,
        users: &[UserId],
    ) -> Result<bool, RunError> {
        let site = self.settings.site.as_ref().filter(|site| site.layout == Layout::Port);
        let Some(site) = site else { return Ok(false) };
        let given: BTreeMap<UserId, Port> = seats
            .iter()
            .filter_map(|(user, seat)| Some((user.clone(), seat.public_port?)))
            .collect();
        let users: Vec<&UserId> = users.iter().filter(|user| seats.contains_key(user)).collect();
        let mut busy = BTreeSet::from([site.https_port, site.http_port]);
        let new = loop {
            let new = allocate_public(users.iter().copied(), &given, &site.instance_ports, &busy)?;
            let wanted: Vec<Port> = new.values().copied().collect();
            if wanted.is_empty() {
                return Ok(false);
            }
            let taken = self.adapters.proxy.ports_taken(&wanted).await?;
            if taken.is_subset(&busy) {
                break new;
            }
            busy.extend(taken);
        };
        for (user, port) in new {
            if let Some(seat) = seats.get_mut(&user) {
                seat.public_port = Some(port);
            }
        }
        Ok(true)
    }
}
