//! What `thon serve` costs with ten thousand users: time per answer, and memory.
//!
//! For: lists, searches and pages against the smallest answer that the same server gives, by turns;
//! memory alone and with many who watch.
//! Not for: launches, and not for Docker: nobody is running.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::look::pause;
use crate::shell::{Shell, say};

const USERS: usize = 10_000;
const GROUPS: usize = 200;
/// Of each kind, by turns.
const REQUESTS: usize = 300;
/// Who watch the stream of events.
const WATCHERS: usize = 500;
/// For the server to be there.
const LIMIT: Duration = Duration::from_mins(1);

/// What is asked for: its name, whether at the dashboard's port, the path.
const ASKED: [(&str, bool, &str); 8] = [
    ("/health", false, "/health"),
    ("list of users", false, "/api/users?page=100&page_size=50"),
    ("search among users", false, "/api/users?q=number%20777"),
    ("list of instances", false, "/api/instances?page=100&page_size=50"),
    ("search among instances", false, "/api/instances?q=user-0777"),
    ("page of users", true, "/users?page=100"),
    ("page of instances", true, "/instances?page=100"),
    ("overview", true, "/"),
];

/// Measures, and prints tables.
pub(crate) fn serve(shell: &Shell) -> Result<(), String> {
    let mut build = shell.cargo();
    build.args(["build", "--release", "--package", "thon-cli"]);
    if !shell.run("bench-build", build, |_, _| {})? {
        return Err("building thon failed".to_owned());
    }
    let site = Site::new(shell)?;
    let start = Instant::now();
    site.import()?;
    say(&format!("{USERS} users imported in {:.2} s", start.elapsed().as_secs_f64()));
    let mut child = site.serve()?;
    let done = measure(&site, child.id());
    let _ = child.kill();
    let _ = child.wait();
    done
}

fn measure(site: &Site, pid: u32) -> Result<(), String> {
    let idle = memory(pid)?;
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); ASKED.len()];
    let mut lengths = vec![0; ASKED.len()];
    for _ in 0..REQUESTS {
        for (at, (_, page, path)) in ASKED.into_iter().enumerate() {
            let port = if page { site.web } else { site.api };
            let start = Instant::now();
            lengths[at] = ask(port, path)?;
            times[at].push(start.elapsed().as_secs_f64() * 1000.0);
        }
    }
    let asked = memory(pid)?;
    say(&format!("\n{:<24} {:>8} {:>8} {:>8} {:>8}", "ms", "p50", "p99", "/health", "KiB"));
    let floor = quantile(&mut times[0], 0.99);
    for (at, (name, ..)) in ASKED.into_iter().enumerate() {
        let (p50, p99) = (quantile(&mut times[at], 0.5), quantile(&mut times[at], 0.99));
        let (ratio, length) = (p99 / floor, lengths[at] / 1024);
        say(&format!("{name:<24} {p50:>8.2} {p99:>8.2} {ratio:>8.1} {length:>8}"));
    }
    let watchers = (0..WATCHERS).map(|_| watch(site.api)).collect::<Result<Vec<_>, _>>()?;
    let watched = memory(pid)?;
    drop(watchers);
    say(&format!(
        "\nMiB of its own (and with its code): {} before anybody asked, {} after {} requests, {} with \
         {WATCHERS} who watch",
        idle,
        asked,
        REQUESTS * ASKED.len(),
        watched
    ));
    Ok(())
}

/// A folder with a configuration and two ports; it goes with this.
struct Site {
    thon: PathBuf,
    home: PathBuf,
    api: u16,
    web: u16,
}

impl Site {
    fn new(shell: &Shell) -> Result<Self, String> {
        let thon = shell.root.join("target/release/thon");
        let home = shell.logs.join(format!("serve-{}", std::process::id()));
        std::fs::create_dir_all(&home).map_err(|error| format!("{}: {error}", home.display()))?;
        let free = || TcpListener::bind("127.0.0.1:0").and_then(|one| Ok(one.local_addr()?.port()));
        let (api, web) = (free().map_err(why)?, free().map_err(why)?);
        let config = format!(
            "node: bench-serve-{}\ndashboard: {{port: {api}, web_port: {web}}}\n",
            std::process::id()
        );
        std::fs::write(home.join("thon.yaml"), config).map_err(why)?;
        Ok(Self { thon, home, api, web })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.thon);
        command.arg("--config").arg(self.home.join("thon.yaml")).args(arguments);
        command.env("THON_HOME", self.home.join("home")).env_remove("THON_CONFIG");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn import(&self) -> Result<(), String> {
        let person = |number| {
            let group = number % GROUPS;
            format!(
                "group-{group:03},user-{number:04},Number {number} of them,u{number}@example.org\n"
            )
        };
        let people: Vec<String> = (0..USERS).map(person).collect();
        let table = format!("group,username,name,email\n{}", people.concat());
        let file = self.home.join("people.csv");
        std::fs::write(&file, table).map_err(why)?;
        let mut command = self.command(&["--yes", "import"]);
        if command.arg(&file).status().map_err(why)?.success() {
            return Ok(());
        }
        Err("thon import failed".to_owned())
    }

    /// Starts the server and waits until it answers and has looked at the room once.
    fn serve(&self) -> Result<Child, String> {
        let mut child = self.command(&["serve"]).spawn().map_err(why)?;
        let start = Instant::now();
        while !ask(self.api, "/api/instances?page_size=1").is_ok_and(|length| length > 0) {
            if start.elapsed() > LIMIT || child.try_wait().is_ok_and(|ended| ended.is_some()) {
                let _ = child.kill();
                let _ = child.wait();
                return Err("thon serve answers with no list of instances; does Docker run?".into());
            }
            pause();
        }
        Ok(child)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.home);
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is given to map_err")]
fn why(error: std::io::Error) -> String {
    error.to_string()
}

/// Asks on a connection of its own, as a script does; returns how many bytes came.
fn ask(port: u16, path: &str) -> Result<usize, String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).map_err(why)?;
    let request =
        format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(why)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).map_err(why)?;
    if !answer.starts_with(b"HTTP/1.1 200") {
        let line = String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned();
        return Err(format!("{path}: {line}"));
    }
    Ok(answer.len())
}

/// Watches the stream of events: returns as soon as it has said hello.
fn watch(port: u16) -> Result<BufReader<TcpStream>, String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).map_err(why)?;
    let request = format!("GET /api/events HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(why)?;
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    while !line.contains("hello") {
        line.clear();
        if stream.read_line(&mut line).map_err(why)? == 0 {
            return Err("the stream of events ended".to_owned());
        }
    }
    Ok(stream)
}

/// What a process has in memory: of its own, and all in all, in MiB.
fn memory(pid: u32) -> Result<String, String> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).map_err(why)?;
    let mib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.split_whitespace().next()?.parse::<f64>().ok().map(|kib| kib / 1024.0)
    };
    match (mib("RssAnon:"), mib("VmRSS:")) {
        (Some(own), Some(all)) => Ok(format!("{own:.1} ({all:.1})")),
        _ => Err(format!("nothing is said of the memory of process {pid}")),
    }
}

/// The value below which this part of the values is.
fn quantile(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a place among a few hundred values"
    )]
    let at = (values.len().saturating_sub(1) as f64 * part).round() as usize;
    values.get(at).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_one_of_the_values() {
        let mut values: Vec<f64> = (1..=101).rev().map(f64::from).collect();
        assert!((quantile(&mut values, 0.5) - 51.0).abs() < f64::EPSILON);
        assert!((quantile(&mut values, 0.99) - 100.0).abs() < f64::EPSILON);
    }
}
