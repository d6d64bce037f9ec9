//! Giving every user their ports, the same ones on every run.
//!
//! For: a pure allocation that keeps what was given, skips what is in use and says when it is
//! exhausted.
//! Not for: finding out what is in use; the caller asks the runtime.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use thiserror::Error;

use crate::endpoint::Port;
use crate::name::UserId;
use crate::seat::SeatPorts;

/// The ports that seats are made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortRanges {
    /// The first port of code-server in a sandbox; each user's is their own.
    pub first_code_port: Port,
    /// The host's ports on loopback. The default lies below 32768, where Linux begins to hand out
    /// ports to outgoing connections, so that none of them can take a seat's port over a reboot.
    pub host_ports: RangeInclusive<u16>,
}

/// No port is left.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PortError {
    /// The host's range is used up.
    #[error(
        "no port is left for {user}: {range} holds {size} ports, {given} are given to users and \
         {busy} are in use by other programs; widen `sandbox.host_ports`"
    )]
    HostPorts {
        /// Who got none.
        user: UserId,
        /// The range as text.
        range: String,
        /// How many ports it holds.
        size: usize,
        /// How many belong to seats.
        given: usize,
        /// How many something else holds.
        busy: usize,
    },
    /// The code ports are used up.
    #[error(
        "no code-server port is left for {user}: counting from {first} ran past 65535; lower \
         `sandbox.starting_port`"
    )]
    CodePorts {
        /// Who got none.
        user: UserId,
        /// The configured first port.
        first: Port,
    },
    /// The range of public ports is used up.
    #[error(
        "no public port is left for {user}: {range} holds {size} ports, {given} are given to users \
         and {busy} are in use by other programs; widen `nginx.instance_ports`"
    )]
    PublicPorts {
        /// Who got none.
        user: UserId,
        /// The range as text.
        range: String,
        /// How many ports it holds.
        size: usize,
        /// How many belong to seats.
        given: usize,
        /// How many something else holds.
        busy: usize,
    },
}

/// Gives each of `users` without a seat the lowest free ports. Seats in `given` stay as they are,
/// whoever they belong to and whether or not their user is asked for. Ports in `busy` are skipped.
pub fn allocate<'a>(
    users: impl IntoIterator<Item = &'a UserId>,
    given: &BTreeMap<UserId, SeatPorts>,
    ranges: &PortRanges,
    busy: &BTreeSet<Port>,
) -> Result<BTreeMap<UserId, SeatPorts>, PortError> {
    let mut code_taken: BTreeSet<u16> = given.values().map(|p| p.code_port.get()).collect();
    let mut host_taken: BTreeSet<u16> = given.values().map(|p| p.host_port.get()).collect();
    host_taken.extend(busy.iter().map(|port| port.get()));
    let mut code_ports = ranges.first_code_port.get()..=u16::MAX;
    let mut host_ports = ranges.host_ports.clone();
    let mut seats = BTreeMap::new();
    for user in users {
        if given.contains_key(user) || seats.contains_key(user) {
            continue;
        }
        let code_port = code_ports
            .find(|port| !code_taken.contains(port))
            .and_then(|port| Port::new(port.into()).ok())
            .ok_or_else(|| PortError::CodePorts {
                user: user.clone(),
                first: ranges.first_code_port,
            })?;
        let host_port = host_ports
            .find(|port| !host_taken.contains(port))
            .and_then(|port| Port::new(port.into()).ok())
            .ok_or_else(|| PortError::HostPorts {
                user: user.clone(),
                range: format!("{}-{}", ranges.host_ports.start(), ranges.host_ports.end()),
                size: ranges.host_ports.len(),
                given: given.len() + seats.len(),
                busy: busy.iter().filter(|port| ranges.host_ports.contains(&port.get())).count(),
            })?;
        code_taken.insert(code_port.get());
        host_taken.insert(host_port.get());
        seats.insert(user.clone(), SeatPorts { code_port, host_port });
    }
    Ok(seats)
}

