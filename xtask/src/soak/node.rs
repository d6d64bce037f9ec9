//! A node of its own for the room, and `thon run` as it is watched.
//!
//! For: running the product, reading what it says with the time at which it says it, and taking
//! everything away in the end, also after a failure.
//! Not for: what is measured besides.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;

use super::{figures, memory};
use crate::shell::{Shell, complain, say};

/// The node's name: always the same, so that what a killed soak left is found and taken away.
const NAME: &str = "soak";
/// Its ports: beside those of the tests, and below those that Linux hands out.
const PORTS: std::ops::RangeInclusive<u16> = 29_000..=29_480;
const HTTPS: u16 = 29_498;
const HTTP: u16 = 29_499;
/// Until a run is given up, besides four seconds for each user.
const PATIENCE: Duration = Duration::from_mins(5);
/// How often progress is said.
const SAY_EVERY: usize = 25;

/// An instance as `thon status` lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Instance {
    pub(super) url: String,
    pub(super) container: String,
    container_id: String,
}

/// What came of one `thon run`.
#[derive(Default)]
pub(super) struct Batch {
    /// Who became healthy, and how long that took from the start of the container.
    pub(super) healthy: BTreeMap<String, Option<Duration>>,
    /// From the command's start until it said so of the last one.
    pub(super) until_healthy: Duration,
    /// From the command's start until it ended, every URL tried through nginx.
    pub(super) until_end: Duration,
    /// Whether it ended well.
    pub(super) succeeded: bool,
    /// Starts that were tried again.
    pub(super) retries: usize,
    /// What it said of failures.
    pub(super) failures: Vec<String>,
    /// The command's own peak, in MiB.
    pub(super) peak_mib: f64,
    /// How often nginx was reloaded.
    pub(super) reloads: u64,
}

/// The node; taken away with everything of it when it is dropped.
pub(super) struct Node<'a> {
    shell: &'a Shell,
    thon: PathBuf,
    home: PathBuf,
    users: std::cell::Cell<u16>,
    /// Held as long as the node is there: two at once would take each other away.
    _lock: File,
}

impl<'a> Node<'a> {
    /// A node for so many users, on which nothing runs yet.
    pub(super) fn new(shell: &'a Shell, users: u16) -> Result<Self, String> {
        let home = shell.logs.join(NAME);
        let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", home.display());
        let lock = File::create(shell.logs.join("soak.lock")).map_err(|error| failed(&error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err("another soak is under way".to_owned()),
            Err(TryLockError::Error(error)) => return Err(failed(&error)),
        }
        std::fs::create_dir_all(&home).map_err(|error| failed(&error))?;
        let thon = shell.root.join("target/release/thon");
        let node = Self { shell, thon, home: home.clone(), users: users.into(), _lock: lock };
        node.set_users(users)?;
        // Of a soak that was killed.
        node.take_away();
        std::fs::create_dir_all(&home).map_err(|error| failed(&error))?;
        node.set_users(users)?;
        // The floor's network and image are there before its clock starts; so are the node's.
        let said = node.command(&["setup", "--yes"]).output().map_err(|error| failed(&error))?;
        if !said.status.success() {
            return Err(format!("thon setup: {}", String::from_utf8_lossy(&said.stderr)));
        }
        Ok(node)
    }

    /// Writes the configuration for so many users.
    pub(super) fn set_users(&self, users: u16) -> Result<(), String> {
        self.users.set(users);
        let names: Vec<String> = (0..users).map(|number| format!("user-{number}")).collect();
        let config = format!(
            "node: {NAME}\nexternal_ip: 127.0.0.1\ngroups:\n  room: [{}]\n\
             sandbox:\n  host_ports: {}-{}\n\
             nginx:\n  mode: managed\n  https_port: {HTTPS}\n  http_port: {HTTP}\n",
            names.join(", "),
            PORTS.start(),
            PORTS.end(),
        );
        let path = self.home.join("thon.yaml");
        std::fs::write(&path, config).map_err(|error| format!("{}: {error}", path.display()))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.thon);
        command
            .args(arguments)
            .env("THON_HOME", &self.home)
            .env_remove("THON_CONFIG")
            .stdin(Stdio::null())
            // Ctrl-C is for this program: it ends the others in order.
            .process_group(0);
        command
    }

