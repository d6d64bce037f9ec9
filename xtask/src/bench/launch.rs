//! How long a launch takes: `thon run` against the floor of plain `docker run`, by turns.
//!
//! For: the ratio of the two, and whether everyone comes up where all at once kills half of them.
//! Not for: the time of a first setup; image, network and certificate are there
//! before the clock starts.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::floor::{clear, floor};
use super::look::{median, until_healthy};
use crate::shell::{Shell, say};

/// Beyond this many at once, code-servers starve each other to death: there is no such floor.
const ALL_AT_ONCE_UP_TO: usize = 16;
/// The floor's careful variant.
const AT_A_TIME: usize = 4;
/// For everyone to become healthy.
const LIMIT: Duration = Duration::from_mins(5);
/// The first port of the node under test, and of the floor.
const PORTS: u16 = 26_000;
const FLOOR_PORTS: u16 = 27_000;

/// Measures each size, the smaller ones more often.
pub(crate) fn launch(shell: &Shell, sizes: &[usize]) -> Result<(), String> {
    let mut build = shell.cargo();
    build.args(["build", "--release", "--package", "thon-cli"]);
    if !shell.run("bench-build", build, |_, _| {})? {
        return Err("building thon failed".to_owned());
    }
    let thon = shell.root.join("target/release/thon");
    let mut table =
        String::from("users  rounds  floor s  healthy s  ratio  reachable s  peak MiB\n");
    for &size in sizes {
        let rounds = if size > ALL_AT_ONCE_UP_TO { 1 } else { 5 };
        let mut measured = Vec::new();
        for round in 1..=rounds {
            let one = round_of(&thon, size)?;
            say(&format!(
                "{size} users, round {round}: floor {:.2} s, thon {:.2} s, ratio {:.2}",
                one.floor,
                one.healthy,
                one.healthy / one.floor
            ));
            measured.push(one);
        }
        let of = |value: fn(&Round) -> f64| median(measured.iter().map(value).collect());
        // Writing to a String can't fail.
        let _ = writeln!(
            table,
            "{size:>5}  {rounds:>6}  {:>7.2}  {:>9.2}  {:>5.2}  {:>11.2}  {:>8.1}",
            of(|one| one.floor),
            of(|one| one.healthy),
            of(|one| one.healthy / one.floor),
            of(|one| one.reachable),
            of(|one| one.peak_mib),
        );
    }
    say(&format!(
        "\n{table}\nMedians. floor: the faster of all at once and {AT_A_TIME} at a time (from more than"
    ));
    say(&format!(
        "{ALL_AT_ONCE_UP_TO} users only the latter), until all are healthy. healthy: until thon says so \
         of the last one;"
    ));
    say("reachable: until the command has ended, every URL tried through nginx.");
    Ok(())
}

/// What one round came to, in seconds and MiB.
struct Round {
    floor: f64,
    healthy: f64,
    reachable: f64,
    peak_mib: f64,
}

/// What one launch came to.
struct Launched {
    healthy: Duration,
    reachable: Duration,
    peak_mib: f64,
}

fn round_of(thon: &Path, size: usize) -> Result<Round, String> {
    let image = "waterpistol/thon:latest";
    let count = u16::try_from(size).map_err(|_| format!("{size} users are too many"))?;
    let ports: Vec<u16> = (FLOOR_PORTS..FLOOR_PORTS + count).collect();
    clear();
    let mut floors = vec![floor(image, &ports, AT_A_TIME, LIMIT)];
    if size <= ALL_AT_ONCE_UP_TO {
        floors.push(floor(image, &ports, size, LIMIT));
    }
    let best = floors.into_iter().flatten().min().ok_or("the floor never became healthy")?;
    let node = Node::new(thon, size)?;
    let launched = node.launch(count)?;
    drop(node);
    Ok(Round {
        floor: best.as_secs_f64(),
        healthy: launched.healthy.as_secs_f64(),
        reachable: launched.reachable.as_secs_f64(),
        peak_mib: launched.peak_mib,
    })
}

