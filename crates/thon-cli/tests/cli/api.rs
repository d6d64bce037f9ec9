//! `thon serve`: the REST API as a program meets it, with Docker and without.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::desk::{Desk, has};
use crate::stage::Stage;
use crate::support::{Ports, Served, docker, until};

/// A desk with a server on it.
pub(crate) fn served_desk() -> (Desk, Ports, Served) {
    let (desk, ports) = (Desk::new(), Ports::take());
    let Ports { api: port, web, first, last, .. } = ports;
    let text = format!(
        "groups: {{alpha: [ada]}}\ndashboard: {{port: {port}, web_port: {web}}}\n\
         sandbox: {{host_ports: {first}-{last}}}\n"
    );
    desk.file("thon.yaml", text);
    let served = Served::start(desk.command(&["serve"]), "127.0.0.1", port);
    (desk, ports, served)
}

#[test]
fn without_docker_the_roster_is_served_and_the_room_is_not() {
    let (desk, _ports, mut served) = served_desk();
    served.get("/health").expect(200);
    let room = until("a look", || {
        let answer = served.get("/api/instances").expect(503);
        answer.body.contains("docker").then_some(answer)
    });
    assert_eq!(room.json()["code"], "unavailable", "{room:?}");
    has(&room.head, &["content-type: application/problem+json", "x-request-id: "]);
    assert_eq!(served.get("/ready").expect(503).json()["docker"], false);

    served
        .call("POST", "/api/groups", &json!({"name": "beta", "rules": {"memory": "1g"}}))
        .expect(201);
    let bob = json!({"group": "beta", "username": "bob", "email": "bob@example.org"});
    served.call("POST", "/api/users", &bob).expect(201);
    assert_eq!(served.call("POST", "/api/users", &bob).expect(409).json()["code"], "exists");
    let refused = served.call("POST", "/api/users", &json!({"group": "beta", "username": "Bob"}));
    assert_eq!(refused.expect(400).json()["field"], "username");
    let declared = served.send("DELETE", "/api/users/alpha_ada", "", "").expect(409);
    assert_eq!(declared.json()["code"], "declared");
    let found = served.get("/api/users?q=bob@&page_size=1").expect(200).json();
    assert_eq!((&found["total"], &found["users"][0]["id"]), (&json!(1), &json!("beta_bob")));

    // What the command line changes is there at once, and whoever saw what was before is told.
    desk.thon(&["user", "add", "beta/carol"]).ok();
    served.get("/api/users/beta_carol").expect(200);
    let edit = |revision: u32| {
        let headers = format!("content-type: application/json\r\nif-match: \"{revision}\"\r\n");
        served.send("PATCH", "/api/users/beta_bob", &headers, "{\"email\": null}")
    };
    assert_eq!(edit(1).expect(200).json()["email"], Value::Null);
    assert_eq!(edit(1).expect(412).json()["code"], "stale");
    let log = desk.thon(&["db", "log"]).ok().stdout;
    has(&log, &["api, this machine", "edit user", "beta/bob"]);

    let put = |content: &str| {
        served.call("PUT", "/api/config-files/vscode_settings", &json!({"content": content}))
    };
    let first = |content: &str| {
        let headers = "content-type: application/json\r\nif-match: \"0\"\r\n";
        let body = json!({ "content": content }).to_string();
        served.send("PUT", "/api/config-files/vscode_settings", headers, &body)
    };
    first("{\"a\": 1, // one\n}").expect(200);
    assert_eq!(first("{}").expect(412).json()["code"], "stale", "it is there by now");
    has(&put("{x}").expect(400).body, &["line 1", "\"field\":\"content\""]);
    served.send("DELETE", "/api/config-files/vscode_settings", "", "").expect(200);
    served.get("/api/config-files/vscode_settings").expect(404);
    let back = json!({"version": 1});
    let restored = served.call("POST", "/api/config-files/vscode_settings/restore", &back);
    assert_eq!(restored.expect(200).json()["version"], 3);
    // People of a groups file come into the roster with it, once; nobody leaves.
    let groups = |text: &str| {
        let path = "/api/config-files/groups_yaml";
        served.call("PUT", path, &json!({"content": text})).expect(200).json()["roster_changes"]
            .clone()
    };
    assert_eq!(groups("groups: {gamma: [dora, emil]}"), 3);
    served.get("/api/users/gamma_emil").expect(200);
    assert_eq!(groups("groups: {gamma: [dora, finn]}"), 1);
    served.get("/api/users/gamma_emil").expect(200);
    let named = served.call("POST", "/api/groups", &json!({"name": "events"})).expect(400).json();
    assert_eq!(named["field"], "name", "it could not be asked for: {named}");
    let to = json!({"group": "beta"});
    let nowhere = served.call("POST", "/api/users/beta_bob/move", &to).expect(400).json();
    assert_eq!(nowhere["field"], "group", "{nowhere}");
    let broken = served.send("POST", "/api/groups", "content-type: application/json\r\n", "{x");
    has(&broken.expect(400).body, &["\"field\":\"body\"", "it is no JSON"]);
    let unconfirmed = served.send("DELETE", "/api/workspaces/beta_bob", "", "").expect(400);
    assert_eq!(unconfirmed.json()["field"], "confirm");
    let secret = json!({"value": "hunter2"});
    let set = served.call("PUT", "/api/settings/gateway_admin_key", &secret).expect(200);
    assert!(!set.body.contains("hunter2"), "{set:?}");

    let second = desk.thon(&["serve"]).expect(1);
    has(&second.stderr, &[&format!("process {} serves this node", served.child.id())]);
    assert_eq!(served.signal(Signal::TERM), Some(0), "asked to end");
}

