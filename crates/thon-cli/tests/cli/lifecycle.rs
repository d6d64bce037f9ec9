//! Stopping, taking away, and bringing back.

use crate::desk::{error_line, finish, has};
use crate::stage::{Stage, edit};
use crate::support::exec;

const USERS: [&str; 2] = ["alpha/ada", "alpha/bob"];

#[test]
fn what_was_stopped_or_taken_away_comes_back_as_it_was() {
    let stage = Stage::new("alpha: [ada, bob]");

    // Nothing happens before it is wanted.
    let home = stage.thon_home();
    let plan = stage.thon(&["run", "--dry-run"]).ok();
    has(&plan.stdout, &["alpha/ada  create", "alpha/bob  create"]);
    has(&plan.stderr, &["Nothing was changed."]);
    assert!(stage.containers().is_empty() && stage.volumes().is_empty() && !home.exists());

    let all = stage.run();
    exec(
        all[0].container(),
        &["sh", "-c", "echo workspace > work.txt; echo sandbox > /tmp/tmp.txt"],
    );
    let first = stage.traces();

    // Stopped: the same containers, with all that is in them.
    let said = stage.thon(&["stop", "--yes"]).ok();
    has(&said.stderr, &["alpha/ada: stopped", "alpha/bob: stopped", "stopped 2 sandboxes"]);
    assert!(stage.traces().values().all(|trace| !trace.running));
    let web = stage.web();
    let page = web.get(all[0].url());
    assert_eq!((page.status, page.header("retry-after")), (503, "3"), "{page:?}");
    has(&page.body, &["Your workspace is on its way"]);
    assert_eq!(stage.plan(&[]).into_values().collect::<Vec<_>>(), ["start", "start"]);
    let stopped = stage.traces();
    stage.run_with(&["--dry-run"]).ok();
    assert_eq!(stage.traces(), stopped);
    let proxy = stage.proxy();
    assert_eq!(stage.run(), all);
    assert_eq!(stage.proxy(), proxy);
    for (name, trace) in stage.traces() {
        assert_eq!(trace.id, first[&name].id);
    }
    assert_eq!(
        exec(all[0].container(), &["cat", "/tmp/tmp.txt", "work.txt"]),
        "sandbox\nworkspace"
    );

    // Taken away: the workspace, the place and the password are kept.
    let said = stage.thon(&["down", "--yes"]).ok();
    has(&said.stderr, &["removed 2 sandboxes", "workspaces, URLs and passwords are kept"]);
    assert!(stage.containers().is_empty());
    assert_eq!((stage.volumes().len(), stage.nginx_pid()), (2, None));
    assert_eq!(stage.proxy_status()["running"], false);
    let gone = stage.instances();
    assert!(gone.iter().all(|one| one.health == "none" && one.container.is_none()), "{gone:?}");

    let again = stage.run();
    for (one, other) in all.iter().zip(&again) {
        assert_eq!((one.url(), one.password()), (other.url(), other.password()));
        assert_ne!(one.container_id, other.container_id);
    }
    assert_eq!(exec(all[0].container(), &["cat", "work.txt"]), "workspace");
    stage.all_is_well(&USERS);

    // Twice is as good as once.
    for _ in 0..2 {
        stage.thon(&["down", "--yes"]).ok();
        stage.thon(&["stop", "--yes"]).ok();
    }
    assert!(stage.containers().is_empty());
}

#[test]
fn what_nginx_serves_can_be_taken_away_and_brought_back_alone() {
    let stage = Stage::new("alpha: [ada]");
    let all = stage.run();
    let before = stage.traces();
    stage.thon(&["nginx", "cleanup", "--yes"]).ok();
    assert_eq!((stage.nginx_pid(), stage.traces()), (None, before.clone()));
    let status = stage.thon(&["nginx", "status"]).ok();
    has(&status.stdout, &["not running", "`thon run`"]);

    stage.thon(&["nginx", "sync"]).ok();
    let web = stage.web();
    assert_eq!(web.get(&format!("{}healthz", all[0].url())).status, 200);
    assert_eq!(stage.traces(), before);
    let status = stage.thon(&["nginx", "status"]).ok();
    has(&status.stdout, &["nginx (managed): running, process ", "1 route in "]);

    // The root that participants import is the one that the proxy hands out.
    let root = std::fs::read_to_string(stage.root_certificate()).unwrap();
    let served = web.get(&format!("https://127.0.0.1:{}/ca.crt", stage.ports.https));
    assert_eq!((served.status, served.body.trim()), (200, root.trim()));
    let plain = crate::web::plain_get(&format!("http://127.0.0.1:{}/ca.crt", stage.ports.http));
    assert_eq!((plain.status, plain.body.trim()), (200, root.trim()));
    let status = stage.thon(&["tls", "status"]).ok();
    has(&status.stdout, &["by mkcert", "more days", "Download the root: https://127.0.0.1"]);
}

