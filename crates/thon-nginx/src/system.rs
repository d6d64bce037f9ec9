//! The machine's own nginx: a file in `sites-available`, its symlink, and a reload.
//!
//! For: putting our site in, taking it out, and giving back what had to make room for it.
//! Not for: the rest of the administrator's configuration, which is read and never written.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::process::Signal;
use thon_core::doctor::ConnectionFacts;
use thon_core::endpoint::Port;
use thon_core::proxy::ProxyChange;
use tokio::process::Command;

use crate::error::NginxError;
use crate::files::{self, RemovedLink, SystemChanges};
use crate::managed;
use crate::process::{Master, Program, still_serving};
use crate::scan;
use crate::settings::{NginxSettings, writable};
use crate::site::{Rendered, SHUTDOWN_TIMEOUT};
use crate::turn::{self, Before, Turn, blocking};

/// The mode's name.
pub(crate) const MODE: &str = "system";

/// The pid file of Debian's and Ubuntu's nginx, where `nginx.conf` doesn't name one.
const USUAL_PID: &str = "/run/nginx.pid";

/// The directive without which nginx takes no name of more than about fifty characters; it may be
/// said once.
const NAMES_HASH: &str = "server_names_hash_bucket_size";

/// What the system's main configuration says. Blocking to make.
#[derive(Debug, Clone)]
struct Main {
    path: PathBuf,
    text: String,
}

impl Main {
    fn read(settings: &NginxSettings) -> Result<Self, NginxError> {
        let path = settings.system_conf.join("nginx.conf");
        let text = fs::read_to_string(&path).map_err(NginxError::io("reading", &path))?;
        Ok(Self { path, text })
    }

    fn master(&self) -> Option<Master> {
        let pid = scan::argument(&self.text, "pid").unwrap_or_else(|| USUAL_PID.to_owned());
        Master::system(Path::new(&pid))
    }

    /// Where nginx logs; a path that can't be read is only a log without news.
    fn log(&self) -> PathBuf {
        let log = scan::argument(&self.text, "error_log");
        log.map_or_else(|| PathBuf::from("/var/log/nginx/error.log"), PathBuf::from)
    }
}

/// How many connections the system's nginx can hold, as far as its main file says; the words for
/// what it doesn't say are nginx's own defaults. Blocking.
pub(crate) fn connections(settings: &NginxSettings, cores: u64) -> Option<ConnectionFacts> {
    let main = Main::read(settings).ok()?;
    let number = |name| scan::argument(&main.text, name).and_then(|value| value.parse().ok());
    let workers = match scan::argument(&main.text, "worker_processes").as_deref() {
        Some("auto") => cores,
        Some(text) => text.parse().unwrap_or(1),
        None => 1,
    };
    let per_worker: u64 = number("worker_connections").unwrap_or(512);
    let files = number("worker_rlimit_nofile").unwrap_or(u64::MAX);
    let set_in = main.path.display().to_string();
    Some(ConnectionFacts { workers, per_worker: per_worker.min(files), set_in })
}

/// What the system's nginx says against its configuration; nothing where it accepts it.
pub(crate) async fn refusal(settings: &NginxSettings) -> Result<Option<String>, NginxError> {
    let main = Main::read(settings)?;
    Ok(check(&turn::program(settings)?, &main).await?.err())
}

/// The system's master, if it runs. Blocking.
pub(crate) fn running(settings: &NginxSettings) -> Option<Master> {
    Main::read(settings).ok()?.master()
}

/// True where the system's nginx runs and this user may give it a site. Blocking.
pub(crate) fn usable(settings: &NginxSettings) -> bool {
    Main::read(settings).is_ok_and(|main| {
        scan::includes(&main.text, "sites-enabled")
            && main.master().is_some()
            && writable(&settings.system_conf.join("sites-available"))
            && writable(&settings.system_conf.join("sites-enabled"))
    })
}

/// What has to change in the system's configuration beside our own file.
#[derive(Debug, Clone)]
struct Surroundings {
    /// True where nobody else claims the requests for unknown names.
    default_http: bool,
    default_https: bool,
    /// True where nobody else says how long the names of servers may be.
    names_hash: bool,
    /// The distribution's default site, where it is in our way.
    default_site: Option<RemovedLink>,
    /// Our file for the main context, where the directive in it isn't set elsewhere.
    main_file: Option<PathBuf>,
}

