//! What a soak came to, in Markdown.
//!
//! For: the bounds that an event lives by, each with what was measured, and the figures behind them.
//! Not for: measuring.

use std::fmt::{self, Display, Formatter};
use std::process::Command;
use std::time::Duration;

use super::GUESTS;
use super::crowd::Crowd;
use super::figures::percentile;
use super::node::{Batch, Node};
use crate::shell::Shell;

/// How much longer than the floor a launch may take.
const MOST_RATIO: f64 = 1.10;
/// What THON's own process may take beside a full room, in MiB.
const MOST_OWN_MIB: f64 = 60.0;
/// How many of a long list are shown.
const SHOWN: usize = 10;

/// What was seen of everyone during one part of the soak.
pub(super) struct Held {
    part: &'static str,
    open: usize,
    reopened: usize,
    echoes: Vec<Duration>,
    answers: Vec<Duration>,
    proxy: Option<(usize, f64)>,
}

impl Held {
    /// Looks at everyone at the end of a part.
    pub(super) fn look(part: &'static str, crowd: &Crowd, node: &Node<'_>) -> Self {
        let (echoes, answers) = crowd.take_times();
        let (open, reopened) = (crowd.open(), crowd.reopened());
        Self { part, open, reopened, echoes, answers, proxy: node.proxy() }
    }
}

/// Everything that was measured.
#[derive(Default)]
pub(super) struct Report {
    machine: String,
    version: String,
    users: u16,
    pub(super) warnings: Vec<String>,
    pub(super) floor: Option<Duration>,
    pub(super) launch: Batch,
    pub(super) coming: Batch,
    pub(super) going: Batch,
    pub(super) reached: usize,
    pub(super) held: Vec<Held>,
    pub(super) instance_mib: Vec<f64>,
    pub(super) taken_mib: Option<f64>,
    /// Containers of those who stayed that are others now.
    pub(super) disturbed: usize,
    pub(super) guests_ended: usize,
    pub(super) lost: Vec<String>,
    pub(super) unanswered: Vec<String>,
    pub(super) took: Duration,
}

/// A bound, what was measured, and whether it was kept.
struct Bound {
    what: &'static str,
    limit: String,
    measured: String,
    kept: bool,
}

impl Report {
    /// An empty one for so many users on this machine.
    pub(super) fn of(shell: &Shell, users: u16) -> Self {
        let said = |command: &mut Command| {
            let output = command.output().ok()?;
            Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        };
        let version = said(shell.command("git").args(["rev-parse", "--short", "HEAD"]));
        let mut docker = shell.command("docker");
        let docker = said(docker.args(["version", "--format", "{{.Server.Version}}"]));
        let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let memory: f64 = memory
            .lines()
            .find_map(|line| {
                line.strip_prefix("MemTotal:")?.trim().trim_end_matches(" kB").parse().ok()
            })
            .unwrap_or_default();
        let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
        Self {
            machine: format!(
                "{cores} cores, {:.0} GiB of memory, Docker {}",
                memory / 1024.0 / 1024.0,
                docker.unwrap_or_default()
            ),
            version: version.unwrap_or_default(),
            users,
            ..Self::default()
        }
    }

    /// True if every bound was kept, that against the floor left aside: a machine that does other
    /// things meanwhile misses it, and whoever reads the report knows.
    pub(super) fn is_good(&self) -> bool {
        self.bounds().iter().all(|bound| bound.kept || bound.what == RATIO)
    }

