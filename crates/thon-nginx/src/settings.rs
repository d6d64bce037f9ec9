//! How nginx is to be run, and what of the machine matters for that.
//!
//! For: the choice between the machine's own nginx and one of ours, and the facts that the
//! templates ask for.
//! Not for: what is served; that is a `ProxySite`.

use std::net::{Ipv6Addr, TcpListener};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use thon_core::config::NginxMode;
use thon_core::name::NodeName;

/// How nginx is to be run.
#[derive(Debug, Clone)]
pub struct NginxSettings {
    /// The node, which names files, upstreams and variables.
    pub node: NodeName,
    /// Whose nginx serves: with `Auto` the machine's where it runs and its sites can be written, a
    /// process of ours otherwise.
    pub mode: NginxMode,
    /// Our own folder: the prefix of a managed nginx, and what we remember of a system one.
    pub home: PathBuf,
    /// The program; searched in `PATH` and the usual folders of administrators if not given.
    pub binary: Option<PathBuf>,
    /// The folder of the system's `nginx.conf`.
    pub system_conf: PathBuf,
    /// A folder that workers can read and that holds ACME challenges below
    /// `.well-known/acme-challenge/`; served over plain HTTP if given.
    pub acme_webroot: Option<PathBuf>,
}

impl NginxSettings {
    /// The settings of `node` with everything else as usual.
    #[must_use]
    pub fn new(node: NodeName, home: impl Into<PathBuf>) -> Self {
        Self {
            node,
            mode: NginxMode::Auto,
            home: home.into(),
            binary: None,
            system_conf: PathBuf::from("/etc/nginx"),
            acme_webroot: None,
        }
    }

    /// The name of our file in `sites-available`: `sandbox-thon` on the default node.
    #[must_use]
    pub fn site_name(&self) -> String {
        format!("sandbox-{}", self.node)
    }

    /// Our file in the system's configuration.
    pub(crate) fn available(&self) -> PathBuf {
        self.system_conf.join("sites-available").join(self.site_name())
    }

    /// The symlink that makes the system's nginx read it.
    pub(crate) fn enabled(&self) -> PathBuf {
        self.system_conf.join("sites-enabled").join(self.site_name())
    }

    pub(crate) fn managed_conf(&self) -> PathBuf {
        self.home.join("nginx.conf")
    }

    pub(crate) fn managed_pid(&self) -> PathBuf {
        self.home.join("nginx.pid")
    }

    pub(crate) fn managed_log(&self) -> PathBuf {
        self.home.join("logs").join("error.log")
    }

    /// The program, where it is found.
    pub(crate) fn find_binary(&self) -> Option<PathBuf> {
        if let Some(binary) = &self.binary {
            return binary.is_file().then(|| binary.clone());
        }
        // A user's PATH often lacks the folders of administrators, where distributions put nginx.
        let usual = ["/usr/sbin", "/usr/local/sbin", "/usr/local/nginx/sbin", "/usr/bin"];
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path)
            .chain(usual.map(PathBuf::from))
            .map(|folder| folder.join("nginx"))
            .find(|candidate| candidate.is_file())
    }
}

/// nginx's version, as far as the templates depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version(pub(crate) u32, pub(crate) u32, pub(crate) u32);

impl Version {
    /// `proxy_cookie_flags` came with this one (nginx's change log).
    pub(crate) const COOKIE_FLAGS: Self = Self(1, 19, 3);

    /// Reads what `nginx -v` says: `nginx version: nginx/1.22.1 (Ubuntu)`. Nothing if it is not of
    /// that form: builds of other names follow the present versions.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let number = text.split_once('/')?.1.split_whitespace().next()?;
        let mut parts = number.split('.').map(str::parse::<u32>);
        Some(Self(parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?))
    }
}

/// What of the machine shows in the configuration.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    /// The user of the workers; nothing where nginx doesn't start as root and can't choose.
    pub(crate) worker_user: Option<String>,
    /// How many files a worker may have open.
    pub(crate) open_files: u64,
    /// True if IPv6 sockets can be made.
    pub(crate) ipv6: bool,
    /// False before nginx 1.19.3.
    pub(crate) cookie_flags: bool,
}

impl Machine {
    /// How many connections each worker of a managed nginx may have; each takes a file, and one of
    /// an instance takes two.
    pub(crate) fn worker_connections(&self) -> u64 {
        (self.open_files / 2).clamp(256, 8192)
    }
}

/// Enough for a few thousand open websockets per worker, each of which takes two files.
const WANTED_FILES: u64 = 65_536;

impl Machine {
    /// Looks at the machine. Blocking.
    pub(crate) fn look(version: Option<Version>) -> Self {
        let root = std::fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0);
        let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
        Self {
            worker_user: if root { worker_user() } else { None },
            open_files: hard_limit(&limits).unwrap_or(1024).min(WANTED_FILES),
            ipv6: has_ipv6(),
            cookie_flags: version.is_none_or(|version| version >= Version::COOKIE_FLAGS),
        }
    }
}

/// True if IPv6 sockets can be made. Blocking, at once.
pub(crate) fn has_ipv6() -> bool {
    TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).is_ok()
}

/// The hard limit of open files in the words of `/proc/<pid>/limits`.
fn hard_limit(limits: &str) -> Option<u64> {
    let line = limits.lines().find(|line| line.starts_with("Max open files"))?;
    match line.split_whitespace().nth(4)? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

/// The user and group under which the distribution's nginx runs its workers.
fn worker_user() -> Option<String> {
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    let groups = std::fs::read_to_string("/etc/group").ok()?;
    user_and_group(&users, &groups)
}

fn user_and_group(users: &str, groups: &str) -> Option<String> {
    // Debian's, then Red Hat's and nginx.org's, then the one that every Unix has.
    ["www-data", "nginx", "nobody"].into_iter().find_map(|user| {
        let gid = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let gid =
            gid.filter(|fields| fields.first() == Some(&user)).find_map(|f| f.get(3).copied())?;
        let group = groups.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let group =
            group.filter(|fields| fields.get(2) == Some(&gid)).find_map(|f| f.first().copied())?;
        Some(format!("{user} {group}"))
    })
}

/// True if files can be made in `folder`. Blocking.
pub(crate) fn writable(folder: &Path) -> bool {
    tempfile::NamedTempFile::new_in(folder).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_the_distributions_are_read() {
        assert_eq!(Version::parse("nginx version: nginx/1.22.1\n"), Some(Version(1, 22, 1)));
        assert_eq!(Version::parse("nginx version: nginx/1.18.0 (Ubuntu)"), Some(Version(1, 18, 0)));
        assert_eq!(Version::parse("nginx version: openresty/1.25.3.1"), Some(Version(1, 25, 3)));
        assert_eq!(Version::parse("something else"), None);
    }

    #[test]
    fn workers_run_as_the_distributions_user() {
        let users = "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n";
        let groups = "root:x:0:\nnogroup:x:65534:\nwww-data:x:33:\n";
        assert_eq!(user_and_group(users, groups).as_deref(), Some("nobody nogroup"));
        let users = format!("{users}www-data:x:33:33::/var/www:/bin/false\n");
        assert_eq!(user_and_group(&users, groups).as_deref(), Some("www-data www-data"));
    }

    #[test]
    fn the_hard_limit_of_open_files_is_found() {
        let text = "Limit  Soft Limit  Hard Limit  Units\nMax open files   1024   524288   files\n";
        assert_eq!(hard_limit(text), Some(524_288));
    }
}