impl Surroundings {
    fn look(settings: &NginxSettings, main: &Main, ports: [Port; 2]) -> Result<Self, NginxError> {
        let ports = ports.map(Port::get);
        let default_site = default_site(settings, ports);
        let enabled = settings.system_conf.join("sites-enabled");
        let mut claimed = scan::default_ports(&main.text);
        let mut names_hash = scan::argument(&main.text, NAMES_HASH).is_none();
        for (path, text) in
            texts(&enabled)?.into_iter().chain(texts(&settings.system_conf.join("conf.d"))?)
        {
            let replaced = default_site.as_ref().is_some_and(|site| site.link == path);
            if !replaced && path != settings.enabled() {
                names_hash &= scan::argument(&text, NAMES_HASH).is_none();
                claimed.extend(scan::default_ports(&text));
            }
        }
        let modules = settings.system_conf.join("modules-enabled");
        let ours = modules.join(format!("99-{}.conf", settings.site_name()));
        let name = "worker_shutdown_timeout";
        let mut set = scan::argument(&main.text, name).is_some();
        for (path, text) in texts(&modules)? {
            set |= path != ours && scan::argument(&text, name).is_some();
        }
        let possible = modules.is_dir() && scan::includes(&main.text, "modules-enabled");
        Ok(Self {
            default_http: !claimed.contains(&ports[0]),
            default_https: !claimed.contains(&ports[1]),
            names_hash,
            default_site,
            main_file: (possible && !set).then_some(ours),
        })
    }
}

/// The distribution's default site, if it answers for unknown names on one of `ports`.
fn default_site(settings: &NginxSettings, ports: [u16; 2]) -> Option<RemovedLink> {
    let link = settings.system_conf.join("sites-enabled").join("default");
    let target = fs::read_link(&link).ok()?;
    let text = fs::read_to_string(&link).ok()?;
    let in_the_way = scan::default_ports(&text).iter().any(|port| ports.contains(port));
    (in_the_way && scan::is_distribution_default(&text)).then_some(RemovedLink { link, target })
}

/// The files of a folder that nginx would include; none if there is no such folder.
fn texts(folder: &Path) -> Result<Vec<(PathBuf, String)>, NginxError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(NginxError::io("reading", folder))?,
    };
    let paths = entries.flatten().map(|entry| entry.path());
    // What can't be read as text claims nothing; whether nginx can read it, its own test tells.
    Ok(paths.filter_map(|path| fs::read_to_string(&path).ok().map(|text| (path, text))).collect())
}

/// Something at a path, to be put back.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    Absent,
    Link(PathBuf),
    File(Vec<u8>),
}

impl Entry {
    fn read(path: &Path) -> Result<Self, NginxError> {
        if let Ok(target) = fs::read_link(path) {
            return Ok(Self::Link(target));
        }
        Ok(files::read(path)?.map_or(Self::Absent, Self::File))
    }

    /// Makes `path` be this; does nothing where it is already.
    fn put(&self, path: &Path) -> Result<(), NginxError> {
        if Self::read(path)? == *self {
            return Ok(());
        }
        match self {
            Self::Absent => files::remove(path),
            Self::Link(target) => files::symlink(path, target),
            Self::File(bytes) => files::write(path, bytes, 0o644),
        }
    }
}

/// Paths and what shall be there.
type Entries = Vec<(PathBuf, Entry)>;

fn put_all(entries: &Entries) -> Result<(), NginxError> {
    entries.iter().try_for_each(|(path, entry)| entry.put(path))
}

fn present(entries: &Entries) -> Result<Entries, NginxError> {
    entries.iter().map(|(path, _)| Ok((path.clone(), Entry::read(path)?))).collect()
}

/// Where the site that was applied last is kept: what to go back to when a run was killed between
/// placing a file and testing it.
fn kept_site(home: &Path) -> PathBuf {
    home.join("applied-site.conf")
}

/// What shall be in the system's configuration.
fn wanted(settings: &NginxSettings, text: &str, around: &Surroundings) -> Entries {
    let mut entries = vec![
        (settings.available(), Entry::File(text.as_bytes().to_vec())),
        (settings.enabled(), Entry::Link(settings.available())),
    ];
    if let Some(path) = &around.main_file {
        let text = format!(
            "# Written by THON for the node {}. A reload leaves old workers to the sockets they\n\
             # hold, so that no editor is cut off, and closes them after this time.\n\
             worker_shutdown_timeout {SHUTDOWN_TIMEOUT};\n",
            settings.node
        );
        entries.push((path.clone(), Entry::File(text.into_bytes())));
    }
    if let Some(site) = &around.default_site {
        entries.push((site.link.clone(), Entry::Absent));
    }
    entries
}

