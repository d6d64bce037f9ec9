//! The managed mode against the real nginx.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs;
use std::net::TcpListener;
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};
use support::{Backend, Stage, failure, is_nginx, renew, wait_until_gone, workers};
use thon_core::adapter::{FailureKind, ReverseProxy};
use thon_core::proxy::ProxyChange;

#[tokio::test]
async fn the_contract() {
    let (one, two) = (Backend::start().await, Backend::start().await);
    let mut stage = Stage::managed();
    stage.add("ada", &one);
    stage.add("bob", &two);
    thon_core::testing::contract::proxy(&stage.proxy(), &stage.site).await;
}

#[tokio::test]
async fn applying_twice_starts_once_and_changes_nothing() {
    let backend = Backend::start().await;
    let mut stage = Stage::managed();
    let route = stage.add("ada", &backend);
    assert_eq!(stage.proxy().apply(&stage.site).await, Ok(ProxyChange::Started));
    let pid = stage.pid().unwrap();
    assert_eq!(stage.proxy().apply(&stage.site).await, Ok(ProxyChange::Unchanged));
    assert_eq!((stage.pid(), stage.reloads().await), (Some(pid), 0));

    let status = stage.proxy().status().await.unwrap();
    assert_eq!((status.mode.as_str(), status.running, status.pid), ("managed", true, Some(pid)));
    assert_eq!(status.routes, Some(1));
    assert_eq!(stage.problems().await, [None]);
    let answer = stage.get(&format!("{}some/file?x=1", route.path)).await;
    assert!(answer.body.starts_with("GET /some/file?x=1 HTTP/1.1\r\n"), "{}", answer.body);
}

#[tokio::test]
async fn what_the_instance_is_told_about_the_browser() {
    let backend = Backend::start().await;
    let mut stage = Stage::managed();
    let route = stage.add("ada", &backend);
    stage.proxy().apply(&stage.site).await.unwrap();
    let seen = stage.get(route.path.as_str()).await.body.to_ascii_lowercase();
    let authority = format!("127.0.0.1:{}", stage.site.https_port);
    for line in [
        format!("host: {authority}"),
        format!("x-forwarded-host: {authority}"),
        "x-forwarded-proto: https".to_owned(),
        "x-forwarded-for: 127.0.0.1".to_owned(),
    ] {
        assert!(seen.contains(&format!("\r\n{line}\r\n")), "{line} in {seen}");
    }
    assert!(!seen.contains("\r\nconnection:"), "kept alive: {seen}");
}

#[tokio::test]
async fn a_new_route_is_one_reload_and_an_open_websocket_of_another_survives_it() {
    let (one, two) = (Backend::start().await, Backend::start().await);
    let mut stage = Stage::managed();
    let ada = stage.add("ada", &one);
    stage.proxy().apply(&stage.site).await.unwrap();
    let pid = stage.pid();
    let mut socket = stage.websocket(&format!("{}socket", ada.path)).await;
    assert_eq!(socket.echo("before").await, "before");

    let bob = stage.add("bob", &two);
    assert_eq!(stage.proxy().apply(&stage.site).await, Ok(ProxyChange::Reloaded));
    assert_eq!((stage.pid(), stage.reloads().await), (pid, 1));
    assert!(stage.get(bob.path.as_str()).await.status.is_success(), "served as soon as applied");
    assert_eq!(socket.echo("after").await, "after");
}

