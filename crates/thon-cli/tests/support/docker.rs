//! Docker through its own command line.
//!
//! For: seeing and doing past THON what a test has to see and do.
//! Not for: what THON itself can be asked.

use std::io::Write;
use std::process::{Command, Stdio};

use super::Output;

/// The sandbox's user.
const USER: &str = "vscode";

/// Runs `docker` with these arguments.
pub(crate) fn try_docker(args: &[&str]) -> Output {
    Command::new("docker").args(args).stdin(Stdio::null()).output().unwrap().into()
}

/// Runs `docker` with these arguments, which has to succeed, and returns what it printed.
#[track_caller]
pub(crate) fn docker(args: &[&str]) -> String {
    try_docker(args).ok().stdout.trim_end().to_owned()
}

/// Runs a program inside a container as the participant does, which has to succeed, and returns
/// what it printed.
#[track_caller]
pub(crate) fn exec(container: &str, program: &[&str]) -> String {
    exec_as_user(container, program).ok().stdout.trim_end().to_owned()
}

/// Runs a program inside a container as the participant does.
pub(crate) fn exec_as_user(container: &str, program: &[&str]) -> Output {
    try_docker(&[&["exec", "--user", USER, "--workdir", "/workspace", container], program].concat())
}

/// The command lines of everything that runs in a container.
#[track_caller]
pub(crate) fn processes(container: &str) -> Vec<String> {
    let said = docker(&["top", container, "-eo", "pid,args"]);
    said.lines().skip(1).map(str::to_owned).collect()
}

/// Writes a file inside a container as the participant does; its folder has to be there.
#[track_caller]
pub(crate) fn write_file(container: &str, path: &str, text: &str) {
    let mut child = Command::new("docker")
        .args(["exec", "--interactive", "--user", USER, container, "tee", path])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "{path} can't be written");
}
