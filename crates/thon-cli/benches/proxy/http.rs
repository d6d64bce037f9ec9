//! Requests, as many as sixteen connections get answered.
//!
//! For: one run of `wrk` against each of two URLs, and reading what it says.
//! Not for: making load itself: an independent program is the better witness.

use std::process::Command;

/// Connections that are kept open, each with one request at a time.
pub(crate) const CONNECTIONS: usize = 16;
/// How long each of the two is asked, in seconds.
pub(crate) const SECONDS: u32 = 5;
/// How long each is asked before anything counts: code-server compiles what it runs often.
const WARM_UP_SECONDS: u32 = 2;

/// What one run came to.
pub(crate) struct Rate {
    pub(crate) per_second: f64,
    /// In milliseconds.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

/// Both, one right after the other.
pub(crate) struct Round {
    pub(crate) alone: Rate,
    pub(crate) through: Rate,
}

impl Round {
    pub(crate) fn ratio(&self) -> f64 {
        self.through.per_second / self.alone.per_second
    }
}

pub(crate) fn warm_up(alone: &str, through: &str) -> Result<(), String> {
    run(alone, WARM_UP_SECONDS)?;
    run(through, WARM_UP_SECONDS).map(drop)
}

/// Measures both; which goes first changes from round to round.
pub(crate) fn round(alone: &str, through: &str, through_first: bool) -> Result<Round, String> {
    if through_first {
        let through = run(through, SECONDS)?;
        return Ok(Round { alone: run(alone, SECONDS)?, through });
    }
    Ok(Round { alone: run(alone, SECONDS)?, through: run(through, SECONDS)? })
}

fn run(url: &str, seconds: u32) -> Result<Rate, String> {
    let output = Command::new("wrk")
        .args(["--threads", "1", "--latency"])
        .arg(format!("--connections={CONNECTIONS}"))
        .arg(format!("--duration={seconds}s"))
        .arg(url)
        .output()
        .map_err(|error| format!("wrk can't be started: {error}"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        return Err(format!("wrk {url}: {said}{complaint}"));
    }
    read(&said).ok_or_else(|| format!("wrk {url} was not answered well: {said}"))
}

/// The figures, if every request was answered as it should be.
fn read(said: &str) -> Option<Rate> {
    if said.contains("Non-2xx") || said.contains("Socket errors") {
        return None;
    }
    let after =
        |start: &str| said.lines().find_map(|line| line.trim().strip_prefix(start)).map(str::trim);
    Some(Rate {
        per_second: after("Requests/sec:")?.parse().ok()?,
        p50: milliseconds(after("50%")?)?,
        p99: milliseconds(after("99%")?)?,
    })
}

/// A time as `wrk` writes it: `834.00us`, `1.52ms`, `1.01s`.
fn milliseconds(text: &str) -> Option<f64> {
    let unit = text.find(|c: char| c.is_ascii_alphabetic())?;
    let number: f64 = text[..unit].parse().ok()?;
    match &text[unit..] {
        "us" => Some(number / 1000.0),
        "ms" => Some(number),
        "s" => Some(number * 1000.0),
        _ => None,
    }
}