/// Gives each of `users` without a public port the lowest free one of `range`. Ports in `given` stay
/// as they are, whoever they belong to. Ports in `busy` are skipped.
pub fn allocate_public<'a>(
    users: impl IntoIterator<Item = &'a UserId>,
    given: &BTreeMap<UserId, Port>,
    range: &RangeInclusive<u16>,
    busy: &BTreeSet<Port>,
) -> Result<BTreeMap<UserId, Port>, PortError> {
    let taken: BTreeSet<u16> = given.values().chain(busy).map(|port| port.get()).collect();
    let mut free = range.clone().filter(|port| !taken.contains(port));
    let mut new = BTreeMap::new();
    for user in users {
        if given.contains_key(user) || new.contains_key(user) {
            continue;
        }
        let port = free.next().and_then(|port| Port::new(port.into()).ok()).ok_or_else(|| {
            PortError::PublicPorts {
                user: user.clone(),
                range: format!("{}-{}", range.start(), range.end()),
                size: range.len(),
                given: given.len() + new.len(),
                busy: busy.iter().filter(|port| range.contains(&port.get())).count(),
            }
        })?;
        new.insert(user.clone(), port);
    }
    Ok(new)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn user(number: usize) -> UserId {
        format!("g{}/u{number}", number % 3).parse().unwrap()
    }

    fn ranges(first: u16, last: u16) -> PortRanges {
        PortRanges { first_code_port: Port::new(8443).unwrap(), host_ports: first..=last }
    }

    #[test]
    fn the_first_users_get_the_first_ports_and_busy_ones_are_skipped() {
        let users = [user(1), user(2)];
        let busy = BTreeSet::from([Port::new(20_000).unwrap()]);
        let seats = allocate(&users, &BTreeMap::new(), &ranges(20_000, 20_010), &busy).unwrap();
        assert_eq!(seats[&user(1)].host_port.get(), 20_001);
        assert_eq!(seats[&user(2)].host_port.get(), 20_002);
        assert_eq!(seats[&user(1)].code_port.get(), 8443);
    }

    #[test]
    fn exhaustion_names_the_user_and_the_key_to_change() {
        let users = [user(1), user(2), user(3)];
        let error = allocate(&users, &BTreeMap::new(), &ranges(20_000, 20_001), &BTreeSet::new())
            .unwrap_err()
            .to_string();
        assert!(error.contains("g0/u3") && error.contains("sandbox.host_ports"), "{error}");
    }

    #[test]
    fn public_ports_run_out_in_words_too() {
        let users = [user(1), user(2), user(3)];
        let busy = BTreeSet::from([Port::new(30_001).unwrap()]);
        let error =
            allocate_public(&users, &BTreeMap::new(), &(30_000..=30_002), &busy).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no public port is left for g0/u3: 30000-30002 holds 3 ports, 2 are given to users and \
             1 are in use by other programs; widen `nginx.instance_ports`"
        );
    }

    proptest! {
        #[test]
        fn nobody_shares_a_public_port_and_nobody_moves(
            first in 0_usize..20, later in 0_usize..20, held in proptest::collection::btree_set(0_u32..50, 0..9),
        ) {
            let early: Vec<_> = (0..first).map(user).collect();
            let everyone: Vec<_> = (0..first + later).rev().map(user).collect();
            let range = 30_000..=30_100;
            let busy: BTreeSet<Port> =
                held.into_iter().map(|port| Port::new(30_000 + port).unwrap()).collect();
            let given = allocate_public(&early, &BTreeMap::new(), &range, &BTreeSet::new()).unwrap();
            let new = allocate_public(&everyone, &given, &range, &busy).unwrap();
            prop_assert!(new.values().all(|port| !busy.contains(port)));
            prop_assert!(new.keys().all(|user| !given.contains_key(user)));
            let all: BTreeSet<_> = new.values().chain(given.values()).collect();
            prop_assert_eq!(all.len(), first + later);
        }

        #[test]
        fn nobody_shares_and_nobody_moves(first in 0_usize..20, later in 0_usize..20) {
            let early: Vec<_> = (0..first).map(user).collect();
            let everyone: Vec<_> = (0..first + later).rev().map(user).collect();
            let ranges = ranges(20_000, 20_100);
            let seats = allocate(&early, &BTreeMap::new(), &ranges, &BTreeSet::new()).unwrap();
            let mut all = allocate(&everyone, &seats, &ranges, &BTreeSet::new()).unwrap();
            prop_assert!(all.keys().all(|user| !seats.contains_key(user)));
            all.extend(seats);
            prop_assert_eq!(all.len(), first + later);
            let hosts: BTreeSet<_> = all.values().map(|p| p.host_port).collect();
            let codes: BTreeSet<_> = all.values().map(|p| p.code_port).collect();
            prop_assert_eq!(hosts.len(), all.len());
            prop_assert_eq!(codes.len(), all.len());
        }
    }
}
