//! An event as it should go: two groups, six users.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::desk::{has, mode, sane};
use crate::stage::Stage;
use crate::support::{Instance, docker, try_docker};
use crate::watched::watch;
use crate::web::{WORKBENCH, Web};

const GROUPS: &str = "alpha: [ada, bob, carol]\nbeta: [ada, dave, erin]";
const USERS: [&str; 6] =
    ["alpha/ada", "alpha/bob", "alpha/carol", "beta/ada", "beta/dave", "beta/erin"];

/// What `thon run` may have at one time, in KiB: beside sixty editors it must not be noticed.
const MOST_MEMORY: u64 = 24 * 1024;

#[test]
fn two_groups_and_six_users_each_get_an_editor_of_their_own() {
    let stage = Stage::new(GROUPS);
    let first = watch(stage.command(&["run"]));
    sane(&first.output);
    let said = first.output.clone().ok();
    let all = stage.instances();
    assert_eq!(all.len(), USERS.len());

    // What was printed is what participants are given.
    for one in &all {
        let row = said.stdout.lines().find(|line| line.contains(one.url())).unwrap();
        has(row, &[&format!("{}/{}", one.group, one.user), "Running", one.password()]);
    }
    has(&said.stderr, &["/ca.crt", "`thon tls ca`"]);

    distinct(&stage, &all);
    stage.all_is_well(&USERS);
    passwords_open_what_they_should(&stage.web(), &all);
    what_status_says(&stage, &all);
    confined(&stage, &all);
    starts_warm(&stage);
    secrets_stay_secret(&stage, &all, &first.command_lines);
    assert!(first.peak_kib > 0 && first.peak_kib < MOST_MEMORY, "{} KiB", first.peak_kib);
    a_second_run_does_nothing(&stage);
}

fn distinct(stage: &Stage, all: &[Instance]) {
    let base = format!("https://127.0.0.1:{}/", stage.ports.https);
    assert!(all.iter().all(|one| one.url().starts_with(&base)), "{all:?}");
    let urls: BTreeSet<&str> = all.iter().map(Instance::url).collect();
    let passwords: BTreeSet<&str> = all.iter().map(Instance::password).collect();
    assert_eq!((urls.len(), passwords.len()), (USERS.len(), USERS.len()), "{all:?}");
    assert!(passwords.iter().all(|password| password.len() >= 16), "{passwords:?}");
}

/// Without a login nobody gets in, with the wrong password neither, and nobody's opens another's.
fn passwords_open_what_they_should(web: &Web, all: &[Instance]) {
    for one in all {
        assert!(web.get(one.url()).asks_for_login(), "{one:?}");
    }
    let (one, other) = (&all[0], &all[3]);
    for wrong in ["", "wrong", other.password()] {
        let answer = web.log_in(one.url(), wrong);
        assert_eq!(
            (answer.status, answer.header("set-cookie")),
            (200, ""),
            "{wrong:?}: {answer:?}"
        );
    }
    let answer = web.log_in(one.url(), one.password());
    let cookie = answer.header("set-cookie");
    has(
        cookie,
        &[
            "code-server-session-",
            &format!("Path={};", one.path().trim_end_matches('/')),
            "Secure",
            "HttpOnly",
        ],
    );
    let cookie = cookie.split(';').next().unwrap();
    let inside = web.get_with_cookie(&format!("{}{WORKBENCH}", one.url()), cookie);
    assert!(inside.status == 200 && inside.body.contains("workbench"), "{inside:?}");
    assert!(web.get_with_cookie(other.url(), cookie).asks_for_login());
}

fn what_status_says(stage: &Stage, all: &[Instance]) {
    let hidden = stage.thon(&["--json", "status"]).ok();
    for (row, one) in hidden.json().as_array().unwrap().iter().zip(all) {
        let row = row.as_object().unwrap();
        for key in [
            "group",
            "user",
            "state",
            "health",
            "url",
            "local_url",
            "endpoint",
            "network_mode",
            "port",
            "workspace",
            "container",
            "created_at",
        ] {
            assert!(row.get(key).is_some_and(|value| !value.is_null()), "{key}: {row:?}");
        }
        assert!(!row.contains_key("password"), "{row:?}");
        let port = one.port.unwrap();
        assert_eq!(row["local_url"], json!(format!("http://127.0.0.1:{port}/")));
        assert_eq!(row["network_mode"], "bridge");
        let endpoint = row["endpoint"].as_str().unwrap();
        has(endpoint, &[&format!("127.0.0.1:{port}/proxy/")]);
        assert_eq!(format!("/{}/", endpoint.split_once(':').unwrap().1), one.path());
    }
    let table = stage.thon(&["status"]).ok();
    let shown = stage.thon(&["status", "--show-passwords"]).ok();
    let beta = stage.thon(&["--json", "status", "--group", "beta"]).ok().json();
    assert_eq!(beta.as_array().unwrap().len(), 3);
    for one in all {
        for said in [&hidden, &table] {
            assert!(!format!("{said:?}").contains(one.password()), "{said:?}");
            has(&said.stdout, &[one.url()]);
        }
        has(&shown.stdout, &[one.password()]);
    }
}

