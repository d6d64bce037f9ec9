//! The main job with a full room: many real instances, all of them in use while some come and go.
//!
//! For: `cargo xtask soak --users N`: everyone is launched through the product, everyone's request
//! and socket are held open through nginx, ten come and ten go meanwhile, and a report says what it
//! took and whether anyone noticed.
//! Not for: how fast the proxy is, or single launches; `bench` measures those.

mod client;
mod crowd;
mod figures;
mod memory;
mod node;
mod report;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::bench::floor::{clear, floor};
use crate::shell::{Shell, complain, say};
use client::Client;
use crowd::Crowd;
use node::{Batch, Node};
use report::{Held, Report};

/// How many come while everyone works, and go again.
const GUESTS: u16 = 10;
/// The most users: the ports that are used here hold no more.
const MOST_USERS: u16 = 440;
/// The floor's starts at a time: the best that plain `docker run` does on two cores.
const AT_A_TIME: usize = 3;
/// The ports of the floor, below those that Linux hands out and beside those of the tests.
const FLOOR_PORTS: u16 = 29_500;
/// Until the floor is given up, besides two seconds for each user.
const PATIENCE: Duration = Duration::from_mins(3);

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    users: u16,
    floor: bool,
    hold: Duration,
    report: Option<PathBuf>,
}

impl Options {
    /// Reads the options of the command line.
    pub(crate) fn parse(options: &[&str]) -> Result<Self, String> {
        let mut users = None;
        let mut read = Self { users: 0, floor: true, hold: Duration::from_secs(20), report: None };
        let mut words = options.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
            match *word {
                "--users" => users = Some(number(word, value()?, 1..=MOST_USERS)?),
                "--hold" => {
                    read.hold = Duration::from_secs(number(word, value()?, 1..=3600)?.into());
                }
                "--report" => read.report = Some(value()?.into()),
                "--no-floor" => read.floor = false,
                other => return Err(format!("soak does not take {other:?}")),
            }
        }
        read.users = users.ok_or("soak needs --users N")?;
        Ok(read)
    }
}

fn number(option: &str, text: &str, allowed: std::ops::RangeInclusive<u16>) -> Result<u16, String> {
    let wrong =
        || format!("{option} {text:?}: a number from {} to {}", allowed.start(), allowed.end());
    let number = text.parse().map_err(|_| wrong())?;
    if allowed.contains(&number) { Ok(number) } else { Err(wrong()) }
}

/// Does it all and takes everything away again. True if every bound was kept.
pub(crate) fn soak(shell: &Shell, options: &Options) -> bool {
    let soaked = measure(shell, options);
    let report = match soaked {
        Ok(report) => report,
        Err(problem) => {
            complain(&format!("soak: {problem}"));
            return false;
        }
    };
    let text = report.to_string();
    say(&format!("\n{text}"));
    if let Some(path) = &options.report {
        if let Err(error) = std::fs::write(path, &text) {
            complain(&format!("soak: writing {}: {error}", path.display()));
            return false;
        }
        say(&format!("the report is in {}", path.display()));
    }
    report.is_good()
}

fn measure(shell: &Shell, options: &Options) -> Result<Report, String> {
    let start = Instant::now();
    let users = options.users;
    let mut build = shell.cargo();
    build.args(["build", "--release", "--package", "thon-cli"]);
    if !shell.run("soak-build", build, |_, _| {})? {
        return Err("building thon failed".to_owned());
    }
    let mut report = Report::of(shell, users);
    report.warnings = limits(users);
    for warning in &report.warnings {
        complain(&format!("warning: {warning}"));
    }
    if options.floor {
        say(&format!("floor: {users} times docker run, {AT_A_TIME} at a time"));
        report.floor = Some(the_floor(shell, users)?);
    }

    let node = Node::new(shell, users)?;
    let before = memory::available();
    say(&format!("launch: thon run for {users} users"));
    report.launch = node.run("launch", &[])?;
    healthy(&report.launch, users)?;
    let free = memory::available();
    report.taken_mib = before.zip(free).map(|(before, free)| before - free);
    let all = node.instances()?;
    report.instance_mib = memory::of_containers(all.iter().map(|one| one.container.as_str()));

    say(&format!("crowd: {users} requests and {users} sockets through nginx, all at once"));
    let client = Client::trusting(&node.root_certificate()?)?;
    let crowd = Crowd::gather(&client, all.iter().map(|one| one.url.as_str()));
    report.reached = crowd.wait_until_all_are_answered(shell);
    wait(shell, options.hold)?;
    report.held.push(Held::look("held", &crowd, &node));

    // Ten come.
    say(&format!("coming: thon run for {} users", users + GUESTS));
    node.set_users(users + GUESTS)?;
    report.coming = node.run("coming", &[])?;
    healthy(&report.coming, GUESTS)?;
    let more = node.instances()?;
    report.disturbed = all.iter().filter(|one| !more.contains(one)).count();
    let guests = Crowd::gather(
        &client,
        more.iter().filter(|one| !all.contains(one)).map(|one| one.url.as_str()),
    );
    guests.wait_until_all_are_answered(shell);
    report.held.push(Held::look("while ten came", &crowd, &node));

    // And go again, with their sockets open.
    say(&format!("going: thon run --prune for {users} users"));
    node.set_users(users)?;
    report.going = node.run("going", &["--prune"])?;
    wait(shell, options.hold)?;
    report.held.push(Held::look("while ten went", &crowd, &node));
    report.guests_ended = guests.lost().len();
    let rest = node.instances()?;
    report.disturbed += all.iter().filter(|one| !rest.contains(one)).count();

    report.lost = crowd.lost();
    report.unanswered = crowd.unanswered();
    drop(guests);
    drop(crowd);
    say("taking everything away");
    drop(node);
    report.took = start.elapsed();
    Ok(report)
}

