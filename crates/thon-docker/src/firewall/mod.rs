//! Keeping sandboxes away from this machine's own services, and those without internet inside.
//!
//! For: putting the walls up, telling whether they stand, and taking them away.
//! Not for: walls between sandboxes; the network itself has them (see [`crate::network`]), as long as
//! this machine filters what passes a bridge, which is told here too.

mod rules;
mod tool;

use std::fmt;
use std::path::Path;

use thon_core::adapter::FailureKind;
use thon_core::endpoint::Port;

use crate::client::DockerRuntime;
use crate::error::DockerError;
use crate::network::{Reach, interface_name};
use rules::{Family, Rules, nameservers};

/// Whether what goes from one port of a bridge to another is filtered; Docker switches it on.
const BRIDGE_FILTER: &str = "/proc/sys/net/bridge/bridge-nf-call-iptables";
/// The addresses of IPv6 that this machine has.
const V6_ADDRESSES: &str = "/proc/net/if_inet6";

/// Which ports of this machine are open to sandboxes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FirewallSettings {
    /// TCP ports that every sandbox reaches.
    pub services: Vec<Port>,
    /// Whether some sandboxes are to be kept offline. Those are not made without walls.
    pub keeps_offline: bool,
}

/// Which of the walls around a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wall {
    /// Between sandboxes and this machine's services; without it no sandbox can be kept offline.
    Host,
    /// Between one sandbox and another.
    Neighbours,
}

/// A wall that doesn't stand, as one line that says what follows, why, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// The wall.
    pub wall: Wall,
    /// Why it doesn't stand.
    pub reason: String,
    /// What the person can do.
    pub advice: String,
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let consequence = match self.wall {
            Wall::Host => {
                "sandboxes can reach every service of this machine that listens on more than the \
                 loopback"
            }
            Wall::Neighbours => "sandboxes can reach each other",
        };
        write!(f, "{consequence}: {}; {}", self.reason, self.advice)
    }
}

/// How the walls around sandboxes stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FirewallState {
    /// None are wanted: sandboxes share this machine's network.
    Unwanted,
    /// All of them stand.
    Closed,
    /// These don't.
    Open(Vec<Gap>),
}

impl DockerRuntime {
    /// How the walls around sandboxes stand now. Changes nothing.
    pub async fn firewall(&self) -> FirewallState {
        let Some(settings) = &self.settings().firewall else { return FirewallState::Unwanted };
        let mut gaps = Vec::new();
        let host = match self.out_of_reach() {
            Some(gap) => Err(gap),
            None => self.stand(settings).await,
        };
        gaps.extend(host.err());
        gaps.extend(self.neighbours().await);
        if gaps.is_empty() { FirewallState::Closed } else { FirewallState::Open(gaps) }
    }

    /// Whether the rules are in force.
    async fn stand(&self, settings: &FirewallSettings) -> Result<(), Gap> {
        for family in families().await {
            let listing = listing(family).await?;
            let judged = self.rules(family, settings).await.judge(&listing);
            judged.map_err(|amiss| host_gap(amiss, "run `thon run`, which puts them up"))?;
        }
        Ok(())
    }

    /// Puts the walls to this machine up.
    async fn close(&self, settings: &FirewallSettings) -> Result<(), Gap> {
        if let Some(gap) = self.out_of_reach() {
            return Err(gap);
        }
        self.raise(settings).await
    }

    async fn raise(&self, settings: &FirewallSettings) -> Result<(), Gap> {
        for family in families().await {
            raise(&self.rules(family, settings).await).await?;
        }
        Ok(())
    }

    /// Puts the walls up before Docker runs, because sandboxes start with it. Where that can't be
    /// done it will be said once there are sandboxes.
    pub async fn close_before_start(&self) {
        if let Some(settings) = &self.settings().firewall {
            drop(self.raise(settings).await);
        }
    }

    /// What keeps sandboxes offline: a network and the walls around it. Fails where they can't be
    /// put up, for a sandbox that only seems to be offline is worse than none.
    pub(crate) async fn ready_offline(&self) -> Result<(), DockerError> {
        let make = || async {
            self.ensure_network(Reach::Offline).await?;
            let settings = self.settings().firewall.clone().unwrap_or_default();
            self.close(&settings).await.map_err(|gap| {
                DockerError::host(
                    FailureKind::Denied,
                    "keeping a sandbox with `internet: false` off the internet",
                    gap.reason,
                    format!("{}; or give it the internet", gap.advice),
                )
            })
        };
        self.offline.get_or_try_init(make).await.copied()
    }

    /// Puts the walls up and returns what the person should know, one line each.
    pub(crate) async fn wall_off(&self) -> Vec<String> {
        let Some(settings) = &self.settings().firewall else { return Vec::new() };
        let mut lines = Vec::new();
        // A sandbox that can't be made for this says why; the others are not to wait for it.
        if settings.keeps_offline
            && let Err(error) = self.ensure_network(Reach::Offline).await
        {
            lines.push(error.to_string());
        }
        let host = self.close(settings).await.err();
        lines.extend(host.into_iter().chain(self.neighbours().await).map(|gap| gap.to_string()));
        lines
    }

