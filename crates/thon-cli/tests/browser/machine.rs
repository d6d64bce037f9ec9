//! The machine that a participant sits at.
//!
//! For: a browser that is not disturbed by what happens beside it. Chromium gives up every request
//! that waits while an address of its machine comes or goes, and each container that starts
//! somewhere on this machine brings one. So the browser gets a network of its own, with one cable
//! to this machine, just as a participant's browser is elsewhere in the venue.
//! Not for: the browser itself; see [`crate::chromium`].

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;

use crate::chromium::INTERVAL;
use crate::support::{Node, Output};

/// Where programs run that a participant starts.
pub(crate) enum Machine {
    /// A network namespace of its own.
    Apart {
        /// The namespace's name.
        name: String,
        /// This machine's end of the cable.
        cable: String,
        /// The address of this machine that is seen from there.
        host: Ipv4Addr,
        /// The address of the other end.
        guest: Ipv4Addr,
    },
    /// This machine, for those who aren't root and can't make a network: good as long as nothing
    /// else starts containers; what fails otherwise says `net::ERR_NETWORK_CHANGED`.
    Here,
}

impl Machine {
    /// Makes a node with these groups, and a machine from which it is reached.
    pub(crate) fn and_node(groups: &str) -> (Self, Node) {
        let mut node = Node::new(groups);
        if !rustix::process::geteuid().is_root() {
            return (Self::Here, node);
        }
        // 198.18.0.0/15 is set aside for tests of network devices (RFC 2544) and routed nowhere.
        let slot = node.ports.slot();
        let base = Ipv4Addr::new(198, 18, 0, 0).to_bits() + u32::from(slot) * 4;
        let (host, guest) = (Ipv4Addr::from_bits(base + 1), Ipv4Addr::from_bits(base + 2));
        let name = format!("thon-test-{slot}");
        let cable = format!("thon-t{slot}");
        let machine = Self::Apart { name: name.clone(), cable: cable.clone(), host, guest };
        // The slot is ours: what has its name is left from a run that was cut off.
        machine.unplug();
        let (host_end, guest_end) = (format!("{host}/30"), format!("{guest}/30"));
        for args in [
            ["netns", "add", &name].as_slice(),
            &["link", "add", &cable, "type", "veth", "peer", "name", "eth0", "netns", &name],
            // No IPv6 address that comes by itself, and a moment later once more.
            &["link", "set", &cable, "addrgenmode", "none", "up"],
            &["-n", &name, "link", "set", "eth0", "addrgenmode", "none", "up"],
            &["-n", &name, "link", "set", "lo", "up"],
            &["address", "add", &host_end, "dev", &cable],
            &["-n", &name, "address", "add", &guest_end, "dev", "eth0"],
        ] {
            ip(args).ok();
        }
        node.set_address(host.into(), groups);
        (machine, node)
    }

    /// The driver of the browser, run there and telling its port on its output.
    pub(crate) fn chromedriver(&self, home: &Path) -> Command {
        let mut command = match self {
            Self::Apart { name, host, .. } => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", name, "chromedriver"]);
                command.arg(format!("--allowed-ips={host}"));
                command
            }
            Self::Here => Command::new("chromedriver"),
        };
        command.arg("--port=0").env("HOME", home).env("TMPDIR", home);
        // The desktop's standards put a program's files elsewhere where these are set.
        for name in ["XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR"] {
            command.env_remove(name);
        }
        command
    }

    /// The address at which servers on that machine are reached from this one.
    pub(crate) fn address(&self) -> Ipv4Addr {
        match self {
            Self::Apart { guest, .. } => *guest,
            Self::Here => Ipv4Addr::LOCALHOST,
        }
    }

    /// The address at which nodes of this machine are reached from that one.
    pub(crate) fn node_address(&self) -> Ipv4Addr {
        match self {
            Self::Apart { host, .. } => *host,
            Self::Here => Ipv4Addr::LOCALHOST,
        }
    }

    /// Waits until no address of that machine is about to come up.
    pub(crate) async fn settled(&self) {
        let Self::Here = self else { return };
        // The fifth column has the flags; 40 is IFA_F_TENTATIVE of linux/if_addr.h.
        let tentative = |line: &str| {
            let flags = line.split_whitespace().nth(4).unwrap_or_default();
            u8::from_str_radix(flags, 16).is_ok_and(|flags| flags & 0x40 != 0)
        };
        let addresses = || std::fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
        while addresses().lines().any(tentative) {
            tokio::time::sleep(INTERVAL).await;
        }
    }

    fn unplug(&self) {
        if let Self::Apart { name, cable, .. } = self {
            drop(ip(&["link", "delete", cable]));
            drop(ip(&["netns", "delete", name]));
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.unplug();
    }
}

fn ip(args: &[&str]) -> Output {
    Command::new("ip").args(args).output().unwrap().into()
}
