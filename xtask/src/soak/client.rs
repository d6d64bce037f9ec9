//! A participant's browser, as far as connections go.
//!
//! For: an HTTPS connection that is kept alive and a websocket, both through nginx, over TLS that
//! trusts the node's root alone.
//! Not for: deciding how many there are and how long they stay.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tungstenite::{Message, WebSocket};

/// A connection that says nothing for so long is lost.
const SILENCE: Duration = Duration::from_secs(30);
/// The longest answer that is taken for one.
const LONGEST: u64 = 1 << 16;

type Tls = StreamOwned<ClientConnection, TcpStream>;

/// What opens connections.
#[derive(Clone)]
pub(super) struct Client {
    config: Arc<ClientConfig>,
}

impl Client {
    /// One that trusts the root certificate in this file.
    pub(super) fn trusting(root: &Path) -> Result<Self, String> {
        let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", root.display());
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(root).map_err(|error| failed(&error))? {
            let certificate = certificate.map_err(|error| failed(&error))?;
            roots.add(certificate).map_err(|error| failed(&error))?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| failed(&error))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { config: Arc::new(config) })
    }

    /// Opens a connection for requests to one host.
    pub(super) fn connect(&self, url: &str) -> Result<Connection, String> {
        let place = Place::of(url)?;
        let stream = BufReader::new(self.dial(&place)?);
        let authority = format!("{}:{}", place.host, place.port);
        Ok(Connection { stream, authority, path: place.path.to_owned() })
    }

    /// Opens a websocket to `url`, as `https://…`.
    pub(super) fn socket(&self, url: &str) -> Result<Socket, String> {
        let place = Place::of(url)?;
        let url = url.replacen("https://", "wss://", 1);
        let (socket, _) = tungstenite::client(url, self.dial(&place)?)
            .map_err(|error| format!("the websocket handshake: {error}"))?;
        Ok(Socket(socket))
    }

    fn dial(&self, place: &Place<'_>) -> Result<Tls, String> {
        let failed = |error: &dyn std::fmt::Display| format!("connecting: {error}");
        let stream =
            TcpStream::connect((place.host, place.port)).map_err(|error| failed(&error))?;
        stream.set_read_timeout(Some(SILENCE)).map_err(|error| failed(&error))?;
        stream.set_write_timeout(Some(SILENCE)).map_err(|error| failed(&error))?;
        let name = ServerName::try_from(place.host.to_owned()).map_err(|error| failed(&error))?;
        let tls = ClientConnection::new(Arc::clone(&self.config), name)
            .map_err(|error| failed(&error))?;
        Ok(StreamOwned::new(tls, stream))
    }
}

/// The parts of a URL.
struct Place<'u> {
    host: &'u str,
    port: u16,
    path: &'u str,
}

impl<'u> Place<'u> {
    fn of(url: &'u str) -> Result<Self, String> {
        let parts = || {
            let rest = url.strip_prefix("https://")?;
            let (authority, path) = rest.split_at(rest.find('/')?);
            let (host, port) = authority.rsplit_once(':')?;
            Some(Self { host, port: port.parse().ok()?, path })
        };
        parts().ok_or_else(|| format!("{url} is no URL with a port"))
    }
}

/// Why a request has no good answer.
pub(super) enum Trouble {
    /// The connection is gone: nginx closes one that is kept alive whenever it likes to.
    Gone(String),
    /// It was answered, and not as it should be.
    Refused(String),
}

impl From<String> for Trouble {
    fn from(text: String) -> Self {
        Self::Gone(text)
    }
}

/// A connection on which requests follow one another.
pub(super) struct Connection {
    stream: BufReader<Tls>,
    authority: String,
    path: String,
}

impl Connection {
    /// Asks once. True if the connection may be used again.
    pub(super) fn ask(&mut self) -> Result<bool, Trouble> {
        let request = format!("GET {} HTTP/1.1\r\nHost: {}\r\n\r\n", self.path, self.authority);
        let stream = self.stream.get_mut();
        stream
            .write_all(request.as_bytes())
            .and_then(|()| stream.flush())
            .map_err(|error| format!("asking: {error}"))?;
        let mut line = String::new();
        self.line(&mut line)?;
        if line.split(' ').nth(1) != Some("200") {
            return Err(Trouble::Refused(format!("the answer is {line:?}")));
        }
        let (mut length, mut stays) = (None, true);
        loop {
            self.line(&mut line)?;
            let Some((name, value)) = line.split_once(": ") else { break };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse::<u64>().ok(),
                "connection" => stays = !value.eq_ignore_ascii_case("close"),
                _ => {}
            }
        }
        let length = length.filter(|length| *length <= LONGEST);
        let length = length.ok_or_else(|| Trouble::Refused("an answer of no length".to_owned()))?;
        let taken = std::io::copy(&mut (&mut self.stream).take(length), &mut std::io::sink())
            .map_err(|error| format!("reading the answer: {error}"))?;
        if taken == length { Ok(stays) } else { Err("the answer ended early".to_owned().into()) }
    }

    fn line(&mut self, line: &mut String) -> Result<(), String> {
        line.clear();
        match (&mut self.stream).take(LONGEST).read_line(line) {
            Ok(0) => Err("the connection was closed".to_owned()),
            Ok(_) => {
                line.truncate(line.trim_end().len());
                Ok(())
            }
            Err(error) => Err(format!("reading the answer: {error}")),
        }
    }
}

/// An open websocket to code-server's `/healthz`, which answers each message.
pub(super) struct Socket(WebSocket<Tls>);

impl Socket {
    /// Sends a message and waits for the answer to it.
    pub(super) fn ask(&mut self) -> Result<(), String> {
        self.0.send(Message::text("?")).map_err(|error| format!("sending: {error}"))?;
        loop {
            match self.0.read() {
                Ok(Message::Text(_)) => return Ok(()),
                Ok(Message::Close(_)) => return Err("it was closed".to_owned()),
                Ok(_) => {}
                Err(error) => return Err(format!("reading: {error}")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let place = Place::of("https://127.0.0.1:29998/29000/proxy/8443/healthz").unwrap();
        assert_eq!(
            (place.host, place.port, place.path),
            ("127.0.0.1", 29998, "/29000/proxy/8443/healthz")
        );
        for wrong in ["http://h:1/", "https://h/", "https://h:x/", "https://h:1"] {
            assert!(Place::of(wrong).is_err(), "{wrong}");
        }
    }
}
