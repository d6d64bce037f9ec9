//! What can be known of a host.
//!
//! For: plain data, each of it known, not found out and why, or not there to be asked for.
//! Not for: what it means; see [`super::checks`].

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::SystemTime;

use serde::Serialize;

use crate::adapter::Failure;
use crate::certificate::Trust;
use crate::endpoint::Port;
use crate::image::ImageRef;
use crate::name::UserId;

/// Something about a host.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact<T> {
    /// It is this.
    Known(T),
    /// It could not be found out, and why.
    Unknown(String),
    /// It isn't there, or this configuration has no use for it: nothing to judge.
    #[default]
    Absent,
}

impl<T> Fact<T> {
    /// What is known.
    pub const fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Unknown(_) | Self::Absent => None,
        }
    }

    /// The same of a part of it.
    pub fn map<U>(self, part: impl FnOnce(T) -> U) -> Fact<U> {
        match self {
            Self::Known(value) => Fact::Known(part(value)),
            Self::Unknown(why) => Fact::Unknown(why),
            Self::Absent => Fact::Absent,
        }
    }
}

impl<T> From<Option<T>> for Fact<T> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Absent, Self::Known)
    }
}

impl<T> From<Result<T, Failure>> for Fact<T> {
    fn from(result: Result<T, Failure>) -> Self {
        match result {
            Ok(value) => Self::Known(value),
            Err(failure) => Self::Unknown(format!("{}: {}", failure.tried, failure.cause)),
        }
    }
}

/// Everything that is asked of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HostFacts {
    /// The time by the host's own clock.
    pub now: SystemTime,
    /// Whether a Docker engine is installed on this machine.
    pub engine_installed: bool,
    /// What the Docker engine says of itself, or how it failed to.
    pub engine: Fact<Result<EngineFacts, Failure>>,
    /// The sandboxes' network.
    pub network: Fact<NetworkFacts>,
    /// What doesn't stand of the walls between sandboxes and this machine; absent where none are
    /// wanted, and where there is no network yet that they could stand around.
    pub walls: Fact<Vec<WallGap>>,
    /// Users whose sandbox runs.
    pub running: Fact<Vec<UserId>>,
    /// The sandbox image.
    pub image: Fact<ImageFacts>,
    /// Disks.
    pub disks: DiskFacts,
    /// Memory.
    pub memory: Fact<MemoryFacts>,
    /// Bytes of it that our own running sandboxes hold.
    pub held: Fact<u64>,
    /// Limits of the kernel.
    pub kernel: KernelFacts,
    /// Ports.
    pub ports: PortsFacts,
    /// nginx; absent where none is wanted.
    pub nginx: Fact<NginxFacts>,
    /// The certificate; known as nothing where there is none, absent where none is wanted.
    pub certificate: Fact<Option<CertificateFacts>>,
    /// The domain; absent where none is configured.
    pub dns: Fact<DnsFacts>,
    /// The clock.
    pub clock: ClockFacts,
    /// Files of THON's that others may read, or a folder that others may write to.
    pub exposed: Fact<Vec<ExposedFile>>,
    /// What is wrong with THON's folder itself.
    pub home: Fact<Option<ExposedFile>>,
    /// Whether the kernel's mandatory access control refuses what it wasn't told to allow.
    pub selinux: Fact<bool>,
}

/// What the engine says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EngineFacts {
    /// Its version.
    pub version: String,
    /// The newest version of its interface that it speaks, such as `1.41`.
    pub api_version: String,
    /// Its address.
    pub address: String,
    /// Whether that is a socket on this machine.
    pub local: bool,
    /// What it can't limit of a sandbox: memory, CPU time, number of processes.
    pub unlimited: Vec<&'static str>,
    /// Whether memory limits include swap; nothing where it doesn't say.
    pub swap_limit: Option<bool>,
    /// The version of cgroups that it uses.
    pub cgroup_version: Option<u8>,
    /// What guards the kernel: `seccomp`, `apparmor`, `selinux`; nothing where it doesn't say.
    pub guards: Option<Vec<String>>,
    /// The time by its clock.
    pub time: Option<SystemTime>,
    /// Where it keeps images, containers and volumes.
    pub data_root: PathBuf,
}

/// The network that sandboxes share, as it is or as it would be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NetworkFacts {
    /// Whether it is there.
    pub present: bool,
    /// Its subnet; nothing where no free one was found.
    pub subnet: Option<String>,
    /// How many sandboxes find an address in it.
    pub capacity: Option<usize>,
    /// Networks and routes that overlap with it.
    pub overlaps: Vec<String>,
    /// Why it can't be used as it is: not ours, or sandboxes reach each other.
    pub flaw: Option<String>,
}

/// A wall that doesn't stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WallGap {
    /// Why it doesn't.
    pub reason: String,
    /// What the person can do.
    pub advice: String,
}

/// The sandbox image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImageFacts {
    /// Its name.
    pub image: ImageRef,
    /// Whether it is here.
    pub present: bool,
    /// Whether it was made from other inputs than these.
    pub outdated: bool,
    /// Its size in bytes.
    pub size: Option<u64>,
}