    /// Takes the rules away, where any are there.
    pub(crate) async fn pull_down(&self) -> Result<(), DockerError> {
        for family in [Family::V4, Family::V6] {
            // Who may not look can't have put any up.
            let Ok(listing) = listing(family).await else { continue };
            let rules = self.rules(family, &FirewallSettings::default()).await;
            let Some(removal) = rules.removal(&listing) else { continue };
            restore(family, &removal).await.map_err(|cause| {
                let tried = format!("removing the firewall rules of {}", self.node());
                let advice = "see them with `sudo iptables -S`, then try again";
                DockerError::host(FailureKind::Other, tried, cause, advice)
            })?;
        }
        Ok(())
    }

    /// Why this machine's packet filter can't be the one that sandboxes pass.
    fn out_of_reach(&self) -> Option<Gap> {
        let elsewhere = "close that machine's services to the sandboxes' network yourself";
        if !self.is_here() {
            return Some(host_gap("Docker runs on another machine", elsewhere));
        }
        let interface = interface_name(self.node(), Reach::Online);
        if Path::new("/sys/class/net").join(&interface).exists() {
            return None;
        }
        Some(host_gap(
            format!("the sandboxes' network ({interface}) is not on this machine"),
            format!(
                "run `thon setup`; or, where Docker runs without root or elsewhere, {elsewhere}"
            ),
        ))
    }

    /// Whether sandboxes are kept from each other.
    async fn neighbours(&self) -> Option<Gap> {
        if !self.is_here() {
            return None;
        }
        bridge_gap(tokio::fs::read_to_string(BRIDGE_FILTER).await.ok().as_deref())
    }

    async fn rules(&self, family: Family, settings: &FirewallSettings) -> Rules {
        Rules {
            family,
            online: interface_name(self.node(), Reach::Online),
            offline: interface_name(self.node(), Reach::Offline),
            services: settings.services.clone(),
            nameservers: asked_for_names().await,
        }
    }
}

/// What follows from the kernel's setting for bridges.
fn bridge_gap(setting: Option<&str>) -> Option<Gap> {
    let reason = match setting.map(str::trim) {
        Some("1") => return None,
        Some(_) => "net.bridge.bridge-nf-call-iptables is 0",
        None => "the kernel's module br_netfilter is not loaded",
    };
    let advice = "run `sudo modprobe br_netfilter` and `sudo sysctl -w \
                  net.bridge.bridge-nf-call-iptables=1`, and see to both at boot";
    Some(Gap { wall: Wall::Neighbours, reason: reason.to_owned(), advice: advice.to_owned() })
}

fn host_gap(reason: impl Into<String>, advice: impl Into<String>) -> Gap {
    Gap { wall: Wall::Host, reason: reason.into(), advice: advice.into() }
}

/// Puts the walls up where they don't stand already.
async fn raise(rules: &Rules) -> Result<(), Gap> {
    let mut found = listing(rules.family).await?;
    // Somebody else may change the rules between our look and our change, which then fails whole.
    for last in [false, true] {
        if rules.judge(&found).is_ok() {
            return Ok(());
        }
        if let Err(cause) = restore(rules.family, &rules.transaction(&found)).await
            && last
        {
            return Err(host_gap(cause, ADVICE));
        }
        found = listing(rules.family).await?;
    }
    rules.judge(&found).map_err(|amiss| host_gap(amiss, ADVICE))
}

/// What to do where iptables doesn't.
const ADVICE: &str = "install iptables and run THON as root or with a `sudo` that asks nothing";

/// The packet filters that a sandbox's packets can pass.
async fn families() -> Vec<Family> {
    let v6 = tokio::fs::read_to_string(V6_ADDRESSES).await.unwrap_or_default();
    let mut families = vec![Family::V4];
    families.extend((!v6.is_empty()).then_some(Family::V6));
    families
}

/// All rules of the table `filter`.
async fn listing(family: Family) -> Result<String, Gap> {
    let program = match family {
        Family::V4 => "iptables",
        Family::V6 => "ip6tables",
    };
    let listing = tool::run(program, &["-w", "10", "-S"], "").await;
    listing.map_err(|cause| host_gap(cause, ADVICE))
}

async fn restore(family: Family, change: &str) -> Result<(), String> {
    let program = match family {
        Family::V4 => "iptables-restore",
        Family::V6 => "ip6tables-restore",
    };
    tool::run(program, &["-w", "10", "--noflush"], change).await.map(drop)
}

/// Whom Docker asks for names: those in the file that it reads.
async fn asked_for_names() -> Vec<std::net::Ipv4Addr> {
    let read = |path| async move { tokio::fs::read_to_string(path).await.unwrap_or_default() };
    let main = read("/etc/resolv.conf").await;
    if main.contains("127.0.0.53") {
        return nameservers(&read("/run/systemd/resolve/resolv.conf").await);
    }
    nameservers(&main)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bridge_that_filters_nothing_is_told() {
        assert_eq!(bridge_gap(Some("1\n")), None);
        let off = bridge_gap(Some("0\n")).unwrap().to_string();
        assert!(off.starts_with("sandboxes can reach each other: net.bridge"), "{off}");
        assert!(bridge_gap(None).unwrap().to_string().contains("br_netfilter is not loaded"));
    }
}
