//! What the kernel and the disks say.
//!
//! For: `/proc`, `/sys`, file systems and the modes of THON's own files.
//! Not for: services and the network.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::SystemTime;

use thon_core::doctor::{ExposedFile, Fact, KernelFacts, MemoryFacts, Space};
use tokio::process::Command;

use super::timely;
use crate::home::Home;
use crate::system::has_systemd;

/// Where systemd notes that its own client has set the clock.
const SYNCHRONIZED: &str = "/run/systemd/timesync/synchronized";

/// The limits of the kernel. Blocking.
pub(super) fn kernel() -> KernelFacts {
    KernelFacts {
        inotify_instances: value("fs.inotify.max_user_instances"),
        inotify_watches: value("fs.inotify.max_user_watches"),
        files: value("fs.file-max"),
        pids: value("kernel.pid_max"),
        threads: value("kernel.threads-max"),
        connections: value("net.netfilter.nf_conntrack_max"),
        neighbours: value("net.ipv4.neigh.default.gc_thresh3"),
        bridge_filter: value("net.bridge.bridge-nf-call-iptables"),
    }
}

/// The file of a value of the kernel.
pub(super) fn sysctl_file(key: &str) -> PathBuf {
    Path::new("/proc/sys").join(key.replace('.', "/"))
}

/// A value of the kernel; what isn't there (a module that isn't loaded) limits nothing.
fn value(key: &str) -> Fact<u64> {
    match fs::read_to_string(sysctl_file(key)) {
        // Some are larger than they can ever matter.
        Ok(text) => text
            .trim()
            .parse::<u64>()
            .map_or_else(|_| Fact::Unknown(format!("{key} says {:?}", text.trim())), Fact::Known),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Fact::Absent,
        Err(error) => Fact::Unknown(format!("{key}: {error}")),
    }
}

/// The ports that the kernel hands out to outgoing connections.
pub(super) fn outgoing() -> Fact<(u16, u16)> {
    let key = "net.ipv4.ip_local_port_range";
    let Ok(text) = fs::read_to_string(sysctl_file(key)) else { return Fact::Absent };
    let mut numbers = text.split_whitespace().map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(first)), Some(Ok(last))) => Fact::Known((first, last)),
        _ => Fact::Unknown(format!("{key} says {:?}", text.trim())),
    }
}

/// Memory. Blocking.
pub(crate) fn memory() -> Result<MemoryFacts, String> {
    let text =
        fs::read_to_string("/proc/meminfo").map_err(|error| format!("/proc/meminfo: {error}"))?;
    meminfo(&text).ok_or_else(|| "/proc/meminfo says nothing of memory".to_owned())
}

fn meminfo(text: &str) -> Option<MemoryFacts> {
    let bytes = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kib * 1024)
    };
    Some(MemoryFacts {
        total: bytes("MemTotal")?,
        available: bytes("MemAvailable")?,
        swap: bytes("SwapTotal").unwrap_or(0),
    })
}

/// Where the kernel counts the memory of a container, by the cgroups' version and Docker's driver
/// for them, and under which name.
const CONTROL_GROUPS: [(&str, &str, &str); 4] = [
    ("/sys/fs/cgroup/system.slice/docker-", ".scope", "anon"),
    ("/sys/fs/cgroup/docker/", "", "anon"),
    ("/sys/fs/cgroup/memory/docker/", "", "total_rss"),
    ("/sys/fs/cgroup/memory/system.slice/docker-", ".scope", "total_rss"),
];

/// Memory that these containers hold and nobody else can have meanwhile; nothing where the kernel
/// doesn't tell it of each. Blocking.
pub(super) fn held(ids: &[String]) -> Option<u64> {
    ids.iter().map(|id| held_by(id)).sum()
}