/// What keeps participants from the machine and from each other, as Docker tells it.
fn confined(stage: &Stage, all: &[Instance]) {
    for user in USERS {
        let found = stage.inspect(user);
        let host = &found["HostConfig"];
        assert_eq!(host["CapDrop"], json!(["ALL"]));
        assert_eq!(host["CapAdd"], Value::Null);
        assert_eq!(host["SecurityOpt"], json!(["no-new-privileges"]));
        assert_eq!(host["Privileged"], false);
        assert_eq!(host["PidsLimit"], 1024);
        assert_eq!(host["Memory"], 1u64 << 30);
        assert_eq!(host["MemorySwap"], 1u64 << 30);
        assert_eq!(host["RestartPolicy"]["Name"], "unless-stopped");
        assert!(host["NanoCpus"].as_u64().unwrap() > 0);
        assert_eq!(host["NetworkMode"], stage.name.as_str());
        assert_eq!(found["Config"]["User"], "1001:1001");
        let ports = found["NetworkSettings"]["Ports"].as_object().unwrap();
        let published: Vec<&Value> = ports.values().filter(|port| !port.is_null()).collect();
        let port = all.iter().find(|one| format!("{}/{}", one.group, one.user) == user);
        let port = port.unwrap().port.unwrap().to_string();
        assert_eq!(published, [&json!([{"HostIp": "127.0.0.1", "HostPort": port}])]);
    }
    let network = docker(&["network", "inspect", &stage.name]);
    let network: Value = serde_json::from_str(&network).unwrap();
    assert_eq!(network[0]["Options"]["com.docker.network.bridge.enable_icc"], "false");
}

/// What Node compiled of code-server comes with the image, and is nothing that a participant could
/// change.
fn starts_warm(stage: &Stage) {
    let container = stage.container_name(USERS[0]);
    let script = "find \"$NODE_COMPILE_CACHE\" -type f | head -n 1; \
                  find \"$NODE_COMPILE_CACHE\" -writable | wc -l";
    let said = docker(&["exec", &container, "sh", "-c", script]);
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines.len() == 2 && lines[0].starts_with("/usr/local/share/thon/"), "{said}");
    assert_eq!(lines[1].trim(), "0");
}

/// Passwords are in `thon run`'s table, where they are asked for, and in a private file. Nowhere
/// else.
fn secrets_stay_secret(stage: &Stage, all: &[Instance], command_lines: &BTreeSet<String>) {
    let home = stage.thon_home();
    assert!(command_lines.iter().any(|line| line.contains("mkcert")), "nothing was seen");
    assert_eq!((mode(&home), mode(&home.join("seats.json"))), (0o700, 0o600));
    assert_eq!(mode(&home.join("nginx/nginx.conf")), 0o600);
    assert_eq!(mode(&home.join("tls/thon-key.pem")), 0o600);
    let seats = std::fs::read_to_string(home.join("seats.json")).unwrap();
    let mut said: Vec<String> = command_lines.iter().cloned().collect();
    for user in USERS {
        said.push(stage.inspect(user).to_string());
        said.push(stage.thon(&["logs", user]).ok().stdout);
        let log = try_docker(&["logs", &stage.container_name(user)]).ok();
        said.push(format!("{}{}", log.stdout, log.stderr));
    }
    for args in [["nginx", "status"], ["tls", "status"], ["image", "status"], ["run", "--dry-run"]]
    {
        said.push(format!("{:?}", stage.thon(&[&["-vv"], args.as_slice()].concat()).ok()));
    }
    for file in ["nginx/nginx.conf", "nginx/logs/error.log"] {
        said.push(std::fs::read_to_string(home.join(file)).unwrap());
    }
    for one in all {
        has(&seats, &[one.password()]);
        for text in &said {
            assert!(!text.contains(one.password()), "{}/{}: {text}", one.group, one.user);
        }
    }
}

fn a_second_run_does_nothing(stage: &Stage) {
    let before = (stage.traces(), stage.proxy(), stage.instances());
    let files = |name: &str| {
        let file = std::fs::metadata(stage.thon_home().join(name)).unwrap();
        file.modified().unwrap()
    };
    let names = ["seats.json", "nginx/nginx.conf", "tls/thon.pem", "tls/thon-key.pem"];
    let written = names.map(files);
    for _ in 0..2 {
        let said = stage.run_with(&[]).ok();
        has(&said.stderr, &["plan: 6 keep"]);
        assert_eq!((stage.traces(), stage.proxy(), stage.instances()), before);
        assert_eq!(names.map(files), written);
    }
}
