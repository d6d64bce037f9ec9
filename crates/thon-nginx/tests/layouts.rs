//! The layouts, and what participants may see of each other in them, against the real nginx.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::BTreeSet;
use std::net::TcpListener;

use support::{Backend, Stage, failure, free_port};
use thon_core::adapter::{FailureKind, ReverseProxy};
use thon_core::config::Layout;
use thon_core::endpoint::Endpoint;
use thon_core::proxy::{Entrance, ProxyChange, Route};

/// A session's cookie as code-server makes them.
fn session(user: &str) -> String {
    format!(
        "code-server-session-of-{user}=%24argon2id%24v%3D19%24m%3D65536%2Ct%3D3%2Cp%3D4%24{user}%24x"
    )
}

/// The cookies in the head of a request that came back.
fn cookies(head: &str) -> String {
    let lines: Vec<&str> = head.lines().filter_map(|line| line.strip_prefix("Cookie: ")).collect();
    assert!(lines.len() <= 1, "{head}");
    lines.first().copied().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn each_layout_keeps_the_contract() {
    let (one, two) = (Backend::start().await, Backend::start().await);
    for layout in [Layout::Port, Layout::Subdomain] {
        let mut stage = Stage::managed();
        stage.site.host = "hack.example.org".to_owned();
        stage.add("ada", &one);
        stage.add("bob", &two);
        stage.lay_out(layout);
        thon_core::testing::contract::proxy(&stage.proxy(), &stage.site).await;
    }
}

#[tokio::test]
async fn an_instance_is_found_at_its_own_entrance_and_at_no_other() {
    let (one, two) = (Backend::start().await, Backend::start().await);
    for layout in [Layout::Port, Layout::Subdomain] {
        let mut stage = Stage::managed();
        stage.site.host = "hack.example.org".to_owned();
        stage.add("ada", &one);
        let bob = stage.add("bob", &two);
        stage.lay_out(layout);
        stage.proxy().apply(&stage.site).await.unwrap();
        assert_eq!(stage.problems().await, [None, None], "{layout}");

        let seen = stage.visit("ada", "GET", "some/file?x=1", &[]).await;
        assert!(seen.body.starts_with("GET /some/file?x=1 HTTP/1.1\r\n"), "{}", seen.body);
        let (host, port) = stage.site.door(stage.route("ada"));
        assert!(seen.body.contains(&format!("Host: {host}:{port}\r\n")), "{}", seen.body);
        assert!(seen.body.contains(&format!("X-Forwarded-Host: {host}:{port}\r\n")));
        // What programs remember from another layout leads to the same instance.
        let path = stage.route("ada").path.clone();
        let before = stage.visit("ada", "GET", &path.as_str()[1..], &[]).await;
        assert!(before.body.starts_with("GET / HTTP/1.1\r\n"), "{}", before.body);
        let mut socket = stage.socket_of("ada", "socket").await;
        assert_eq!(socket.echo("hello").await, "hello");

        // The shared origin has no instance, and an instance's has nothing of the node's own.
        assert_eq!(stage.get(bob.path.as_str()).await.status, 404);
        assert!(stage.get("/").await.body.contains("ask your organizer"));
        assert_eq!(stage.get("/ca.crt").await.status, 200);
        let root = stage.visit("ada", "GET", "ca.crt", &[]).await;
        assert!(root.body.starts_with("GET /ca.crt "), "it is for the instance: {}", root.body);
    }
}

#[tokio::test]
async fn a_newcomer_with_a_port_cuts_no_websocket() {
    let (one, two) = (Backend::start().await, Backend::start().await);
    let mut stage = Stage::managed();
    stage.add("ada", &one);
    stage.lay_out(Layout::Port);
    stage.proxy().apply(&stage.site).await.unwrap();
    let pid = stage.pid();
    let mut socket = stage.socket_of("ada", "socket").await;
    assert_eq!(socket.echo("before").await, "before");

    stage.add("bob", &two);
    stage.site.routes[1].entrance = Entrance::Port(free_port());
    assert_eq!(stage.proxy().apply(&stage.site).await, Ok(ProxyChange::Reloaded));
    assert_eq!((stage.pid(), stage.reloads().await), (pid, 1));
    assert!(stage.visit("bob", "GET", "", &[]).await.status.is_success());
    assert_eq!(socket.echo("after").await, "after");
    assert_eq!(stage.proxy().apply(&stage.site).await, Ok(ProxyChange::Unchanged));
}

#[tokio::test]
async fn a_paused_instance_is_answered_for_on_its_own_origin() {
    let (one, two) = (Backend::start().await, Backend::start().await);
    let mut stage = Stage::managed();
    stage.site.host = "hack.example.org".to_owned();
    stage.add("ada", &one);
    stage.add("bob", &two);
    stage.site.routes[0].paused = true;
    for layout in [Layout::Port, Layout::Subdomain] {
        stage.lay_out(layout);
        stage.proxy().apply(&stage.site).await.unwrap();
        let before = stage.route("ada").path.as_str()[1..].to_owned();
        for path in ["", "healthz", &before] {
            let answer = stage.visit("ada", "GET", path, &[]).await;
            assert_eq!(answer.status, 503, "{layout}: {path}");
            assert!(answer.body.contains("Your workspace is paused"), "{}", answer.body);
        }
        assert!(stage.visit("bob", "GET", "", &[]).await.status.is_success(), "{layout}");
    }
}

#[tokio::test]
async fn another_layout_is_one_reload_whichever_it_was_before() {
    let backend = Backend::start().await;
    let mut stage = Stage::managed();
    stage.site.host = "hack.example.org".to_owned();
    stage.add("ada", &backend);
    stage.proxy().apply(&stage.site).await.unwrap();
    let layouts = [Layout::Port, Layout::Subdomain, Layout::Path, Layout::Subdomain, Layout::Port];
    for (reloads, layout) in (1..).zip(layouts) {
        stage.lay_out(layout);
        assert_eq!(stage.proxy().apply(&stage.site).await, Ok(ProxyChange::Reloaded), "{layout}");
        assert_eq!(stage.problems().await, [None], "{layout}");
        assert_eq!(stage.reloads().await, reloads);
        assert_eq!(stage.proxy().apply(&stage.site).await, Ok(ProxyChange::Unchanged), "{layout}");
    }
}

#[tokio::test]
async fn the_machine_s_nginx_takes_long_names_and_ports() {
    let (one, two) = (Backend::start().await, Backend::start().await);
    let mut stage = Stage::system();
    stage.site.host = "hack.example.org".to_owned();
    stage.add("ada", &one);
    stage.add(&"b".repeat(32), &two);
    stage.lay_out(Layout::Subdomain);
    let change = stage.proxy().apply(&stage.site).await;
    assert_eq!(change, Ok(ProxyChange::Started));
    stage.until_it_runs().await;
    assert_eq!(stage.problems().await, [None, None]);
    // A name of an instance is led to HTTPS as the node's own is.
    let (name, _) = stage.site.door(stage.route("ada"));
    let led = stage.plain_to(name, stage.site.http_port, "/x").await;
    let wanted = format!("https://{name}:{}/x", stage.site.https_port);
    assert_eq!((led.status.as_u16(), led.header("location")), (301, Some(wanted.as_str())));
    stage.lay_out(Layout::Port);
    assert_eq!(stage.proxy().apply(&stage.site).await, Ok(ProxyChange::Reloaded));
    assert_eq!(stage.problems().await, [None, None]);
}

#[tokio::test]
async fn an_instance_gets_its_own_session_and_nobody_else_s() {
    let backend = Backend::start().await;
    let mut stage = Stage::managed();
    stage.site.host = "hack.example.org".to_owned();
    stage.add("ada", &backend);
    stage.add("bob", &backend);
    let (ada, bob) = (session("ada"), session("bob"));
    stage.proxy().apply(&stage.site).await.unwrap();
    for layout in [Layout::Path, Layout::Port, Layout::Subdomain] {
        stage.lay_out(layout);
        stage.proxy().apply(&stage.site).await.unwrap();
        for (sent, arrives) in [
            (bob.clone(), String::new()),
            (format!("{bob}; {ada}"), ada.clone()),
            (format!("{ada}; {bob}"), ada.clone()),
            (format!("theme=dark; {bob}; {ada}; app=1"), format!("{ada}; theme=dark; app=1")),
            (format!("{bob}; a=1; {bob}; b=2; {bob}; {bob}; c=3"), "a=1; b=2; c=3".to_owned()),
            (format!("a=1;{bob};b=2"), "a=1;b=2".to_owned()),
            // The plain name is somebody's from before names differed.
            ("code-server-session=x; a=1".to_owned(), "a=1".to_owned()),
            ("CODE-SERVER-SESSION-of-bob=x; a=1".to_owned(), "a=1".to_owned()),
            // A program of the participant's own may name its cookies almost so.
            ("my-code-server-session=1".to_owned(), "my-code-server-session=1".to_owned()),
            // THON's own are nobody's business in a sandbox.
            (format!("thon-session=k; a=1; __Host-thon-api=k; {ada}"), format!("{ada}; a=1; ")),
            // The first of two is the one that counts, and the other doesn't get there.
            (format!("{ada}; code-server-session-of-ada=other"), ada.clone()),
        ] {
            let seen = stage.visit("ada", "GET", "proxy/3000/", &[("cookie", &sent)]).await;
            assert_eq!(seen.status, 200, "{layout}: {sent}");
            assert_eq!(cookies(&seen.body), arrives, "{layout}: {sent}");
            assert!(!seen.body.contains("of-bob"), "{layout}: {}", seen.body);
        }
        // More sessions than are sorted out take the programs' cookies with them, and nothing comes
        // through; a judge who has opened everybody's editor is still let in.
        let mixed: Vec<String> =
            (0..9).map(|n| format!("{}; a{n}=1", session(&format!("u{n}")))).collect();
        let seen = stage.visit("ada", "GET", "", &[("cookie", &mixed.join("; "))]).await;
        assert_eq!((seen.status.as_u16(), cookies(&seen.body).as_str()), (200, ""), "{layout}");
        let judge: Vec<String> = (0..150).map(|n| session(&format!("u{n}"))).collect();
        let judge = format!("{}; {ada}; theme=dark", judge.join("; "));
        let seen = stage.visit("ada", "GET", "", &[("cookie", &judge)]).await;
        assert_eq!(cookies(&seen.body), format!("{ada}; theme=dark"), "{layout}");
    }
}

#[tokio::test]
async fn a_page_of_another_origin_asks_without_a_session() {
    let backend = Backend::start().await;
    let mut stage = Stage::managed();
    stage.add("ada", &backend);
    stage.lay_out(Layout::Port);
    stage.proxy().apply(&stage.site).await.unwrap();
    let sent = format!("{}; theme=dark", session("ada"));
    for (site, dest, method, signed_in) in [
        ("same-origin", "empty", "GET", true),
        ("same-origin", "iframe", "POST", true),
        ("none", "document", "GET", true),
        // Someone follows a link, from an e-mail or from the neighbour's page.
        ("cross-site", "document", "GET", true),
        ("same-site", "document", "GET", true),
        ("same-site", "document", "POST", false),
        ("same-site", "empty", "GET", false),
        ("same-site", "empty", "POST", false),
        ("same-site", "script", "GET", false),
        ("same-site", "iframe", "GET", false),
        ("same-site", "websocket", "GET", false),
        ("cross-site", "image", "GET", false),
    ] {
        let headers =
            [("cookie", sent.as_str()), ("sec-fetch-site", site), ("sec-fetch-dest", dest)];
        let seen = stage.visit("ada", method, "", &headers).await;
        let arrives = if signed_in { sent.as_str() } else { "theme=dark" };
        assert_eq!(cookies(&seen.body), arrives, "{site} {dest} {method}");
    }
}

#[tokio::test]
async fn a_session_s_cookie_is_guarded_on_an_origin_of_its_own_too() {
    let backend = Backend::start().await;
    let mut stage = Stage::managed();
    stage.site.host = "hack.example.org".to_owned();
    stage.add("ada", &backend);
    for layout in [Layout::Port, Layout::Subdomain] {
        stage.lay_out(layout);
        stage.proxy().apply(&stage.site).await.unwrap();
        let answer = stage.visit("ada", "POST", "login", &[]).await;
        let cookies = answer.all("set-cookie");
        assert_eq!(cookies.len(), 2);
        let session = cookies[0].to_ascii_lowercase();
        for flag in ["path=/;", "secure", "httponly", "samesite=lax"] {
            assert!(session.contains(flag), "{flag} in {session}");
        }
        assert!(!session.contains("domain="), "{session}");
        let forged = session_that_costs_memory();
        let refused = stage.visit("ada", "GET", "", &[("cookie", &forged)]).await;
        assert_eq!(refused.status, 400);
        let worker = stage.visit("ada", "GET", "worker.js", &[]).await;
        assert_eq!(worker.all("service-worker-allowed"), ["/"]);
    }
}

fn session_that_costs_memory() -> String {
    session("ada").replace("65536", "1000000")
}

#[tokio::test]
async fn guessing_on_one_s_own_origin_is_slowed_down_and_the_neighbour_is_not() {
    let backend = Backend::start().await;
    let mut stage = Stage::managed();
    stage.site.host = "hack.example.org".to_owned();
    stage.add("ada", &backend);
    stage.add("bob", &backend);
    stage.lay_out(Layout::Port);
    stage.proxy().apply(&stage.site).await.unwrap();
    let mut statuses = Vec::new();
    for _ in 0..15 {
        statuses.push(stage.visit("ada", "POST", "login", &[]).await.status.as_u16());
    }
    assert_eq!((statuses[0], statuses[14]), (200, 429), "{statuses:?}");
    let below = format!("{}login", &stage.route("ada").path.as_str()[1..]);
    assert_eq!(stage.visit("ada", "POST", &below, &[]).await.status, 429, "by the other way in");
    assert_eq!(stage.visit("bob", "POST", "login", &[]).await.status, 200);
    assert_eq!(stage.visit("ada", "GET", "login", &[]).await.status, 200);
}

/// An endpoint whose runtime has an agent that serves `/proxy/<port>` itself: what the browser sees
/// and what nginx asks for are two things, in each layout.
#[tokio::test]
async fn an_agent_that_serves_the_path_itself_is_asked_for_it() {
    let agent = Backend::agent(8443).await;
    let mut stage = Stage::managed();
    stage.site.host = "hack.example.org".to_owned();
    let endpoint: Endpoint = format!("127.0.0.1:{}/proxy/8443", agent.port).parse().unwrap();
    let route = stage.add("ada", &agent);
    stage.site.routes =
        vec![Route { path: endpoint.public_path(), upstream: endpoint.through_agent(), ..route }];
    stage.proxy().apply(&stage.site).await.unwrap();
    for layout in [Layout::Path, Layout::Port, Layout::Subdomain] {
        stage.lay_out(layout);
        stage.proxy().apply(&stage.site).await.unwrap();
        assert_eq!(stage.problems().await, [None], "{layout}");
        let seen = stage.visit("ada", "GET", "a/b?c=d", &[("cookie", &session("ada"))]).await;
        assert!(seen.body.starts_with("GET /proxy/8443/a/b?c=d HTTP/1.1\r\n"), "{}", seen.body);
        assert_eq!(cookies(&seen.body), session("ada"));
        assert_eq!(stage.socket_of("ada", "socket").await.echo("x").await, "x");
    }
    // The agent has nothing elsewhere: had the public path been passed on, this would fail too.
    stage.site.routes[0].upstream = endpoint.published();
    stage.proxy().apply(&stage.site).await.unwrap();
    assert_eq!(stage.visit("ada", "GET", "healthz", &[]).await.status, 404);
}

#[tokio::test]
async fn a_public_port_of_another_program_is_told_from_one_of_our_own() {
    let backend = Backend::start().await;
    let mut stage = Stage::managed();
    stage.add("ada", &backend);
    stage.add("bob", &backend);
    stage.lay_out(Layout::Port);
    let ports: Vec<_> = stage.site.routes.iter().map(|route| stage.site.door(route).1).collect();
    let holder = TcpListener::bind(("127.0.0.1", ports[1].get())).unwrap();
    let taken = async || stage.proxy().ports_taken(&ports).await.unwrap();
    assert_eq!(taken().await, BTreeSet::from([ports[1]]));
    let refused = failure(stage.proxy().apply(&stage.site).await);
    assert_eq!(refused.kind, FailureKind::PortTaken);
    assert!(refused.cause.contains(&ports[1].to_string()), "{refused}");
    assert!(refused.advice.contains("nginx.instance_ports"), "{refused}");
    drop(holder);
    assert_eq!(stage.proxy().apply(&stage.site).await, Ok(ProxyChange::Started));
    assert_eq!(taken().await, BTreeSet::new(), "nginx's own are no other's");
}
