//! Trouble inside a sandbox: no memory for its editor, or an editor that hangs.
//!
//! For: what is said of one, that everyone else notices nothing, and the way out.
//! Not for: sandboxes that somebody killed or removed from outside; see `faults`.

use crate::desk::has;
use crate::stage::{Stage, edit};
use crate::support::until;
use crate::support::{exec, exec_as_user};

/// Sends a signal to everything of the participant's in a sandbox.
fn signal_all(container: &str, signal: &str) {
    exec_as_user(container, &["sh", "-c", &format!("kill -{signal} -1")]);
}

#[test]
fn an_editor_that_hangs_is_said_costs_nobody_else_and_comes_back() {
    let stage = Stage::new("alpha: [ada, bob]");
    let all = stage.run();
    let before = stage.traces();
    let web = stage.web();
    let healthz = |url: &str| web.get(&format!("{url}healthz")).status;
    edit(&stage.config_file(), |text| {
        text.replace("sandbox:\n", "sandbox:\n  ready_timeout_seconds: 20\n")
            .replace("[ada, bob]", "[ada, bob, carol]")
    });

    signal_all(all[0].container(), "STOP");
    let health: Vec<String> = stage.instances().into_iter().map(|one| one.health).collect();
    assert_ne!(health[0], "healthy");
    assert_eq!(health[1], "healthy");
    let said = stage.run_with(&[]);
    // Neither by itself nor through the proxy, and nobody else is named.
    assert_eq!(said.code, 1, "{said:?}");
    let errors: Vec<&str> =
        said.stderr.lines().filter_map(|line| line.strip_prefix("error: ")).collect();
    assert!(errors.iter().all(|line| line.starts_with("alpha/ada: ")), "{said:?}");
    has(errors[0], &["no answer within 20 s", "thon logs alpha/ada"]);
    assert_eq!(healthz(all[1].url()), 200);
    assert_eq!(healthz(stage.instance("alpha", "carol").url()), 200);
    for (name, trace) in &before {
        assert_eq!(&stage.traces()[name], trace);
    }

    // It comes to itself again, and nobody has to do anything.
    signal_all(all[0].container(), "CONT");
    stage.run_with(&[]).ok();
    stage.all_is_well(&["alpha/ada", "alpha/bob", "alpha/carol"]);
    assert_eq!(
        stage.traces()[&stage.container_name("alpha/ada")],
        before[&stage.container_name("alpha/ada")]
    );

    // Or it doesn't, and is started anew at the same place.
    signal_all(all[0].container(), "STOP");
    stage.thon(&["stop", "ada", "--yes"]).ok();
    stage.run_with(&[]).ok();
    stage.all_is_well(&["alpha/ada", "alpha/bob", "alpha/carol"]);
    assert_eq!(stage.instances()[..2], all);
    assert_eq!(
        stage.trace("alpha/bob"),
        before[&stage.container_name("alpha/bob")],
        "the neighbour noticed nothing"
    );
}

#[test]
fn an_editor_that_runs_out_of_memory_is_back_at_once_with_its_work() {
    let stage = Stage::new("alpha: [ada]\nbeta: {memory: 256m, users: [bob]}");
    let all = stage.run();
    let (ada, before) = (stage.trace("alpha/ada"), stage.trace("beta/bob"));
    exec(all[1].container(), &["sh", "-c", "echo kept > work.txt"]);
    // The kernel is told to take the editor first, and then there is no memory.
    let hog = "for process in /proc/[0-9]*; do echo 1000 >$process/oom_score_adj; done; \
               echo 0 >/proc/$$/oom_score_adj; exec tail /dev/zero";
    assert_ne!(exec_as_user(all[1].container(), &["sh", "-c", hog]).code, 0);
    let again = until("the editor's new start", || {
        let trace = stage.trace("beta/bob");
        (trace.running && trace.started != before.started).then_some(trace)
    });
    assert_eq!(again.id, before.id);
    let (web, url) = (stage.web(), format!("{}healthz", all[1].url()));
    until("the editor", || (web.get(&url).status == 200).then_some(()));
    assert_eq!(exec(all[1].container(), &["cat", "work.txt"]), "kept");
    assert_eq!(stage.trace("alpha/ada"), ada);
    assert_eq!(stage.run(), all);
    stage.all_is_well(&["alpha/ada", "beta/bob"]);
    assert_eq!(stage.trace("beta/bob"), again);
}
