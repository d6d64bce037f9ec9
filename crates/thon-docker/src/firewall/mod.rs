//! Keeping sandboxes away from this machine's own services, and those without internet inside.
//!
//! For: putting the walls up, telling whether they stand, and taking them away; also after a reboot,
//! where systemd runs.
//! Not for: walls between sandboxes; the network itself has them (see [`crate::network`]).

mod rules;
mod tool;

use std::ops::RangeInclusive;
use std::path::PathBuf;

use thon_core::adapter::FailureKind;
use thon_core::endpoint::Port;

use crate::client::DockerRuntime;
use crate::error::DockerError;
use crate::network::{Reach, interface_name};
use rules::{Rules, nameservers};

/// Where systemd looks for units of this machine.
const UNITS: &str = "/etc/systemd/system";

/// Which ports of this machine are open to sandboxes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FirewallSettings {
    /// TCP ports that every sandbox reaches.
    pub services: Vec<Port>,
    /// TCP ports that are everybody's, as the proxy's are; sandboxes without internet don't reach
    /// them either.
    pub public: Vec<RangeInclusive<Port>>,
    /// Whether some sandboxes are to be kept offline. Then nothing is prepared without walls.
    pub keeps_offline: bool,
}

/// How the walls between sandboxes and this machine stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FirewallState {
    /// None are wanted: sandboxes share this machine's network.
    Unwanted,
    /// They stand.
    Closed {
        /// Whether they are put up at boot, before Docker starts sandboxes again.
        at_boot: bool,
    },
    /// They don't.
    Open {
        /// Why.
        reason: String,
        /// What the person can do.
        advice: String,
    },
}

impl FirewallState {
    fn open(reason: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::Open { reason: reason.into(), advice: advice.into() }
    }
}

impl DockerRuntime {
    /// Whether sandboxes are kept away from this machine's services now. Changes nothing.
    pub async fn firewall(&self) -> FirewallState {
        let Some(settings) = &self.settings().firewall else { return FirewallState::Unwanted };
        if let Some(open) = self.out_of_reach() {
            return open;
        }
        let rules = self.rules(settings).await;
        match listing().await {
            Ok(listing) => match rules.judge(&listing) {
                Ok(()) => FirewallState::Closed { at_boot: self.unit_stands(&rules).await },
                Err(amiss) => FirewallState::open(amiss, "run `thon setup` or `thon run`"),
            },
            Err(open) => open,
        }
    }

    /// Puts the walls up and says how they stand then.
    pub(crate) async fn close(&self, settings: &FirewallSettings) -> FirewallState {
        if let Some(open) = self.out_of_reach() {
            return open;
        }
        let rules = self.rules(settings).await;
        match raise(&rules).await {
            Ok(()) => FirewallState::Closed { at_boot: self.install(&rules).await },
            Err(open) => open,
        }
    }

    /// Puts the walls up before Docker runs, because sandboxes start with it. Where that can't be
    /// done it will be said once there are sandboxes.
    pub async fn close_before_start(&self) {
        if let Some(settings) = &self.settings().firewall {
            drop(raise(&self.rules(settings).await).await);
        }
    }

    /// What keeps sandboxes offline: a network and the walls around it. Fails where they can't be
    /// put up, for a sandbox that only seems to be offline is worse than none.
    pub(crate) async fn ready_offline(&self) -> Result<(), DockerError> {
        self.offline
            .get_or_try_init(|| async {
                self.ensure_network(Reach::Offline).await?;
                let settings = self.settings().firewall.clone().unwrap_or_default();
                match self.close(&settings).await {
                    FirewallState::Open { reason, advice } => Err(DockerError::host(
                        FailureKind::Denied,
                        "keeping sandboxes with `internet: false` off the internet",
                        reason,
                        format!("{advice}; or give them the internet"),
                    )),
                    FirewallState::Closed { .. } | FirewallState::Unwanted => Ok(()),
                }
            })
            .await
            .copied()
    }

    /// Puts the walls up and returns what the person should know, one line each.
    pub(crate) async fn wall_off(&self) -> Result<Vec<String>, DockerError> {
        let Some(settings) = &self.settings().firewall else { return Ok(Vec::new()) };
        if settings.keeps_offline {
            self.ready_offline().await?;
            return Ok(Vec::new());
        }
        Ok(match self.close(settings).await {
            FirewallState::Open { reason, advice } => vec![format!(
                "sandboxes can reach every service of this machine that listens on more than the \
                 loopback: {reason}; {advice}"
            )],
            FirewallState::Closed { .. } | FirewallState::Unwanted => Vec::new(),
        })
    }

