//! Where participants find their editors: both network modes in each layout, end to end.
//!
//! For: real sandboxes behind the real nginx, from the configuration to a socket in the editor, and
//! what changes for whom when an organizer changes the layout.
//! Not for: what a page may read of another in a browser; the target `browser` has a real one.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::desk::has;
use crate::stage::Stage;
use crate::support::{DOMAIN, Instance, PORTS_INSIDE};
use crate::web::{WORKBENCH, Web};

const GROUPS: &str = "alpha: [ada]\nbeta: [ada]";

/// What the editor asks for a socket to its server.
const SOCKET: &str = "stable-0/?reconnectionToken=00000000-0000-4000-8000-000000000000\
                      &reconnection=false&skipWebSocketFrames=false";

#[test]
fn bridged_editors_are_found_in_every_layout() {
    through_all_layouts("bridge", |stage, one| {
        let port = one.port.unwrap();
        assert!((stage.ports.first..stage.ports.first + PORTS_INSIDE).contains(&port), "{one:?}");
        format!("127.0.0.1:{port}/proxy/{}", code_port(one))
    });
}

#[test]
fn editors_on_the_host_s_network_are_found_in_every_layout() {
    through_all_layouts("host", |stage, one| {
        let port = code_port(one);
        assert!((stage.ports.first..stage.ports.first + PORTS_INSIDE).contains(&port), "{one:?}");
        format!("127.0.0.1:{port}")
    });
}

/// The port at the end of the endpoint, which is code-server's own in both modes.
fn code_port(one: &Row) -> u16 {
    one.endpoint.rsplit([':', '/']).next().unwrap().parse().unwrap()
}

/// What `thon status` says of a user, with its endpoint.
#[derive(Debug)]
struct Row {
    instance: Instance,
    endpoint: String,
    mode: String,
}

impl std::ops::Deref for Row {
    type Target = Instance;

    fn deref(&self) -> &Instance {
        &self.instance
    }
}

fn rows(stage: &Stage) -> Vec<Row> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let row = |row: &Value| Row {
        instance: serde_json::from_value(row.clone()).unwrap(),
        endpoint: text(&row["endpoint"]),
        mode: text(&row["network_mode"]),
    };
    stage.status_json().as_array().unwrap().iter().map(row).collect()
}

/// Runs one event in a network mode and moves it through the layouts while its editors run.
#[track_caller]
fn through_all_layouts(mode: &str, endpoint: impl Fn(&Stage, &Row) -> String) {
    let stage = Stage::new(GROUPS);
    let mut traces = None;
    let mut public_ports: Option<Vec<String>> = None;
    for layout in ["path", "port", "subdomain", "path", "port"] {
        stage.write_config(&stage.laid_out(GROUPS, mode, layout));
        let said = stage.run_with(&[]).ok();
        let all = rows(&stage);
        for one in &all {
            assert_eq!((one.mode.as_str(), &one.endpoint), (mode, &endpoint(&stage, one)));
            has(&said.stdout, &[one.url()]);
        }
        let urls: Vec<String> = all.iter().map(|one| one.url().to_owned()).collect();
        assert_eq!(urls, expected_urls(&stage, layout, &all), "{layout}");
        if layout == "port" {
            assert_eq!(public_ports.get_or_insert_with(|| urls.clone()), &urls, "they are kept");
        }
        let web = stage.web();
        let sessions = [session(&web, &all[0]), session(&web, &all[1])];
        for (mine, others) in [(0, 1), (1, 0)] {
            an_editor_for_its_user_alone(
                &web,
                (&all[mine], sessions[mine].as_str()),
                (&all[others], sessions[others].as_str()),
                layout,
            );
        }
        // Nobody's editor was touched: everything that moved is nginx.
        assert_eq!(traces.get_or_insert_with(|| stage.traces()), &stage.traces(), "{layout}");
        let plan = stage.plan(&[]);
        assert!(plan.values().all(|action| action == "keep"), "{layout}: {plan:?}");
        let again = stage.proxy();
        stage.run_with(&[]).ok();
        assert_eq!(stage.proxy(), again, "{layout}: nothing is left to be done");
    }
}

fn expected_urls(stage: &Stage, layout: &str, all: &[Row]) -> Vec<String> {
    let https = stage.ports.https;
    let public = stage.ports.first + PORTS_INSIDE..;
    let url = |(one, port): (&Row, u16)| match layout {
        "path" => {
            let (_, behind) = one.endpoint.split_once(':').unwrap();
            format!("https://127.0.0.1:{https}/{behind}/")
        }
        "port" => format!("https://127.0.0.1:{port}/"),
        _ => format!("https://{}.{}.{DOMAIN}:{https}/", one.user, one.group),
    };
    all.iter().zip(public).map(url).collect()
}

/// Health, login, workbench and socket at one's own URL, and nothing of it with another's session
/// or for a page of another origin.
fn an_editor_for_its_user_alone(
    web: &Web,
    (one, mine): (&Row, &str),
    (other, others): (&Row, &str),
    layout: &str,
) {
    assert_eq!(web.get(&format!("{}healthz", one.url())).status, 200, "{layout}: {one:?}");
    web.websocket(&format!("{}healthz", one.url())).ask_for_health();
    assert!(web.get(one.url()).asks_for_login(), "{layout}: {one:?}");
    let names: BTreeSet<&str> =
        [mine, others].map(|cookie| cookie.split('=').next().unwrap()).into();
    assert_eq!(names.len(), 2, "one login would end the other: {names:?}");

    let workbench = format!("{}{WORKBENCH}", one.url());
    let inside = web.get_with_cookie(&workbench, &format!("{others}; {mine}"));
    assert!(inside.status == 200 && inside.body.contains("workbench"), "{layout}: {inside:?}");
    assert_eq!(web.get_with_cookie(&workbench, others).status, 302, "{layout}");

    let origin = |url: &str| url.split('/').take(3).collect::<Vec<_>>().join("/");
    let (own, foreign) = (origin(one.url()), origin(other.url()));
    assert_eq!(own == foreign, layout == "path");
    let socket = format!("{}{SOCKET}", one.url());
    let knock = |origin: &str, cookie: &str| {
        let cookie = ("Cookie", cookie);
        web.knock(&socket, &[("Origin", origin), cookie]).map(drop)
    };
    assert_eq!(knock(&own, mine), Ok(()), "{layout}");
    assert_eq!(knock(&own, others), Err(401), "{layout}");
    assert_eq!(knock("https://evil.example", mine), Err(403), "{layout}");
    if layout != "path" {
        assert_eq!(knock(&foreign, mine), Err(403), "{layout}");
    }
}

/// Logs in and returns the cookie as it is sent back.
#[track_caller]
fn session(web: &Web, one: &Row) -> String {
    let answer = web.log_in(one.url(), one.password());
    let cookie = answer.header("set-cookie");
    let path = format!("Path={};", one.path().trim_end_matches('/'));
    let path = if one.path() == "/" { "Path=/;" } else { &path };
    has(cookie, &["code-server-session-", path, "Secure", "HttpOnly", "SameSite=Lax"]);
    cookie.split(';').next().unwrap().to_owned()
}
