//! nginx's processes: running the program, finding its master, signalling it and nobody else.
//!
//! For: what is asked of the operating system about processes and ports.
//! Not for: what the configuration says, and when to do what.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};
use thon_core::endpoint::Port;
use tokio::process::Command;

use crate::error::NginxError;
use crate::settings::{Version, has_ipv6};

/// How long nginx may take to read a configuration; ten thousand routes take about two seconds on
/// two busy cores.
const COMMAND_TIMEOUT: Duration = Duration::from_mins(1);

/// The program.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    /// Its path.
    pub(crate) path: PathBuf,
}

/// What nginx said and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    /// True if it ended with 0.
    pub(crate) ok: bool,
    /// Its standard error, where it says everything.
    pub(crate) text: String,
}

impl Program {
    /// Runs nginx with `arguments` until it ends.
    pub(crate) async fn run<I>(&self, arguments: I) -> Result<Said, NginxError>
    where
        I: IntoIterator,
        I::Item: AsRef<std::ffi::OsStr>,
    {
        let mut command = Command::new(&self.path);
        // A managed nginx outlives us by days: it gets nothing of our environment, where passwords
        // and keys may be, save what programs need.
        command.args(arguments).env_clear().current_dir("/").kill_on_drop(true);
        command
            .env("LC_ALL", "C")
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let tried = format!("running {}", self.path.display());
        let output = tokio::time::timeout(COMMAND_TIMEOUT, command.output()).await;
        let output = output
            .map_err(|_| NginxError::TimedOut {
                tried: tried.clone(),
                seconds: COMMAND_TIMEOUT.as_secs(),
            })?
            .map_err(|source| NginxError::Io { tried, source })?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        Ok(Said { ok: output.status.success(), text })
    }

    /// The program's version, where it tells one.
    pub(crate) async fn version(&self) -> Result<Option<Version>, NginxError> {
        Ok(Version::parse(&self.run(["-v"]).await?.text))
    }
}

impl Said {
    /// nginx's own first line of a fatal error, without its name, its time and `noise`, a path that
    /// only we know.
    pub(crate) fn line(&self, noise: Option<&Path>) -> String {
        fatal_line(&self.text, noise).unwrap_or_else(|| {
            let line = self.text.lines().next_back().unwrap_or_default();
            if line.is_empty() { "it gave no reason".to_owned() } else { line.to_owned() }
        })
    }
}

/// The first `[emerg]` of a text, from standard error or from an error log.
pub(crate) fn fatal_line(text: &str, noise: Option<&Path>) -> Option<String> {
    let line = text.lines().find_map(|line| Some(line.split_once("[emerg] ")?.1))?;
    // In an error log the process stands in front: `1234#1234: `.
    let line = match line.split_once(": ") {
        Some((process, rest)) if process.bytes().all(|b| b.is_ascii_digit() || b == b'#') => rest,
        _ => line,
    };
    let line = line.trim();
    let Some(noise) = noise else { return Some(line.to_owned()) };
    let place = format!(" in {}:", noise.display());
    Some(match line.split_once(&place) {
        Some((line, number)) => format!("{line} (line {number})"),
        None => line.to_owned(),
    })
}

/// The port and the reason's number of `bind() to 0.0.0.0:443 failed (98: Address already in use)`.
pub(crate) fn bind_failure(line: &str) -> Option<(u16, u32)> {
    let (address, reason) = line.strip_prefix("bind() to ")?.split_once(" failed (")?;
    let port = address.rsplit_once(':')?.1.parse().ok()?;
    Some((port, reason.split_once(':')?.0.parse().ok()?))
}

/// A process that was recognized as the one we mean. Blocking, all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Master {
    /// Its id.
    pub(crate) pid: u32,
    /// What its title must hold, so that a recycled id is never taken for it.
    mark: String,
}

impl Master {
    /// The master of the prefix `home`, if it runs. Found by its title where the pid file is gone or
    /// was never filled, as on a full disk: nginx goes on without it.
    pub(crate) fn managed(pid_file: &Path, home: &Path) -> Option<Self> {
        let mark = format!(" -p {} ", home.display());
        Self::find(pid_file, mark.clone()).or_else(|| {
            let mut found = processes().map(|pid| Self { pid, mark: mark.clone() });
            found.find(Self::alive)
        })
    }

