//! The test command itself, with stand-ins for the programs that it works with.
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tempfile::TempDir;

const PROGRAMS: [&str; 13] = [
    "cargo",
    "thon",
    "docker",
    "dockerd",
    "nginx",
    "mkcert",
    "openssl",
    "certutil",
    "chromium",
    "chromedriver",
    "mmdebstrap",
    "ip",
    "python3",
];

/// A project with nothing in it but the programs.
struct Project {
    root: TempDir,
}

impl Project {
    /// With these orders to the stand-ins.
    fn with(orders: &[&str]) -> Self {
        // Beside the program under test, which is linked into it: the image is built by the `thon`
        // that lies beside `xtask`.
        let root = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let stand_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stand-in/program");
        for program in PROGRAMS {
            std::os::unix::fs::symlink(&stand_in, root.path().join(program)).unwrap();
        }
        std::fs::hard_link(env!("CARGO_BIN_EXE_xtask"), root.path().join("xtask")).unwrap();
        for order in orders {
            std::fs::write(root.path().join(order), "").unwrap();
        }
        Self { root }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        let path = std::env::var("PATH").unwrap();
        let mut command = Command::new(self.file("xtask"));
        command
            .args(args)
            .env("PATH", format!("{}:{path}", self.root.path().display()))
            .env("CARGO", self.file("cargo"))
            .env("CARGO_MANIFEST_DIR", self.file("any"))
            .stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// What was called, docker's own questions left out.
    fn calls(&self) -> Vec<String> {
        let calls = std::fs::read_to_string(self.file("calls")).unwrap();
        calls.lines().filter(|call| !call.starts_with("docker ")).map(str::to_owned).collect()
    }
}

fn closing_line(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout);
    // The daemon is stopped before the account is made, so that nothing follows it.
    text.lines().last().unwrap_or_default().to_owned()
}

#[test]
fn everything_is_done_in_order_and_what_was_started_is_stopped() {
    let project = Project::with(&[]);
    let output = project.run(&["test"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(closing_line(&output), "3 passed, 0 failed");
    let calls = project.calls();
    let words: Vec<_> =
        calls.iter().map(|call| call.split_once(" -").map_or(&**call, |c| c.0)).collect();
    assert_eq!(
        words,
        [
            "cargo fmt",
            "cargo clippy",
            "cargo doc",
            "python3",
            "dockerd ",
            "cargo build",
            "thon image build",
            "cargo test"
        ]
    );
    assert!(!project.file("daemon").exists(), "the daemon still runs");
    assert!(project.file("target/xtask/test.log").exists());
}

#[test]
fn a_daemon_that_answers_already_is_left_alone() {
    let project = Project::with(&["daemon"]);
    assert_eq!(project.run(&["test", "--only", "test"]).status.code(), Some(0));
    assert!(!project.calls().iter().any(|call| call.starts_with("dockerd")));
    assert!(project.file("daemon").exists());
}

#[test]
fn a_failing_test_fails_the_command_and_stops_the_daemon() {
    let project = Project::with(&["fails-test"]);
    let output = project.run(&["test"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(closing_line(&output), "2 passed, 1 failed");
    assert!(!project.file("daemon").exists(), "the daemon still runs");
}

#[test]
fn a_failing_lint_fails_the_command_though_the_tests_pass() {
    let project = Project::with(&["fails-clippy"]);
    let output = project.run(&["test"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(closing_line(&output), "3 passed, 1 failed");
}

#[test]
fn an_ignored_test_fails_the_command() {
    let project = Project::with(&["ignores"]);
    let output = project.run(&["test", "--only", "test"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(closing_line(&output), "4 passed, 1 failed");
}

#[test]
fn without_an_image_no_test_runs() {
    let project = Project::with(&["no-image"]);
    let output = project.run(&["test", "--only", "test"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(closing_line(&output), "0 passed, 1 failed");
    assert!(!project.calls().iter().any(|call| call.starts_with("cargo test")));
    assert!(!project.file("daemon").exists(), "the daemon still runs");
}

#[test]
fn who_ends_the_command_ends_all_that_it_started() {
    let project = Project::with(&["hangs"]);
    let mut command = project.command(&["test"]);
    let mut chore = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(chore.stdout.take().unwrap()).lines().map(Result::unwrap);
    let hanging = lines.find_map(|line| line.strip_prefix("hanging ").map(str::to_owned)).unwrap();
    let hanging = Pid::from_raw(hanging.parse().unwrap()).unwrap();
    assert!(project.file("daemon").exists());

    kill_process(Pid::from_raw(chore.id().try_into().unwrap()).unwrap(), Signal::TERM).unwrap();
    let rest: Vec<String> = lines.collect();
    assert_eq!(chore.wait().unwrap().code(), Some(130), "{rest:?}");
    assert!(test_kill_process(hanging).is_err(), "the tests still run");
    assert!(!project.file("daemon").exists(), "the daemon still runs");
}

#[test]
fn what_is_asked_for_wrongly_is_explained() {
    let project = Project::with(&[]);
    for args in [&["tset"][..], &["test", "--only", "fmtt"], &["test", "--fast"]] {
        let output = project.run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(args.last().unwrap()) && said.contains("cargo xtask"), "{said}");
    }
}