/// What to go back to if nginx refuses `wanted`.
fn fallback(settings: &NginxSettings, wanted: &Entries) -> Result<Entries, NginxError> {
    let mut before = present(wanted)?;
    let untested = before.first() == wanted.first();
    if untested {
        // A run that was killed placed this very file; what nginx serves is what was kept.
        let kept = files::read(&kept_site(&settings.home))?;
        let known = kept.is_some();
        before[0].1 = kept.map_or(Entry::Absent, Entry::File);
        if !known {
            before[1].1 = Entry::Absent;
        }
    }
    Ok(before)
}

/// Makes the system's nginx serve the site.
pub(crate) async fn apply(turn: &Turn) -> Result<ProxyChange, NginxError> {
    let settings = Arc::clone(&turn.settings);
    let ports = [turn.site.http_port, turn.site.https_port];
    let (main, around) = blocking(move || {
        let main = Main::read(&settings)?;
        let around = Surroundings::look(&settings, &main, ports)?;
        Ok((main, around))
    })
    .await?;
    let rendered =
        turn.render_system(around.default_http, around.default_https, around.names_hash).await?;
    let wanted = Arc::new(wanted(&turn.settings, &rendered.text, &around));

    let (settings, look, entries) = (Arc::clone(&turn.settings), main.clone(), Arc::clone(&wanted));
    let (master, ours, same) = blocking(move || {
        let master = look.master();
        let ours = managed::running(&settings);
        Ok((master, ours, present(&entries)? == *entries))
    })
    .await?;
    if same && master.is_some() && turn.served().await.as_ref() == Some(&rendered.generation) {
        turn.note(MODE, &rendered.generation, 0).await?;
        return Ok(ProxyChange::Unchanged);
    }
    let holders = master.iter().chain(ours.iter()).map(|master| master.pid).collect();
    turn.look_at_ports(holders, Some(rendered.text.clone())).await?;

    let before = place(turn, &around, &wanted).await?;
    if let Err(error) = test(turn, &main, &rendered).await {
        return Err(go_back(turn, &main, before, error).await);
    }
    // The mode was changed: our own process makes room at the last moment.
    if ours.is_some() {
        managed::cleanup(&turn.settings).await?;
    }
    let started = master.is_none();
    if let Err(error) = activate(turn, &main, master, &rendered).await {
        let (settings, look) = (Arc::clone(&turn.settings), main.clone());
        blocking(move || {
            undo(&settings, &before)?;
            // nginx may have taken over what then didn't answer.
            look.master().map_or(Ok(false), |master| master.signal(Signal::HUP)).map(drop)
        })
        .await?;
        return Err(error);
    }
    let kept = kept_site(&turn.settings.home);
    let text = rendered.text.clone();
    blocking(move || files::write(&kept, text.as_bytes(), 0o600)).await?;
    turn.note(MODE, &rendered.generation, u64::from(!started)).await?;
    Ok(if started { ProxyChange::Started } else { ProxyChange::Reloaded })
}

/// Puts everything in place and returns what was there; puts it back if that doesn't go through.
async fn place(
    turn: &Turn,
    around: &Surroundings,
    wanted: &Arc<Entries>,
) -> Result<Entries, NginxError> {
    let (settings, around, wanted) =
        (Arc::clone(&turn.settings), around.clone(), Arc::clone(wanted));
    blocking(move || {
        let before = fallback(&settings, &wanted)?;
        let path = files::changes_path(&settings.home);
        let mut changes: SystemChanges = files::load(&path)?.unwrap_or_default();
        // An earlier run's record stays: what it removed is still to be given back.
        changes.default_site = around.default_site.or(changes.default_site);
        changes.main_file = around.main_file.or(changes.main_file);
        files::save(&path, &changes)?;
        if let Err(error) = put_all(&wanted) {
            undo(&settings, &before)?;
            return Err(error);
        }
        Ok(before)
    })
    .await
}

/// Puts back what was there; the record of changes stays for what earlier runs changed.
fn undo(settings: &NginxSettings, before: &Entries) -> Result<(), NginxError> {
    put_all(before)?;
    let nothing_of_ours =
        !settings.available().exists() && files::read(&kept_site(&settings.home))?.is_none();
    if nothing_of_ours { files::remove(&files::changes_path(&settings.home)) } else { Ok(()) }
}

