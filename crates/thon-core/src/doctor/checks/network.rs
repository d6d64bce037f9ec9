//! The sandboxes' network and the ports.
//!
//! For: addresses for everyone that collide with nothing, and ports that nobody else has.
//! Not for: what nginx does with its ports; see [`super::web`].

use super::{Room, count, judge};
use crate::config::Layout;
use crate::doctor::facts::{NetworkFacts, PortFacts, PortHolder, PortPurpose, RangeFacts, WallGap};
use crate::doctor::{Code, Finding, Remedy};
use crate::endpoint::NetworkMode;

/// Ports of one bridge of Linux (`BR_MAX_PORTS`), less the one of the host.
const BRIDGE_PORTS: usize = 1023;

pub(super) fn check(room: &Room<'_>, findings: &mut Vec<Finding>) {
    let facts = room.facts;
    if room.config.sandbox.network_mode == NetworkMode::Bridge {
        findings.extend(judge(Code::Net04, &facts.network, existing));
        if let Some(network) = facts.network.known() {
            addresses(room, network, findings);
        }
        findings.extend(judge(Code::Firewall01, &facts.walls, |gaps| walls(room, gaps)));
        findings.extend(judge(Code::Port03, &facts.ports.range, |range| newcomers(room, range)));
    }
    if let Some(ports) = facts.ports.wanted.known() {
        let seat = |port: &&PortFacts| matches!(port.purpose, PortPurpose::Seat(_));
        let (seats, doors): (Vec<_>, Vec<_>) = ports.iter().partition(seat);
        if room.config.nginx.enabled {
            findings.push(door(&doors));
        }
        findings.push(seat_ports(&seats));
    } else {
        findings.extend(judge(Code::Port01, &facts.ports.wanted, |_| door(&[])));
    }
    findings.extend(judge(Code::Port04, &facts.ports.outgoing, |outgoing| apart(room, *outgoing)));
}

fn existing(network: &NetworkFacts) -> Finding {
    let subnet = network.subnet.as_deref().unwrap_or("none");
    match (&network.flaw, network.present) {
        (Some(flaw), _) => Finding::problem(Code::Net04, flaw).fix(
            "`thon down`, `docker network rm` it, then `thon run`; or choose another node name",
        ),
        (None, true) => Finding::ok(Code::Net04, format!("{subnet}, sandboxes kept apart")),
        (None, false) => Finding::note(
            Code::Net04,
            format!("the sandboxes' network isn't there yet; it will be {subnet}"),
        )
        .fix("`thon setup` makes it, and so does the first `thon run`")
        .remedy(Remedy::MakeNetwork),
    }
}

fn walls(room: &Room<'_>, gaps: &[WallGap]) -> Finding {
    let Some(gap) = gaps.first() else {
        return Finding::ok(Code::Firewall01, "sandboxes reach only what is opened to them");
    };
    let says = format!(
        "sandboxes can reach every service of this machine that listens on more than the loopback: \
         {}",
        gap.reason
    );
    // Without sandboxes nobody stands before the gap, and the next run closes it.
    let finding = if room.running() > 0 {
        Finding::problem(Code::Firewall01, says)
    } else {
        Finding::warning(Code::Firewall01, says)
    };
    finding.fix(&gap.advice).remedy(Remedy::MakeNetwork)
}

fn addresses(room: &Room<'_>, network: &NetworkFacts, findings: &mut Vec<Finding>) {
    let users = usize::try_from(room.users()).unwrap_or(usize::MAX);
    if let (Some(subnet), Some(capacity)) = (&network.subnet, network.capacity) {
        let capacity = capacity.min(BRIDGE_PORTS);
        findings.push(if capacity >= users {
            Finding::ok(Code::Net02, format!("{subnet} holds {capacity} sandboxes"))
        } else {
            let says = format!("{subnet} holds {capacity} sandboxes; there are {users} users");
            let fix = if capacity == BRIDGE_PORTS {
                "one bridge of Linux holds no more: use a second machine"
            } else {
                "set a wider sandbox.subnet, such as a /20, then `thon down` and `thon run`"
            };
            Finding::problem(Code::Net02, says).fix(fix)
        });
    }
    let fix = "name a free network in sandbox.subnet, then `thon down` and `thon run`";
    findings.push(match (&network.subnet, network.overlaps.first()) {
        (None, _) => Finding::problem(
            Code::Net03,
            "every private network that THON would choose overlaps with one that is there",
        )
        .fix("name a free network in sandbox.subnet"),
        (Some(subnet), None) => Finding::ok(Code::Net03, format!("{subnet} overlaps with nothing")),
        (Some(subnet), Some(other)) => {
            Finding::problem(Code::Net03, format!("{subnet} overlaps with {other}")).fix(fix)
        }
    });
}

