//! What our nginx costs: an instance through it over TLS against the same instance alone.
//!
//! For: requests per second and latencies of `/healthz`, and how much later a websocket's answer
//! comes, both ways by turns in one call, on a sandbox that `thon run` has launched.
//! Not for: passing or failing: machines are shared and noisy, and people judge the figures. Only a
//! measurement that can't be made is a failure.

#[path = "../../tests/support/mod.rs"]
mod support;

mod http;
mod report;
mod socket;

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use report::Report;
use support::Node;

/// How often each of the two is measured, unless said otherwise.
const ROUNDS: usize = 5;

/// Set by the first signal: the measurement ends, and what it started is taken away.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

fn main() -> ExitCode {
    match measure() {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            complain(&problem);
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Result<(), String> {
    let (rounds, json) = options()?;
    listen()?;
    let node = Node::new("alpha: [ada]");
    let launched = node.thon(&["run", "--yes"]);
    if launched.code != 0 {
        return Err(format!("thon run: {}", launched.stderr.trim()));
    }
    let status = node.thon(&["--json", "status"]);
    let status: serde_json::Value = serde_json::from_str(&status.stdout)
        .map_err(|error| format!("thon status: {error}: {}", status.stderr.trim()))?;
    let url = |key: &str| {
        let url = status[0][key].as_str().ok_or_else(|| format!("no {key} in {status}"))?;
        Ok::<_, String>(format!("{url}healthz"))
    };
    let (alone, through) = (url("local_url")?, url("url")?);

    let busy = report::busy();
    let mut http = Vec::with_capacity(rounds);
    http::warm_up(&alone, &through)?;
    for number in 1..=rounds {
        go_on()?;
        let round = http::round(&alone, &through, number % 2 == 0)?;
        complain(&format!(
            "requests, round {number} of {rounds}: alone {:.0}/s, through nginx {:.0}/s, ratio {:.2}",
            round.alone.per_second,
            round.through.per_second,
            round.ratio()
        ));
        http.push(round);
    }
    let root = node.root_certificate();
    let mut socket = Vec::with_capacity(rounds);
    for number in 1..=rounds {
        go_on()?;
        let round = socket::round(&alone, &through, &root)?;
        complain(&format!(
            "websocket, round {number} of {rounds}: p99 alone {:.3} ms, through nginx {:.3} ms",
            round.alone.p99, round.through.p99
        ));
        socket.push(round);
    }
    let report = Report { busy, http, socket };
    say(&if json { report.json() } else { report.table() });
    Ok(())
}

/// The number of rounds, and whether the figures are wanted as JSON.
fn options() -> Result<(usize, bool), String> {
    let (mut rounds, mut json) = (ROUNDS, false);
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            // What cargo tells every benchmark.
            "--bench" => {}
            "--json" => json = true,
            number => match number.parse() {
                Ok(number @ 1..=100) => rounds = number,
                _ => return Err(format!("{number:?} is no number of rounds from 1 to 100")),
            },
        }
    }
    Ok((rounds, json))
}

/// Takes the signals over, so that an interrupted measurement leaves no sandbox behind.
fn listen() -> Result<(), String> {
    let said = |error: std::io::Error| format!("listening for signals failed: {error}");
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(said)?;
    std::thread::spawn(move || {
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let (Ok(mut interrupt), Ok(mut terminate)) =
                (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
            else {
                return;
            };
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                INTERRUPTED.store(true, Ordering::SeqCst);
            }
        });
    });
    Ok(())
}

fn go_on() -> Result<(), String> {
    if INTERRUPTED.load(Ordering::SeqCst) { Err("interrupted".to_owned()) } else { Ok(()) }
}

#[expect(clippy::print_stdout, reason = "the result of a measurement")]
fn say(text: &str) {
    println!("{text}");
}

#[expect(clippy::print_stderr, reason = "a benchmark says on its way how far it is")]
fn complain(text: &str) {
    eprintln!("{text}");
}
