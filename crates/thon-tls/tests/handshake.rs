//! A TLS handshake, as a browser that imported the root would make it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on fails")]

mod common;

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use common::{Node, OWN};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use thon_core::adapter::CertificateProvider;
use thon_core::certificate::{Certificate, CertificateNames};
use thon_core::config::Layout;
use thon_core::layout::{Coverage, certificate_names};
use thon_core::name::UserId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

fn certificates(path: &Path) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_file_iter(path).unwrap().map(Result::unwrap).collect()
}

fn server(certificate: &Certificate) -> TlsAcceptor {
    let chain = certificates(&certificate.chain);
    let key = PrivateKeyDer::from_pem_file(&certificate.key).unwrap();
    let config =
        ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
    TlsAcceptor::from(Arc::new(config))
}

fn client(root: Option<&Path>) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    for certificate in root.map(certificates).unwrap_or_default() {
        roots.add(certificate).unwrap();
    }
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

/// What the client reads from the server under this name.
async fn greeting(
    server: &TlsAcceptor,
    client: &TlsConnector,
    name: &str,
) -> std::io::Result<String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let serve = async {
        let (stream, _) = listener.accept().await?;
        let mut stream = server.accept(stream).await?;
        stream.write_all(b"hello").await?;
        stream.shutdown().await
    };
    let ask = async {
        let stream = TcpStream::connect(address).await?;
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut stream = client.connect(name, stream).await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await.map(|_| text)
    };
    let (_, said) = tokio::join!(serve, ask);
    said
}

#[tokio::test]
async fn who_imported_the_root_gets_in_under_every_name_and_nobody_else() {
    for provider in OWN {
        let node = Node::new();
        let names = CertificateNames::for_node("hack.example.org", "203.0.113.7".parse().ok());
        let certificate = node.tls(provider).ensure(&names).await.unwrap();
        let server = server(&certificate);
        let client_with_root = client(certificate.root.as_deref());

        for name in ["hack.example.org", "localhost", "203.0.113.7", "127.0.0.1", "::1"] {
            let said = greeting(&server, &client_with_root, name).await;
            assert_eq!(said.unwrap(), "hello", "{provider}, {name}");
        }
        for stranger in ["example.org", "xhack.example.org", "203.0.113.70"] {
            let refused = greeting(&server, &client_with_root, stranger).await.unwrap_err();
            assert!(refused.to_string().contains("not valid for name"), "{refused}");
        }
        let refused = greeting(&server, &client(None), "hack.example.org").await.unwrap_err();
        assert!(refused.to_string().contains("UnknownIssuer"), "{provider}: {refused}");
    }
}

/// The layout `subdomain`: one certificate for the names of all, by wildcards or spelled out, and a
/// wildcard has room for a newcomer of its group.
#[tokio::test]
async fn everyone_is_found_under_a_name_of_their_own_with_one_certificate() {
    const DOMAIN: &str = "hack.example.org";
    let users: [UserId; 3] =
        ["alpha/ada", "alpha/bob", "beta/ada"].map(|user| user.parse().unwrap());
    for provider in OWN {
        for coverage in [Coverage::Wildcards, Coverage::Exact] {
            let node = Node::new();
            let below = certificate_names(Layout::Subdomain, &users, DOMAIN, coverage);
            let names = CertificateNames::for_node(DOMAIN, None).with(below);
            let certificate = node.tls(provider).ensure(&names).await.unwrap();
            let server = server(&certificate);
            let client = client(certificate.root.as_deref());
            let accepted = async |name: &str| greeting(&server, &client, name).await.is_ok();
            for name in ["ada.alpha", "bob.alpha", "ada.beta"] {
                assert!(accepted(&format!("{name}.{DOMAIN}")).await, "{provider}, {name}");
            }
            assert!(accepted(DOMAIN).await, "{provider}");
            let newcomer = accepted(&format!("carol.alpha.{DOMAIN}")).await;
            assert_eq!(newcomer, coverage == Coverage::Wildcards, "{provider}");
            for stranger in ["ada.gamma", "alpha", "x.ada.alpha"] {
                assert!(!accepted(&format!("{stranger}.{DOMAIN}")).await, "{provider}, {stranger}");
            }
        }
    }
}
