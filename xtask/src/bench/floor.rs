//! The floor: plain `docker run` of the same image.
//!
//! For: what a launch costs with nothing around it, all at once or a few at a time.
//! Not for: anything that an organizer would use.

use std::collections::VecDeque;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::look::until_healthy;

/// Containers of the floor carry this label, and are removed by it.
const LABEL: &str = "thon-bench-floor";

/// Starts a code-server on each of `ports`, `at_once` of them at a time, and waits until all are
/// healthy. Nothing if some never were.
pub(crate) fn floor(
    image: &str,
    ports: &[u16],
    at_once: usize,
    limit: Duration,
) -> Option<Duration> {
    let start = Instant::now();
    let queue = Mutex::new(ports.iter().copied().collect::<VecDeque<u16>>());
    std::thread::scope(|scope| {
        for _ in 0..at_once.min(ports.len()) {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    let Some(port) = next else { return };
                    let Ok(mut child) = run(image, port) else { return };
                    // A container that could not be started never becomes healthy, which is seen.
                    let _ = child.wait();
                    if at_once < ports.len() {
                        until_healthy(&[port], Instant::now(), limit);
                    }
                }
            });
        }
    });
    let (_, healthy) = until_healthy(ports, start, limit);
    let took = start.elapsed();
    clear();
    (healthy == ports.len()).then_some(took)
}

fn run(image: &str, port: u16) -> std::io::Result<Child> {
    Command::new("docker")
        .args(["run", "--detach", "--init", "--label", LABEL])
        .args(["--publish", &format!("127.0.0.1:{port}:8443")])
        .args([image, "--bind-addr", "0.0.0.0:8443", "--auth", "none", "/workspace"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}

/// Removes what is left of the floor.
pub(crate) fn clear() {
    let listed = Command::new("docker")
        .args(["ps", "--all", "--quiet", "--filter", &format!("label={LABEL}")])
        .output();
    let Ok(listed) = listed else { return };
    let ids = String::from_utf8_lossy(&listed.stdout).into_owned();
    let ids: Vec<&str> = ids.split_whitespace().collect();
    if !ids.is_empty() {
        let _ = Command::new("docker").args(["rm", "--force"]).args(ids).output();
    }
}
