//! A stage for tests against the real nginx: a folder, a certificate, ports, servers behind it.
#![allow(dead_code, unreachable_pub, reason = "not every test needs every prop")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod backend;
mod client;

use std::fs;
use std::net::{Ipv6Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustix::process::{Pid, Signal, kill_process};
use thon_core::adapter::{Failure, ReverseProxy};
use thon_core::certificate::{Certificate, CertificateChange, Trust};
use thon_core::config::{Layout, NginxMode};
use thon_core::endpoint::{Endpoint, Port};
use thon_core::layout::host_name;
use thon_core::name::{NodeName, UserId};
use thon_core::proxy::{Entrance, ProxySite, Route};
use thon_core::sandbox::session_cookie;
use thon_nginx::{NginxProxy, NginxSettings};

pub use backend::Backend;
pub use client::Answer;

/// A folder with a certificate in it, a proxy that isn't running yet, and its site.
pub struct Stage {
    folder: tempfile::TempDir,
    pub settings: NginxSettings,
    pub site: ProxySite,
}

impl Stage {
    /// A managed nginx in a folder of its own.
    pub fn managed() -> Self {
        Self::new(NginxMode::Managed)
    }

    /// A configuration like the distribution's, with a pid file of its own.
    pub fn system() -> Self {
        let mut stage = Self::new(NginxMode::System);
        let conf = stage.path("etc");
        for folder in ["sites-available", "sites-enabled", "conf.d", "modules-enabled", "temp"] {
            fs::create_dir_all(conf.join(folder)).unwrap();
        }
        let text = format!(
            "user www-data;\nworker_processes 2;\npid {conf}/nginx.pid;\nerror_log {conf}/error.log;\n\
             include {conf}/modules-enabled/*.conf;\nevents {{\n\tworker_connections 768;\n}}\n\
             http {{\n\taccess_log off;\n\tclient_body_temp_path {conf}/temp/a;\n\tproxy_temp_path \
             {conf}/temp/b;\n\tfastcgi_temp_path {conf}/temp/c;\n\tuwsgi_temp_path {conf}/temp/d;\n\
             \tscgi_temp_path {conf}/temp/e;\n\tinclude {conf}/conf.d/*.conf;\n\tinclude \
             {conf}/sites-enabled/*;\n}}\n",
            conf = conf.display()
        );
        fs::write(conf.join("nginx.conf"), text).unwrap();
        stage.settings.system_conf = conf;
        stage
    }

    fn new(mode: NginxMode) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = NginxSettings::new(NodeName::default(), folder.path().join("nginx"));
        settings.mode = mode;
        let certificate = certificate(folder.path());
        let site = ProxySite {
            host: "127.0.0.1".to_owned(),
            https_port: free_port(),
            http_port: free_port(),
            certificate,
            dashboard: None,
            routes: Vec::new(),
        };
        Self { folder, settings, site }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn proxy(&self) -> NginxProxy {
        NginxProxy::new(self.settings.clone())
    }

    /// Adds a route of `user` to `backend`.
    pub fn add(&mut self, user: &str, backend: &Backend) -> Route {
        self.add_port(user, backend.port)
    }

    pub fn add_port(&mut self, user: &str, port: u16) -> Route {
        let code_port = 8443 + self.site.routes.len();
        let endpoint: Endpoint = format!("127.0.0.1:{port}/proxy/{code_port}").parse().unwrap();
        let route = Route {
            user: UserId::new("team".parse().unwrap(), user.parse().unwrap()),
            entrance: Entrance::Path,
            path: endpoint.public_path(),
            upstream: endpoint.published(),
            paused: false,
            session_cookie: session_cookie(Some(&format!("of-{user}"))),
        };
        self.site.routes.push(route.clone());
        route
    }

    /// Gives every route the place that this layout has for it.
    pub fn lay_out(&mut self, layout: Layout) {
        for route in &mut self.site.routes {
            route.entrance = match layout {
                Layout::Path => Entrance::Path,
                Layout::Port => Entrance::Port(free_port()),
                Layout::Subdomain => Entrance::Name(host_name(&route.user, "hack.example.org")),
            };
        }
    }

    /// The route of `user` as it is now.
    pub fn route(&self, user: &str) -> &Route {
        self.site.routes.iter().find(|route| route.user.user.as_str() == user).unwrap()
    }

    /// A request to what stands below the URL of `user`.
    pub async fn visit(
        &self,
        user: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Answer {
        client::visit(&self.site, self.route(user), method, path, headers).await
    }

    /// What is at a URL that this node printed.
    pub async fn open(&self, url: &str) -> Answer {
        client::open(&self.site, url).await
    }

    /// A websocket to what stands below the URL of `user`.
    pub async fn socket_of(&self, user: &str, path: &str) -> client::Socket {
        client::socket_of(&self.site, self.route(user), path).await
    }

    /// The pid of the nginx on this stage.
    pub fn pid(&self) -> Option<u32> {
        self.pids().first().copied()
    }

    /// Waits until nginx has told its pid.
    pub async fn until_it_runs(&self) {
        let runs = async {
            while self.pid().is_none() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), runs).await.expect("nginx has no pid");
    }

    fn pids(&self) -> Vec<u32> {
        [self.settings.home.join("nginx.pid"), self.settings.system_conf.join("nginx.pid")]
            .iter()
            .filter(|path| path.starts_with(self.folder.path()))
            .filter_map(|path| fs::read_to_string(path).ok()?.trim().parse().ok())
            .filter(|pid| is_nginx(*pid))
            .collect()
    }

    /// How often this nginx was reloaded.
    pub async fn reloads(&self) -> u64 {
        self.proxy().status().await.unwrap().reloads
    }

    pub async fn get(&self, path: &str) -> Answer {
        client::https(&self.site, "GET", path).await
    }

    pub async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        client::https_with(&self.site, "GET", path, headers).await
    }

    pub async fn post(&self, path: &str) -> Answer {
        client::https(&self.site, "POST", path).await
    }

    /// A request without TLS to `port`.
    pub async fn plain(&self, port: Port, path: &str) -> Answer {
        client::http(&self.site.host, port, "GET", path).await
    }

    /// The same for another name.
    pub async fn plain_to(&self, name: &str, port: Port, path: &str) -> Answer {
        client::http(name, port, "GET", path).await
    }

    pub async fn websocket(&self, path: &str) -> client::Socket {
        client::websocket(&self.site, path).await
    }

    /// The problem of every route, in one go.
    pub async fn problems(&self) -> Vec<Option<String>> {
        let users: Vec<_> = self.site.routes.iter().map(|route| route.user.clone()).collect();
        let checks = self.proxy().check(&self.site, &users).await.unwrap();
        checks.into_iter().map(|check| check.problem).collect()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for pid in self.pids() {
            let ours = workers(pid);
            if let Some(master) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
                let _ = kill_process(master, Signal::TERM);
            }
            for gone in ours.into_iter().chain([pid]) {
                wait_until_gone(gone);
            }
        }
    }
}

