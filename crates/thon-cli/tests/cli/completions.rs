//! What a shell completes.

use std::process::Command;

use crate::desk::{Desk, finish, has};

#[test]
fn each_shell_gets_a_script_that_knows_the_commands() {
    let desk = Desk::new();
    for shell in ["bash", "zsh", "fish"] {
        let said = desk.thon(&["completions", shell]).ok();
        assert_eq!(said.stderr, "");
        has(
            &said.stdout,
            &["thon", "init", "setup", "status", "validate", "show-passwords", "prune"],
        );
    }
    let said = desk.thon(&["completions", "tcsh"]).expect(2);
    has(&said.stderr, &["error: ", "'tcsh'", "bash", "zsh", "fish"]);
}

#[test]
fn bash_completes_what_was_begun() {
    let desk = Desk::new();
    let script = desk.thon(&["completions", "bash"]).ok().stdout;
    desk.file("thon.bash", script);
    let complete = "source thon.bash; COMP_WORDS=(thon \"$@\"); COMP_CWORD=$#; \
                    _thon thon \"${!#}\" \"${COMP_WORDS[COMP_CWORD-1]}\"; echo \"${COMPREPLY[@]}\"";
    for (begun, expected) in [
        (["sta"].as_slice(), "status\n"),
        (&["config", "va"], "validate\n"),
        (&["run", "--for"], "--foreground\n"),
        (&["--color", "ne"], "never\n"),
    ] {
        let mut bash = Command::new("bash");
        bash.current_dir(desk.work()).args(["--norc", "-c", complete, "bash"]).args(begun);
        let said = finish(&mut bash).ok();
        assert_eq!(said.stdout, expected, "{begun:?}: {said:?}");
    }
}