    /// `thon run` with these options, to its end; what it says is kept in `soak-NAME.log`.
    pub(super) fn run(&self, name: &str, options: &[&str]) -> Result<Batch, String> {
        let before = self.reloads();
        let mut batch = Batch::default();
        let mut moments = BTreeMap::new();
        let start = Instant::now();
        let mut child = self
            .command(&["run", "--yes"])
            .args(options)
            // Passwords are printed there, and nobody needs them.
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("thon run: {error}"))?;
        let path = self.shell.logs.join(format!("soak-{name}.log"));
        let log = File::create(&path);
        let mut log = log.map_err(|error| format!("{}: {error}", path.display()))?;
        let lines = lines_of(&mut child);
        let limit = PATIENCE + Duration::from_secs(4) * self.users.get().into();
        loop {
            batch.peak_mib = batch.peak_mib.max(memory::peak(child.id()).unwrap_or(0.0));
            let (at, line) = match lines.recv_timeout(Duration::from_millis(50)) {
                Ok(line) => line,
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) if self.shell.is_interrupted() => {
                    end(child);
                    return Err("interrupted".to_owned());
                }
                Err(RecvTimeoutError::Timeout) if start.elapsed() > limit => {
                    end(child);
                    return Err(format!("thon run took longer than {} s", limit.as_secs()));
                }
                Err(RecvTimeoutError::Timeout) => continue,
            };
            // A disk that is full is no reason to stop what runs.
            drop(writeln!(log, "{:8.2} {line}", start.elapsed().as_secs_f64()));
            if let Some((user, _)) = line.split_once(": running (") {
                moments.insert(user.to_owned(), at);
                batch.until_healthy = start.elapsed();
                if moments.len() % SAY_EVERY == 0 {
                    say(&format!("  {} healthy", moments.len()));
                }
            } else if line.contains(": trying again, attempt ") {
                batch.retries += 1;
                say(&format!("  {line}"));
            } else if line.contains(": failed: ") || line.starts_with("error: ") {
                batch.failures.push(line);
            }
        }
        let ended = child.wait().map_err(|error| format!("thon run: {error}"))?;
        (batch.succeeded, batch.until_end) = (ended.success(), start.elapsed());
        let started = started();
        batch.healthy = moments
            .into_iter()
            .map(|(user, at)| {
                let took = started.get(&user).and_then(|since| at.duration_since(*since).ok());
                (user, took)
            })
            .collect();
        batch.reloads = self.reloads().saturating_sub(before);
        Ok(batch)
    }

    /// Everyone who has an instance behind a URL.
    pub(super) fn instances(&self) -> Result<Vec<Instance>, String> {
        let text = |row: &Value, key: &str| row[key].as_str().map(str::to_owned);
        let row = |row: &Value| {
            Some(Instance {
                url: text(row, "url")?,
                container: text(row, "container")?,
                container_id: text(row, "container_id")?,
            })
        };
        let status = self.ask(&["--json", "status"])?;
        Ok(status.as_array().map(|rows| rows.iter().filter_map(row).collect()).unwrap_or_default())
    }

    /// The file with the root that participants import.
    pub(super) fn root_certificate(&self) -> Result<PathBuf, String> {
        let file = self.home.join("participants-root.pem");
        let said = self
            .command(&["tls", "ca", "--output"])
            .arg(&file)
            .output()
            .map_err(|error| format!("thon tls ca: {error}"))?;
        if said.status.success() {
            return Ok(file);
        }
        Err(format!("thon tls ca: {}", String::from_utf8_lossy(&said.stderr)))
    }

    /// How many processes nginx is, and their MiB.
    pub(super) fn proxy(&self) -> Option<(usize, f64)> {
        let status = self.ask(&["--json", "nginx", "status"]).ok()?;
        memory::of_family(status["pid"].as_u64()?.try_into().ok()?)
    }

    fn reloads(&self) -> u64 {
        let status = self.ask(&["--json", "nginx", "status"]);
        status.ok().and_then(|status| status["reloads"].as_u64()).unwrap_or_default()
    }

    fn ask(&self, arguments: &[&str]) -> Result<Value, String> {
        let failed = |error: &dyn std::fmt::Display| format!("thon {arguments:?}: {error}");
        let said = self.command(arguments).output().map_err(|error| failed(&error))?;
        if !said.status.success() {
            return Err(failed(&String::from_utf8_lossy(&said.stderr)));
        }
        serde_json::from_slice(&said.stdout).map_err(|error| failed(&error))
    }

    /// Takes everything away: as an organizer does, and what is left then by its label.
    fn take_away(&self) {
        let down = self.command(&["down", "--yes", "--quiet"]).output();
        if let Ok(down) = &down
            && !down.status.success()
        {
            complain(&format!("thon down: {}", String::from_utf8_lossy(&down.stderr)));
        }
        for (list, remove) in [
            (["ps", "--all", "--quiet", "--filter"], ["rm", "--force"].as_slice()),
            (["volume", "ls", "--quiet", "--filter"], &["volume", "rm"]),
            (["network", "ls", "--quiet", "--filter"], &["network", "rm"]),
        ] {
            let filter = format!("label=thon.node={NAME}");
            let Ok(listed) = Command::new("docker").args(list).arg(&filter).output() else {
                continue;
            };
            let names = String::from_utf8_lossy(&listed.stdout).into_owned();
            let names: Vec<&str> = names.split_whitespace().collect();
            if !names.is_empty() {
                drop(Command::new("docker").args(remove).args(names).output());
            }
        }
        drop(std::fs::remove_dir_all(&self.home));
    }
}

impl Drop for Node<'_> {
    fn drop(&mut self) {
        self.take_away();
    }
}

/// Ends a command that shall not go on.
fn end(mut child: Child) {
    // It may have ended by itself in between.
    drop(child.kill());
    drop(child.wait());
}

/// What a command says on standard error, line by line, with the time of each.
fn lines_of(child: &mut Child) -> Receiver<(SystemTime, String)> {
    let (sender, receiver) = channel();
    if let Some(pipe) = child.stderr.take() {
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                if sender.send((SystemTime::now(), line)).is_err() {
                    return;
                }
            }
        });
    }
    receiver
}

/// When each user's container was last started, as Docker has it.
fn started() -> BTreeMap<String, SystemTime> {
    let filter = format!("label=thon.node={NAME}");
    let listed = Command::new("docker").args(["ps", "--quiet", "--filter", &filter]).output();
    let ids = listed.map(|listed| String::from_utf8_lossy(&listed.stdout).into_owned());
    let ids = ids.unwrap_or_default();
    let format = "{{index .Config.Labels \"thon.group\"}}/{{index .Config.Labels \"thon.user\"}} \
                  {{.State.StartedAt}}";
    let said = Command::new("docker")
        .args(["container", "inspect", "--format", format])
        .args(ids.split_whitespace())
        .output();
    let said = said.map(|said| String::from_utf8_lossy(&said.stdout).into_owned());
    let line = |line: &str| {
        let (user, moment) = line.split_once(' ')?;
        Some((user.to_owned(), figures::moment(moment)?))
    };
    said.unwrap_or_default().lines().filter_map(line).collect()
}