/// Waits, for a while, until a process is gone, so that its folder can be removed.
#[allow(clippy::disallowed_methods, reason = "what is dropped can't await")]
pub fn wait_until_gone(pid: u32) {
    for _ in 0..500 {
        if !is_nginx(pid) {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub fn is_nginx(pid: u32) -> bool {
    let title = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    title.starts_with(b"nginx:")
}

/// The children of a process.
pub fn workers(pid: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

/// What a call that must fail said.
pub fn failure<T: std::fmt::Debug>(result: Result<T, Failure>) -> Failure {
    result.unwrap_err()
}

/// A port that nobody has, below the range from which the kernel takes ports for connections:
/// one from there could be gone again before nginx binds it.
pub fn free_port() -> Port {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let start = u16::try_from(std::process::id() % 10_000).unwrap();
        let number = 20_000 + (start + step) % 10_000;
        if TcpListener::bind((Ipv6Addr::UNSPECIFIED, number)).is_ok() {
            return Port::new(u32::from(number)).unwrap();
        }
    }
}

/// A root and a leaf for this machine.
fn certificate(folder: &Path) -> Certificate {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "THON test root");
    let root_key = KeyPair::generate().unwrap();
    let root = params.self_signed(&root_key).unwrap();
    let issuer = Issuer::new(params, root_key);
    let names = ["localhost", "127.0.0.1", "hack.example.org", "*.team.hack.example.org"];
    let names = names.map(str::to_owned);
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
    let file = |name: &str, text: String| {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        path
    };
    Certificate {
        provider: "embedded",
        chain: file("chain.pem", leaf.pem()),
        key: file("key.pem", key.serialize_pem()),
        root: Some(file("root.pem", root.pem())),
        not_after: SystemTime::UNIX_EPOCH,
        trust: Trust::ImportedRoot,
        change: CertificateChange::Issued,
    }
}

/// Replaces the leaf and its key by ones of another authority, in the same files.
pub fn renew(certificate: &Certificate) {
    let fresh = certificate_in_new_folder();
    for (from, to) in [
        (&fresh.1.chain, &certificate.chain),
        (&fresh.1.key, &certificate.key),
        (fresh.1.root.as_ref().unwrap(), certificate.root.as_ref().unwrap()),
    ] {
        fs::copy(from, to).unwrap();
    }
}

fn certificate_in_new_folder() -> (tempfile::TempDir, Certificate) {
    let folder = tempfile::tempdir().unwrap();
    let certificate = certificate(folder.path());
    (folder, certificate)
}