async fn check(program: &Program, main: &Main) -> Result<Result<(), String>, NginxError> {
    let said = program.run([Path::new("-t"), Path::new("-q"), Path::new("-c"), &main.path]).await?;
    Ok(if said.ok { Ok(()) } else { Err(said.line(None)) })
}

/// Has nginx test what is in place; what it refuses is kept aside.
async fn test(turn: &Turn, main: &Main, rendered: &Rendered) -> Result<(), NginxError> {
    let Err(line) = check(&turn.program, main).await? else { return Ok(()) };
    let kept = turn.settings.home.join("site.conf.rejected");
    let (path, text) = (kept.clone(), rendered.text.clone());
    blocking(move || files::write(&path, text.as_bytes(), 0o600)).await?;
    Err(NginxError::Rejected { line, kept })
}

/// Undoes what was placed, and finds out whose fault `error` is: nginx may refuse what was there
/// before as well.
async fn go_back(turn: &Turn, main: &Main, before: Entries, error: NginxError) -> NginxError {
    let settings = Arc::clone(&turn.settings);
    if let Err(error) = blocking(move || undo(&settings, &before)).await {
        return error;
    }
    match check(&turn.program, main).await {
        Ok(Err(line)) => NginxError::BrokenBefore { line, conf: turn.settings.system_conf.clone() },
        Ok(Ok(())) => error,
        Err(other) => other,
    }
}

async fn activate(
    turn: &Turn,
    main: &Main,
    master: Option<Master>,
    rendered: &Rendered,
) -> Result<(), NginxError> {
    let log = main.log();
    let signalled = master.clone();
    let before = blocking(move || {
        let before = Before::look(signalled.as_ref(), &log);
        if let Some(master) = signalled {
            master.signal(Signal::HUP)?;
        }
        Ok(before)
    })
    .await?;
    if master.is_none() {
        start(turn, main).await?;
    }
    turn.wait_until_served(&rendered.generation, &before, move || {
        master.as_ref().is_none_or(Master::alive)
    })
    .await
}

/// Starts the system's nginx as the system does.
async fn start(turn: &Turn, main: &Main) -> Result<(), NginxError> {
    let service = Path::new("/run/systemd/system").is_dir()
        && turn.settings.system_conf == Path::new("/etc/nginx");
    let (ok, line) = if service {
        let output = Command::new("systemctl").args(["start", "nginx"]).output().await;
        let output = output.map_err(|source| NginxError::Io {
            tried: "running systemctl start nginx".to_owned(),
            source,
        })?;
        (output.status.success(), String::from_utf8_lossy(&output.stderr).trim().to_owned())
    } else {
        let said = turn.program.run([Path::new("-c"), &main.path]).await?;
        (said.ok, said.line(None))
    };
    if ok { Ok(()) } else { Err(NginxError::NotStarted { line, log: main.log() }) }
}

/// True if something of ours is in the system's configuration. Blocking.
pub(crate) fn has_changes(settings: &NginxSettings) -> Result<bool, NginxError> {
    Ok(files::read(&files::changes_path(&settings.home))?.is_some())
}

/// Takes our site out again and gives back what made room for it.
pub(crate) async fn cleanup(settings: &Arc<NginxSettings>) -> Result<(), NginxError> {
    let remove = Arc::clone(settings);
    let main = blocking(move || {
        let path = files::changes_path(&remove.home);
        let changes: SystemChanges = files::load(&path)?.unwrap_or_default();
        let mut entries =
            vec![(remove.enabled(), Entry::Absent), (remove.available(), Entry::Absent)];
        entries.extend(changes.main_file.map(|path| (path, Entry::Absent)));
        if let Some(RemovedLink { link, target }) = changes.default_site {
            // Something else in its place is someone's decision.
            if Entry::read(&link)? == Entry::Absent {
                entries.push((link, Entry::Link(target)));
            }
        }
        put_all(&entries)?;
        files::remove(&path)?;
        files::remove(&kept_site(&remove.home))?;
        files::remove(&remove.home.join("site.conf.rejected"))?;
        Main::read(&remove)
    })
    .await?;
    let look = main.clone();
    let Some(master) = blocking(move || Ok(look.master())).await? else { return Ok(()) };
    if let Err(line) = check(&turn::program(settings)?, &main).await? {
        return Err(NginxError::NotReloaded { line, log: main.path });
    }
    let workers = blocking(move || {
        let workers = master.workers();
        master.signal(Signal::HUP)?;
        Ok(workers)
    })
    .await?;
    managed::gone(managed::TERM_GRACE, move || !still_serving(&workers)).await?;
    Ok(())
}