#[tokio::test]
async fn a_paused_instance_is_answered_for_at_once_and_others_notice_nothing() {
    let one = Backend::start().await;
    // As a frozen sandbox: the kernel accepts the connection, and nobody ever answers.
    let frozen = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let mut stage = Stage::managed();
    let ada = stage.add("ada", &one);
    let bob = stage.add_port("bob", frozen.local_addr().unwrap().port());
    stage.site.routes[1].paused = true;
    stage.proxy().apply(&stage.site).await.unwrap();
    let mut socket = stage.websocket(&format!("{}socket", ada.path)).await;

    for path in ["", "healthz", "login", "some/file?x=1"] {
        let answer = stage.get(&format!("{}{path}", bob.path)).await;
        assert_eq!(answer.status, 503, "{path}");
        assert_eq!(answer.header("retry-after"), Some("10"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert!(answer.body.contains("Your workspace is paused"), "{}", answer.body);
    }
    assert_eq!(stage.proxy().status().await.unwrap().routes, Some(2));

    // Resumed: one reload, nothing else.
    stage.site.routes[0].paused = true;
    stage.site.routes[1].paused = false;
    stage.site.routes[1].upstream = ada.upstream;
    assert_eq!(stage.proxy().apply(&stage.site).await, Ok(ProxyChange::Reloaded));
    assert_eq!(stage.reloads().await, 1);
    assert!(stage.get(bob.path.as_str()).await.status.is_success());
    // An editor that was open before is only as silent as its sandbox is.
    assert_eq!(socket.echo("still there").await, "still there");
}

#[tokio::test]
async fn a_configuration_that_nginx_refuses_changes_nothing_and_says_why() {
    let backend = Backend::start().await;
    let mut stage = Stage::managed();
    let ada = stage.add("ada", &backend);
    stage.proxy().apply(&stage.site).await.unwrap();
    let conf = fs::read(stage.settings.home.join("nginx.conf")).unwrap();

    let mut broken = stage.site.clone();
    broken.certificate.chain = stage.path("garbage.pem");
    fs::write(&broken.certificate.chain, "no certificate").unwrap();
    let failure = failure(stage.proxy().apply(&broken).await);
    assert!(failure.cause.contains("cannot load certificate"), "{failure}");
    assert!(!failure.to_string().contains("candidate"), "{failure}");
    assert!(failure.advice.contains("nginx.conf.rejected"), "{failure}");

    assert_eq!(fs::read(stage.settings.home.join("nginx.conf")).unwrap(), conf);
    assert!(stage.get(ada.path.as_str()).await.status.is_success());
    assert_eq!(stage.proxy().apply(&stage.site).await, Ok(ProxyChange::Unchanged));
    assert_eq!(stage.reloads().await, 0);
}

#[tokio::test]
async fn a_run_that_was_killed_between_writing_and_reloading_is_finished_by_the_next() {
    let (one, two) = (Backend::start().await, Backend::start().await);
    let mut stage = Stage::managed();
    stage.add("ada", &one);
    stage.proxy().apply(&stage.site).await.unwrap();
    let bob = stage.add("bob", &two);
    let text = stage.proxy().render(&stage.site).await.unwrap();
    fs::write(stage.settings.home.join("nginx.conf"), text).unwrap();
    assert_eq!(stage.get(bob.path.as_str()).await.status, 404);

    assert_eq!(stage.proxy().apply(&stage.site).await, Ok(ProxyChange::Reloaded));
    assert!(stage.get(bob.path.as_str()).await.status.is_success());
    // Killed after the reload, before it was noted: nginx itself knows what it serves.
    fs::remove_file(stage.settings.home.join("applied.json")).unwrap();
    assert_eq!(stage.proxy().apply(&stage.site).await, Ok(ProxyChange::Unchanged));
}

#[tokio::test]
async fn nginx_killed_with_its_workers_left_behind_is_replaced() {
    let backend = Backend::start().await;
    let mut stage = Stage::managed();
    let ada = stage.add("ada", &backend);
    stage.proxy().apply(&stage.site).await.unwrap();
    let mut socket = stage.websocket(&format!("{}socket", ada.path)).await;
    let pid = stage.pid().unwrap();
    let left = workers(pid);
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), Signal::KILL).unwrap();
    wait_until_gone(pid);
    assert!(left.iter().any(|worker| is_nginx(*worker)), "the workers hold the ports");

    assert_eq!(stage.proxy().apply(&stage.site).await, Ok(ProxyChange::Started));
    assert_eq!(stage.problems().await, [None]);
    assert_eq!(socket.echo("still here").await, "still here");
    drop(socket);
    for worker in left {
        wait_until_gone(worker);
        assert!(!is_nginx(worker));
    }
}

