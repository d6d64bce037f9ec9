//! Looking at nginx from outside: which configuration it serves, and whether a route works.
//!
//! For: requests to nginx on this machine, over TLS that is verified as a browser would.
//! Not for: changing anything.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, RootCertStore, SignatureScheme};
use thon_core::certificate::{Certificate, Trust};
use thon_core::endpoint::Port;
use thon_core::proxy::{ProxySite, Route, RouteCheck};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite;

use crate::error::NginxError;

/// How long one route's check may take, all tries together.
const CHECK_TIMEOUT: Duration = Duration::from_secs(10);
/// How many times a route is tried before it is called broken.
const TRIES: usize = 3;
/// The pause between two tries.
const PAUSE: Duration = Duration::from_millis(300);
/// How many routes are checked at a time.
const AT_A_TIME: usize = 8;
/// The longest answer that is read; all that we ask for is short.
const LONGEST_ANSWER: usize = 64 * 1024;

/// What is wrong, in a few words.
type Problem = String;

/// The fingerprint of the configuration that nginx serves on `http_port`; nothing if it serves
/// none of ours.
pub(crate) async fn generation(host: &str, http_port: Port) -> Option<String> {
    let look = async {
        let stream = connect(http_port).await.ok()?;
        let (status, body) = get(stream, host, "/thon-generation").await.ok()?;
        (status == StatusCode::OK).then(|| String::from_utf8_lossy(&body).into_owned())
    };
    tokio::time::timeout(Duration::from_secs(3), look).await.ok().flatten()
}

/// Checks `routes` of `site`, a few at a time; the answers are in the order of the routes.
pub(crate) async fn check(
    site: &ProxySite,
    routes: Vec<Route>,
) -> Result<Vec<RouteCheck>, NginxError> {
    let certificate = site.certificate.clone();
    let config = tokio::task::spawn_blocking(move || tls_config(&certificate)).await??;
    let connector = TlsConnector::from(Arc::new(config));
    let turns = Arc::new(Semaphore::new(AT_A_TIME));
    let mut tasks = Vec::with_capacity(routes.len());
    for route in routes {
        let door = Door::of(site, &route, connector.clone())?;
        let turns = Arc::clone(&turns);
        tasks.push((
            route.user.clone(),
            tokio::spawn(async move {
                let _turn = turns.acquire().await;
                door.check().await
            }),
        ));
    }
    let mut checks = Vec::with_capacity(tasks.len());
    for (user, task) in tasks {
        checks.push(RouteCheck { user, problem: task.await?.err() });
    }
    Ok(checks)
}

/// A route's HTTPS port on this machine, entered as a browser would that was given the URL.
struct Door {
    connector: TlsConnector,
    name: ServerName<'static>,
    port: Port,
    authority: String,
    /// What is asked for.
    path: String,
}

impl Door {
    fn of(site: &ProxySite, route: &Route, connector: TlsConnector) -> Result<Self, NginxError> {
        let (host, port) = site.door(route);
        let name = ServerName::try_from(host.to_owned()).map_err(|error| {
            NginxError::Certificate(format!("the host has no usable name: {error}"))
        })?;
        let url = site.url(route);
        let (authority, path) =
            url.trim_start_matches("https://").split_once('/').unwrap_or_default();
        let (authority, path) = (authority.to_owned(), format!("/{path}healthz"));
        Ok(Self { connector, name, port, authority, path })
    }

