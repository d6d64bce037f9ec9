//! A browser, as far as the tests need one: trusts the root, speaks HTTP/1.1 and websockets.

use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::{HeaderMap, Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use thon_core::endpoint::Port;
use thon_core::proxy::{ProxySite, Route};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::Message;

/// What came back.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answer {
    /// All values of a header.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
    }

    /// The one value of a header, or nothing.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }
}

/// A connection to where browsers knock for `host` and `port` of this site.
async fn tls(site: &ProxySite, (host, port): (&str, Port)) -> TlsStream<TcpStream> {
    let mut roots = rustls::RootCertStore::empty();
    let root = site.certificate.root.as_ref().unwrap();
    roots.add(CertificateDer::from_pem_file(root).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(("127.0.0.1", port.get())).await.unwrap();
    let name = ServerName::try_from(host.to_owned()).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
}

pub async fn https(site: &ProxySite, method: &str, path: &str) -> Answer {
    https_with(site, method, path, &[]).await
}

pub async fn https_with(
    site: &ProxySite,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> Answer {
    let door = (site.host.as_str(), site.https_port);
    request(tls(site, door).await, &authority(door), method, path, headers).await
}

/// A request for a URL, which has its port in it.
pub async fn open(site: &ProxySite, url: &str) -> Answer {
    let (authority, path) = url.trim_start_matches("https://").split_once('/').unwrap();
    let (host, port) = authority.split_once(':').unwrap();
    let stream = tls(site, (host, port.parse().unwrap())).await;
    request(stream, authority, "GET", &format!("/{path}"), &[]).await
}

fn authority((host, port): (&str, Port)) -> String {
    format!("{host}:{port}")
}

/// `path` below the path of a URL of this site.
fn below(site: &ProxySite, route: &Route, path: &str) -> String {
    let url = site.url(route);
    let (_, base) = url.trim_start_matches("https://").split_once('/').unwrap();
    format!("/{base}{path}")
}

/// A request to what stands below the URL of a route.
pub async fn visit(
    site: &ProxySite,
    route: &Route,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> Answer {
    let door = site.door(route);
    let path = below(site, route, path);
    request(tls(site, door).await, &authority(door), method, &path, headers).await
}

/// A websocket to what stands below the URL of a route.
pub async fn socket_of(site: &ProxySite, route: &Route, path: &str) -> Socket {
    let door = site.door(route);
    let url = format!("wss://{}{}", authority(door), below(site, route, path));
    Socket(tokio_tungstenite::client_async(url, tls(site, door).await).await.unwrap().0)
}

pub async fn http(host: &str, port: Port, method: &str, path: &str) -> Answer {
    let stream = TcpStream::connect(("127.0.0.1", port.get())).await.unwrap();
    request(stream, &format!("{host}:{port}"), method, path, &[]).await
}

async fn request<S>(
    stream: S,
    authority: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> Answer
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let io = TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    tokio::spawn(connection);
    let mut request = Request::builder().method(method).uri(path).header("host", authority);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Empty::<Bytes>::new()).unwrap();
    let answer = sender.send_request(request).await.unwrap();
    let (parts, body) = answer.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer {
        status: parts.status,
        headers: parts.headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
    }
}

/// An open websocket.
pub struct Socket(tokio_tungstenite::WebSocketStream<TlsStream<TcpStream>>);

impl Socket {
    /// Sends a text and returns what comes back.
    pub async fn echo(&mut self, text: &str) -> String {
        self.0.send(Message::text(text)).await.unwrap();
        loop {
            if let Message::Text(text) = self.0.next().await.unwrap().unwrap() {
                return text.to_string();
            }
        }
    }
}

pub async fn websocket(site: &ProxySite, path: &str) -> Socket {
    let door = (site.host.as_str(), site.https_port);
    let url = format!("wss://{}{path}", authority(door));
    Socket(tokio_tungstenite::client_async(url, tls(site, door).await).await.unwrap().0)
}