#[tokio::test]
async fn plain_http_leads_to_https_and_to_the_root() {
    let mut stage = Stage::managed();
    let backend = Backend::start().await;
    stage.add("ada", &backend);
    stage.proxy().apply(&stage.site).await.unwrap();
    let target = format!("https://127.0.0.1:{}/x?y=z", stage.site.https_port);
    // On its own port, and by those who type http:// before the port of HTTPS.
    for port in [stage.site.http_port, stage.site.https_port] {
        let answer = stage.plain(port, "/x?y=z").await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("location")),
            (301, Some(target.as_str()))
        );
    }
    let root = fs::read_to_string(stage.site.certificate.root.as_ref().unwrap()).unwrap();
    let same = |text: &str| text.lines().eq(root.lines());
    let answer = stage.plain(stage.site.http_port, "/ca.crt").await;
    assert!(same(&answer.body), "{}", answer.body);
    assert_eq!(answer.header("content-type"), Some("application/x-x509-ca-cert"));
    assert!(answer.header("content-disposition").unwrap().contains("rootCA.crt"));
    assert!(same(&stage.get("/ca.crt").await.body));
}

#[tokio::test]
async fn whoever_has_no_link_learns_no_names() {
    let mut stage = Stage::managed();
    let backend = Backend::start().await;
    let route = stage.add("ada", &backend);
    stage.proxy().apply(&stage.site).await.unwrap();
    let welcome = stage.get("/").await;
    assert_eq!(welcome.status, 200);
    assert!(welcome.body.contains("ask your organizer") && !welcome.body.contains("ada"));
    let missing = stage.get("/1/proxy/2/").await;
    assert_eq!(missing.status, 404);
    assert!(missing.body.contains("no workspace"), "{}", missing.body);
    assert_eq!(stage.get("/thon-health").await.status, 204);
    let slash = stage.get(route.path.without_slash()).await;
    assert_eq!((slash.status.as_u16(), slash.header("location")), (301, Some(route.path.as_str())));
    assert!(welcome.header("server").is_none_or(|server| server == "nginx"), "no version");
}

#[tokio::test]
async fn a_workspace_that_is_down_says_so_kindly() {
    let mut stage = Stage::managed();
    let backend = Backend::start().await;
    let gone = Backend::start().await.port;
    stage.add("ada", &backend);
    let bob = stage.add_port("bob", gone);
    stage.proxy().apply(&stage.site).await.unwrap();
    let answer = stage.get(bob.path.as_str()).await;
    assert_eq!(answer.status, 503);
    assert!(answer.body.contains("http-equiv=\"refresh\"") && answer.body.contains("workspace"));
    let problems = stage.problems().await;
    assert_eq!(problems[0], None);
    let problem = problems[1].as_deref().unwrap();
    assert!(problem.contains("503") && problem.contains("can't reach code-server"), "{problem}");
}

#[tokio::test]
async fn guessing_a_password_is_slowed_down_and_the_neighbour_is_not() {
    let (one, two) = (Backend::start().await, Backend::start().await);
    let mut stage = Stage::managed();
    let (ada, bob) = (stage.add("ada", &one), stage.add("bob", &two));
    stage.proxy().apply(&stage.site).await.unwrap();
    let mut statuses = Vec::new();
    for _ in 0..15 {
        statuses.push(stage.post(&format!("{}login", ada.path)).await.status.as_u16());
    }
    assert_eq!(statuses[0], 200);
    assert_eq!(statuses[14], 429, "{statuses:?}");
    // code-server's paths don't mind capital letters and a slash at the end.
    let refused = stage.post(&format!("{}LOGIN/", ada.path)).await;
    assert_eq!(refused.status, 429);
    assert!(refused.header("retry-after").is_some() && refused.body.contains("Wait"));
    assert_eq!(stage.get(&format!("{}login", ada.path)).await.status, 200);
    assert_eq!(stage.post(&format!("{}proxy/3000/login", ada.path)).await.status, 200);
    assert_eq!(stage.post(&format!("{}login", bob.path)).await.status, 200);
}

#[tokio::test]
async fn cookies_and_service_workers_stay_within_their_instance() {
    let mut stage = Stage::managed();
    let backend = Backend::start().await;
    let route = stage.add("ada", &backend);
    stage.proxy().apply(&stage.site).await.unwrap();
    let answer = stage.post(&format!("{}login", route.path)).await;
    let cookies = answer.all("set-cookie");
    assert_eq!(cookies.len(), 2);
    for cookie in &cookies {
        assert!(cookie.contains(&format!("Path={}", route.path)), "{cookie}");
    }
    let session = cookies[0].to_ascii_lowercase();
    for flag in ["secure", "httponly", "samesite=lax"] {
        assert!(session.contains(flag), "{flag} in {session}");
    }
    let worker = stage.get(&format!("{}worker.js", route.path)).await;
    assert_eq!(worker.all("service-worker-allowed"), [route.path.as_str()]);
    assert!(stage.get(route.path.as_str()).await.header("service-worker-allowed").is_none());
}