/// What is left on a disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Space {
    /// Where was looked.
    pub path: PathBuf,
    /// Bytes that may be written.
    pub free: u64,
    /// Bytes in all.
    pub total: u64,
    /// Files that may be made; nothing where the file system doesn't count them.
    pub free_files: Option<u64>,
}

/// Disks.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct DiskFacts {
    /// Where Docker keeps images, containers and volumes.
    pub engine: Fact<Space>,
    /// Where workspaces are; absent where Docker keeps them.
    pub workspaces: Fact<Space>,
    /// THON's folder.
    pub home: Fact<Space>,
}

/// Memory in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MemoryFacts {
    /// All of it.
    pub total: u64,
    /// What can be had without swapping.
    pub available: u64,
    /// Swap in all.
    pub swap: u64,
}

/// Limits of the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct KernelFacts {
    /// `fs.inotify.max_user_instances`.
    pub inotify_instances: Fact<u64>,
    /// `fs.inotify.max_user_watches`.
    pub inotify_watches: Fact<u64>,
    /// `fs.file-max`.
    pub files: Fact<u64>,
    /// `kernel.pid_max`.
    pub pids: Fact<u64>,
    /// `kernel.threads-max`.
    pub threads: Fact<u64>,
    /// `net.netfilter.nf_conntrack_max`.
    pub connections: Fact<u64>,
    /// `net.ipv4.neigh.default.gc_thresh3`.
    pub neighbours: Fact<u64>,
    /// `net.bridge.bridge-nf-call-iptables`.
    pub bridge_filter: Fact<u64>,
}

/// What a port is wanted for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PortPurpose {
    /// `nginx.https_port`.
    Https,
    /// `nginx.http_port`.
    Http,
    /// `dashboard.tls_port`.
    Dashboard,
    /// The way to a user's sandbox.
    Seat(UserId),
}

/// Who has a port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PortHolder {
    /// Nobody.
    Nobody,
    /// The one that is meant to have it.
    Ours,
    /// Another program, as a person knows it: `python3 (process 4711)`.
    Other(String),
}

/// A port and who has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PortFacts {
    /// The port.
    pub port: Port,
    /// What for.
    pub purpose: PortPurpose,
    /// Who has it.
    pub holder: PortHolder,
}

/// The range that seats' ports are taken from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RangeFacts {
    /// Ports of it that other programs listen on.
    pub busy: usize,
    /// Seats that have a port in it.
    pub given: usize,
    /// Users of the roster without a seat.
    pub newcomers: usize,
}

/// Ports.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct PortsFacts {
    /// Those that are wanted.
    pub wanted: Fact<Vec<PortFacts>>,
    /// The range of seats; absent in host mode.
    pub range: Fact<RangeFacts>,
    /// The ports that the kernel hands out to outgoing connections.
    pub outgoing: Fact<(u16, u16)>,
}

/// nginx.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NginxFacts {
    /// Its version; nothing where the program wasn't found.
    pub version: Option<String>,
    /// Whether it is as old as to lack something that is used.
    pub lacks: Option<&'static str>,
    /// `system` or `managed`.
    pub mode: String,
    /// Whether it runs.
    pub running: bool,
    /// What it says against its configuration; nothing where it accepts it or there is none.
    pub refuses: Option<String>,
    /// How many connections it can hold.
    pub connections: Fact<ConnectionFacts>,
}

/// How many connections nginx can hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConnectionFacts {
    /// Worker processes.
    pub workers: u64,
    /// Connections of each.
    pub per_worker: u64,
    /// Where that is set.
    pub set_in: String,
}

/// The certificate that is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CertificateFacts {
    /// Its file.
    pub chain: PathBuf,
    /// From when until when it is valid; nothing where it can't be read.
    pub valid: Option<(SystemTime, SystemTime)>,
    /// Who trusts it.
    pub trust: Trust,
    /// A name of the node that it doesn't cover.
    pub lacks: Option<String>,
    /// What else is wrong with it, in words that fit after "the certificate".
    pub flaw: Option<String>,
}

/// What the domain's name leads to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DnsFacts {
    /// The domain.
    pub domain: String,
    /// Its addresses, or why there are none.
    pub addresses: Result<Vec<IpAddr>, String>,
    /// Those of its addresses that this machine has itself.
    pub local: Vec<IpAddr>,
    /// The address of the interface that leads outwards.
    pub own: IpAddr,
    /// Whether that one is only known in its own network, so that a router stands in front.
    pub behind_router: bool,
}

/// The clock.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ClockFacts {
    /// Things that have happened, and when.
    pub happened: Vec<(String, SystemTime)>,
    /// Whether something keeps the clock right over the network.
    pub synchronized: Fact<bool>,
}

/// A file or folder with more rights for others than it should give.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExposedFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its permission bits.
    pub mode: u32,
    /// What is wrong, where it isn't the permissions alone.
    pub owner: Option<u32>,
}

/// Whether an address only means the machine that asks.
pub(super) fn is_loopback(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_loopback() || v4 == Ipv4Addr::UNSPECIFIED,
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unspecified(),
    }
}