#[test]
fn what_changed_in_the_configuration_is_applied_when_it_may_interrupt() {
    let stage = Stage::new("alpha: [ada, bob]");
    let run = ["--no-nginx"];
    stage.run_with(&run).ok();
    let all = stage.instances();
    exec(all[0].container(), &["sh", "-c", "echo kept > work.txt"]);
    let before = stage.traces();

    // Whoever may be working is not interrupted without a word.
    edit(&stage.config_file(), |text| text.replace("memory: 1g", "memory: 900m"));
    let plan = stage.thon(&["run", "--dry-run", "--no-nginx"]).ok();
    has(
        &plan.stdout,
        &["alpha/ada  recreate  thon.yaml  limits 1 GiB memory", "-> 900 MiB memory"],
    );
    let line = error_line(&stage.run_with(&run), 2);
    has(
        &line,
        &[
            "2 running sandboxes have",
            "1 GiB memory",
            "900 MiB memory",
            "alpha/ada, alpha/bob",
            "--yes",
        ],
    );
    assert_eq!(stage.traces(), before);

    // Whoever isn't working is.
    stage.thon(&["stop", "--yes"]).ok();
    stage.run_with(&run).ok();
    assert_eq!(stage.inspect("alpha/ada")["HostConfig"]["Memory"], 900 << 20);

    // The same goes for a replacement that is asked for, as after a new image.
    let changed = stage.traces();
    let recreate = ["--no-nginx", "--recreate", "--user", "ada"];
    has(
        &error_line(&stage.run_with(&recreate), 2),
        &["1 running sandbox has", "alpha/ada", "--yes"],
    );
    assert_eq!(stage.traces(), changed);
    stage.run_with(&[recreate.as_slice(), &["--yes"]].concat()).ok();
    assert_ne!(stage.trace("alpha/ada").id, changed[&stage.container_name("alpha/ada")].id);
    assert_eq!(stage.trace("alpha/bob"), changed[&stage.container_name("alpha/bob")]);
    for (one, other) in all.iter().zip(stage.instances()) {
        assert_eq!((one.port, one.password()), (other.port, other.password()));
    }
    assert_eq!(exec(all[0].container(), &["cat", "work.txt"]), "kept");
}

#[test]
fn up_finds_everything_ready_and_runs() {
    let stage = Stage::new("alpha: [ada]");
    let bundle = ["NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"];
    let up = |args: &[&str]| {
        let mut command = stage.command(args);
        // An image that was built for another set of authorities would be built anew.
        command.envs(bundle.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        finish(&mut command)
    };
    let image = up(&["--json", "image", "status"]).ok().json();
    let ready = ["current", "foreign"].contains(&image["state"].as_str().unwrap());
    assert!(ready, "the image has to be made first, with `thon image build`: {image}");

    let said = up(&["up", "--yes", "--no-install"]).ok();
    has(
        &said.stderr,
        &["docker: ", " answers", "image: ", " is here", "certificate: issued, by mkcert"],
    );
    let ada = stage.instance("alpha", "ada");
    has(&said.stdout, &[ada.url(), ada.password()]);
    stage.all_is_well(&["alpha/ada"]);

    let before = (stage.traces(), stage.proxy());
    let said = up(&["up", "--yes", "--no-install"]).ok();
    has(&said.stderr, &["certificate: the one by mkcert is still good", "plan: 1 keep"]);
    assert_eq!((stage.traces(), stage.proxy()), before);
}