    fn bounds(&self) -> Vec<Bound> {
        let users = usize::from(self.users);
        let failures = self.launch.failures.len() + self.coming.failures.len();
        let reloads = [&self.coming, &self.going].map(|batch| batch.reloads);
        let peak = [&self.launch, &self.coming, &self.going].map(|batch| batch.peak_mib);
        let peak = peak.into_iter().fold(0.0, f64::max);
        let mut bounds = vec![
            Bound {
                what: "healthy instances",
                limit: format!("{users} of {users}"),
                measured: self.launch.healthy.len().to_string(),
                kept: self.launch.healthy.len() == users,
            },
            Bound {
                what: "failed starts",
                limit: "none".to_owned(),
                measured: format!("{failures}, {} tried again", self.launch.retries),
                kept: failures == 0,
            },
        ];
        if let Some(floor) = self.floor {
            let ratio = self.launch.until_healthy.as_secs_f64() / floor.as_secs_f64();
            bounds.push(Bound {
                what: RATIO,
                limit: format!("{MOST_RATIO:.2}"),
                measured: format!(
                    "{ratio:.2} ({:.1} s against {:.1} s)",
                    self.launch.until_healthy.as_secs_f64(),
                    floor.as_secs_f64()
                ),
                kept: ratio <= MOST_RATIO,
            });
        }
        bounds.extend([
            Bound {
                what: "requests and sockets open through nginx at once",
                limit: format!("{users} of {users}"),
                measured: self.reached.to_string(),
                kept: self.reached == users,
            },
            Bound {
                what: "sockets lost while ten came and ten went",
                limit: "none".to_owned(),
                measured: self.lost.len().to_string(),
                kept: self.lost.is_empty(),
            },
            Bound {
                what: "requests without an answer",
                limit: "none".to_owned(),
                measured: self.unanswered.len().to_string(),
                kept: self.unanswered.is_empty(),
            },
            Bound {
                what: "instances of others that were touched",
                limit: "none".to_owned(),
                measured: self.disturbed.to_string(),
                kept: self.disturbed == 0,
            },
            Bound {
                what: "reloads of nginx per batch",
                limit: "at most 1".to_owned(),
                measured: format!("{} and {}", reloads[0], reloads[1]),
                kept: reloads.iter().all(|reloads| *reloads <= 1),
            },
            Bound {
                what: "memory of `thon run` at its peak",
                limit: format!("below {MOST_OWN_MIB:.0} MiB"),
                measured: format!("{peak:.1} MiB"),
                kept: peak > 0.0 && peak < MOST_OWN_MIB,
            },
            Bound {
                what: "sockets that ended with the ten who went",
                limit: GUESTS.to_string(),
                measured: self.guests_ended.to_string(),
                kept: self.guests_ended == usize::from(GUESTS),
            },
        ]);
        bounds
    }
}

const RATIO: &str = "time to all healthy against the floor";

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let users = self.users;
        writeln!(f, "# {users} users at once\n")?;
        writeln!(
            f,
            "`cargo xtask soak --users {users}` on {}, at commit {}, in {:.0} s.\n",
            self.machine,
            self.version,
            self.took.as_secs_f64()
        )?;
        writeln!(
            f,
            "A full room at minute zero: everyone is launched by `thon run` at once and holds an HTTPS \
             request and a websocket to their editor through nginx, while {GUESTS} more come and go \
             again. Everything is real, and all of it is on one machine: the load that the \
             connections make is part of what is measured. Run the same command for the figures of \
             another machine, on which nothing else runs; `--report FILE` writes this page.\n"
        )?;
        writeln!(f, "| what | bound | measured | kept |\n|---|---|---|---|")?;
        for Bound { what, limit, measured, kept } in self.bounds() {
            let kept = if kept { "yes" } else { "**no**" };
            writeln!(f, "| {what} | {limit} | {measured} | {kept} |")?;
        }
        if self.floor.is_some() {
            writeln!(
                f,
                "\nThe floor is plain `docker run` of the same image in the same call, three at a \
                 time, until all answer."
            )?;
        }
        self.launches(f)?;
        self.connections(f)?;
        self.memory(f)?;
        for (title, list) in [
            ("Warnings", &self.warnings),
            ("Lost sockets", &self.lost),
            ("Unanswered", &self.unanswered),
        ] {
            if list.is_empty() {
                continue;
            }
            writeln!(f, "\n## {title}\n")?;
            for line in list.iter().take(SHOWN) {
                writeln!(f, "- {line}")?;
            }
            if list.len() > SHOWN {
                writeln!(f, "- and {} more", list.len() - SHOWN)?;
            }
        }
        Ok(())
    }
}