    /// The master that wrote `pid_file`, if it runs.
    pub(crate) fn system(pid_file: &Path) -> Option<Self> {
        Self::find(pid_file, String::new())
    }

    fn find(pid_file: &Path, mark: String) -> Option<Self> {
        let pid = fs::read_to_string(pid_file).ok()?.trim().parse().ok()?;
        let master = Self { pid, mark };
        master.alive().then_some(master)
    }

    /// True while the process runs and is the one we mean.
    pub(crate) fn alive(&self) -> bool {
        is_master(&title(self.pid), &self.mark) && is_trusted(&status(self.pid), own_id())
    }

    /// Sends a signal; false if the process is gone.
    pub(crate) fn signal(&self, signal: Signal) -> Result<bool, NginxError> {
        signal_if(self.pid, signal, || self.alive())
    }

    /// The worker processes that serve, without those that only finish what they began.
    pub(crate) fn workers(&self) -> Vec<u32> {
        processes().filter(|pid| parent(*pid) == Some(self.pid) && serves(&title(*pid))).collect()
    }
}

/// True of a worker's title while the worker accepts connections.
fn serves(title: &str) -> bool {
    title.starts_with("nginx: worker process") && !title.contains("shutting down")
}

fn is_master(title: &str, mark: &str) -> bool {
    title.starts_with("nginx: master process") && title.contains(mark)
}

/// Those of `workers` that still accept connections.
pub(crate) fn still_serving(workers: &[u32]) -> bool {
    workers.iter().any(|pid| serves(&title(*pid)))
}

/// Signals `pid` if it is the one that `recognized` means; through a descriptor, so that the id
/// can't change hands in between.
fn signal_if(pid: u32, signal: Signal, recognized: impl Fn() -> bool) -> Result<bool, NginxError> {
    let Some(target) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(false) };
    let sent = match pidfd_open(target, PidfdFlags::empty()) {
        Ok(descriptor) if recognized() => pidfd_send_signal(&descriptor, signal),
        // Linux before 5.3, or a sandbox that forbids descriptors of processes.
        Err(rustix::io::Errno::NOSYS | rustix::io::Errno::PERM) if recognized() => {
            kill_process(target, signal)
        }
        _ => return Ok(false),
    };
    match sent {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::SRCH) => Ok(false),
        Err(error) => Err(NginxError::Io {
            tried: format!("signalling nginx's process {pid}"),
            source: io::Error::from(error),
        }),
    }
}

/// Workers of the prefix `home` whose master died without them: they hold its ports and serve what
/// it served. Known by the log that they hold open.
pub(crate) fn orphans(home: &Path) -> Vec<u32> {
    let logs = home.join("logs");
    let ours = |pid: &u32| {
        serves(&title(*pid))
            && is_of_this_machine(&status(*pid))
            && !parent(*pid).is_some_and(|parent| is_master(&title(parent), ""))
            && open_files(*pid).iter().any(|file| file.starts_with(&logs))
    };
    processes().filter(ours).collect()
}

/// True while a program that was started with the prefix `home` is there, whatever becomes of it.
pub(crate) fn starts(home: &Path) -> bool {
    let prefix = format!(" -p {} ", home.display());
    let we = own_id();
    processes().any(|pid| title(pid).contains(&prefix) && is_trusted(&status(pid), we))
}

/// Asks an orphan to finish what it began; its open sockets live on.
pub(crate) fn release(orphan: u32) -> Result<bool, NginxError> {
    signal_if(orphan, Signal::QUIT, || serves(&title(orphan)))
}

/// The process's title or command line; empty if it is gone.
fn title(pid: u32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let text = bytes.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect::<Vec<_>>();
    // With a space at the end, so that a prefix can be searched as a whole word.
    text.join(" ").trim_end().to_owned() + " "
}

fn own_id() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// What the kernel says of a process to everyone; empty if it is gone.
fn status(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default()
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
}

/// False of a process in a container: a participant may give theirs any title.
fn is_of_this_machine(status: &str) -> bool {
    field(status, "NSpid").is_some_and(|ids| ids.split_whitespace().count() == 1)
}

