//! Measurements, each against a reference in the same call.
//!
//! For: `cargo xtask bench launch`, `plan`, `proxy` and `serve`.
//! Not for: passing or failing: machines are shared and noisy, and people judge the figures.

pub(crate) mod floor;
mod launch;
mod look;
mod serve;

pub(crate) use launch::peak_mib;

use crate::programs;
use crate::shell::{Shell, complain};

/// The benchmarks that can be asked for.
pub(crate) const NAMES: [&str; 3] = ["launch", "plan", "serve"];

/// Runs one benchmark; true if it could be run.
pub(crate) fn bench(shell: &Shell, name: &str, sizes: &[usize]) -> bool {
    let result = match name {
        "launch" => launch::launch(shell, sizes),
        "serve" => serve::serve(shell),
        _ => plan(shell),
    };
    if let Err(problem) = &result {
        complain(&format!("bench {name}: {problem}"));
    }
    result.is_ok()
}

/// An instance through nginx against the same instance alone; `options` go to the benchmark.
pub(crate) fn proxy(shell: &Shell, options: &[&str]) -> bool {
    let run = || {
        programs::install_witnesses(shell)?;
        let mut command = shell.cargo();
        command.args(["bench", "--quiet", "--package", "thon-cli", "--bench", "proxy", "--"]);
        command.args(options);
        shell.run("bench-proxy", command, |_, _| {})
    };
    let result = run();
    if let Err(problem) = &result {
        complain(&format!("bench proxy: {problem}"));
    }
    result == Ok(true)
}

/// Ten thousand users planned, ten thousand routes rendered.
fn plan(shell: &Shell) -> Result<(), String> {
    for (package, bench) in [("thon-core", "plan"), ("thon-nginx", "render")] {
        let mut command = shell.cargo();
        command.args([
            "bench",
            "--quiet",
            "--package",
            package,
            "--all-features",
            "--bench",
            bench,
        ]);
        if !shell.run(&format!("bench-{bench}"), command, |_, _| {})? {
            return Err(format!("{package} {bench} failed"));
        }
    }
    Ok(())
}