fn door(ports: &[&PortFacts]) -> Finding {
    let said = |port: &PortFacts| match port.holder {
        PortHolder::Ours => format!("{} is nginx's", port.port),
        _ => format!("{} is free", port.port),
    };
    let taken = ports.iter().find_map(|port| match &port.holder {
        PortHolder::Other(holder) => Some((port, holder)),
        _ => None,
    });
    let Some((port, holder)) = taken else {
        let said: Vec<String> = ports.iter().map(|port| said(port)).collect();
        return Finding::ok(Code::Port01, said.join(", "));
    };
    let key = match port.purpose {
        PortPurpose::Http => "nginx.http_port",
        PortPurpose::Dashboard => "dashboard.tls_port",
        _ => "nginx.https_port",
    };
    Finding::problem(Code::Port01, format!("port {} is in use by {holder}", port.port))
        .fix(format!("stop it, or choose another {key}"))
}

fn seat_ports(ports: &[&PortFacts]) -> Finding {
    let taken: Vec<_> = ports
        .iter()
        .filter_map(|port| match (&port.holder, &port.purpose) {
            (PortHolder::Other(holder), PortPurpose::Seat(user)) => Some((port, holder, user)),
            _ => None,
        })
        .collect();
    let Some((port, holder, user)) = taken.first() else {
        let seats = count(ports.len() as u64, "seat has its port", "seats have their ports");
        return Finding::ok(Code::Port02, seats);
    };
    let more = match taken.len() - 1 {
        0 => String::new(),
        more => format!(" (and {})", count(more as u64, "more seat", "more seats")),
    };
    Finding::problem(
        Code::Port02,
        format!("port {} of {user} is in use by {holder}{more}: they can't start", port.port),
    )
    .fix(format!("stop it (`ss -ltnp 'sport = :{}'`)", port.port))
}

fn newcomers(room: &Room<'_>, range: &RangeFacts) -> Finding {
    let ports = room.config.sandbox.host_ports;
    let free = ports.size().saturating_sub(range.busy + range.given);
    let says = format!("{free} of {ports} are free for {} users without a seat", range.newcomers);
    if free >= range.newcomers {
        return Finding::ok(Code::Port03, says);
    }
    Finding::problem(Code::Port03, says).fix("widen sandbox.host_ports")
}

fn apart(room: &Room<'_>, (first, last): (u16, u16)) -> Finding {
    let config = room.config;
    let mut ranges = Vec::new();
    if config.sandbox.network_mode == NetworkMode::Bridge {
        ranges.push(("sandbox.host_ports", config.sandbox.host_ports));
    }
    if config.nginx.enabled && config.nginx.layout == Layout::Port {
        ranges.push(("nginx.instance_ports", config.nginx.instance_ports));
    }
    let inside = |ports: crate::config::PortRange| {
        ports.first().get() <= last && first <= ports.last().get()
    };
    match ranges.into_iter().find(|(_, ports)| inside(*ports)) {
        None => Finding::ok(Code::Port04, format!("{first}-{last} are for outgoing connections")),
        Some((key, ports)) => Finding::warning(
            Code::Port04,
            format!(
                "{key} {ports} overlaps with {first}-{last}, from which Linux takes ports for \
                 outgoing connections: over a reboot one may take a user's"
            ),
        )
        .fix(format!("choose ports below {first} for {key}")),
    }
}