/// True of a process of this machine that root or the user `we` started: whoever may do that needs
/// no title to mislead us.
fn is_trusted(status: &str, we: u32) -> bool {
    let owner = field(status, "Uid").and_then(|ids| ids.split_whitespace().nth(1)?.parse().ok());
    is_of_this_machine(status) && owner.is_some_and(|owner: u32| owner == 0 || owner == we)
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the name in brackets and may hold anything.
    stat.rsplit_once(") ")?.1.split_whitespace().nth(1)?.parse().ok()
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn open_files(pid: u32) -> Vec<PathBuf> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    entries.filter_map(|entry| fs::read_link(entry.path()).ok()).collect()
}

/// What came of trying to bind a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PortState {
    /// Nobody has it.
    Free,
    /// Something listens on it.
    Taken,
    /// That can't be said: we may not bind it ourselves, but nginx perhaps may.
    Unknown,
}

/// Tries to bind `port` on all addresses, and lets go of it.
pub(crate) fn port_state(port: Port) -> PortState {
    let bound = if has_ipv6() {
        TcpListener::bind((Ipv6Addr::UNSPECIFIED, port.get()))
    } else {
        TcpListener::bind((Ipv4Addr::UNSPECIFIED, port.get()))
    };
    match bound {
        Ok(_) => PortState::Free,
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => PortState::Taken,
        Err(_) => PortState::Unknown,
    }
}

/// Those of `ports` on which others than the processes `ours` listen; `served` is what ours were
/// told to serve.
pub(crate) fn held_by_others(ports: &[Port], ours: &[u32], served: &str) -> BTreeSet<Port> {
    let mut taken: BTreeSet<Port> =
        ports.iter().copied().filter(|port| port_state(*port) == PortState::Taken).collect();
    if taken.is_empty() {
        return taken;
    }
    let files: BTreeSet<PathBuf> = ours.iter().flat_map(|pid| open_files(*pid)).collect();
    let hidden = !ours.is_empty() && files.is_empty();
    let tables = tables();
    taken.retain(|port| {
        // A process with capabilities of its own hides its sockets from its own user.
        if hidden && listens(served, *port) {
            return false;
        }
        let sockets = tables.iter().flat_map(|table| listeners(table));
        let held: Vec<_> = sockets.filter(|(held, _)| *held == port.get()).collect();
        let ours = |inode: &str| files.contains(Path::new(&format!("socket:[{inode}]")));
        // One that is bound and doesn't listen is in no table, and nobody's that we know.
        held.is_empty() || !held.iter().all(|(_, inode)| ours(inode))
    });
    taken
}

/// True if a configuration of ours has a server on `port`.
pub(crate) fn listens(text: &str, port: Port) -> bool {
    text.contains(&format!(" listen {port} ")) || text.contains(&format!(" listen {port};"))
}

/// The ports that something listens on, on whichever address.
pub(crate) fn listening_ports() -> BTreeSet<u16> {
    tables().iter().flat_map(|table| listeners(table)).map(|(port, _)| port).collect()
}

/// The kernel's tables of TCP sockets.
fn tables() -> Vec<String> {
    let files = ["/proc/net/tcp", "/proc/net/tcp6"];
    files.iter().filter_map(|table| fs::read_to_string(table).ok()).collect()
}

/// The processes that listen on `port`, as far as this user may see them.
pub(crate) fn holders(port: Port) -> Vec<u32> {
    let tables = tables();
    let sockets: Vec<String> = tables
        .iter()
        .flat_map(|table| listeners(table))
        .filter(|(held, _)| *held == port.get())
        .map(|(_, inode)| format!("socket:[{inode}]"))
        .collect();
    if sockets.is_empty() {
        return Vec::new();
    }
    let holds = |pid: &u32| {
        let files = open_files(*pid);
        files.iter().any(|file| sockets.iter().any(|socket| file.as_os_str() == socket.as_str()))
    };
    processes().filter(holds).collect()
}

/// The sockets of a kernel table that listen: port and inode.
fn listeners(table: &str) -> impl Iterator<Item = (u16, &str)> {
    // proc(5): local address in field 1, state in field 3 (0A is LISTEN), inode in field 9.
    let lines = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    lines.filter(|fields| fields.get(3) == Some(&"0A")).filter_map(|fields| {
        let (_, port) = fields.get(1)?.rsplit_once(':')?;
        Some((u16::from_str_radix(port, 16).ok()?, *fields.get(9)?))
    })
}

