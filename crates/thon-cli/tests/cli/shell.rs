//! A shell in a sandbox: at a terminal, with a pipe, and what is left of it.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::desk::{error_line, has};
use crate::seat::Seat;
use crate::stage::Stage;
use crate::support::until;
use crate::support::{Output, processes};

/// Runs `thon shell alpha/ada` with these arguments and this input.
fn piped(stage: &Stage, args: &[&str], input: &[u8]) -> std::process::Output {
    let mut command = stage.command(&[&["shell", "alpha/ada"], args].concat());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut to = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        // Whoever doesn't read all of it closes the pipe.
        scope.spawn(move || drop(to.write_all(input)));
        child.wait_with_output().unwrap()
    })
}

fn signal(pid: u32, signal: &str) {
    let done = Command::new("kill").args([signal, &pid.to_string()]).status().unwrap();
    assert!(done.success());
}

#[test]
fn a_shell_in_a_sandbox() {
    let stage = Stage::new("alpha: [ada]");
    stage.run_with(&["--no-nginx"]).ok();
    at_a_terminal(&stage);
    through_a_pipe(&stage);
    nothing_is_left_behind(&stage);
    where_nobody_can_enter(&stage);
}

fn at_a_terminal(stage: &Stage) {
    let container = stage.container_name("alpha/ada");
    let runs = |part: &str| processes(&container).iter().any(|line| line.contains(part));
    let mut seat = Seat::take(&stage.command(&["shell", "ada"]), 101, 31);
    // What is typed is shown too; quotes keep the two apart.
    seat.type_in("echo si''ze: $(stty size)\r");
    seat.sees("size: 31 101", 1);
    seat.type_in("echo me: $(id -un) $PWD $TERM $-\r");
    seat.sees("me: vscode /workspace xterm", 1);

    seat.resize(132, 43);
    until("the new size", || {
        seat.type_in("echo si''ze: $(stty size)\r");
        seat.seen().contains("size: 43 132").then_some(())
    });

    // Ctrl-C is the program's.
    seat.type_in("sleep 4321\r");
    until("the sleep", || runs("sleep 4321").then_some(()));
    seat.type_in("\u{3}");
    until("the end of the sleep", || (!runs("sleep 4321")).then_some(()));
    seat.type_in("echo al''ive $?\r");
    seat.sees("alive 130", 1);

    // Ctrl-P as well, which Docker would take for itself.
    seat.type_in("\u{10}\r");
    seat.sees("alive ", 2);

    // More than a pipe holds, and quickly.
    seat.type_in("seq 30000 | tail -c 150000; echo all''of it\r");
    seat.sees("allof it", 1);
    assert!(seat.seen().contains("29998\r\n29999\r\n30000\r\n"));

    assert!(!seat.is_itself());
    seat.type_in("exit 7\r");
    assert_eq!(seat.ends(), Some(7));
    assert!(seat.is_itself(), "the terminal is given back");

    // One command, at a terminal too.
    let command = ["shell", "ada", "--", "sh", "-c", "test -t 0 && stty size; exit 3"];
    let mut seat = Seat::take(&stage.command(&command), 90, 20);
    seat.sees("20 90", 1);
    assert_eq!(seat.ends(), Some(3));
}

fn through_a_pipe(stage: &Stage) {
    let bytes: Vec<u8> = (0..1 << 20).map(|n: u32| (n ^ n >> 8).to_le_bytes()[0]).collect();
    let said = piped(stage, &["--", "sh", "-c", "cat; echo oops >&2; exit 5"], &bytes);
    assert_eq!(said.status.code(), Some(5));
    assert!(said.stdout == bytes, "{} of {} bytes", said.stdout.len(), bytes.len());
    assert_eq!(String::from_utf8_lossy(&said.stderr), "oops\n");

    let script = b"echo $PWD; test -t 0 || echo no terminal; exit 4\n";
    let said = Output::from(piped(stage, &[], script));
    assert_eq!((said.code, said.stdout.as_str()), (4, "/workspace\nno terminal\n"), "{said:?}");

    // One that doesn't read, one that is cut off, one that isn't there.
    let said = Output::from(piped(stage, &["--", "head", "-c", "3"], &bytes));
    assert_eq!((said.code, said.stdout.len()), (0, 3), "{said:?}");
    let (mut reader, writer) = std::io::pipe().unwrap();
    let mut command = stage.command(&["shell", "ada", "--", "yes"]);
    let mut child = command.stdout(writer).stderr(Stdio::null()).spawn().unwrap();
    drop(command);
    std::io::Read::read_exact(&mut reader, &mut [0; 4]).unwrap();
    drop(reader);
    let ended = until("the end of yes", || child.try_wait().unwrap());
    assert_eq!(ended.code(), Some(141));
    let said = Output::from(piped(stage, &["--", "no-such-program"], b""));
    assert!([126, 127].contains(&said.code), "{said:?}");
    has(&format!("{}{}", said.stdout, said.stderr), &["no-such-program"]);
}

/// However the command ends, what it had begun in the sandbox gets what a closed terminal sends.
fn nothing_is_left_behind(stage: &Stage) {
    let container = stage.container_name("alpha/ada");
    let count = |part: &str| processes(&container).iter().filter(|p| p.contains(part)).count();
    let idle = |what: &str| {
        let busy = ["sleep", "THON_SHELL", "yes"].map(&count);
        (busy == [0; 3]).then_some(()).ok_or_else(|| format!("{what}: {:?}", processes(&container)))
    };
    until("the end of what came before", || idle("before").ok());
    for kill in ["-KILL", "-TERM", "-HUP"] {
        let mut seat = Seat::take(&stage.command(&["shell", "ada"]), 80, 24);
        seat.type_in("sleep 5432 & sleep 4321\r");
        until("both", || (count("sleep") == 2).then_some(()));
        signal(seat.pid(), kill);
        let code = match kill {
            "-TERM" => Some(143),
            "-HUP" => Some(129),
            _ => None,
        };
        assert_eq!(seat.ends(), code);
        if code.is_some() {
            assert!(seat.is_itself(), "{kill}: the terminal is given back");
        }
        until(kill, || idle(kill).ok());
    }
    // Without a terminal, and with a program that doesn't read.
    let mut command = stage.command(&["shell", "ada", "--", "sh", "-c", "sleep 4321; true"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    until("the sleep", || (count("sleep 4321") > 0).then_some(()));
    child.kill().unwrap();
    child.wait().unwrap();
    until("the end without a terminal", || idle("a pipe").ok());
}

fn where_nobody_can_enter(stage: &Stage) {
    stage.thon(&["pause", "ada"]).ok();
    let line = error_line(&stage.thon(&["shell", "ada"]), 1);
    has(&line, &["alpha/ada", "it is paused", "`thon resume alpha/ada`"]);
    stage.thon(&["stop", "ada"]).ok();
    let line = error_line(&stage.thon(&["shell", "ada"]), 1);
    has(&line, &["alpha/ada", "it is down", "`thon run --user alpha/ada`"]);
    let line = error_line(&stage.thon(&["shell", "alpha/zoe"]), 1);
    has(&line, &["alpha/zoe", "there is no sandbox of that user"]);
}
