//! Chores of THON's developers, started as `cargo xtask CHORE`.
//!
//! For: what takes more than one command and has to be the same on every machine: the test command,
//! measurements, building the sandbox image.
//! Not for: anything that an organizer needs; that is in `thon`.

mod bench;
mod daemon;
mod npm;
mod programs;
mod python;
mod shell;
mod soak;
mod steps;
mod tally;

use std::process::ExitCode;

use shell::{Shell, complain, say};

const USAGE: &str = "\
cargo xtask CHORE

  test [--only STEP]   everything that has to pass: fmt, clippy, doc, test
                       test installs what is missing, starts Docker where none runs,
                       builds the sandbox image, and stops again what it started
  image [OPTIONS]      builds the sandbox image: thon image build [OPTIONS]
  bench launch [N ...] thon run against plain docker run, for 1, 4 and 16 users or those named
  bench proxy [N] [--json]
                       an instance through nginx against the same instance alone, in N rounds
  bench serve          ten thousand users listed, searched and shown by thon serve, and its memory
  bench plan           ten thousand users planned, ten thousand routes rendered
  soak --users N       N real instances in use while ten come and ten go, with a report
                       --report FILE   writes the report there as well
                       --hold SECONDS  how long connections are held in each part (20)
                       --no-floor      without plain docker run beside it
  help                 this text
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let (chore, options) = args.split_first().unwrap_or((&"help", &[]));
    match (*chore, options) {
        ("test", []) => run(|shell| steps::test(shell, None)),
        ("test", ["--only", step]) if steps::NAMES.contains(step) => {
            run(|shell| steps::test(shell, Some(step)))
        }
        ("test", ["--only", step]) => {
            usage(&format!("there is no step {step:?}; use {}", steps::NAMES.join(", ")))
        }
        ("image", options) => run(|shell| steps::image(shell, options)),
        ("bench", ["proxy", options @ ..])
            if options.iter().all(|option| *option == "--json" || option.parse::<u8>().is_ok()) =>
        {
            run(|shell| bench::proxy(shell, options))
        }
        ("bench", [name, sizes @ ..]) if bench::NAMES.contains(name) => {
            let sizes: Result<Vec<usize>, _> = sizes.iter().map(|size| size.parse()).collect();
            match sizes {
                Ok(sizes) if sizes.is_empty() => {
                    run(|shell| bench::bench(shell, name, &[1, 4, 16]))
                }
                Ok(sizes) => run(|shell| bench::bench(shell, name, &sizes)),
                Err(error) => usage(&format!("bench {name} takes numbers of users: {error}")),
            }
        }
        ("bench", _) => {
            usage(&format!("bench takes {}", [&bench::NAMES[..], &["proxy"]].concat().join(" or ")))
        }
        ("soak", options) => match soak::Options::parse(options) {
            Ok(options) => run(|shell| soak::soak(shell, &options)),
            Err(problem) => usage(&problem),
        },
        ("help" | "--help" | "-h", _) => {
            say(USAGE);
            ExitCode::SUCCESS
        }
        ("test", [other, ..]) => usage(&format!("test does not take {other:?}")),
        (other, _) => usage(&format!("there is no chore {other:?}")),
    }
}

fn usage(problem: &str) -> ExitCode {
    complain(&format!("{problem}\n\n{USAGE}"));
    ExitCode::from(2)
}

fn run(chore: impl FnOnce(&Shell) -> bool) -> ExitCode {
    let shell = match Shell::new() {
        Ok(shell) => shell,
        Err(problem) => {
            complain(&problem);
            return ExitCode::FAILURE;
        }
    };
    let done = chore(&shell);
    if shell.is_interrupted() {
        // What shells report of a command that Ctrl-C ended.
        return ExitCode::from(130);
    }
    if done { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
