//! Watching code-servers come up, the same way for every contender.
//!
//! For: the time until each of some ports answers `GET /healthz` with 200, and a median.
//! Not for: starting anything.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Between two rounds of looks.
const EVERY: Duration = Duration::from_millis(50);
/// For one look: a starved code-server accepts and doesn't answer.
const PATIENCE: Duration = Duration::from_millis(500);

/// Waits until all of `ports` have answered, or until `limit`. Returns how long it took since
/// `start`, and how many answered.
pub(crate) fn until_healthy(ports: &[u16], start: Instant, limit: Duration) -> (Duration, usize) {
    let mut waiting = ports.to_vec();
    loop {
        waiting.retain(|port| !healthy(*port));
        if waiting.is_empty() || start.elapsed() > limit {
            return (start.elapsed(), ports.len() - waiting.len());
        }
        pause();
    }
}

/// Waits a moment.
#[expect(clippy::disallowed_methods, reason = "this program has no async tasks to hold up")]
pub(crate) fn pause() {
    std::thread::sleep(EVERY);
}

/// True if code-server answers on this port of loopback.
pub(crate) fn healthy(port: u16) -> bool {
    let look = || {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer)?;
        Ok::<_, std::io::Error>(answer == *b"HTTP/1.1 200")
    };
    look().unwrap_or(false)
}

/// The middle one.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