/// The floor's seconds.
fn the_floor(shell: &Shell, users: u16) -> Result<Duration, String> {
    let image = "waterpistol/thon:latest";
    let ports = |count: u16| (FLOOR_PORTS..FLOOR_PORTS + count).collect::<Vec<u16>>();
    clear();
    let limit = PATIENCE + Duration::from_secs(2) * users.into();
    // The first ones read the image from the disk; whoever comes after them doesn't have to.
    floor(image, &ports(users.min(3)), AT_A_TIME, limit);
    if shell.is_interrupted() {
        return Err("interrupted".to_owned());
    }
    let took = floor(image, &ports(users), AT_A_TIME, limit);
    if shell.is_interrupted() {
        return Err("interrupted".to_owned());
    }
    let took = took.ok_or("the floor never became healthy")?;
    say(&format!("floor: {:.1} s", took.as_secs_f64()));
    Ok(took)
}

/// Nothing is worth being measured where not everyone is up.
fn healthy(batch: &Batch, expected: u16) -> Result<(), String> {
    say(&format!(
        "{} of {expected} healthy in {:.1} s, {} tried again, {} failed",
        batch.healthy.len(),
        batch.until_healthy.as_secs_f64(),
        batch.retries,
        batch.failures.len(),
    ));
    if batch.healthy.len() == usize::from(expected) && batch.succeeded {
        return Ok(());
    }
    let failures = batch.failures.join("\n");
    Err(format!("only {} of {expected} became healthy\n{failures}", batch.healthy.len()))
}

/// What this machine may run out of, one line each.
fn limits(users: u16) -> Vec<String> {
    let mut short = Vec::new();
    let sockets = u64::from(users + GUESTS) * 2 + 200;
    let files = memory::raise_open_files();
    if files < sockets {
        short.push(format!(
            "{files} open files are allowed, {sockets} sockets are opened: raise `ulimit -Hn`"
        ));
    }
    let available = memory::available().unwrap_or(f64::INFINITY);
    // What an idle instance takes, its container and Docker's part included.
    let needed = f64::from(users + GUESTS) * 75.0;
    if available < needed {
        short.push(format!("{available:.0} MiB are free, about {needed:.0} MiB will be taken"));
    }
    short
}

/// Lets time pass, unless someone interrupts.
fn wait(shell: &Shell, time: Duration) -> Result<(), String> {
    let start = Instant::now();
    while start.elapsed() < time {
        if shell.is_interrupted() {
            return Err("interrupted".to_owned());
        }
        std::thread::park_timeout(Duration::from_millis(100));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_and_what_is_wrong_is_named() {
        let read = Options::parse(&["--users", "150", "--no-floor", "--report", "r.md"]).unwrap();
        let expected = Options {
            users: 150,
            floor: false,
            hold: Duration::from_secs(20),
            report: Some("r.md".into()),
        };
        assert_eq!(read, expected);
        for (options, part) in [
            (&[][..], "--users N"),
            (&["--users"], "--users needs a value"),
            (&["--users", "0"], "from 1 to 440"),
            (&["--users", "many"], "\"many\""),
            (&["--users", "5", "--hold", "0"], "--hold"),
            (&["--user", "5"], "\"--user\""),
        ] {
            let problem = Options::parse(options).unwrap_err();
            assert!(problem.contains(part), "{problem}");
        }
    }
}
