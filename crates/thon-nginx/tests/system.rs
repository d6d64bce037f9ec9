//! The system mode against the real nginx, in a configuration like the distribution's.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use support::{Backend, Stage, failure};
use thon_core::adapter::ReverseProxy;
use thon_core::config::NginxMode;
use thon_core::proxy::ProxyChange;

/// The files of the system's configuration.
struct Conf(PathBuf);

impl Conf {
    fn of(stage: &Stage) -> Self {
        Self(stage.settings.system_conf.clone())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn link(&self, name: &str, target: &str) {
        std::os::unix::fs::symlink(target, self.path(name)).unwrap();
    }

    /// The distribution's default site on the ports of the stage, enabled as it enables it.
    fn default_site(&self, stage: &Stage) {
        // The one that the package installs here: if the distribution changes it, so must we.
        let text = fs::read_to_string("/etc/nginx/sites-available/default").unwrap();
        let text = text
            .replace("listen 80 ", &format!("listen {} ", stage.site.http_port))
            .replace("listen [::]:80 ", &format!("listen [::]:{} ", stage.site.http_port));
        self.write("sites-available/default", &text);
        self.link("sites-enabled/default", "../sites-available/default");
    }

    /// Starts nginx as an administrator would.
    async fn start(&self, stage: &Stage) {
        let status = Command::new("nginx").arg("-c").arg(self.path("nginx.conf")).status().unwrap();
        assert!(status.success());
        // The program returns before its child has written the pid file.
        stage.until_it_runs().await;
    }

    /// Everything in the configuration but logs and pids.
    fn everything(&self) -> Vec<(PathBuf, String)> {
        let mut found = Vec::new();
        for folder in ["sites-available", "sites-enabled", "conf.d", "modules-enabled", ""] {
            for entry in fs::read_dir(self.path(folder)).unwrap().flatten() {
                let path = entry.path();
                let link = fs::read_link(&path).map(|target| target.display().to_string());
                let is_conf = path.extension().is_none_or(|e| e != "pid" && e != "log");
                if is_conf && let Ok(text) = link.or_else(|_| fs::read_to_string(&path)) {
                    found.push((path, text));
                }
            }
        }
        found.sort();
        found
    }
}

#[tokio::test]
async fn the_contract() {
    let (one, two) = (Backend::start().await, Backend::start().await);
    let mut stage = Stage::system();
    stage.add("ada", &one);
    stage.add("bob", &two);
    thon_core::testing::contract::proxy(&stage.proxy(), &stage.site).await;
}

#[tokio::test]
async fn a_site_joins_the_running_nginx_and_leaves_it_as_it_was() {
    let backend = Backend::start().await;
    let mut stage = Stage::system();
    let conf = Conf::of(&stage);
    conf.default_site(&stage);
    conf.start(&stage).await;
    let before = conf.everything();
    let pid = stage.pid().unwrap();
    let ada = stage.add("ada", &backend);

    assert_eq!(stage.proxy().apply(&stage.site).await, Ok(ProxyChange::Reloaded));
    assert_eq!(
        fs::read_link(conf.path("sites-enabled/sandbox-thon")).unwrap(),
        conf.path("sites-available/sandbox-thon")
    );
    assert!(!conf.path("sites-enabled/default").is_symlink(), "it would answer for other names");
    let main = fs::read_to_string(conf.path("modules-enabled/99-sandbox-thon.conf")).unwrap();
    assert!(main.contains("worker_shutdown_timeout 4h;"));
    assert_eq!(stage.problems().await, [None]);
    assert_eq!(stage.proxy().apply(&stage.site).await, Ok(ProxyChange::Unchanged));
    assert_eq!((stage.pid(), stage.reloads().await), (Some(pid), 1));
    let status = stage.proxy().status().await.unwrap();
    assert_eq!((status.mode.as_str(), status.pid, status.routes), ("system", Some(pid), Some(1)));

    let mut socket = stage.websocket(&format!("{}socket", ada.path)).await;
    stage.add_port("bob", backend.port + 1);
    assert_eq!(stage.proxy().apply(&stage.site).await, Ok(ProxyChange::Reloaded));
    assert_eq!(socket.echo("still here").await, "still here");

    stage.proxy().cleanup().await.unwrap();
    assert_eq!(conf.everything(), before);
    assert_eq!(stage.pid(), Some(pid), "the system's nginx runs on");
    let answer = stage.plain(stage.site.http_port, "/nothing-of-ours").await;
    assert_eq!(answer.status, 404, "the default site is back");
}

#[tokio::test]
async fn an_administrator_s_own_sites_stay_and_keep_what_they_claim() {
    let backend = Backend::start().await;
    let mut stage = Stage::system();
    stage.site.host = "hack.example.org".to_owned();
    let conf = Conf::of(&stage);
    let port = stage.site.http_port;
    conf.write(
        "sites-available/default",
        &format!("server {{ listen {port} default_server; server_name _; return 200 shop; }}"),
    );
    conf.link("sites-enabled/default", "../sites-available/default");
    conf.write("modules-enabled/10-own.conf", "worker_shutdown_timeout 1h;\n");
    conf.start(&stage).await;
    stage.add("ada", &backend);
    assert_eq!(stage.proxy().apply(&stage.site).await, Ok(ProxyChange::Reloaded));
    assert!(conf.path("sites-enabled/default").is_symlink());
    assert!(!conf.path("modules-enabled/99-sandbox-thon.conf").exists(), "it is set already");
    assert_eq!(stage.problems().await, [None]);
    stage.site.host = "shop.example.org".to_owned();
    assert_eq!(stage.plain(port, "/").await.body, "shop");
}

#[tokio::test]
async fn a_site_that_nginx_refuses_leaves_no_trace() {
    let backend = Backend::start().await;
    let mut stage = Stage::system();
    let conf = Conf::of(&stage);
    conf.default_site(&stage);
    conf.start(&stage).await;
    let ada = stage.add("ada", &backend);
    let mut broken = stage.site.clone();
    broken.certificate.chain = stage.path("garbage.pem");
    fs::write(&broken.certificate.chain, "no certificate").unwrap();

    let before = conf.everything();
    let refused = failure(stage.proxy().apply(&broken).await);
    assert!(refused.cause.contains("cannot load certificate"), "{refused}");
    assert_eq!(conf.everything(), before);

    stage.proxy().apply(&stage.site).await.unwrap();
    let before = conf.everything();
    failure(stage.proxy().apply(&broken).await);
    assert_eq!(conf.everything(), before);
    assert_eq!(stage.get(ada.path.as_str()).await.status, 200);
    assert_eq!(stage.proxy().apply(&stage.site).await, Ok(ProxyChange::Unchanged));
}

#[tokio::test]
async fn a_configuration_that_was_broken_before_is_told_from_ours() {
    let backend = Backend::start().await;
    let mut stage = Stage::system();
    let conf = Conf::of(&stage);
    conf.start(&stage).await;
    stage.add("ada", &backend);
    conf.write("conf.d/own.conf", "lissten 80;\n");
    let before = conf.everything();
    let refused = failure(stage.proxy().apply(&stage.site).await);
    assert!(refused.cause.contains("even without THON's file"), "{refused}");
    assert!(refused.cause.contains("unknown directive \"lissten\" in "), "{refused}");
    assert!(refused.advice.contains("nothing was changed"), "{refused}");
    assert_eq!(conf.everything(), before);
    assert_eq!(stage.reloads().await, 0);
}

#[tokio::test]
async fn a_run_that_was_killed_after_placing_a_file_is_finished_or_undone() {
    let backend = Backend::start().await;
    let mut stage = Stage::system();
    let conf = Conf::of(&stage);
    conf.start(&stage).await;
    stage.add("ada", &backend);
    stage.proxy().apply(&stage.site).await.unwrap();
    let site = conf.path("sites-available/sandbox-thon");
    let good = fs::read(&site).unwrap();

    // Placed, but neither tested nor reloaded; as if by the next run, which fails its test.
    let bob = stage.add("bob", &backend);
    stage.proxy().apply(&stage.site).await.unwrap();
    let next = fs::read(&site).unwrap();
    let mut one = stage.site.clone();
    one.routes.pop();
    stage.proxy().apply(&one).await.unwrap();
    assert_eq!(fs::read(&site).unwrap(), good);
    fs::write(&site, &next).unwrap();
    conf.write("conf.d/own.conf", "lissten 80;\n");
    failure(stage.proxy().apply(&stage.site).await);
    assert_eq!(fs::read(&site).unwrap(), good, "back to what nginx serves");

    fs::remove_file(conf.path("conf.d/own.conf")).unwrap();
    fs::write(&site, &next).unwrap();
    assert_eq!(stage.proxy().apply(&stage.site).await, Ok(ProxyChange::Reloaded));
    assert_eq!(stage.get(bob.path.as_str()).await.status, 200);
}

#[tokio::test]
async fn auto_takes_the_system_s_nginx_only_where_it_runs() {
    let backend = Backend::start().await;
    let mut stage = Stage::system();
    stage.settings.mode = NginxMode::Auto;
    let mode = async |stage: &Stage| stage.proxy().status().await.unwrap().mode;
    assert_eq!(mode(&stage).await, "managed");
    let conf = Conf::of(&stage);
    conf.start(&stage).await;
    assert_eq!(mode(&stage).await, "system");
    stage.add("ada", &backend);
    assert_eq!(stage.proxy().apply(&stage.site).await, Ok(ProxyChange::Reloaded));
    assert_eq!(stage.problems().await, [None]);
    stage.proxy().cleanup().await.unwrap();
    assert!(!conf.path("sites-available/sandbox-thon").exists());
}

#[tokio::test]
async fn a_change_of_mode_moves_the_site() {
    let backend = Backend::start().await;
    let mut stage = Stage::system();
    let conf = Conf::of(&stage);
    conf.write("conf.d/own.conf", &format!("server {{ listen {}; }}", support::free_port()));
    conf.start(&stage).await;
    stage.add("ada", &backend);
    stage.settings.mode = NginxMode::Managed;
    assert_eq!(stage.proxy().apply(&stage.site).await, Ok(ProxyChange::Started));
    stage.settings.mode = NginxMode::System;
    assert_eq!(stage.proxy().apply(&stage.site).await, Ok(ProxyChange::Reloaded));
    assert_eq!(stage.problems().await, [None]);
    assert!(!stage.settings.home.join("nginx.pid").exists());
    stage.settings.mode = NginxMode::Managed;
    assert_eq!(stage.proxy().apply(&stage.site).await, Ok(ProxyChange::Started));
    assert_eq!(stage.problems().await, [None]);
    assert!(!conf.path("sites-enabled/sandbox-thon").exists());
    stage.proxy().cleanup().await.unwrap();
}