#[test]
fn a_page_of_another_origin_can_do_nothing_and_neither_can_a_name_that_leads_here() {
    let (_desk, _ports, served) = served_desk();
    for headers in [
        "origin: http://evil.example\r\n",
        "sec-fetch-site: cross-site\r\n",
        "host: evil.example\r\n",
    ] {
        assert_eq!(served.send("GET", "/api/users", headers, "").status, 403, "{headers}");
    }
    // Whoever reaches a proxy in front of it isn't on this machine, whatever host they name.
    for headers in
        ["x-forwarded-for: 203.0.113.9\r\n", "x-real-ip: 127.0.0.1\r\n", "via: 1.1 x\r\n"]
    {
        assert_eq!(served.send("GET", "/api/users", headers, "").status, 401, "{headers}");
    }
    let form = "content-type: text/plain\r\n";
    served.send("POST", "/api/groups", form, "{\"name\": \"x\"}").expect(415);
    let docs = served.get("/docs/").expect(200);
    has(&docs.head, &["content-security-policy: default-src 'self'"]);
    assert!(!docs.body.contains("https://"), "nothing is fetched from elsewhere: {docs:?}");
}

/// Every operation that the API describes: method, path with something in its gaps.
pub(crate) fn operations(served: &Served) -> Vec<(String, String, bool)> {
    let document = served.get("/openapi.json").expect(200).json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"), "{}", document["openapi"]);
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let mut path = path.clone();
            while let (Some(from), Some(to)) = (path.find('{'), path.find('}')) {
                path.replace_range(from..=to, "1");
            }
            let guarded = operation.get("security").is_some();
            found.push((method.to_uppercase(), path, guarded));
        }
    }
    assert!(found.len() > 50, "{found:?}");
    found
}

#[test]
fn with_tokens_everything_needs_one_and_one_that_reads_changes_nothing() {
    let (desk, _ports, mut served) = served_desk();
    let all = operations(&served);
    let add = |name: &str, scope: &str| {
        let said = desk.thon(&["token", "add", name, "--scope", scope]).ok();
        said.stdout.trim().to_owned()
    };
    let (reads, admin) = (add("reads", "read"), add("admin", "admin"));
    for (method, path, guarded) in &all {
        let free = ["/health", "/ready"].contains(&path.as_str())
            || ["/api/auth/login/", "/api/auth/callback/", "/api/auth/providers", "/api/auth/me"]
                .iter()
                .any(|open| path.starts_with(open));
        assert!(*guarded || free, "{path} is described wrongly");
        let answer = served.send(method, path, "", "");
        assert_eq!(answer.status == 401, !free, "{method} {path}: {answer:?}");
    }
    assert_eq!(served.get("/metrics").status, 401);
    served.token = Some("thon_0000".to_owned());
    served.get("/api/users").expect(401);

    served.token = Some(reads.clone());
    let before = desk.thon(&["db", "log"]).ok().stdout;
    // Who has a token has no session to end.
    let changes =
        |(method, path, _): &&(String, String, bool)| method != "GET" && path != "/api/auth/logout";
    for (method, path, _) in all.iter().filter(changes) {
        let answer = served.call(method, path, &json!({}));
        assert_eq!(answer.status, 403, "{method} {path}: {answer:?}");
    }
    served.get("/api/users").expect(200);
    served.get("/api/instances/alpha_ada/logs").expect(403);
    assert_eq!(desk.thon(&["db", "log"]).ok().stdout, before);

    served.token = Some(admin);
    served.call("POST", "/api/groups", &json!({"name": "beta"})).expect(201);
    has(&desk.thon(&["db", "log"]).ok().stdout, &["token admin", "add group"]);
    let list = desk.thon(&["token", "list"]).ok().stdout;
    has(&list, &["reads", "read", "admin"]);
    assert!(!list.contains(&reads), "a token is shown once");
    served.token = Some(reads);
    let mut watching = served.watch();
    desk.thon(&["token", "revoke", "reads"]).ok();
    served.get("/api/users").expect(401);
    // Whoever watches is turned away too: the stream ends.
    std::io::copy(&mut watching, &mut std::io::sink()).unwrap();
    has(&desk.thon(&["token", "add", "a b"]).expect(2).stderr, &["token name \"a b\""]);
    has(&desk.thon(&["token", "revoke", "nobody"]).expect(1).stderr, &["thon token list"]);
}