/// A node of its own, taken away with everything of it when it is dropped.
struct Node<'a> {
    thon: &'a Path,
    home: PathBuf,
    name: String,
}

impl<'a> Node<'a> {
    fn new(thon: &'a Path, size: usize) -> Result<Self, String> {
        let name = format!("bench-{}", std::process::id());
        let home = thon.parent().unwrap_or(Path::new(".")).join(&name);
        std::fs::create_dir_all(&home).map_err(|error| format!("{}: {error}", home.display()))?;
        let users: Vec<String> = (0..size).map(|number| format!("user-{number}")).collect();
        let config = format!(
            "node: {name}\nexternal_ip: 127.0.0.1\ngroups:\n  bench: [{}]\n\
             sandbox:\n  host_ports: {PORTS}-{}\n\
             nginx:\n  mode: managed\n  https_port: 26998\n  http_port: 26999\n",
            users.join(", "),
            PORTS + 900,
        );
        let path = home.join("thon.yaml");
        std::fs::write(&path, config).map_err(|error| format!("{}: {error}", path.display()))?;
        let node = Self { thon, home, name };
        // The floor's network and image are there before its clock starts; so are the node's.
        let setup =
            node.command(&["setup", "--yes"]).output().map_err(|error| error.to_string())?;
        if !setup.status.success() {
            return Err(format!("thon setup: {}", String::from_utf8_lossy(&setup.stderr)));
        }
        Ok(node)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.thon);
        command
            .args(arguments)
            .env("THON_HOME", &self.home)
            .env_remove("THON_CONFIG")
            .stdin(Stdio::null());
        command
    }

    /// Starts everyone. When all are healthy is taken from what the command says: it looks at each
    /// code-server itself, and a second watcher would only take from what the sandboxes start with.
    fn launch(&self, count: u16) -> Result<Launched, String> {
        let ports: Vec<u16> = (PORTS..PORTS + count).collect();
        let start = Instant::now();
        let mut child = self
            .command(&["run"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| error.to_string())?;
        let mut peak = 0.0_f64;
        let mut healthy = None;
        let all = format!(": running ({count}/{count})");
        let lines = child.stderr.take().map(BufReader::new).into_iter().flat_map(BufRead::lines);
        for line in lines.map_while(Result::ok) {
            if line.ends_with(&all) {
                healthy = Some(start.elapsed());
            }
            peak = peak.max(peak_mib(child.id()).unwrap_or(0.0));
        }
        let ended = child.wait().map_err(|error| error.to_string())?;
        let reachable = start.elapsed();
        let (_, answered) = until_healthy(&ports, Instant::now(), Duration::ZERO);
        match healthy {
            Some(healthy) if ended.success() && answered == ports.len() => {
                Ok(Launched { healthy, reachable, peak_mib: peak })
            }
            _ => Err(format!("only {answered} of {count} became healthy")),
        }
    }
}

impl Drop for Node<'_> {
    fn drop(&mut self) {
        let _ = self.command(&["down", "--yes", "--quiet"]).output();
        let filter = format!("label=thon.node={}", self.name);
        for (list, remove) in [
            (["volume", "ls", "--quiet", "--filter"], ["volume", "rm"]),
            (["network", "ls", "--quiet", "--filter"], ["network", "rm"]),
        ] {
            let Ok(listed) = Command::new("docker").args(list).arg(&filter).output() else {
                continue;
            };
            let names = String::from_utf8_lossy(&listed.stdout).into_owned();
            let names: Vec<&str> = names.split_whitespace().collect();
            if !names.is_empty() {
                let _ = Command::new("docker").args(remove).args(names).output();
            }
        }
        let _ = std::fs::remove_dir_all(&self.home);
    }
}

/// The most memory that a process has used, as the kernel counts it.
pub(crate) fn peak_mib(pid: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib / 1024.0)
}