/// A process as an error names it: `python3 (process 4711)`.
pub(crate) fn describe(holders: &[u32]) -> String {
    let Some(pid) = holders.first() else { return "another program".to_owned() };
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    match name.trim() {
        "" => "another program".to_owned(),
        name => format!("{name} (process {pid})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fatal_line_loses_its_trimmings() {
        let stderr = "nginx: [warn] something\nnginx: [emerg] unknown directive \"lissten\" in \
                      /h/candidate.conf:7\nnginx: configuration file /h/candidate.conf test failed\n";
        assert_eq!(
            fatal_line(stderr, Some(Path::new("/h/candidate.conf"))).unwrap(),
            "unknown directive \"lissten\" (line 7)"
        );
        let log =
            "2026/01/01 00:00:00 [emerg] 12#12: bind() to [::]:443 failed (98: Address in use)";
        assert_eq!(
            fatal_line(log, None).unwrap(),
            "bind() to [::]:443 failed (98: Address in use)"
        );
        assert_eq!(fatal_line("nginx: [warn] nothing fatal", None), None);
    }

    #[test]
    fn a_port_that_may_not_be_bound_is_told_from_one_that_is_taken() {
        let denied = "bind() to 0.0.0.0:443 failed (13: Permission denied)";
        assert_eq!(bind_failure(denied), Some((443, 13)));
        let taken = "bind() to [::]:8443 failed (98: Address already in use)";
        assert_eq!(bind_failure(taken), Some((8443, 98)));
        assert_eq!(bind_failure("host not found in upstream"), None);
    }

    #[test]
    fn a_recycled_process_id_is_not_taken_for_nginx() {
        let folder = tempfile::tempdir().unwrap();
        let pid_file = folder.path().join("nginx.pid");
        fs::write(&pid_file, std::process::id().to_string()).unwrap();
        assert_eq!(Master::managed(&pid_file, folder.path()), None);
        fs::write(&pid_file, "").unwrap();
        assert_eq!(Master::managed(&pid_file, folder.path()), None);
        assert_eq!(Master::managed(&folder.path().join("none"), folder.path()), None);
    }

    #[test]
    fn only_the_master_of_our_own_prefix_is_ours() {
        let title = "nginx: master process /usr/sbin/nginx -p /home/a/.thon/nginx -c x ";
        assert!(is_master(title, " -p /home/a/.thon/nginx "));
        assert!(!is_master(title, " -p /home/a/.thon/ngin "));
        assert!(!is_master("vim -p /home/a/.thon/nginx ", " -p /home/a/.thon/nginx "));
    }

    #[test]
    fn a_title_is_believed_of_root_and_of_ourselves_and_of_nobody_in_a_container() {
        let of =
            |uid: u32, ids: &str| format!("Name:\tnginx\nUid:\t9\t{uid}\t9\t9\nNSpid:\t{ids}\n");
        assert!(is_trusted(&of(0, "4711"), 1000) && is_trusted(&of(1000, "4711"), 1000));
        assert!(!is_trusted(&of(1001, "4711"), 1000));
        assert!(!is_trusted(&of(0, "4711\t12"), 1000) && !is_of_this_machine(&of(33, "4711\t12")));
        assert!(is_of_this_machine(&of(33, "4711")));
        assert!(!is_trusted("", 0));
        assert!(is_trusted(&status(std::process::id()), own_id()));
    }

    #[test]
    fn a_signal_to_someone_who_is_not_meant_is_not_sent() {
        // TERM to this very process would end the test.
        assert!(!signal_if(std::process::id(), Signal::TERM, || false).unwrap());
    }

    #[test]
    fn the_holder_of_a_port_is_found() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = Port::new(u32::from(listener.local_addr().unwrap().port())).unwrap();
        assert_eq!(port_state(port), PortState::Taken);
        assert_eq!(holders(port), [std::process::id()]);
        assert!(listening_ports().contains(&port.get()));
        let others = |ours: &[u32]| held_by_others(&[port], ours, "");
        assert_eq!(others(&[]), BTreeSet::from([port]));
        assert_eq!(others(&[std::process::id()]), BTreeSet::new());
        assert!(describe(&holders(port)).contains(&std::process::id().to_string()));
    }
}
