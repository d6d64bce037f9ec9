//! Where the domain's name leads.
//!
//! For: asking the machine's own resolver, which is what the machine's own programs do.
//! Not for: asking the world's name servers; a participant's resolver may still know better.

use std::net::{IpAddr, ToSocketAddrs, UdpSocket};

use thon_core::config::Config;
use thon_core::doctor::{DnsFacts, Fact};

use super::{apart, late};
use crate::system::{Reach, own_address};

/// What the domain leads to; absent where none is configured.
pub(super) async fn look_up(config: &Config) -> Fact<DnsFacts> {
    let Some(domain) = &config.nginx.domain else { return Fact::Absent };
    if !config.nginx.enabled {
        return Fact::Absent;
    }
    let name = domain.as_str().to_owned();
    let found = apart("the name server", move || {
        let found = (name.as_str(), 443).to_socket_addrs().map_err(|error| {
            // The resolver's own words stand behind the library's.
            let text = error.to_string();
            text.rsplit_once(": ").map_or(text.clone(), |(_, reason)| reason.to_owned())
        })?;
        let mut addresses: Vec<IpAddr> = found.map(|socket| socket.ip()).collect();
        addresses.dedup();
        let local = addresses.iter().copied().filter(|address| is_local(*address)).collect();
        Ok((addresses, local))
    });
    let (addresses, local): (Result<Vec<IpAddr>, String>, Vec<IpAddr>) = match found.await {
        Fact::Known((addresses, local)) => (Ok(addresses), local),
        Fact::Unknown(why) => (Err(why), Vec::new()),
        Fact::Absent => (Err(late("the name server")), Vec::new()),
    };
    let own = own_address();
    Fact::Known(DnsFacts {
        domain: domain.as_str().to_owned(),
        addresses,
        local,
        own: own.address,
        behind_router: own.reach != Reach::Public,
    })
}

/// Only an address of this machine's own can be bound.
fn is_local(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_addresses_are_known_from_others() {
        assert!(is_local("127.0.0.1".parse().unwrap()));
        assert!(!is_local("192.0.2.1".parse().unwrap()));
    }
}
