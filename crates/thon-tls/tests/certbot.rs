//! certbot's command line and files, with a stand-in for the program.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on fails")]

mod common;

use std::net::TcpListener;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use common::{DAY, Node, names};
use thon_core::adapter::{CertificateProvider, FailureKind};
use thon_core::certificate::{CertificateChange, CertificateNames, Trust};
use thon_tls::{Tls, TlsSettings};

const DOMAIN: &str = "hack.example.org";

fn settings(node: &Node) -> TlsSettings {
    let mut settings = node.certbot_settings();
    settings.domain = Some(DOMAIN.to_owned());
    settings
}

fn certbot(node: &Node) -> Tls {
    node.with(settings(node))
}

/// The argument vectors that certbot was started with.
fn recorded(node: &Node) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(node.beside("certbot").join("recorded")).unwrap_or_default();
    let calls = text.split_terminator("\n\n");
    calls.map(|call| call.lines().map(str::to_owned).collect()).collect()
}

fn has(args: &[String], wanted: &[&str]) -> bool {
    args.windows(wanted.len()).any(|window| window == wanted)
}

#[tokio::test]
async fn a_free_port_is_certbots_own_and_what_it_got_is_used_where_it_lies() {
    let node = Node::new();
    node.answer_with(&[DOMAIN], SystemTime::now(), DAY * 90);
    let live = node.home.path().join("letsencrypt/live").join(DOMAIN);
    let names = CertificateNames::for_node(DOMAIN, "203.0.113.7".parse().ok());

    let certificate = certbot(&node).ensure(&names).await.unwrap();
    assert_eq!(certificate.change, CertificateChange::Issued);
    assert_eq!((certificate.provider, certificate.trust), ("certbot", Trust::Public));
    assert_eq!(certificate.chain, live.join("fullchain.pem"));
    assert_eq!(certificate.key, live.join("privkey.pem"));
    assert_eq!(certificate.root, None);

    let calls = recorded(&node);
    assert_eq!(calls.len(), 1);
    let args = &calls[0];
    assert_eq!(args[0], "certonly");
    for wanted in [
        &["--non-interactive"][..],
        &["--agree-tos"],
        &["--keep-until-expiring"],
        &["--register-unsafely-without-email"],
        &["--cert-name", DOMAIN],
        &["--domain", DOMAIN],
        &["--standalone"],
        &["--config-dir", &*node.home.path().join("letsencrypt").to_string_lossy()],
    ] {
        assert!(has(args, wanted), "{wanted:?} in {args:?}");
    }
    // No address and no localhost: the authority would refuse them.
    assert_eq!(args.iter().filter(|arg| *arg == "--domain").count(), 1);

    let again = certbot(&node).ensure(&names).await.unwrap();
    assert_eq!(again.change, CertificateChange::Reused);
    assert_eq!(recorded(&node).len(), 1);
    let current = certbot(&node).current(&names).await.unwrap().unwrap();
    assert_eq!(current.not_after, certificate.not_after);
}

#[tokio::test]
async fn a_taken_port_is_answered_from_the_proxys_folder() {
    let node = Node::new();
    node.answer_with(&[DOMAIN], SystemTime::now(), DAY * 90);
    let proxy = TcpListener::bind(("0.0.0.0", 0)).unwrap();
    let port = proxy.local_addr().unwrap().port();
    let mut settings = settings(&node);
    settings.challenge_port = port;

    let failure = node.with(settings.clone()).ensure(&names(DOMAIN)).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::PortTaken);
    assert!(recorded(&node).is_empty());

    let webroot: PathBuf = node.home.path().join("acme");
    settings.webroot = Some(webroot.clone());
    settings.certbot_email = Some("organizer@example.org".to_owned());
    settings.deploy_hook = vec!["/usr/bin/thon".to_owned(), "nginx".to_owned()];
    node.with(settings).ensure(&names(DOMAIN)).await.unwrap();
    assert!(webroot.is_dir());
    let args = recorded(&node).remove(0);
    for wanted in [
        &["--webroot", "--webroot-path", &*webroot.to_string_lossy()][..],
        &["--email", "organizer@example.org"],
        &["--http-01-port", &port.to_string()],
        &["--deploy-hook", "/usr/bin/thon nginx"],
    ] {
        assert!(has(&args, wanted), "{wanted:?} in {args:?}");
    }
    assert!(!args.iter().any(|arg| arg == "--standalone"));
}

#[tokio::test]
async fn a_certificate_about_to_expire_is_renewed_and_kept_if_that_fails() {
    let node = Node::new();
    let start = SystemTime::now();
    node.answer_with(&[DOMAIN], start, DAY * 90);
    let tls = certbot(&node);
    tls.ensure(&names(DOMAIN)).await.unwrap();
    node.clock.turn(DAY * 55);
    assert_eq!(tls.ensure(&names(DOMAIN)).await.unwrap().change, CertificateChange::Reused);
    assert_eq!(recorded(&node).len(), 1);

    node.clock.turn(DAY * 65);
    let fail = node.beside("certbot").join("fail");
    std::fs::write(&fail, "Detail: timeout\nAsk for help\n").unwrap();
    assert_eq!(tls.ensure(&names(DOMAIN)).await.unwrap().change, CertificateChange::Reused);
    assert_eq!(tls.stepped_over().len(), 1);
    assert_eq!(recorded(&node).len(), 2);

    std::fs::remove_file(fail).unwrap();
    node.answer_with(&[DOMAIN], start + DAY * 64, DAY * 90);
    assert_eq!(tls.ensure(&names(DOMAIN)).await.unwrap().change, CertificateChange::Renewed);
    assert_eq!(recorded(&node).len(), 3);
}

