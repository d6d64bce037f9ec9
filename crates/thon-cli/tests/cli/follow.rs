//! Following logs.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use crate::desk::has;
use crate::stage::Stage;
use crate::support::until;
use crate::support::{docker, exec};

/// A command that goes on, and what it has said so far.
struct Going {
    child: Child,
    stdout: Arc<Mutex<String>>,
    stderr: Arc<Mutex<String>>,
}

impl Going {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = collect(child.stdout.take().unwrap());
        let stderr = collect(child.stderr.take().unwrap());
        Self { child, stdout, stderr }
    }

    #[track_caller]
    fn says(&self, part: &str, times: usize) {
        let said = || format!("{}{}", self.stdout.lock().unwrap(), self.stderr.lock().unwrap());
        let what = format!("{part:?}, {times} times");
        until(&what, || (said().matches(part).count() >= times).then_some(()));
    }

    #[track_caller]
    fn ends(mut self) -> (Option<i32>, String) {
        let ended = until("the command's end", || self.child.try_wait().unwrap());
        let said = self.stdout.lock().unwrap().clone();
        (ended.code(), said)
    }

    fn interrupt(&self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    }
}

fn collect(from: impl Read + Send + 'static) -> Arc<Mutex<String>> {
    let said = Arc::new(Mutex::new(String::new()));
    let all = Arc::clone(&said);
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let mut all = all.lock().unwrap();
            all.push_str(&line);
            all.push('\n');
        }
    });
    said
}

/// Writes into a sandbox's log, as anyone in it may.
fn write(stage: &Stage, user: &str, text: &str) {
    let script = format!("printf '{text}' > /proc/1/fd/1");
    exec(&stage.container_name(user), &["sh", "-c", &script]);
}

#[test]
fn logs_are_followed_through_restarts_to_the_end() {
    let stage = Stage::new("alpha: [ada, bob]\nbeta: [carol]");
    stage.run_with(&["--no-nginx", "--group", "alpha"]).ok();
    let following = Going::start(stage.command(&["logs", "--follow"]));
    following.says("alpha/ada | ", 2);
    following.says("HTTP server listening", 2);

    // Nothing in it is obeyed by a terminal, and what is written in pieces is one line.
    write(&stage, "alpha/bob", "\\033]0;owned\\007\\033[31mred\\033[0m \\033[2Jgone\\n");
    following.says("alpha/bob | \\u{1b}]0;owned\\u{7}red \\u{1b}[2Jgone\n", 1);
    for args in [["logs", "bob"].as_slice(), &["logs"], &["--json", "logs", "bob"]] {
        let said = stage.thon(args).ok().stdout;
        assert!(said.contains("owned") && !said.contains('\u{1b}'), "{said:?}");
    }

    // A restart is gone through, whoever begins it, and nothing is said twice.
    stage.thon(&["restart", "ada"]).ok();
    following.says("HTTP server listening", 3);
    write(&stage, "alpha/ada", "between the two\\n");
    following.says("alpha/ada | between the two\n", 1);
    stage.thon(&["stop", "ada"]).ok();
    following.says("alpha/ada: down; its log goes on once it is started", 1);
    stage.run_with(&["--no-nginx", "--user", "ada"]).ok();
    following.says("HTTP server listening", 4);

    // Removed: a word, and the others go on.
    docker(&["rm", "--force", &stage.container_name("alpha/bob")]);
    following.says("alpha/bob: its sandbox was removed", 1);
    write(&stage, "alpha/ada", "still here\\n");
    following.says("alpha/ada | still here\n", 1);
    following.interrupt();
    let (code, said) = following.ends();
    assert_eq!(code, Some(0), "Ctrl-C is how it is left");
    assert_eq!(said.matches("between the two").count(), 1);
    assert_eq!(said.matches("HTTP server listening").count(), 4, "{said}");

    // One alone has no name before its lines; lines have their time where it is asked for.
    let all = stage.thon(&["logs", "ada", "--tail", "1000"]).ok().stdout;
    has(&all, &["\nbetween the two\n", "\nstill here\n"]);
    let last = stage.thon(&["logs", "ada", "-n", "1", "-t"]).ok().stdout;
    assert!(last.starts_with("20") && last.ends_with("Z still here\n"), "{last}");
    assert_eq!(stage.thon(&["logs", "ada", "--since", "2100-01-01T00:00:00Z"]).ok().stdout, "");
    has(&stage.thon(&["logs", "ada", "--since", "1h"]).ok().stdout, &["still here"]);
    let lines = stage.thon(&["--json", "logs", "ada", "-n", "2"]).ok().json();
    assert_eq!(lines.as_array().unwrap().len(), 2);
    // Who has no sandbox is named, and the others are shown.
    let said = stage.thon(&["logs", "ada", "carol", "-n", "1"]).expect(1);
    has(&said.stderr, &["beta/carol", "there is no sandbox of that user"]);
    has(&said.stdout, &["alpha/ada  | still here"]);

    // The only one that is followed goes away: that is the end.
    let following = Going::start(stage.command(&["--json", "logs", "-f", "ada", "-n", "1"]));
    following.says("\"line\":\"still here\"", 1);
    stage.thon(&["down", "--yes"]).ok();
    let (code, said) = following.ends();
    assert_eq!(code, Some(0));
    let first = said.lines().next().unwrap();
    let first: serde_json::Value = serde_json::from_str(first).unwrap();
    assert_eq!(first["group"], "alpha");
    assert_eq!((&first["user"], &first["line"]), (&"ada".into(), &"still here".into()));
    has(first["at"].as_str().unwrap(), &["T", "Z"]);
}
