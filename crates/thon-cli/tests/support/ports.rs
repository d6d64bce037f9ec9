//! Ports that no other test has.
//!
//! For: a slot of neighbouring ports per node, held across processes.
//! Not for: what servers inside a test bind themselves; they bind port 0.

use std::net::{Ipv4Addr, TcpListener};

/// Slots lie below 32768, where Linux begins to hand out ports to outgoing connections, and outside
/// of the ports below 21000 that a node with default settings takes first.
const FIRST: u16 = 21_000;
/// The ports of a slot: the one that marks it as taken, two for the proxy, three for
/// dashboard and API, the rest for sandboxes.
const SIZE: u16 = 20;
/// How many slots there are, up to port 28999.
const SLOTS: u16 = 400;

/// A slot of ports, taken until it is dropped.
pub(crate) struct Ports {
    /// For `nginx.https_port`.
    pub(crate) https: u16,
    /// For `nginx.http_port`.
    pub(crate) http: u16,
    /// For `dashboard.port`.
    pub(crate) api: u16,
    /// For `dashboard.web_port`.
    pub(crate) web: u16,
    /// For `dashboard.tls_port`, where a test sets it.
    pub(crate) tls: u16,
    /// The first of `sandbox.host_ports`.
    pub(crate) first: u16,
    /// The last of `sandbox.host_ports`.
    pub(crate) last: u16,
    /// Whoever listens on a slot's first port has the slot, in whichever process.
    _mark: TcpListener,
}

impl Ports {
    /// Takes a slot of which no port is in use.
    pub(crate) fn take() -> Self {
        // Begins at a place of this process's own, so that two that start at once rarely meet.
        let own = u16::try_from(std::process::id() % u32::from(SLOTS)).unwrap();
        let mut slots = (0..SLOTS).map(|n| FIRST + (own + n) % SLOTS * SIZE);
        slots.find_map(Self::at).expect("no 20 free ports in a row between 21000 and 28999")
    }

    /// Which of the slots this is: a number below 400 that no other test has now.
    pub(crate) fn slot(&self) -> u16 {
        (self.https - FIRST) / SIZE
    }

    fn at(mark: u16) -> Option<Self> {
        let listener = bind(mark)?;
        // All of them at once, and given back at once: nothing here hands the same port out twice.
        let rest: Option<Vec<TcpListener>> = (mark + 1..mark + SIZE).map(bind).collect();
        rest?;
        Some(Self {
            https: mark + 1,
            http: mark + 2,
            api: mark + 3,
            web: mark + 4,
            tls: mark + 5,
            first: mark + 6,
            last: mark + SIZE - 1,
            _mark: listener,
        })
    }
}

/// Every address at once, as the proxy does.
fn bind(port: u16) -> Option<TcpListener> {
    TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).ok()
}
