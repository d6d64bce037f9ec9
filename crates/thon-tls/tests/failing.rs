//! Programs that fail, folders that are none, and people with a mkcert root of their own.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on fails")]

mod common;

use common::{DAY, Node, OWN, assert_openssl_accepts, days_left, mode, names};
use thon_core::adapter::{CertificateProvider, FailureKind};
use thon_core::certificate::{CertificateChange, CertificateNames};
use thon_tls::{Provider, TlsSettings};

fn with_program(mut settings: TlsSettings, program: std::path::PathBuf) -> TlsSettings {
    settings.mkcert = Some(program.clone());
    settings.openssl = Some(program);
    settings
}

#[tokio::test]
async fn a_file_in_the_place_of_the_folder_is_a_failure_with_advice() {
    for provider in OWN {
        let node = Node::new();
        std::fs::write(node.dir(), "in the way").unwrap();
        let failure = node.tls(provider).ensure(&names("203.0.113.7")).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Conflict, "{failure}");
        assert!(failure.to_string().contains(&*node.dir().to_string_lossy()), "{failure}");
        assert!(failure.advice.contains("nginx.ssl_dir"), "{failure}");
        assert_eq!(std::fs::read_to_string(node.dir()).unwrap(), "in the way");
    }
}

#[tokio::test]
async fn a_program_that_is_missing_or_fails_leaves_nothing_half_made() {
    for provider in [Provider::Mkcert, Provider::Openssl] {
        let node = Node::new();
        let settings = node.settings(provider);

        let missing = with_program(settings.clone(), "/nowhere/tool".into());
        let failure = node.with(missing).ensure(&names("203.0.113.7")).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Missing);
        assert!(failure.advice.contains("embedded"), "{failure}");

        let broken = with_program(settings.clone(), node.stand_in("broken"));
        let failure = node.with(broken).ensure(&names("203.0.113.7")).await.unwrap_err();
        assert!(failure.cause.ends_with("said: ERROR: the tool is out of order"), "{failure}");

        // Says that it worked and made nothing.
        let idle = with_program(settings, node.stand_in("recorder"));
        let failure = node.with(idle).ensure(&names("203.0.113.7")).await.unwrap_err();
        assert!(!failure.to_string().contains('\n'), "{failure}");

        assert_eq!(node.leftovers(), Vec::<String>::new(), "{provider}");
        for file in ["thon.pem", "thon-key.pem", "ca/rootCA.pem", "ca/rootCA-key.pem"] {
            assert!(!node.dir().join(file).exists(), "{provider} left {file}");
        }
    }
}

#[tokio::test]
async fn a_renewal_that_fails_keeps_a_certificate_that_is_still_valid() {
    for provider in [Provider::Mkcert, Provider::Openssl] {
        let node = Node::new();
        let names = names("203.0.113.7");
        let first = node.tls(provider).ensure(&names).await.unwrap();
        let broken = node.with(with_program(node.settings(provider), node.stand_in("broken")));
        let days = u32::try_from(days_left(&first)).unwrap();

        node.clock.turn(DAY * (days - 20));
        let kept = broken.ensure(&names).await.unwrap();
        assert_eq!(kept.change, CertificateChange::Reused);
        assert_eq!(kept.not_after, first.not_after);
        let warnings = broken.stepped_over();
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].cause.contains("out of order"), "{}", warnings[0]);

        // Once it has expired there is nothing to keep.
        node.clock.turn(DAY * (days + 2));
        broken.ensure(&names).await.unwrap_err();
        assert!(broken.stepped_over().is_empty());
    }
}

#[tokio::test]
async fn names_that_are_none_reach_no_program() {
    for provider in Provider::ALL {
        let node = Node::new();
        let mut settings = with_program(node.settings(provider), node.stand_in("recorder"));
        settings.certbot = Some(node.stand_in("recorder"));
        for bad in ["-install", "a.org,IP:1.2.3.4", "a\nDNS.9 = b"] {
            let names = CertificateNames::for_node(bad, None);
            let failure = node.with(settings.clone()).ensure(&names).await.unwrap_err();
            assert!(failure.cause.contains("is not a DNS name"), "{failure}");
        }
        assert!(!node.beside("recorder").join("recorded").exists(), "{provider}");
    }
}

#[tokio::test]
async fn a_persons_mkcert_root_becomes_the_nodes_and_stays_it() {
    let node = Node::new();
    let names = names("203.0.113.7");
    // Someone who has used mkcert before.
    let before = std::process::Command::new(node.stand_in("mkcert"))
        .current_dir(node.home.path())
        .args(["-cert-file", "x.pem", "-key-file", "x-key.pem", "localhost"])
        .output()
        .unwrap();
    assert!(before.status.success(), "{}", String::from_utf8_lossy(&before.stderr));
    let theirs = node.beside("mkcert").join("home/.local/share/mkcert");
    let root = std::fs::read_to_string(theirs.join("rootCA.pem")).unwrap();

    let certificate = node.tls(Provider::Mkcert).ensure(&names).await.unwrap();
    assert_openssl_accepts(&certificate, &names);
    assert_eq!(node.read("rootCA.pem"), root);
    assert!(!node.dir().join("ca").exists());

    // The same node run by someone else, whose mkcert has another root or none, or without mkcert.
    let mut settings = node.settings(Provider::Mkcert);
    settings.mkcert = Some("mkcert".into());
    let again = node.with(settings).ensure(&names).await.unwrap();
    assert_eq!(again.change, CertificateChange::Reused);
    node.tls(Provider::Embedded).ensure(&names).await.unwrap();
    assert_eq!(node.read("rootCA.pem"), root);
    assert_eq!(std::fs::read_to_string(theirs.join("rootCA.pem")).unwrap(), root);
}

#[tokio::test]
async fn the_authority_can_be_put_elsewhere() {
    for provider in OWN {
        let node = Node::new();
        let caroot = node.home.path().join("shared authority");
        let mut settings = node.settings(provider);
        settings.caroot = Some(caroot.clone());
        let certificate = node.with(settings).ensure(&names("203.0.113.7")).await.unwrap();
        assert_openssl_accepts(&certificate, &names("203.0.113.7"));
        assert_eq!(mode(&caroot.join("rootCA-key.pem")), 0o600);
        assert!(!node.dir().join("ca").exists());
    }
}

#[tokio::test]
async fn trust_is_only_changed_when_asked_for() {
    let node = Node::new();
    let mut settings = node.settings(Provider::Embedded);
    settings.mkcert = Some(node.stand_in("recorder"));
    let tls = node.with(settings);
    let failure = tls.trust_on_this_machine().await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Missing);

    tls.ensure(&names("203.0.113.7")).await.unwrap();
    let recorded = node.beside("recorder").join("recorded");
    assert!(!recorded.exists());

    let said = tls.trust_on_this_machine().await.unwrap();
    assert_eq!(said, ["The local CA is now installed"]);
    let ca = node.dir().join("ca");
    assert_eq!(
        std::fs::read_to_string(recorded).unwrap(),
        format!("CAROOT={}\n-install\n", ca.display())
    );
}
