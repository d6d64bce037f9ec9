//! An nginx process of our own: its prefix, its pid file, its logs.
//!
//! For: starting, reloading and stopping it. Not for: the system's nginx.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use thon_core::proxy::ProxyChange;
use tokio::time::Instant;

use crate::error::NginxError;
use crate::files;
use crate::process::{self, Master};
use crate::settings::NginxSettings;
use crate::site::Rendered;
use crate::turn::{self, Before, Turn, blocking};

/// The mode's name.
pub(crate) const MODE: &str = "managed";

/// How long open sockets may go on when nginx is stopped for good.
const QUIT_GRACE: Duration = Duration::from_secs(3);
/// How long nginx may take to be gone once it was told to drop everything.
pub(crate) const TERM_GRACE: Duration = Duration::from_secs(10);
/// The error log is set aside when it is larger: a day of bad news is kept, not a disk of it.
const LARGEST_LOG: u64 = 10 * 1024 * 1024;

/// Makes our nginx serve the site.
pub(crate) async fn apply(turn: &Turn) -> Result<ProxyChange, NginxError> {
    let settings = Arc::clone(&turn.settings);
    let rendered = turn.render_managed().await?;
    let (master, present, orphans) = blocking(move || {
        make_folders(&settings.home)?;
        let master = running(&settings);
        let orphans = if master.is_none() { process::orphans(&settings.home) } else { Vec::new() };
        Ok((master, files::read(&settings.managed_conf())?, orphans))
    })
    .await?;
    let present = present.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    if master.is_some()
        && present.as_ref() == Some(&rendered.text)
        && turn.served().await.as_ref() == Some(&rendered.generation)
    {
        turn.note(MODE, &rendered.generation, 0).await?;
        return Ok(ProxyChange::Unchanged);
    }
    let ours = master.iter().map(|master| master.pid).chain(orphans.iter().copied()).collect();
    turn.look_at_ports(ours, present.clone()).await?;
    test(turn, &rendered).await?;
    let change = if let Some(master) = master {
        reload(turn, &rendered, master, present).await?;
        ProxyChange::Reloaded
    } else {
        stop_orphans(&turn.settings, orphans).await?;
        start(turn, &rendered).await?;
        ProxyChange::Started
    };
    turn.note(MODE, &rendered.generation, u64::from(change == ProxyChange::Reloaded)).await?;
    Ok(change)
}

/// Our master, if it runs. Blocking.
pub(crate) fn running(settings: &NginxSettings) -> Option<Master> {
    Master::managed(&settings.managed_pid(), &settings.home)
}

/// What nginx says against the configuration that is there; nothing where it accepts it or there is
/// none.
pub(crate) async fn refusal(settings: &NginxSettings) -> Result<Option<String>, NginxError> {
    let conf = settings.managed_conf();
    if !conf.is_file() {
        return Ok(None);
    }
    let (flags, prefix) = ([Path::new("-t"), Path::new("-q")], Path::new("-p"));
    let arguments = [flags[0], flags[1], prefix, &settings.home, Path::new("-c"), &conf];
    let said = turn::program(settings)?.run(arguments).await?;
    Ok((!said.ok).then(|| said.line(Some(&conf))))
}

fn make_folders(home: &Path) -> Result<(), NginxError> {
    files::private_folder(home)?;
    files::private_folder(&home.join("logs"))?;
    files::private_folder(&home.join("temp"))
}

/// Has nginx test the new configuration, and puts it in place if it passes.
async fn test(turn: &Turn, rendered: &Rendered) -> Result<(), NginxError> {
    let home = turn.settings.home.clone();
    let candidate = home.join("nginx.conf.candidate");
    let text = rendered.text.clone();
    let path = candidate.clone();
    blocking(move || files::write(&path, text.as_bytes(), 0o600)).await?;
    let said = turn
        .program
        .run([
            Path::new("-t"),
            Path::new("-q"),
            Path::new("-p"),
            &home,
            Path::new("-c"),
            &candidate,
        ])
        .await?;
    let line = (!said.ok).then(|| said.line(Some(&candidate)));
    let place = turn.settings.managed_conf();
    blocking(move || {
        let Some(line) = line else {
            return fs::rename(&candidate, &place).map_err(NginxError::io("writing", &place));
        };
        if let Some(error) = port_trouble(&line) {
            files::remove(&candidate)?;
            return Err(error);
        }
        let kept = home.join("nginx.conf.rejected");
        fs::rename(&candidate, &kept).map_err(NginxError::io("keeping", &kept))?;
        Err(NginxError::Rejected { line, kept })
    })
    .await
}

/// nginx's words about a port as an error of ours.
fn port_trouble(line: &str) -> Option<NginxError> {
    /// `EADDRINUSE` on Linux.
    const IN_USE: u32 = 98;
    /// `EACCES` on Linux.
    const DENIED: u32 = 13;
    match process::bind_failure(line)? {
        (port, IN_USE) => {
            let port = thon_core::endpoint::Port::new(u32::from(port)).ok()?;
            let holder = process::describe(&process::holders(port));
            Some(NginxError::PortTaken { port, holder })
        }
        (port, DENIED) => Some(NginxError::PortDenied { port, line: line.to_owned() }),
        _ => None,
    }
}