#[tokio::test]
async fn short_lived_certificates_are_renewed_when_a_third_is_left() {
    let node = Node::new();
    let start = SystemTime::now();
    node.answer_with(&[DOMAIN], start, DAY * 6);
    let tls = certbot(&node);
    tls.ensure(&names(DOMAIN)).await.unwrap();
    node.clock.turn(DAY * 3);
    assert_eq!(tls.ensure(&names(DOMAIN)).await.unwrap().change, CertificateChange::Reused);
    node.clock.turn(DAY * 4 + Duration::from_hours(1));
    node.answer_with(&[DOMAIN], start + DAY * 4, DAY * 6);
    assert_eq!(tls.ensure(&names(DOMAIN)).await.unwrap().change, CertificateChange::Renewed);
}

#[tokio::test]
async fn one_attempt_and_the_authoritys_words() {
    let node = Node::new();
    std::fs::write(
        node.beside("certbot").join("fail"),
        "Detail: 203.0.113.7: Timeout during connect\nSome challenges have failed.\n\
         Ask for help or search for solutions\n",
    )
    .unwrap();
    let failure = certbot(&node).ensure(&names(DOMAIN)).await.unwrap_err();
    assert!(failure.cause.contains("Timeout during connect"), "{failure}");
    assert!(failure.advice.contains("try again in an hour"), "{failure}");
    assert_eq!(recorded(&node).len(), 1);

    std::fs::write(
        node.beside("certbot").join("fail"),
        "[Errno 13] Permission denied: '/var/log/letsencrypt/.certbot.lock'\n",
    )
    .unwrap();
    let failure = certbot(&node).ensure(&names(DOMAIN)).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Denied);
    assert!(failure.advice.contains("as root"), "{failure}");
}

#[tokio::test]
async fn what_does_not_cover_the_domain_is_not_taken() {
    let node = Node::new();
    node.answer_with(&["other.example.org"], SystemTime::now(), DAY * 90);
    let failure = certbot(&node).ensure(&names(DOMAIN)).await.unwrap_err();
    assert!(failure.cause.contains("does not cover hack.example.org"), "{failure}");
    assert_eq!(certbot(&node).current(&names(DOMAIN)).await.unwrap(), None);
}

#[tokio::test]
async fn a_wildcard_is_used_when_it_is_there_and_never_asked_for() {
    let node = Node::new();
    let wild = names("*.hack.example.org");
    let failure = certbot(&node).ensure(&wild).await.unwrap_err();
    assert!(failure.advice.contains("DNS plugin"), "{failure}");
    assert!(recorded(&node).is_empty());

    node.answer_with(&[DOMAIN, "*.hack.example.org"], SystemTime::now(), DAY * 90);
    let live = node.home.path().join("letsencrypt/live").join(DOMAIN);
    std::fs::create_dir_all(live.parent().unwrap()).unwrap();
    std::fs::rename(node.beside("certbot").join("next"), &live).unwrap();
    let certificate = certbot(&node).ensure(&wild).await.unwrap();
    assert_eq!(certificate.change, CertificateChange::Reused);
}

/// The layout `subdomain`: a public authority is asked for every name, and again for a newcomer's.
#[tokio::test]
async fn everyone_s_name_is_asked_for_and_a_newcomer_is_a_new_certificate() {
    let node = Node::new();
    let everyone = |users: &[&str]| {
        let below = users.iter().map(|user| format!("{user}.alpha.{DOMAIN}"));
        names(DOMAIN).with(below)
    };
    let asked_for = |call: &[String]| {
        let mut asked: Vec<String> = call
            .windows(2)
            .filter(|pair| pair[0] == "--domain")
            .map(|pair| pair[1].clone())
            .collect();
        asked.sort();
        asked
    };
    let (ada, bob) = (format!("ada.alpha.{DOMAIN}"), format!("bob.alpha.{DOMAIN}"));
    node.answer_with(&[DOMAIN, &ada], SystemTime::now(), DAY * 90);
    let first = certbot(&node).ensure(&everyone(&["ada"])).await.unwrap();
    assert_eq!(first.change, CertificateChange::Issued);
    assert_eq!(asked_for(&recorded(&node)[0]), [ada.as_str(), DOMAIN]);
    let same = certbot(&node).ensure(&everyone(&["ada"])).await.unwrap();
    assert_eq!((same.change, recorded(&node).len()), (CertificateChange::Reused, 1));

    node.answer_with(&[DOMAIN, &ada, &bob], SystemTime::now(), DAY * 90);
    certbot(&node).ensure(&everyone(&["ada", "bob"])).await.unwrap();
    let calls = recorded(&node);
    assert_eq!(calls.len(), 2);
    assert_eq!(asked_for(&calls[1]), [ada.as_str(), bob.as_str(), DOMAIN]);
    // Whoever leaves costs no certificate.
    let less = certbot(&node).ensure(&everyone(&["bob"])).await.unwrap();
    assert_eq!((less.change, recorded(&node).len()), (CertificateChange::Reused, 2));
}

#[tokio::test]
async fn without_a_domain_there_is_nothing_to_ask_for() {
    let node = Node::new();
    let mut settings = settings(&node);
    settings.domain = None;
    let failure = node.with(settings).ensure(&names("203.0.113.7")).await.unwrap_err();
    assert!(failure.cause.contains("certifies domains"), "{failure}");
    assert!(recorded(&node).is_empty());
}
