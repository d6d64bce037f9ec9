//! A websocket: how long a message of 64 bytes takes to code-server and its answer back.
//!
//! For: one message at a time, by turns on a socket of its own straight to the instance and on one
//! through nginx, so that both meet the same machine.
//! Not for: throughput.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

/// Messages on each of the two sockets in a round.
pub(crate) const MESSAGES: usize = 3000;
/// Those before them, which don't count.
const WARM_UP: usize = 300;
/// What is sent, in bytes.
pub(crate) const SIZE: usize = 64;
/// An answer that takes longer doesn't come.
const PATIENCE: Duration = Duration::from_secs(10);

/// In milliseconds.
pub(crate) struct Latency {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

/// Both, message by message.
pub(crate) struct Round {
    pub(crate) alone: Latency,
    pub(crate) through: Latency,
}

/// Opens both sockets and sends messages by turns. code-server answers each message to `/healthz`
/// with one of about the same size, without a login.
pub(crate) fn round(alone: &str, through: &str, root: &Path) -> Result<Round, String> {
    let mut alone = open(&alone.replacen("http://", "ws://", 1), Ok)?;
    let tls = config(root)?;
    let mut through = open(&through.replacen("https://", "wss://", 1), |stream| {
        let name = ServerName::try_from("127.0.0.1").map_err(|error| error.to_string())?;
        let client = ClientConnection::new(tls, name).map_err(|error| error.to_string())?;
        Ok(StreamOwned::new(client, stream))
    })?;
    let message = "x".repeat(SIZE);
    let (mut direct, mut proxied) = (Vec::new(), Vec::new());
    for number in 0..WARM_UP + MESSAGES {
        let times = (ask(&mut alone, &message)?, ask(&mut through, &message)?);
        if number >= WARM_UP {
            direct.push(times.0);
            proxied.push(times.1);
        }
    }
    Ok(Round { alone: latency(direct), through: latency(proxied) })
}

fn open<S: Read + Write>(
    url: &str,
    wrap: impl FnOnce(TcpStream) -> Result<S, String>,
) -> Result<WebSocket<S>, String> {
    let said = |error: &dyn std::fmt::Display| format!("opening {url} failed: {error}");
    let authority = url.split("://").nth(1).and_then(|rest| rest.split('/').next());
    let stream = TcpStream::connect(authority.unwrap_or_default()).map_err(|error| said(&error))?;
    let set = || {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))
    };
    set().map_err(|error: std::io::Error| said(&error))?;
    let stream = wrap(stream).map_err(|error| said(&error))?;
    tungstenite::client(url, stream).map(|(socket, _)| socket).map_err(|error| said(&error))
}

fn config(root: &Path) -> Result<Arc<ClientConfig>, String> {
    let said = |error: &dyn std::fmt::Display| format!("{}: {error}", root.display());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(root).map_err(|error| said(&error))? {
        roots.add(certificate.map_err(|error| said(&error))?).map_err(|error| said(&error))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| said(&error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Sends a message and waits for the answer; how long that took, in milliseconds.
fn ask<S: Read + Write>(socket: &mut WebSocket<S>, message: &str) -> Result<f64, String> {
    let start = Instant::now();
    socket.send(Message::text(message)).map_err(|error| format!("sending failed: {error}"))?;
    loop {
        match socket.read() {
            Ok(Message::Text(_)) => return Ok(start.elapsed().as_secs_f64() * 1000.0),
            Ok(_) => {}
            Err(error) => return Err(format!("no answer on the websocket: {error}")),
        }
    }
}

fn latency(mut times: Vec<f64>) -> Latency {
    times.sort_by(f64::total_cmp);
    let at = |hundredths: usize| times.get(times.len() * hundredths / 100).copied();
    Latency { p50: at(50).unwrap_or(f64::NAN), p99: at(99).unwrap_or(f64::NAN) }
}