fn held_by(id: &str) -> Option<u64> {
    CONTROL_GROUPS.iter().find_map(|(before, after, name)| {
        let text = fs::read_to_string(format!("{before}{id}{after}/memory.stat")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        line.parse().ok()
    })
}

/// What is left where `path` is or will be. Blocking.
pub(crate) fn space(path: &Path) -> Result<Space, String> {
    let absolute = std::path::absolute(path).map_err(|error| error.to_string())?;
    let there = absolute.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"));
    let stat =
        rustix::fs::statvfs(there).map_err(|error| format!("{}: {error}", there.display()))?;
    Ok(Space {
        path: there.to_owned(),
        free: stat.f_bavail * stat.f_frsize,
        total: stat.f_blocks * stat.f_frsize,
        // btrfs and its like make them as they are needed.
        free_files: (stat.f_files > 0).then_some(stat.f_favail),
    })
}

/// Those of `files` that others than their owner may read or write. Blocking.
pub(super) fn exposed(files: &[PathBuf]) -> Vec<ExposedFile> {
    let look = |path: &PathBuf| {
        let mode = fs::metadata(path).ok()?.permissions().mode() & 0o7777;
        (mode & 0o077 != 0).then(|| ExposedFile { path: path.clone(), mode, owner: None })
    };
    files.iter().filter_map(look).collect()
}

/// What is wrong with THON's folder; nothing where it isn't there yet. Blocking.
pub(super) fn flaw(home: &Home) -> Result<Option<ExposedFile>, String> {
    match home.flaw() {
        Ok(flaw) => Ok(flaw),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{}: {error}", home.root().display())),
    }
}

/// What has happened on this machine, and when by its files. Blocking.
pub(super) fn happened(home: &Home) -> Vec<(String, SystemTime)> {
    let program = std::env::current_exe().ok();
    let files = [
        ("the last change of seats.json".to_owned(), Some(home.seats())),
        ("the installation of thon".to_owned(), program),
    ];
    let when = |path: PathBuf| fs::metadata(path).and_then(|file| file.modified()).ok();
    files.into_iter().filter_map(|(what, path)| Some((what, when(path?)?))).collect()
}

/// Whether SELinux enforces; absent where it isn't there.
pub(super) fn selinux() -> Fact<bool> {
    fs::read_to_string("/sys/fs/selinux/enforce").ok().map(|text| text.trim() == "1").into()
}

/// Whether something keeps the clock right.
pub(super) async fn synchronized() -> Fact<bool> {
    if Path::new(SYNCHRONIZED).exists() {
        return Fact::Known(true);
    }
    if !has_systemd() {
        return Fact::Unknown("no systemd runs here that would know of the clock".to_owned());
    }
    let asked = async {
        let output = Command::new("timedatectl")
            .args(["show", "--property=NTPSynchronized", "--value"])
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await;
        Ok(output.ok().map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()))
    };
    match timely(asked, "timedatectl").await {
        Fact::Known(Some(answer)) if answer == "yes" => Fact::Known(true),
        Fact::Known(Some(answer)) if answer == "no" => Fact::Known(false),
        Fact::Unknown(why) => Fact::Unknown(why),
        _ => Fact::Unknown("timedatectl doesn't say".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_the_kernels_words() {
        let text = "MemTotal:       24683656 kB\nMemFree:  1 kB\nMemAvailable:   20 kB\n";
        let memory = meminfo(text).unwrap();
        assert_eq!((memory.total, memory.available, memory.swap), (24_683_656 << 10, 20 << 10, 0));
        assert_eq!(meminfo("MemTotal: 1 kB\n"), None);
    }

    #[test]
    fn a_folder_that_will_be_made_is_measured_where_it_will_be() {
        let folder = tempfile::tempdir().unwrap();
        let space = space(&folder.path().join("a/b")).unwrap();
        assert_eq!(space.path, folder.path());
        assert!(space.free <= space.total && space.total > 0, "{space:?}");
    }

    #[test]
    fn only_what_others_may_touch_is_exposed() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, mode| {
            let path = folder.path().join(name);
            fs::write(&path, "").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            path
        };
        let files = [file("a", 0o600), file("b", 0o640), folder.path().join("none")];
        let found = exposed(&files);
        assert_eq!(found.len(), 1);
        assert_eq!((&found[0].path, found[0].mode), (&files[1], 0o640));
    }

    #[test]
    fn every_value_of_this_kernel_can_be_read() {
        let kernel = kernel();
        assert!(kernel.inotify_instances.known().is_some_and(|allowed| *allowed > 0));
        assert!(kernel.pids.known().is_some() && kernel.files.known().is_some());
        assert!(matches!(outgoing(), Fact::Known((first, last)) if first < last));
        assert!(memory().is_ok());
    }
}
