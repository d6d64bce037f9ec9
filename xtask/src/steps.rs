//! The test command, step by step.
//!
//! For: which steps there are, what they need, and the account at the end.
//! Not for: how commands are run.

use std::fmt::Write as _;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::daemon::Daemon;
use crate::npm;
use crate::programs;
use crate::python;
use crate::shell::{Output, Shell, complain, say};
use crate::tally::Tally;

/// The steps that can be asked for on their own.
pub(crate) const NAMES: [&str; 4] = ["fmt", "clippy", "doc", "test"];

/// What became of the steps so far.
#[derive(Default)]
struct Account {
    steps: Vec<(&'static str, Result<(), String>, Duration)>,
    tally: Tally,
}

impl Account {
    /// Does a step and writes down what became of it; nothing if it failed.
    fn step<T>(
        &mut self,
        name: &'static str,
        work: impl FnOnce(&mut Tally) -> Result<T, String>,
    ) -> Option<T> {
        say(&format!("\n==> {name}"));
        let start = Instant::now();
        let (result, done) = match work(&mut self.tally) {
            Ok(done) => (Ok(()), Some(done)),
            Err(problem) => {
                complain(&format!("{name}: {problem}"));
                (Err(problem), None)
            }
        };
        self.steps.push((name, result, start.elapsed()));
        done
    }

    fn table(&self) -> String {
        let mut table = String::new();
        for (name, result, time) in &self.steps {
            let outcome = result.as_ref().map_or_else(String::as_str, |()| "ok");
            let (minutes, seconds) = (time.as_secs() / 60, time.as_secs() % 60);
            // Writing to a String can't fail.
            let _ = writeln!(table, "{name:<8}  {minutes:>3}:{seconds:02}  {outcome}");
        }
        table
    }

    /// The tests' counts. A step that failed without a failing test, such as fmt, counts as one, so
    /// that the last line never looks better than the run was.
    fn total(&self) -> Tally {
        let mut total = self.tally;
        let failed = self.steps.iter().filter(|(_, result, _)| result.is_err());
        let elsewhere = failed.filter(|(name, ..)| *name != "test" || total.failed == 0).count();
        total.failed += u64::try_from(elsewhere).unwrap_or(u64::MAX);
        total
    }
}

/// Everything, or the step `only`. True if all of it passed.
pub(crate) fn test(shell: &Shell, only: Option<&str>) -> bool {
    let mut account = Account::default();
    let wanted = |step: &str| only.is_none_or(|only| only == step);

    // What fails fast goes first.
    if wanted("fmt") {
        account.step("fmt", |_| run(shell, "fmt", cargo(shell, "fmt --all --check")));
    }
    if wanted("clippy") {
        let args = "clippy --workspace --all-targets --all-features -- --deny warnings";
        account.step("clippy", |_| run(shell, "clippy", cargo(shell, args)));
    }
    if wanted("doc") {
        let mut command = cargo(shell, "doc --workspace --no-deps --all-features");
        command.env("RUSTDOCFLAGS", "--deny warnings");
        account.step("doc", |_| run(shell, "doc", command));
    }
    if wanted("test") {
        tests(shell, &mut account);
    }

    say(&format!("\n{}", account.table()));
    say(&account.total().to_string());
    account.steps.iter().all(|(_, result, _)| result.is_ok())
}

/// The tests and what they need, each only if what it builds on is there.
fn tests(shell: &Shell, account: &mut Account) {
    if account.step("programs", |_| programs::install(shell)).is_none() {
        return;
    }
    if account.step("python", |_| python::ensure(shell)).is_none() {
        return;
    }
    if account.step("npm", |_| npm::ensure(shell)).is_none() {
        return;
    }
    // Runs to the end of this function, whatever becomes of the steps.
    let Some(_daemon) = account.step("docker", |_| Daemon::ensure(shell)) else { return };
    if account.step("image", |_| build_image(shell, &[])).is_some() {
        account.step("test", |tally| run_tests(shell, tally));
    }
}

fn run_tests(shell: &Shell, tally: &mut Tally) -> Result<(), String> {
    let command = cargo(shell, "test --workspace --all-features --no-fail-fast");
    let mut look = |output, line: &str| {
        if output == Output::Stdout {
            tally.read(line);
        }
    };
    let succeeded = shell.run("test", command, &mut look)?;
    let log = shell.logs.join("test.log");
    match tally {
        _ if !succeeded => Err(format!("failed, see {}", log.display())),
        Tally { ignored: 1.., .. } => {
            Err(format!("{} tests were ignored; none may be", tally.ignored))
        }
        Tally { passed: 0, .. } => Err("no test ran".to_owned()),
        _ => Ok(()),
    }
}

/// Builds the sandbox image through the product. True if it worked.
pub(crate) fn image(shell: &Shell, options: &[&str]) -> bool {
    match build_image(shell, options) {
        Ok(()) => true,
        Err(problem) => {
            complain(&problem);
            false
        }
    }
}

fn build_image(shell: &Shell, options: &[&str]) -> Result<(), String> {
    // Built as the tests build it, so that nothing is compiled twice.
    let args = "build --workspace --all-features --bin thon";
    run(shell, "build", cargo(shell, args))?;
    let this =
        std::env::current_exe().map_err(|error| format!("finding target failed: {error}"))?;
    let mut command = shell.command(this.with_file_name("thon"));
    command.args(["image", "build"]).args(options);
    run(shell, "image", command)
}

fn cargo(shell: &Shell, args: &str) -> Command {
    let mut command = shell.cargo();
    command.args(args.split(' '));
    command
}

fn run(shell: &Shell, name: &str, command: Command) -> Result<(), String> {
    if shell.run(name, command, |_, _| {})? {
        return Ok(());
    }
    Err(format!("failed, see {}", shell.logs.join(format!("{name}.log")).display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_step_shows_in_the_table_and_in_the_last_line() {
        let mut account = Account::default();
        assert_eq!(account.step("fmt", |_| Err::<(), _>("failed".to_owned())), None);
        account.step("test", |tally| {
            tally.passed = 7;
            Ok(())
        });
        assert_eq!(account.total().to_string(), "7 passed, 1 failed");
        assert!(account.table().contains("fmt         0:00  failed\ntest "), "{}", account.table());
    }

    #[test]
    fn failing_tests_are_counted_once() {
        let mut account = Account::default();
        account.step("test", |tally| {
            *tally = Tally { passed: 7, failed: 2, ignored: 0 };
            Err::<(), _>("failed".to_owned())
        });
        assert_eq!(account.total().to_string(), "7 passed, 2 failed");

        let mut account = Account::default();
        account.step("test", |_| Err::<(), _>("a test does not compile".to_owned()));
        assert_eq!(account.total().to_string(), "0 passed, 1 failed");
    }
}
