//! The address that a sandbox keeps on the node's bridge.
//!
//! For: letting the proxy dial a sandbox itself. What goes through a published port is carried by a
//! program of Docker's, which takes as much time for a request as nginx does. The address is given
//! when the container is made, so that routes are right after a reboot.
//! Not for: endpoints; people's URLs and THON's own questions go by the published port.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

use bollard::errors::Error as EngineError;
use bollard::models::{
    EndpointIpamConfig, EndpointSettings, NetworkConnectRequest, NetworkDisconnectRequest,
};
use thon_core::endpoint::NetworkMode;
use thon_core::sandbox::{SandboxId, SandboxSpec};

use crate::client::{DockerRuntime, SLOW};
use crate::error::DockerError;
use crate::network::Reach;

/// The first of the host's ports by default: so the first seat gets the last address.
const FIRST_PORT: u16 = 20_000;

impl DockerRuntime {
    /// The address for a sandbox that is about to be made: one per published port, which is the
    /// seat's own. Nothing where the proxy wouldn't reach it; then the published port serves.
    pub(crate) async fn address_for(
        &self,
        tried: &str,
        spec: &SandboxSpec,
    ) -> Result<Option<Ipv4Addr>, DockerError> {
        let bridge = spec.network_mode == NetworkMode::Bridge;
        if !bridge || !self.is_here() || self.machine().await?.walled {
            return Ok(None);
        }
        let subnet = self.subnet_of(tried, Reach::of(spec)).await?;
        let number = spec.host_port.get().wrapping_sub(FIRST_PORT);
        Ok(subnet.and_then(|subnet| subnet.last_but(number)))
    }

    /// Takes a container that isn't running out of its networks and back in, at whatever address
    /// Docker chooses at each start.
    pub(crate) async fn forget_address(
        &self,
        tried: &str,
        id: &SandboxId,
    ) -> Result<(), DockerError> {
        let settings = self.inspect(tried, id).await?.network_settings;
        let client = self.client().await?;
        for network in settings.and_then(|settings| settings.networks).unwrap_or_default().keys() {
            let request = NetworkDisconnectRequest { container: id.0.clone(), force: Some(true) };
            self.call(tried, SLOW, client.disconnect_network(network, request)).await?;
            let request = NetworkConnectRequest { container: id.0.clone(), endpoint_config: None };
            self.call(tried, SLOW, client.connect_network(network, request)).await?;
        }
        Ok(())
    }
}

/// What a container is made with that is to keep `address`.
pub(crate) fn kept(address: Ipv4Addr) -> EndpointSettings {
    EndpointSettings {
        ipam_config: Some(EndpointIpamConfig {
            ipv4_address: Some(address.to_string()),
            ..EndpointIpamConfig::default()
        }),
        ..EndpointSettings::default()
    }
}

/// The address that a container keeps. One that Docker chose isn't: it may be another's tomorrow.
pub(crate) fn own(networks: HashMap<String, EndpointSettings>) -> Option<IpAddr> {
    networks.into_values().find_map(|network| network.ipam_config?.ipv4_address?.parse().ok())
}

/// True if a container can't be started because of its address: someone has it, or the network was
/// made anew with another subnet. A port that is taken is called the same in small letters.
pub(crate) fn is_refused(error: &EngineError) -> bool {
    matches!(
        error,
        EngineError::DockerResponseServerError { message, .. }
            if message.contains("Address already in use")
                || message.contains("does not belong to any of this network's subnets")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_address_is_told_from_a_taken_port() {
        let answer = |message: &str| EngineError::DockerResponseServerError {
            status_code: 403,
            message: message.to_owned(),
        };
        assert!(is_refused(&answer("Address already in use")));
        assert!(is_refused(&answer(
            "Invalid address 10.9.9.9: It does not belong to any of this network's subnets"
        )));
        assert!(!is_refused(&answer(
            "Error starting userland proxy: listen tcp4 127.0.0.1:20001: bind: address already in \
             use"
        )));
    }
}
