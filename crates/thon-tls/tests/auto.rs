//! What `auto` chooses, and what it falls back to.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on fails")]

mod common;

use common::{Node, assert_openssl_accepts, names};
use thon_core::adapter::CertificateProvider;
use thon_core::certificate::{CertificateChange, Trust};
use thon_tls::{Provider, Tls, TlsSettings};

fn settings(node: &Node) -> TlsSettings {
    let mut settings = node.settings(Provider::Auto);
    settings.letsencrypt_dir = node.home.path().join("letsencrypt");
    settings.challenge_port = 0;
    settings.certbot = Some(node.stand_in("certbot"));
    settings
}

fn without_mkcert(node: &Node) -> Tls {
    let mut settings = settings(node);
    settings.mkcert = Some("/nowhere/mkcert".into());
    node.with(settings)
}

#[tokio::test]
async fn mkcert_comes_first() {
    let node = Node::new();
    let tls = node.with(settings(&node));
    assert_eq!(tls.name(), "auto");
    let certificate = tls.ensure(&names("hack.example.org")).await.unwrap();
    assert_eq!(certificate.provider, "mkcert");
    assert!(!node.beside("certbot").join("recorded").exists());
    assert!(tls.stepped_over().is_empty());
}

#[tokio::test]
async fn without_mkcert_and_without_a_domain_it_is_the_embedded_authority() {
    let node = Node::new();
    let tls = without_mkcert(&node);
    let certificate = tls.ensure(&names("203.0.113.7")).await.unwrap();
    assert_eq!((certificate.provider, certificate.trust), ("embedded", Trust::ImportedRoot));
    assert!(!node.beside("certbot").join("recorded").exists());
    assert!(tls.stepped_over().is_empty());
}

#[tokio::test]
async fn with_a_domain_certbot_is_tried_once_and_its_failure_is_told() {
    let node = Node::new();
    std::fs::write(node.beside("certbot").join("fail"), "Detail: no such name\n").unwrap();
    let tls = without_mkcert(&node);
    let names = names("hack.example.org");
    let certificate = tls.ensure(&names).await.unwrap();
    assert_eq!(certificate.provider, "embedded");
    assert_openssl_accepts(&certificate, &names);

    let warnings = tls.stepped_over();
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].cause.ends_with("Detail: no such name"), "{}", warnings[0]);
    let recorded = std::fs::read_to_string(node.beside("certbot").join("recorded")).unwrap();
    assert_eq!(recorded.matches("certonly").count(), 1);
    let current = tls.current(&names).await.unwrap().unwrap();
    assert_eq!(current.not_after, certificate.not_after);
}

#[tokio::test]
async fn a_broken_mkcert_is_stepped_over_and_a_mended_one_changes_nothing() {
    let node = Node::new();
    let mut broken = settings(&node);
    broken.mkcert = Some(node.stand_in("broken"));
    let tls = node.with(broken);
    let certificate = tls.ensure(&names("203.0.113.7")).await.unwrap();
    assert_eq!(certificate.provider, "embedded");
    assert_eq!(tls.stepped_over().len(), 1);

    let mended = node.with(settings(&node));
    let certificate = mended.ensure(&names("203.0.113.7")).await.unwrap();
    assert_eq!(certificate.change, CertificateChange::Reused);
    assert_eq!(certificate.provider, "embedded");
    assert!(mended.stepped_over().is_empty());
}