impl Report {
    fn launches(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n## Launches\n")?;
        writeln!(
            f,
            "| batch | until healthy | command ended | per start p50 | p95 | slowest | reloads |\n\
             |---|---|---|---|---|---|---|"
        )?;
        for (name, batch) in [
            (format!("{} users", self.users), &self.launch),
            (format!("{GUESTS} more"), &self.coming),
            (format!("{GUESTS} go (`--prune`)"), &self.going),
        ] {
            let starts: Vec<Duration> = batch.healthy.values().copied().flatten().collect();
            let until = (!batch.healthy.is_empty()).then_some(batch.until_healthy);
            writeln!(
                f,
                "| {name} | {} | {} | {} | {} | {} | {} |",
                seconds(until),
                seconds(Some(batch.until_end)),
                seconds(percentile(&starts, 50)),
                seconds(percentile(&starts, 95)),
                seconds(percentile(&starts, 100)),
                batch.reloads,
            )?;
        }
        writeln!(f, "\nPer start: from the container's start to the first healthy answer.")
    }

    fn connections(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n## Connections through nginx\n")?;
        writeln!(
            f,
            "Everyone's websocket is asked every two seconds and answered by their code-server; \
             everyone's HTTPS connection is kept alive and asked as often.\n"
        )?;
        writeln!(
            f,
            "| part | sockets open | echoes | p50 | p99 | slowest | requests | p50 | p99 | slowest | \
             connections reopened so far |\n|---|---|---|---|---|---|---|---|---|---|---|"
        )?;
        for held in &self.held {
            write!(f, "| {} | {} |", held.part, held.open)?;
            for times in [&held.echoes, &held.answers] {
                write!(f, " {} |", times.len())?;
                for per_cent in [50, 99, 100] {
                    write!(f, " {} |", milliseconds(percentile(times, per_cent)))?;
                }
            }
            writeln!(f, " {} |", held.reopened)?;
        }
        writeln!(
            f,
            "\nnginx closes idle connections for requests when it reloads, as HTTP allows; they are \
             opened again."
        )
    }

    fn memory(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n## Memory\n")?;
        writeln!(f, "| what | MiB |\n|---|---|")?;
        let mut instances = self.instance_mib.clone();
        instances.sort_by(f64::total_cmp);
        if let (Some(middle), Some(most)) = (instances.get(instances.len() / 2), instances.last()) {
            writeln!(f, "| per instance, as Docker counts it: median | {middle:.1} |")?;
            writeln!(f, "| per instance: largest | {most:.1} |")?;
        }
        if let Some(taken) = self.taken_mib {
            let each = taken / f64::from(self.users.max(1));
            writeln!(
                f,
                "| the machine's, for each instance, Docker's part included | {each:.1} |"
            )?;
        }
        for (name, batch) in
            [("launching", &self.launch), ("ten came", &self.coming), ("ten went", &self.going)]
        {
            writeln!(f, "| `thon run` at its peak, {name} | {:.1} |", batch.peak_mib)?;
        }
        for held in &self.held {
            if let Some((processes, mib)) = held.proxy {
                writeln!(f, "| nginx, {processes} processes, {} | {mib:.1} |", held.part)?;
            }
        }
        Ok(())
    }
}

fn seconds(time: Option<Duration>) -> String {
    time.map_or_else(|| "-".to_owned(), |time| format!("{:.2} s", time.as_secs_f64()))
}

fn milliseconds(time: Option<Duration>) -> String {
    time.map_or_else(|| "-".to_owned(), |time| format!("{:.1} ms", time.as_secs_f64() * 1000.0))
}