#[tokio::test]
async fn a_link_below_one_instance_never_leads_to_another() {
    let mut stage = Stage::managed();
    let backend = Backend::start().await;
    let (ada, bob) = (stage.add("ada", &backend), stage.add("bob", &backend));
    stage.proxy().apply(&stage.site).await.unwrap();
    let below_bob = bob.path.as_str().trim_start_matches('/');
    for tricky in [
        format!("{}..%2f..%2f..%2f{below_bob}steal", ada.path),
        format!("{}%2e%2e/%2e%2e/%2e%2e/{below_bob}steal", ada.path),
        format!("/{}steal", bob.path),
        format!("/x/..{}steal", bob.path),
    ] {
        assert_eq!(stage.get(&tricky).await.status, 404, "{tricky}");
    }
    for fine in ["", "a/..%2fb", "proxy/3000//x", "proxy/3000/a/../b", "?folder=/workspace"] {
        let path = format!("{}{fine}", ada.path);
        assert_eq!(stage.get(&path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn a_cookie_that_asks_for_all_memory_does_not_reach_the_instance() {
    let mut stage = Stage::managed();
    let backend = Backend::start().await;
    let route = stage.add("ada", &backend);
    stage.proxy().apply(&stage.site).await.unwrap();
    let get = async |cookie: &str| {
        stage.get_with(route.path.as_str(), &[("cookie", cookie)]).await.status
    };
    let own =
        "code-server-session-of-ada=%24argon2id%24v%3D19%24m%3D65536%2Ct%3D3%2Cp%3D4%24abc%24def";
    assert_eq!(get(own).await, 200);
    assert_eq!(get(&format!("theme=dark; {own}; a=b")).await, 200);
    assert_eq!(get("theme=dark").await, 200);
    // One that isn't this instance's doesn't get there at all.
    assert_eq!(get("code-server-session=x").await, 200);
    for forged in [
        own.replace("65536", "1000000"),
        own.replace("t%3D3", "t%3D20"),
        own.replace("%24", "$").replace("m%3D65536", "m=999999"),
        own.replace("argon2id", "argon2i"),
        "code-server-session-of-ada=x".to_owned(),
        "code-server-session-of-ada=\"%24argon2id%24v%3D19%24m%3D1000000\"".to_owned(),
    ] {
        assert_eq!(get(&forged).await, 400, "{forged}");
    }
}

#[tokio::test]
async fn what_an_instance_answers_reaches_nobody_else_and_steers_nothing() {
    let mut stage = Stage::managed();
    let backend = Backend::start().await;
    let route = stage.add("ada", &backend);
    stage.proxy().apply(&stage.site).await.unwrap();
    let answer = stage.get(&format!("{}evil-cookie", route.path)).await;
    let cookie = answer.header("set-cookie").unwrap();
    assert!(cookie.contains(&format!("Path={}", route.path)), "{cookie}");
    let answer = stage.get(&format!("{}evil-redirect", route.path)).await;
    assert!(answer.body.starts_with("GET /evil-redirect"), "{}", answer.body);
    let lies = [("forwarded", "host=evil.example"), ("x-forwarded-for", "198.51.100.9")];
    let seen = stage.get_with(route.path.as_str(), &lies).await.body;
    assert!(!seen.contains("evil.example") && !seen.contains("198.51.100.9"), "{seen}");
}

#[tokio::test]
async fn requests_share_connections_to_the_instance() {
    let mut stage = Stage::managed();
    let backend = Backend::start().await;
    let route = stage.add("ada", &backend);
    stage.proxy().apply(&stage.site).await.unwrap();
    for _ in 0..30 {
        assert_eq!(stage.get(route.path.as_str()).await.status, 200);
    }
    assert!(backend.connections() < 30, "{} connections", backend.connections());
}

#[tokio::test]
async fn a_renewed_certificate_is_served_after_one_reload() {
    let mut stage = Stage::managed();
    let backend = Backend::start().await;
    stage.add("ada", &backend);
    stage.proxy().apply(&stage.site).await.unwrap();
    renew(&stage.site.certificate);
    assert!(stage.problems().await[0].as_deref().unwrap().contains("TLS"), "not yet served");
    assert_eq!(stage.proxy().apply(&stage.site).await, Ok(ProxyChange::Reloaded));
    assert_eq!(stage.problems().await, [None]);
}

#[tokio::test]
async fn a_self_signed_certificate_is_checked_by_itself() {
    let mut stage = Stage::managed();
    let backend = Backend::start().await;
    stage.add("ada", &backend);
    stage.site.certificate.root = None;
    stage.site.certificate.trust = thon_core::certificate::Trust::SelfSigned;
    stage.proxy().apply(&stage.site).await.unwrap();
    assert_eq!(stage.problems().await, [None]);
    assert_eq!(stage.plain(stage.site.http_port, "/ca.crt").await.status, 301, "nothing to import");
    let other = Stage::managed();
    stage.site.certificate.chain.clone_from(&other.site.certificate.chain);
    assert!(stage.problems().await[0].as_deref().unwrap().contains("another certificate"));
}

#[tokio::test]
async fn a_port_that_belongs_to_another_is_named_with_its_holder() {
    let stage = Stage::managed();
    let holder = TcpListener::bind(("0.0.0.0", stage.site.https_port.get())).unwrap();
    let refused = failure(stage.proxy().apply(&stage.site).await);
    assert_eq!(refused.kind, FailureKind::PortTaken);
    assert!(refused.cause.contains(&stage.site.https_port.to_string()), "{refused}");
    assert!(refused.cause.contains(&std::process::id().to_string()), "{refused}");
    assert!(refused.advice.contains("nginx.https_port"), "{refused}");
    assert_eq!(stage.pid(), None);
    drop(holder);
    assert_eq!(stage.proxy().apply(&stage.site).await, Ok(ProxyChange::Started));
}

#[tokio::test]
async fn a_move_to_a_port_of_another_s_keeps_the_old_one_serving() {
    let mut stage = Stage::managed();
    let backend = Backend::start().await;
    let route = stage.add("ada", &backend);
    stage.proxy().apply(&stage.site).await.unwrap();
    let mut moved = stage.site.clone();
    moved.https_port = support::free_port();
    let holder = TcpListener::bind(("0.0.0.0", moved.https_port.get())).unwrap();
    assert_eq!(failure(stage.proxy().apply(&moved).await).kind, FailureKind::PortTaken);
    assert_eq!(stage.get(route.path.as_str()).await.status, 200);
    drop(holder);
    assert_eq!(stage.proxy().apply(&moved).await, Ok(ProxyChange::Reloaded));
    stage.site = moved;
    assert_eq!(stage.problems().await, [None]);
}

#[tokio::test]
async fn two_runs_at_once_end_in_one_configuration() {
    let mut stage = Stage::managed();
    let backend = Backend::start().await;
    stage.add("ada", &backend);
    let (one, two) = (stage.proxy(), stage.proxy());
    let (one, two) = tokio::join!(one.apply(&stage.site), two.apply(&stage.site));
    let mut changes = [one.unwrap(), two.unwrap()];
    changes.sort_by_key(|change| *change == ProxyChange::Unchanged);
    assert_eq!(changes, [ProxyChange::Started, ProxyChange::Unchanged]);
}

#[tokio::test]
async fn cleanup_stops_this_nginx_and_no_other() {
    let backend = Backend::start().await;
    let (mut stage, mut other) = (Stage::managed(), Stage::managed());
    let ada = stage.add("ada", &backend);
    other.add("bob", &backend);
    stage.proxy().apply(&stage.site).await.unwrap();
    other.proxy().apply(&other.site).await.unwrap();
    let pid = stage.pid().unwrap();
    // An editor that is still open doesn't keep it alive.
    let _socket = stage.websocket(&format!("{}socket", ada.path)).await;
    stage.proxy().cleanup().await.unwrap();
    assert!(!is_nginx(pid));
    assert_eq!(other.problems().await, [None]);
    let home = &stage.settings.home;
    assert!(!home.join("nginx.conf").exists() && home.join("logs/error.log").exists());

    // A pid file that names someone else's process: nobody is signalled.
    fs::write(home.join("nginx.pid"), other.pid().unwrap().to_string()).unwrap();
    stage.proxy().cleanup().await.unwrap();
    assert_eq!(other.problems().await, [None]);
}

#[tokio::test]
async fn a_missing_program_is_named_with_what_to_do() {
    let mut stage = Stage::managed();
    stage.settings.binary = Some(stage.path("nowhere/nginx"));
    let failure = failure(stage.proxy().apply(&stage.site).await);
    assert_eq!(failure.kind, FailureKind::Missing);
    assert!(failure.cause.contains("nowhere/nginx") && failure.advice.contains("thon setup"));
}

#[tokio::test]
async fn acme_challenges_are_served_over_plain_http() {
    let mut stage = Stage::managed();
    let webroot = stage.path("acme");
    let challenge = webroot.join(".well-known/acme-challenge");
    fs::create_dir_all(&challenge).unwrap();
    fs::write(challenge.join("token"), "proof").unwrap();
    // Workers run as another user.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(webroot.parent().unwrap(), open).unwrap();
    stage.settings.acme_webroot = Some(webroot);
    stage.proxy().apply(&stage.site).await.unwrap();
    let answer = stage.plain(stage.site.http_port, "/.well-known/acme-challenge/token").await;
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, "proof"));
}

#[tokio::test]
async fn a_path_with_a_space_is_no_trouble_and_one_with_a_quote_is_refused() {
    let mut stage = Stage::managed();
    stage.settings.home = stage.path("my nginx");
    stage.proxy().apply(&stage.site).await.unwrap();
    assert!(stage.pid().is_some());
    assert_eq!(stage.proxy().apply(&stage.site).await, Ok(ProxyChange::Unchanged));
    let mut quoted = stage.site.clone();
    quoted.certificate.key = stage.path("k\".pem");
    assert!(failure(stage.proxy().apply(&quoted).await).cause.contains("the key's path"));
}

/// A stand-in for nginx that runs `script` (with nginx's arguments), for what can't be had from the
/// real one everywhere: refusals that depend on the user and on the kernel's settings.
fn stand_in(stage: &mut Stage, script: &str) {
    let (text, path) = (stage.path("stand-in.sh"), stage.path("nginx-stand-in"));
    fs::write(&text, format!("#!/bin/sh\n{script}\n")).unwrap();
    // Written by another process: a file that this one has open for writing, if only in a child
    // that some other test is about to start, can't be run.
    let copy = Command::new("install").args(["-m", "755"]).arg(text).arg(&path).status();
    assert!(copy.unwrap().success());
    stage.settings.binary = Some(path);
}

#[tokio::test]
async fn a_port_that_this_user_may_not_have_comes_with_the_ways_out() {
    let mut stage = Stage::managed();
    let line = "bind() to 0.0.0.0:443 failed (13: Permission denied)";
    stand_in(
        &mut stage,
        &format!("[ $1 = -v ] && exit 0\necho 'nginx: [emerg] {line}' >&2; exit 1"),
    );
    let failure = failure(stage.proxy().apply(&stage.site).await);
    assert_eq!(failure.kind, FailureKind::Denied);
    assert!(failure.cause.contains("port 443") && failure.cause.contains(line), "{failure}");
    assert!(failure.advice.contains("setcap") && failure.advice.contains("nginx.https_port"));
    assert!(!stage.settings.home.join("nginx.conf").exists());
}

#[tokio::test]
async fn an_nginx_that_does_not_start_is_quoted() {
    let mut stage = Stage::managed();
    stand_in(
        &mut stage,
        "[ $1 = -v ] || [ $1 = -t ] && exit 0\necho 'nginx: [emerg] no memory today' >&2; exit 1",
    );
    let failure = failure(stage.proxy().apply(&stage.site).await);
    assert_eq!(failure.kind, FailureKind::Died);
    assert!(failure.cause.contains("no memory today"), "{failure}");
    assert!(failure.advice.contains("logs/error.log"), "{failure}");
}
