//! How long it takes to render the routes of a very large event.
//!
//! For: `cargo xtask bench plan`.
//! Not for: passing or failing; figures are for people.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "the figure is the result")]

use std::time::{Duration, Instant, SystemTime};

use thon_core::certificate::{Certificate, CertificateChange, Trust};
use thon_core::endpoint::Port;
use thon_core::name::NodeName;
use thon_core::proxy::{Entrance, ProxySite, Route};
use thon_core::sandbox::session_cookie;
use thon_core::testing::fixture;
use thon_nginx::{NginxProxy, NginxSettings};

const ROUTES: usize = 10_000;
const ROUNDS: u32 = 11;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    let routes = fixture::specs(ROUTES)
        .iter()
        .map(|spec| Route {
            user: spec.user.clone(),
            entrance: Entrance::Path,
            path: spec.endpoint().public_path(),
            upstream: spec.endpoint().published(),
            paused: false,
            session_cookie: session_cookie(None),
        })
        .collect();
    let site = ProxySite {
        host: "203.0.113.7".to_owned(),
        https_port: Port::new(443).unwrap(),
        http_port: Port::new(80).unwrap(),
        certificate: Certificate {
            provider: "bench",
            chain: folder.path().join("thon.pem"),
            key: folder.path().join("thon-key.pem"),
            root: None,
            not_after: SystemTime::now(),
            trust: Trust::Public,
            change: CertificateChange::Reused,
        },
        dashboard: None,
        routes,
    };
    for file in [&site.certificate.chain, &site.certificate.key] {
        std::fs::write(file, "").unwrap();
    }
    let proxy =
        NginxProxy::new(NginxSettings::new(NodeName::default(), folder.path().join("nginx")));
    let mut times: Vec<Duration> = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let text = proxy.render(&site).await.unwrap();
        times.push(start.elapsed());
        assert!(text.matches("proxy_pass").count() >= ROUTES);
    }
    times.sort();
    let median = times[times.len() / 2];
    println!("render: {ROUTES} routes: median {:.1} ms", median.as_secs_f64() * 1e3);
}