/// A stage with a server on it.
pub(crate) fn serve(stage: &Stage) -> Served {
    Served::start(stage.command(&["serve"]), "127.0.0.1", stage.ports.api)
}

fn state(served: &Served, id: &str) -> String {
    let instance = served.get(&format!("/api/instances/{id}")).expect(200).json();
    instance["state"].as_str().unwrap().to_owned()
}

#[test]
fn instances_are_launched_changed_and_watched_over_the_api() {
    let stage = Stage::new("alpha: [ada]");
    let served = serve(&stage);
    served.call("POST", "/api/groups", &json!({"name": "beta"})).expect(201);
    let bob = json!({"group": "beta", "username": "bob"});
    served.call("POST", "/api/users", &bob).expect(201);
    let both = json!({"instance_ids": ["alpha_ada", "beta_bob"]});
    let launched = served.work("POST", "/api/instances/bulk/launch", &both);
    assert_eq!(launched["state"], "succeeded", "{launched}");
    let found = served.get("/api/instances?state=Running").expect(200).json();
    assert_eq!(found["total"], 2, "{found}");
    let url = found["instances"][1]["url"].as_str().unwrap().to_owned();
    assert_eq!(stage.web().get(&format!("{url}healthz")).status, 200);

    for (action, then) in [("pause", "Paused"), ("resume", "Running"), ("restart", "Running")] {
        let done = served.work("POST", &format!("/api/instances/beta_bob/{action}"), &json!({}));
        assert_eq!(
            (&done["state"], state(&served, "beta_bob")),
            (&json!("succeeded"), then.into())
        );
    }
    let stranger = json!({"instance_ids": ["beta_carl"]});
    let refused = served.call("POST", "/api/instances/bulk/pause", &stranger).expect(404);
    has(&refused.body, &["no user beta/carl", "known are `alpha/ada`"]);

    // Somebody else ends it: seen at once, with the reason, and written down.
    docker(&["kill", "--signal", "KILL", &stage.container_name("beta/bob")]);
    until("the end to be seen", || (state(&served, "beta_bob") == "Terminated").then_some(()));
    let history = served.get("/api/instances/beta_bob/history").expect(200);
    has(&history.body, &["ended with code 137", "\"Paused\""]);

    let gone = served.send("DELETE", "/api/users/beta_bob", "", "").expect(200).json();
    let id = gone["operation"]["id"].as_u64().unwrap();
    until("the sandbox to be removed", || {
        let operation = served.get(&format!("/api/operations/{id}?wait=10")).json();
        (operation["state"] == "succeeded").then_some(())
    });
    assert_eq!(stage.traces().len(), 1);
    assert!(stage.volumes().contains(&stage.volume_name("beta/bob")), "files stay");
    served.get("/api/instances/beta_bob").expect(404);
    assert_eq!(state(&served, "alpha_ada"), "Running");
}

#[test]
fn a_server_that_is_killed_while_it_launches_leaves_nothing_undone_twice_or_lost() {
    let users: Vec<String> = (0..10).map(|number| format!("u{number}")).collect();
    let stage = Stage::new(&format!("alpha: [{}]", users.join(", ")));
    let mut served = serve(&stage);
    let ids: Vec<String> = users.iter().map(|user| format!("alpha_{user}")).collect();
    served.call("POST", "/api/instances/bulk/launch", &json!({"instance_ids": ids})).expect(202);
    served.call("POST", "/api/instances/alpha_u0/pause", &json!({})).expect(202);
    until("the first sandbox", || (!stage.traces().is_empty()).then_some(()));
    served.signal(Signal::KILL);

    // Whoever serves next goes on where it was: the launch first, then what waited behind it.
    let served = serve(&stage);
    let ended = |id: u64| {
        until("the operation to end", || {
            let operation = served.get(&format!("/api/operations/{id}?wait=10")).expect(200).json();
            operation["ended_at"].is_string().then_some(operation)
        })
    };
    assert_eq!(ended(1)["state"], "succeeded");
    assert_eq!(ended(2)["state"], "succeeded");
    let states: Vec<String> = ids.iter().map(|id| state(&served, id)).collect();
    assert_eq!(states[0], "Paused");
    assert!(states[1..].iter().all(|state| state == "Running"), "{states:?}");
    assert_eq!(stage.traces().len(), 10, "each once");
    has(&stage.thon(&["db", "check"]).ok().stdout, &["sound"]);
}
