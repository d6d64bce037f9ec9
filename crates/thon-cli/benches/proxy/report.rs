//! What the rounds come to.
//!
//! For: medians, what they were measured on, and how they stand against what was asked for.
//! Not for: judging them.

use std::process::Command;

use crate::http::{self, CONNECTIONS, SECONDS};
use crate::socket::{self, MESSAGES, SIZE};

/// The part of an instance's own rate that has to be left of it through nginx.
const LEAST_RATIO: f64 = 0.85;
/// The most that nginx may add to a websocket's answer at p99, in milliseconds.
const MOST_ADDED: f64 = 1.0;

/// All rounds.
pub(crate) struct Report {
    /// How busy the machine was without us, in hundredths: where others use it, what nginx needs is
    /// missing elsewhere, and the ratio is lower than on a machine of our own.
    pub(crate) busy: Option<u64>,
    pub(crate) http: Vec<http::Round>,
    pub(crate) socket: Vec<socket::Round>,
}

impl Report {
    fn of_http(&self, value: impl Fn(&http::Round) -> f64) -> f64 {
        median(self.http.iter().map(value).collect())
    }

    fn of_socket(&self, value: impl Fn(&socket::Round) -> f64) -> f64 {
        median(self.socket.iter().map(value).collect())
    }

    fn ratio(&self) -> f64 {
        self.of_http(http::Round::ratio)
    }

    fn added(&self) -> f64 {
        self.of_socket(|round| round.through.p99 - round.alone.p99)
    }

    pub(crate) fn table(&self) -> String {
        let ratios = self.http.iter().map(http::Round::ratio);
        let (low, high) = ratios
            .fold((f64::MAX, 0.0_f64), |(low, high), ratio| (low.min(ratio), high.max(ratio)));
        let verdict = |met: bool| if met { "met" } else { "missed" };
        format!(
            "\n                     alone  through nginx\n\
             requests/s        {:>8.0}       {:>8.0}   ratio {ratio:.2} ({low:.2} to {high:.2})\n\
             request p50 ms    {:>8.2}       {:>8.2}\n\
             request p99 ms    {:>8.2}       {:>8.2}\n\
             websocket p50 ms  {:>8.3}       {:>8.3}\n\
             websocket p99 ms  {:>8.3}       {:>8.3}   added {added:.3}\n\n\
             at least {LEAST_RATIO} of the rate alone: {}; less than {MOST_ADDED:.0} ms added at p99: {}\n\n\
             Medians of {} rounds by turns, on {}, which others kept {} busy just before.\n\
             alone: code-server's port on the loopback, plain HTTP; through nginx: its public URL over TLS\n\
             in the configuration that `thon run` wrote. requests: GET /healthz by wrk on {CONNECTIONS} kept\n\
             connections for {SECONDS} s. websocket: {MESSAGES} messages of {SIZE} bytes, one at a time, each answered\n\
             by code-server; by turns on two open sockets.",
            self.of_http(|round| round.alone.per_second),
            self.of_http(|round| round.through.per_second),
            self.of_http(|round| round.alone.p50),
            self.of_http(|round| round.through.p50),
            self.of_http(|round| round.alone.p99),
            self.of_http(|round| round.through.p99),
            self.of_socket(|round| round.alone.p50),
            self.of_socket(|round| round.through.p50),
            self.of_socket(|round| round.alone.p99),
            self.of_socket(|round| round.through.p99),
            verdict(self.ratio() >= LEAST_RATIO),
            verdict(self.added() < MOST_ADDED),
            self.http.len(),
            machine(),
            self.busy.map_or_else(|| "an unknown part".to_owned(), |busy| format!("{busy} %")),
            ratio = self.ratio(),
            added = self.added(),
        )
    }

    pub(crate) fn json(&self) -> String {
        let rate = |of: fn(&http::Round) -> &http::Rate| {
            serde_json::json!({
                "requests_per_second": self.of_http(|round| of(round).per_second),
                "p50_ms": self.of_http(|round| of(round).p50),
                "p99_ms": self.of_http(|round| of(round).p99),
            })
        };
        let latency = |of: fn(&socket::Round) -> &socket::Latency| {
            serde_json::json!({
                "p50_ms": self.of_socket(|round| of(round).p50),
                "p99_ms": self.of_socket(|round| of(round).p99),
            })
        };
        let ratios: Vec<f64> = self.http.iter().map(http::Round::ratio).collect();
        serde_json::json!({
            "machine": machine(),
            "busy_before_percent": self.busy,
            "rounds": self.http.len(),
            "requests": {
                "connections": CONNECTIONS,
                "seconds": SECONDS,
                "alone": rate(|round| &round.alone),
                "through": rate(|round| &round.through),
                "ratio": self.ratio(),
                "ratios": ratios,
                "at_least": LEAST_RATIO,
                "met": self.ratio() >= LEAST_RATIO,
            },
            "websocket": {
                "messages": MESSAGES,
                "bytes": SIZE,
                "alone": latency(|round| &round.alone),
                "through": latency(|round| &round.through),
                "added_p99_ms": self.added(),
                "below": MOST_ADDED,
                "met": self.added() < MOST_ADDED,
            },
        })
        .to_string()
    }
}

/// How much of all CPU time was used within a second, in hundredths.
pub(crate) fn busy() -> Option<u64> {
    let look = || {
        let text = std::fs::read_to_string("/proc/stat").ok()?;
        let numbers = text.lines().next()?.split_whitespace().skip(1);
        let times: Vec<u64> = numbers.filter_map(|number| number.parse().ok()).collect();
        // The fourth and the fifth are idle and waiting for the disk.
        Some((times.get(3)? + times.get(4)?, times.iter().sum::<u64>()))
    };
    let before = look()?;
    std::thread::park_timeout(std::time::Duration::from_secs(1));
    let after = look()?;
    let (idle, all) = (after.0 - before.0, after.1 - before.1);
    (all > 0).then(|| 100 - (idle * 100 / all).min(100))
}

/// The machine and its nginx, in words.
fn machine() -> String {
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let nginx = Command::new("nginx").arg("-v").output();
    let nginx = nginx.map(|said| String::from_utf8_lossy(&said.stderr).into_owned());
    let nginx = nginx.unwrap_or_default();
    let nginx = nginx.trim().rsplit('/').next().unwrap_or_default();
    format!("{cpus} CPUs ({}), nginx {nginx}", model.unwrap_or("unknown"))
}

/// The middle one.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