    async fn check(&self) -> Result<(), Problem> {
        let mut problem = None;
        let tries = async {
            for turn in 0..TRIES {
                if turn > 0 {
                    tokio::time::sleep(PAUSE).await;
                }
                match self.check_once().await {
                    Ok(()) => return Ok(()),
                    Err(text) => problem = Some(text),
                }
            }
            Err(())
        };
        match tokio::time::timeout(CHECK_TIMEOUT, tries).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(problem.unwrap_or_else(|| {
                format!("{} gave no answer within {} s", self.path, CHECK_TIMEOUT.as_secs())
            })),
        }
    }

    async fn check_once(&self) -> Result<(), Problem> {
        let path = &self.path;
        let (status, _) = get(self.enter().await?, &self.authority, path).await?;
        if status != StatusCode::OK {
            return Err(explain(path, status));
        }
        let url = format!("wss://{}{path}", self.authority);
        match tokio_tungstenite::client_async(url, self.enter().await?).await {
            Ok(_) => Ok(()),
            Err(tungstenite::Error::Http(answer)) => {
                Err(format!("{} to a websocket handshake", explain(path, answer.status())))
            }
            Err(error) => Err(format!("the websocket handshake on {path} failed: {error}")),
        }
    }

    async fn enter(&self) -> Result<impl AsyncRead + AsyncWrite + Unpin + Send + 'static, Problem> {
        let stream = connect(self.port).await?;
        let connected = self.connector.connect(self.name.clone(), stream).await;
        connected.map_err(|error| format!("TLS on port {} failed: {error}", self.port))
    }
}

fn explain(path: &str, status: StatusCode) -> Problem {
    let reason = match status {
        StatusCode::SERVICE_UNAVAILABLE => ": nginx can't reach code-server",
        StatusCode::NOT_FOUND => ": nginx serves another configuration",
        _ => "",
    };
    format!("{path} answers {status}{reason}")
}

async fn connect(port: Port) -> Result<TcpStream, Problem> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.get()));
    let connected = TcpStream::connect(address).await;
    connected.map_err(|error| format!("{address} can't be reached: {error}"))
}

/// One request on a connection of its own.
async fn get<S>(stream: S, authority: &str, path: &str) -> Result<(StatusCode, Bytes), Problem>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let failed = |error: &dyn std::fmt::Display| format!("GET {path} failed: {error}");
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|e| failed(&e))?;
    let connection = tokio::spawn(connection);
    let request = Request::get(path)
        .header(hyper::header::HOST, authority)
        .body(Empty::<Bytes>::new())
        .map_err(|error| failed(&error))?;
    let answer = sender.send_request(request).await.map_err(|error| failed(&error))?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), LONGEST_ANSWER).collect().await;
    connection.abort();
    Ok((status, body.map_err(|error| failed(&error))?.to_bytes()))
}

/// Trust as the participants' browsers have it. Blocking: reads certificates.
fn tls_config(certificate: &Certificate) -> Result<ClientConfig, NginxError> {
    let provider = Arc::new(ring::default_provider());
    let refused = |error: &dyn std::fmt::Display| NginxError::Certificate(error.to_string());
    let verifier: Arc<dyn ServerCertVerifier> = match (&certificate.root, certificate.trust) {
        (Some(root), _) => {
            let mut roots = RootCertStore::empty();
            for root in CertificateDer::pem_file_iter(root).map_err(|e| refused(&e))? {
                roots.add(root.map_err(|e| refused(&e))?).map_err(|e| refused(&e))?;
            }
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .build()
                .map_err(|e| refused(&e))?
        }
        (None, Trust::SelfSigned) => {
            let pinned =
                CertificateDer::from_pem_file(&certificate.chain).map_err(|e| refused(&e))?;
            Arc::new(Pinned { certificate: pinned, provider: Arc::clone(&provider) })
        }
        (None, _) => {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .build()
                .map_err(|e| refused(&e))?
        }
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| refused(&e))?
        // "Dangerous" is only that the verifier is chosen here; each of the three does verify.
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(config)
}

/// Accepts one certificate: the one that was made, byte for byte, from whoever has its key.
#[derive(Debug)]
struct Pinned {
    certificate: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if end_entity.as_ref() == self.certificate.as_ref() {
            return Ok(ServerCertVerified::assertion());
        }
        Err(rustls::Error::General("nginx shows another certificate than the one made".to_owned()))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
