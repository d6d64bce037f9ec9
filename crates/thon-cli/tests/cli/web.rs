//! A participant's browser, as far as requests and sockets go.
//!
//! For: what comes back through the proxy, over TLS that trusts the node's root alone.
//! Not for: what a page looks like; the target `browser` has a real one.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tokio_tungstenite::tungstenite::{
    self, ClientRequestBuilder, HandshakeError, Message, WebSocket,
};

/// A connection that says nothing for so long is given up.
const SILENCE: Duration = Duration::from_mins(1);

/// What follows an instance's URL once the editor is open.
pub(crate) const WORKBENCH: &str = "?folder=/workspace";

type Tls = StreamOwned<ClientConnection, TcpStream>;

/// What came back.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lower case.
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    /// A header; empty where it isn't there.
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(given, _)| given == name);
        found.map_or("", |(_, value)| value)
    }

    /// True if it leads to the page that asks for the password.
    pub(crate) fn asks_for_login(&self) -> bool {
        self.status == 302 && self.header("location").contains("login")
    }
}

/// A client that trusts one root.
pub(crate) struct Web {
    config: Arc<ClientConfig>,
}

impl Web {
    pub(crate) fn trusting(root: &Path) -> Self {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(root).unwrap() {
            roots.add(certificate.unwrap()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self { config: Arc::new(config) }
    }

    pub(crate) fn get(&self, url: &str) -> Answer {
        self.ask(url, "GET", "", "")
    }

    /// Opens `url` with a cookie, as `name=value`.
    pub(crate) fn get_with_cookie(&self, url: &str, cookie: &str) -> Answer {
        self.ask(url, "GET", &format!("Cookie: {cookie}\r\n"), "")
    }

    /// Fills in the login form below `url`, as the page's own script does.
    pub(crate) fn log_in(&self, url: &str, password: &str) -> Answer {
        let path = Place::of(url).path;
        let form = format!("base={}&password={password}", path.replace('/', "%2F"));
        let headers = format!(
            "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n",
            form.len()
        );
        self.ask(&format!("{url}login"), "POST", &headers, &form)
    }

    /// Opens a socket to `url`, as `https://…`.
    pub(crate) fn websocket(&self, url: &str) -> Socket {
        self.knock(url, &[]).unwrap_or_else(|status| panic!("{url}: {status}"))
    }

    /// The same with further headers; the status of what was answered instead, where it was refused.
    pub(crate) fn knock(&self, url: &str, headers: &[(&str, &str)]) -> Result<Socket, u16> {
        let url = url.replacen("https://", "wss://", 1);
        let stream = self.connect(&Place::of(&url));
        let mut request = ClientRequestBuilder::new(url.parse().unwrap());
        for (name, value) in headers {
            request = request.with_header(*name, *value);
        }
        match tungstenite::client(request, stream) {
            Ok((socket, _)) => Ok(Socket(socket)),
            Err(HandshakeError::Failure(tungstenite::Error::Http(answer))) => {
                Err(answer.status().as_u16())
            }
            Err(error) => panic!("{url}: {error}"),
        }
    }

    fn connect(&self, place: &Place<'_>) -> Tls {
        let name = ServerName::try_from(place.host.to_owned()).unwrap();
        let tls = ClientConnection::new(Arc::clone(&self.config), name).unwrap();
        StreamOwned::new(tls, place.dial())
    }

    fn ask(&self, url: &str, method: &str, headers: &str, body: &str) -> Answer {
        let place = Place::of(url);
        exchange(self.connect(&place), &place, method, headers, body)
    }
}

/// Asks for a `http://` URL.
pub(crate) fn plain_get(url: &str) -> Answer {
    let place = Place::of(url);
    exchange(place.dial(), &place, "GET", "", "")
}

/// The parts of a URL.
struct Place<'u> {
    host: &'u str,
    port: u16,
    path: &'u str,
}

impl<'u> Place<'u> {
    fn of(url: &'u str) -> Self {
        let (_, rest) = url.split_once("://").unwrap();
        let (authority, path) = rest.split_at(rest.find('/').unwrap());
        let (host, port) = authority.rsplit_once(':').unwrap();
        Self { host, port: port.parse().unwrap(), path }
    }

    /// Names are this machine's, whatever they are.
    fn dial(&self) -> TcpStream {
        let address = self.host.parse().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let stream = TcpStream::connect((address, self.port)).unwrap();
        stream.set_read_timeout(Some(SILENCE)).unwrap();
        stream
    }
}

/// One request on a connection of its own. Of version 1.0, which is answered in one piece.
fn exchange(
    mut stream: impl Read + Write,
    place: &Place<'_>,
    method: &str,
    headers: &str,
    body: &str,
) -> Answer {
    let Place { host, port, path } = place;
    let head = format!("{method} {path} HTTP/1.0\r\nHost: {host}:{port}\r\n{headers}\r\n");
    stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => {}
        // Closed without a farewell: what came is what there is.
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => {}
        Err(error) => panic!("{method} {path}: {error}"),
    }
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{path}: {text}"));
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    Answer { status, headers, body: body.to_owned() }
}

/// An open socket.
pub(crate) struct Socket(WebSocket<Tls>);

impl Socket {
    /// Sends a message to code-server's `/healthz` and returns its answer: it answers each.
    #[track_caller]
    pub(crate) fn ask_for_health(&mut self) -> serde_json::Value {
        self.0.send(Message::text("?")).unwrap();
        loop {
            if let Message::Text(text) = self.0.read().unwrap() {
                return serde_json::from_str(&text).unwrap();
            }
        }
    }
}
