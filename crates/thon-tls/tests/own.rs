//! The certificates of the node's own authority, by all three providers and the real programs.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on fails")]

mod common;

use common::{DAY, Node, OWN, assert_openssl_accepts, days_left, mode, names, text_of};
use thon_core::adapter::CertificateProvider;
use thon_core::certificate::{CertificateChange, CertificateNames, Trust};
use thon_tls::Provider;

#[tokio::test]
async fn the_first_certificate_is_accepted_for_every_name_and_its_keys_are_private() {
    for provider in OWN {
        let node = Node::new();
        let names = CertificateNames::for_node("hack.example.org", "203.0.113.7".parse().ok());
        let certificate = node.tls(provider).ensure(&names).await.unwrap();

        assert_eq!(certificate.change, CertificateChange::Issued);
        assert_eq!(certificate.trust, Trust::ImportedRoot);
        assert_eq!(certificate.provider, provider.as_str());
        assert_openssl_accepts(&certificate, &names);

        assert_eq!(mode(&node.dir()), 0o700);
        assert_eq!(mode(&node.dir().join("ca")), 0o700);
        assert_eq!(mode(&certificate.key), 0o600);
        assert_eq!(mode(&node.dir().join("ca/rootCA-key.pem")), 0o600);
        assert_eq!(mode(&certificate.root.unwrap()), 0o644);
        assert_eq!(node.read("rootCA.pem"), node.read("ca/rootCA.pem"));
        assert_eq!(node.leftovers(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn what_we_make_ourselves_obeys_the_strictest_browsers() {
    for provider in [Provider::Embedded, Provider::Openssl] {
        let node = Node::new();
        let certificate = node.tls(provider).ensure(&names("203.0.113.7")).await.unwrap();
        // Apple's systems accept 398 days at most.
        assert!((395..=397).contains(&days_left(&certificate)), "{provider}");

        let leaf = text_of(&certificate.chain);
        for line in [
            "CA:FALSE",
            "TLS Web Server Authentication",
            "Digital Signature",
            "Subject Key Identifier",
            "Authority Key Identifier",
            "id-ecPublicKey",
        ] {
            assert!(leaf.contains(line), "{provider} lacks {line}: {leaf}");
        }
        let root = text_of(&node.dir().join("rootCA.pem"));
        for line in
            ["CA:TRUE, pathlen:0", "Certificate Sign, CRL Sign", "THON test root", "critical"]
        {
            assert!(root.contains(line), "{provider} lacks {line}: {root}");
        }
    }
}

#[tokio::test]
async fn a_certificate_that_fits_is_left_alone() {
    for provider in OWN {
        let node = Node::new();
        let tls = node.tls(provider);
        let first = tls.ensure(&names("203.0.113.7")).await.unwrap();
        let files = ["thon.pem", "thon-key.pem", "rootCA.pem"];
        let before = files.map(|file| node.read(file));

        let second = tls.ensure(&names("203.0.113.7")).await.unwrap();
        assert_eq!(second.change, CertificateChange::Reused);
        assert_eq!(second.provider, first.provider);
        assert_eq!(second.not_after, first.not_after);
        assert_eq!(files.map(|file| node.read(file)), before);
    }
}

#[tokio::test]
async fn other_names_take_another_certificate_of_the_same_root() {
    for provider in OWN {
        let node = Node::new();
        let tls = node.tls(provider);
        tls.ensure(&names("1.2.3.4")).await.unwrap();
        let root = node.read("rootCA.pem");

        // A part of an address that is covered is not covered.
        let moved = names("2.3.4.0");
        let certificate = tls.ensure(&moved).await.unwrap();
        assert_eq!(certificate.change, CertificateChange::Issued);
        assert_openssl_accepts(&certificate, &moved);
        assert_eq!(node.read("rootCA.pem"), root);
    }
}

#[tokio::test]
async fn a_certificate_about_to_expire_is_renewed_from_the_same_root() {
    for provider in OWN {
        let node = Node::new();
        let tls = node.tls(provider);
        let names = names("203.0.113.7");
        let first = tls.ensure(&names).await.unwrap();
        let (root, leaf) = (node.read("rootCA.pem"), node.read("thon.pem"));

        let days = u32::try_from(days_left(&first)).unwrap();
        node.clock.turn(DAY * (days - 40));
        assert_eq!(tls.ensure(&names).await.unwrap().change, CertificateChange::Reused);

        node.clock.turn(DAY * (days - 20));
        let renewed = tls.ensure(&names).await.unwrap();
        assert_eq!(renewed.change, CertificateChange::Renewed, "{provider}");
        assert_ne!(node.read("thon.pem"), leaf);
        assert_eq!(node.read("rootCA.pem"), root);
    }
}

#[tokio::test]
async fn an_expired_certificate_is_renewed() {
    let node = Node::new();
    let tls = node.tls(Provider::Embedded);
    let names = names("203.0.113.7");
    tls.ensure(&names).await.unwrap();
    node.clock.turn(DAY * 500);
    let renewed = tls.ensure(&names).await.unwrap();
    assert_eq!(renewed.change, CertificateChange::Renewed);
    assert!(days_left(&renewed) > 800);
}

#[tokio::test]
async fn the_last_certificate_of_a_root_ends_with_it_and_is_made_once() {
    let node = Node::new();
    let tls = node.tls(Provider::Embedded);
    let names = names("203.0.113.7");
    tls.ensure(&names).await.unwrap();
    node.clock.turn(DAY * 3640);
    let last = tls.ensure(&names).await.unwrap();
    assert_eq!(last.change, CertificateChange::Renewed);
    assert!(days_left(&last) <= 3652);
    assert_eq!(tls.ensure(&names).await.unwrap().change, CertificateChange::Reused);

    node.clock.turn(DAY * 3700);
    let failure = tls.ensure(&names).await.unwrap_err().to_string();
    assert!(failure.contains("expired") && failure.contains("has to import"), "{failure}");
}

#[tokio::test]
async fn a_pair_that_cannot_be_served_is_replaced() {
    let other = Node::new();
    other.tls(Provider::Embedded).ensure(&names("203.0.113.7")).await.unwrap();
    let other_key = other.read("thon-key.pem");

    let damages: [(&str, &str, Option<&str>); 6] = [
        ("a crash between the two files", "thon-key.pem", Some(&other_key)),
        ("a certificate that is none", "thon.pem", Some("not a certificate")),
        ("a key that is none", "thon-key.pem", Some("-----BEGIN PRIVATE KEY-----\nAAAA")),
        ("an empty file", "thon.pem", Some("")),
        ("a key that is gone", "thon-key.pem", None),
        ("a certificate that is gone", "thon.pem", None),
    ];
    for (damage, file, content) in damages {
        let node = Node::new();
        let tls = node.tls(Provider::Embedded);
        let names = names("203.0.113.7");
        tls.ensure(&names).await.unwrap();
        let root = node.read("rootCA.pem");
        let path = node.dir().join(file);
        match content {
            Some(content) => std::fs::write(&path, content).unwrap(),
            None => std::fs::remove_file(&path).unwrap(),
        }

        assert_eq!(tls.current(&names).await.unwrap(), None, "{damage}");
        let certificate = tls.ensure(&names).await.unwrap();
        assert_eq!(certificate.change, CertificateChange::Issued, "{damage}");
        assert_openssl_accepts(&certificate, &names);
        assert_eq!(mode(&certificate.key), 0o600, "{damage}");
        assert_eq!(node.read("rootCA.pem"), root, "{damage}");
    }
}

#[tokio::test]
async fn a_key_that_others_could_read_is_replaced() {
    use std::os::unix::fs::PermissionsExt;
    let node = Node::new();
    let tls = node.tls(Provider::Embedded);
    let first = tls.ensure(&names("203.0.113.7")).await.unwrap();
    let key = node.read("thon-key.pem");
    std::fs::set_permissions(&first.key, std::fs::Permissions::from_mode(0o644)).unwrap();

    let second = tls.ensure(&names("203.0.113.7")).await.unwrap();
    assert_eq!(second.change, CertificateChange::Issued);
    assert_eq!(mode(&second.key), 0o600);
    assert_ne!(node.read("thon-key.pem"), key);
}

#[tokio::test]
async fn another_root_means_another_certificate() {
    let node = Node::new();
    let names = names("203.0.113.7");
    node.tls(Provider::Embedded).ensure(&names).await.unwrap();
    std::fs::rename(node.dir().join("ca"), node.dir().join("old-ca")).unwrap();

    let certificate = node.tls(Provider::Embedded).ensure(&names).await.unwrap();
    assert_eq!(certificate.change, CertificateChange::Issued);
    assert_ne!(node.read("rootCA.pem"), node.read("old-ca/rootCA.pem"));
    assert_openssl_accepts(&certificate, &names);
}

#[tokio::test]
async fn the_root_stays_whichever_provider_is_chosen() {
    for first in OWN {
        let node = Node::new();
        node.tls(first).ensure(&names("203.0.113.7")).await.unwrap();
        let root = node.read("rootCA.pem");
        for next in OWN {
            let names = names("203.0.113.7");
            let certificate = node.tls(next).ensure(&names).await.unwrap();
            assert_eq!(certificate.provider, next.as_str(), "after {first}");
            assert_openssl_accepts(&certificate, &names);
            assert_eq!(node.read("rootCA.pem"), root, "{first}, then {next}");
        }
    }
}

#[tokio::test]
async fn a_broken_root_is_never_replaced() {
    let other = Node::new();
    other.tls(Provider::Embedded).ensure(&names("203.0.113.7")).await.unwrap();
    let other_key = other.read("ca/rootCA-key.pem");

    for provider in OWN {
        for (file, content) in [
            ("rootCA.pem", Some("garbage")),
            ("rootCA-key.pem", Some("garbage")),
            ("rootCA-key.pem", Some(&*other_key)),
            ("rootCA-key.pem", None),
        ] {
            let node = Node::new();
            node.tls(Provider::Embedded).ensure(&names("203.0.113.7")).await.unwrap();
            let (leaf, path) = (node.read("thon.pem"), node.dir().join("ca").join(file));
            match content {
                Some(content) => std::fs::write(&path, content).unwrap(),
                None => std::fs::remove_file(&path).unwrap(),
            }
            let failure = node.tls(provider).ensure(&names("198.51.100.9")).await.unwrap_err();
            assert!(failure.cause.starts_with("it "), "{failure}");
            assert!(failure.tried.contains(file), "{failure}");
            assert!(failure.advice.contains("restore it"), "{failure}");
            assert_eq!(std::fs::read_to_string(&path).ok().as_deref(), content, "{provider}");
            assert_eq!(node.read("thon.pem"), leaf, "{provider}");
        }
    }
}

#[tokio::test]
async fn looking_makes_nothing() {
    for provider in OWN {
        let node = Node::new();
        let tls = node.tls(provider);
        assert_eq!(tls.current(&names("203.0.113.7")).await.unwrap(), None);
        assert!(!node.dir().exists());

        let issued = tls.ensure(&names("203.0.113.7")).await.unwrap();
        let current = tls.current(&names("203.0.113.7")).await.unwrap().unwrap();
        assert_eq!(current.change, CertificateChange::Reused);
        assert_eq!(
            (current.not_after, current.provider, current.chain),
            (issued.not_after, issued.provider, issued.chain)
        );
        assert_eq!(tls.current(&names("198.51.100.9")).await.unwrap(), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_at_the_same_time_agree_on_one_root_and_one_certificate() {
    let node = Node::new();
    let (one, other) = (node.tls(Provider::Embedded), node.tls(Provider::Embedded));
    let names = names("203.0.113.7");
    let (first, second) = tokio::join!(one.ensure(&names), other.ensure(&names));
    let mut changes = [first.unwrap().change, second.unwrap().change];
    changes.sort_by_key(|change| *change == CertificateChange::Reused);
    assert_eq!(changes, [CertificateChange::Issued, CertificateChange::Reused]);
}

#[tokio::test]
async fn what_a_killed_run_left_is_cleared() {
    let node = Node::new();
    let tls = node.tls(Provider::Embedded);
    tls.ensure(&names("203.0.113.7")).await.unwrap();
    let staging = node.dir().join(".staging-killed");
    std::fs::create_dir(&staging).unwrap();
    std::fs::write(staging.join("thon-key.pem"), "half").unwrap();
    // Killed after the root's key came to its place and before the root did.
    std::fs::remove_file(node.dir().join("ca/rootCA.pem")).unwrap();

    let certificate = tls.ensure(&names("203.0.113.7")).await.unwrap();
    assert_openssl_accepts(&certificate, &names("203.0.113.7"));
    assert_eq!(node.leftovers(), Vec::<String>::new());
}