async fn reload(
    turn: &Turn,
    rendered: &Rendered,
    master: Master,
    present: Option<String>,
) -> Result<(), NginxError> {
    let log = turn.settings.managed_log();
    let (before, watched) = blocking(move || {
        rotate(&log)?;
        let before = Before::look(Some(&master), &log);
        master.signal(Signal::HUP)?;
        Ok((before, master))
    })
    .await?;
    let served =
        turn.wait_until_served(&rendered.generation, &before, move || watched.alive()).await;
    if served.is_err()
        && let Some(text) = present
    {
        // nginx has kept what it served; so does the file, for whoever starts it next.
        let path = turn.settings.managed_conf();
        blocking(move || files::write(&path, text.as_bytes(), 0o600)).await?;
    }
    served
}

async fn start(turn: &Turn, rendered: &Rendered) -> Result<(), NginxError> {
    let settings = Arc::clone(&turn.settings);
    let log = settings.managed_log();
    let conf = settings.managed_conf();
    let before = blocking({
        let log = log.clone();
        move || {
            rotate(&log)?;
            Ok(Before::look(None, &log))
        }
    })
    .await?;
    let said = turn.program.run([Path::new("-p"), &settings.home, Path::new("-c"), &conf]).await?;
    if !said.ok {
        let line = said.line(None);
        return blocking(move || {
            Err(port_trouble(&line).unwrap_or(NginxError::NotStarted { line, log }))
        })
        .await;
    }
    // The program returns before its child has written the pid file, so that a look at the process
    // comes too early; a start that failed has logged why.
    let served = turn.wait_until_served(&rendered.generation, &before, || true).await;
    if served.is_err() {
        // One that gives up, as on a full disk, holds its ports until it is gone; the next attempt
        // would take it for a stranger.
        gone(TERM_GRACE, move || running(&settings).is_some() || !process::starts(&settings.home))
            .await?;
    }
    served
}

/// Sets a large log aside; nginx opens a new one when it reloads or starts.
fn rotate(log: &Path) -> Result<(), NginxError> {
    if fs::metadata(log).is_ok_and(|log| log.len() > LARGEST_LOG) {
        let aside = log.with_extension("log.1");
        fs::rename(log, &aside).map_err(NginxError::io("setting aside", log))?;
    }
    Ok(())
}

/// Stops our nginx, gracefully first. Nobody else's: a recycled process id is recognized.
pub(crate) async fn stop(settings: &Arc<NginxSettings>) -> Result<(), NginxError> {
    let look = Arc::clone(settings);
    let (master, orphans) =
        blocking(move || Ok((running(&look), process::orphans(&look.home)))).await?;
    if let Some(master) = master {
        for (signal, grace) in [(Signal::QUIT, QUIT_GRACE), (Signal::TERM, TERM_GRACE)] {
            let target = master.clone();
            blocking(move || target.signal(signal)).await?;
            let target = master.clone();
            if gone(grace, move || !target.alive()).await? {
                break;
            }
        }
    }
    stop_orphans(settings, orphans).await
}

/// Lets workers without a master finish what they began, and waits until their ports are free.
async fn stop_orphans(settings: &Arc<NginxSettings>, orphans: Vec<u32>) -> Result<(), NginxError> {
    if orphans.is_empty() {
        return Ok(());
    }
    let home = settings.home.clone();
    // Asked again each time: one that was only just forked when its master died is known as a worker
    // only later.
    let released = move || {
        let left = process::orphans(&home);
        for orphan in &left {
            // One that is gone by now needs no asking.
            let _ = process::release(*orphan);
        }
        left.is_empty()
    };
    if gone(TERM_GRACE, released).await? {
        return Ok(());
    }
    let tried = "waiting for workers of an nginx that died".to_owned();
    Err(NginxError::TimedOut { tried, seconds: TERM_GRACE.as_secs() })
}

/// Waits until `condition` holds; false if it doesn't within `grace`.
pub(crate) async fn gone(
    grace: Duration,
    condition: impl Fn() -> bool + Send + Sync + 'static,
) -> Result<bool, NginxError> {
    let condition = Arc::new(condition);
    let deadline = Instant::now() + grace;
    loop {
        let look = Arc::clone(&condition);
        if blocking(move || Ok(look())).await? {
            return Ok(true);
        }
        if Instant::now() > deadline {
            return Ok(false);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Stops our nginx and removes what was generated; the logs stay.
pub(crate) async fn cleanup(settings: &Arc<NginxSettings>) -> Result<(), NginxError> {
    stop(settings).await?;
    let home = settings.home.clone();
    blocking(move || {
        for name in ["nginx.conf", "nginx.conf.candidate", "nginx.conf.rejected", "nginx.pid"] {
            files::remove(&home.join(name))?;
        }
        let temp = home.join("temp");
        match fs::remove_dir_all(&temp) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(NginxError::io("removing", &temp)(error))
            }
            _ => Ok(()),
        }
    })
    .await
}
