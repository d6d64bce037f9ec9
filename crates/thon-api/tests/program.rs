//! `thon-api` as a service manager runs it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

fn program(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_thon-api"));
    command.env("THON_HOME", home).env("HOME", home).env_remove("THON_CONFIG");
    command.current_dir(home).stdin(Stdio::null());
    command
}

fn ask(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    let request =
        format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

#[test]
fn it_serves_both_ports_and_ends_well_when_it_is_asked_to() {
    let home = tempfile::tempdir().unwrap();
    let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (api, web) = (free(), free());
    let config = home.path().join("thon.yaml");
    std::fs::write(&config, format!("dashboard: {{port: {api}, web_port: {web}}}\n")).unwrap();
    let mut command = program(home.path());
    let command = command.arg("--config").arg(&config).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let start = Instant::now();
    let health = loop {
        if let Some(answer) = ask(api, "/health") {
            break answer;
        }
        assert_eq!(child.try_wait().unwrap(), None, "it ended");
        assert!(start.elapsed() < Duration::from_mins(1), "it never listened");
        std::thread::park_timeout(Duration::from_millis(20));
    };
    assert!(health.starts_with("HTTP/1.1 200"), "{health}");
    let page = ask(web, "/users").unwrap();
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("<h1>Users"), "{page}");

    let pid = Pid::from_raw(child.id().try_into().unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    let output = child.wait_with_output().unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{log}");
    let lines: Vec<serde_json::Value> =
        log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().any(|line| line.to_string().contains("listening")), "{log}");
}

#[test]
fn what_it_is_not_told_rightly_is_refused_before_anything_is_served() {
    let home = tempfile::tempdir().unwrap();
    let said = |args: &[&str]| {
        let output = program(home.path()).args(args).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, text) = said(&["--log", "loud"]);
    assert!(code == Some(2) && text.contains("text, json"), "{code:?} {text}");
    let (code, text) = said(&["--config", "nowhere.yaml"]);
    assert!(code == Some(2) && text.contains("nowhere.yaml"), "{code:?} {text}");
}