    /// Takes the rules away, where any are there.
    pub(crate) async fn pull_down(&self) -> Result<(), DockerError> {
        let rules = self.rules(&FirewallSettings::default()).await;
        let unit = self.unit_name();
        if PathBuf::from(UNITS).join(&unit).exists() {
            drop(tool::run("systemctl", &["disable", &unit], "").await);
            drop(tool::run("rm", &["-f", &format!("{UNITS}/{unit}")], "").await);
            drop(tool::run("systemctl", &["daemon-reload"], "").await);
        }
        // Who may not look can't have put any up.
        let Ok(listing) = listing().await else { return Ok(()) };
        let Some(removal) = rules.removal(&listing) else { return Ok(()) };
        tool::run("iptables-restore", &["-w", "10", "--noflush"], &removal).await.map(drop).map_err(
            |cause| {
                let tried = format!("removing the firewall rules of {}", self.node());
                let advice = "see them with `sudo iptables -S`, then try again";
                DockerError::host(FailureKind::Other, tried, cause, advice)
            },
        )
    }

    /// Why this machine's packet filter can't be the one that sandboxes pass.
    fn out_of_reach(&self) -> Option<FirewallState> {
        let elsewhere = "close that machine's services to the sandboxes' network yourself";
        if !self.host().starts_with("unix://") {
            return Some(FirewallState::open("Docker runs on another machine", elsewhere));
        }
        let interface = interface_name(self.node(), Reach::Online);
        if std::path::Path::new("/sys/class/net").join(&interface).exists() {
            return None;
        }
        let reason = format!("the sandboxes' network ({interface}) is not on this machine");
        Some(FirewallState::open(
            reason,
            format!("run `thon setup`; or, where Docker runs without root or elsewhere, {elsewhere}"),
        ))
    }

    async fn rules(&self, settings: &FirewallSettings) -> Rules {
        Rules {
            online: interface_name(self.node(), Reach::Online),
            offline: interface_name(self.node(), Reach::Offline),
            services: settings.services.clone(),
            public: settings.public.clone(),
            nameservers: asked_for_names().await,
        }
    }

    fn unit_name(&self) -> String {
        format!("thon-firewall-{}.service", self.node())
    }

    async fn unit_stands(&self, rules: &Rules) -> bool {
        let path = PathBuf::from(UNITS).join(self.unit_name());
        let text = tokio::fs::read_to_string(path).await;
        tool::has_systemd() && text.is_ok_and(|text| text == rules.unit(self.node().as_str()))
    }

    /// Leaves the rules to systemd for the next boot; false where that can't be done.
    async fn install(&self, rules: &Rules) -> bool {
        if !tool::has_systemd() {
            return false;
        }
        if self.unit_stands(rules).await {
            return true;
        }
        let path = format!("{UNITS}/{}", self.unit_name());
        let unit = rules.unit(self.node().as_str());
        let work = async {
            tool::run("tee", &[&path], &unit).await?;
            tool::run("systemctl", &["daemon-reload"], "").await?;
            tool::run("systemctl", &["enable", &self.unit_name()], "").await
        };
        work.await.is_ok()
    }
}

/// Puts the rules up where they don't stand already.
async fn raise(rules: &Rules) -> Result<(), FirewallState> {
    let mut listing = listing().await?;
    // Somebody else may change the rules between our look and our change, which then fails whole.
    for last in [false, true] {
        if rules.judge(&listing).is_ok() {
            return Ok(());
        }
        let change = rules.transaction(&listing);
        if let Err(cause) =
            tool::run("iptables-restore", &["-w", "10", "--noflush"], &change).await
            && last
        {
            return Err(FirewallState::open(cause, ADVICE));
        }
        listing = self::listing().await?;
    }
    rules.judge(&listing).map_err(|amiss| FirewallState::open(amiss, ADVICE))
}

/// What to do where iptables doesn't.
const ADVICE: &str = "install iptables and run THON as root or with a `sudo` that asks nothing";

/// All rules of the table `filter`.
async fn listing() -> Result<String, FirewallState> {
    let listing = tool::run("iptables", &["-w", "10", "-S"], "").await;
    listing.map_err(|cause| FirewallState::open(cause, ADVICE))
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
