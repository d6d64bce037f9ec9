//! Every provider keeps what the core expects of one.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on fails")]

mod common;

use common::{Node, names};
use thon_core::testing::contract;
use thon_tls::Provider;

#[tokio::test]
async fn providers_of_our_own_certificates_keep_the_contract() {
    for provider in [Provider::Embedded, Provider::Openssl, Provider::Mkcert, Provider::Auto] {
        contract::certificate(&Node::new().tls(provider), &names("203.0.113.7")).await;
        contract::certificate_names_changed(
            &Node::new().tls(provider),
            &names("203.0.113.7"),
            &names("198.51.100.9"),
        )
        .await;
    }
}

#[tokio::test]
async fn certbot_keeps_the_contract() {
    let node = Node::new();
    node.answer_with(&["hack.example.org"], std::time::SystemTime::now(), common::DAY * 90);
    contract::certificate(&node.certbot(), &names("hack.example.org")).await;
}
