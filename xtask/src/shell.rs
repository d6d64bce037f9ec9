//! Commands whose output is seen live and kept, and which end when the chore is interrupted.
//!
//! For: starting a command with an argument vector, passing its output on line by line, writing it
//! to a file, and passing SIGINT and SIGTERM on to it.
//! Not for: knowing what the commands are.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// How long the output of a command is waited for after its end: something that it started and
/// left running may hold the pipe open for ever.
const OUTPUT_LIMIT: Duration = Duration::from_secs(5);

/// Where chores run.
pub(crate) struct Shell {
    /// The project's folder.
    pub(crate) root: PathBuf,
    /// Where the output of commands is kept.
    pub(crate) logs: PathBuf,
    output_limit: Duration,
    interrupted: Arc<AtomicBool>,
    running: Arc<Mutex<Option<Pid>>>,
}

/// Which of the command's outputs a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    Stdout,
    Stderr,
}

impl Shell {
    /// Prepares the logs' folder and takes the signals over.
    pub(crate) fn new() -> Result<Self, String> {
        // Where the sources were when this was compiled; the folder may have been moved since, so
        // cargo's word at run time goes first.
        let manifest = std::env::var("CARGO_MANIFEST_DIR")
            .unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").to_owned());
        let root = Path::new(&manifest).parent().unwrap_or(Path::new(".")).to_owned();
        let logs = root.join("target/xtask");
        std::fs::create_dir_all(&logs)
            .map_err(|error| format!("making {} failed: {error}", logs.display()))?;
        let shell = Self {
            root,
            logs,
            output_limit: OUTPUT_LIMIT,
            interrupted: Arc::default(),
            running: Arc::default(),
        };
        shell.listen().map_err(|error| format!("listening for signals failed: {error}"))?;
        Ok(shell)
    }

    fn listen(&self) -> io::Result<()> {
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
        let (interrupted, running) = (Arc::clone(&self.interrupted), Arc::clone(&self.running));
        std::thread::spawn(move || {
            for _ in signals.forever() {
                // The second signal is from someone who does not want to wait.
                let again = interrupted.swap(true, Ordering::SeqCst);
                let signal = if again { Signal::KILL } else { Signal::TERM };
                if let Some(group) = *lock(&running) {
                    // It may have ended by itself in between.
                    let _ = kill_process_group(group, signal);
                }
            }
        });
        Ok(())
    }

    /// True if the chore is to stop.
    pub(crate) fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::SeqCst)
    }

    /// A command in the project's folder, without what cargo set for this program alone: build
    /// scripts look at some of it, and would run again each time.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root).stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(is_cargos_own) {
                command.env_remove(name);
            }
        }
        command
    }

    /// cargo, the one that started this program.
    pub(crate) fn cargo(&self) -> Command {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        self.command(cargo)
    }

    /// Runs a command to its end: its output goes on live, into `NAME.log`, and line by line to
    /// `look`. True if it succeeded.
    pub(crate) fn run(
        &self,
        name: &str,
        mut command: Command,
        mut look: impl FnMut(Output, &str),
    ) -> Result<bool, String> {
        if self.is_interrupted() {
            return Err("interrupted".to_owned());
        }
        let described = format!("{command:?}");
        let path = self.logs.join(format!("{name}.log"));
        let mut log = File::create(&path)
            .map_err(|error| format!("writing {} failed: {error}", path.display()))?;
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own, so that a signal reaches all that it starts and it alone.
            .process_group(0)
            .spawn()
            .map_err(|error| format!("starting {described} failed: {error}"))?;
        *lock(&self.running) = Pid::from_raw(child.id().try_into().unwrap_or_default());

        let (sender, lines) = channel();
        forward(child.stdout.take(), Output::Stdout, sender.clone());
        forward(child.stderr.take(), Output::Stderr, sender);
        let (done, end) = channel();
        let ended = std::thread::spawn(move || {
            let status = child.wait();
            drop(done);
            status
        });
        pass_on(&lines, &end, &mut log, &mut look, self.output_limit);
        let status = ended.join().map_err(|_| format!("waiting for {described} failed"))?;
        *lock(&self.running) = None;
        if self.is_interrupted() {
            return Err("interrupted".to_owned());
        }
        status
            .map(|status| status.success())
            .map_err(|error| format!("waiting for {described} failed: {error}"))
    }

    /// Starts a command that goes on in the background, in a group of its own, with its output in
    /// `NAME.log`.
    pub(crate) fn start(&self, name: &str, mut command: Command) -> Result<Child, String> {
        let path = self.logs.join(format!("{name}.log"));
        let described = format!("{command:?}");
        File::create(&path)
            .and_then(|log| command.stdout(log.try_clone()?).stderr(log).process_group(0).spawn())
            .map_err(|error| format!("starting {described} failed: {error}"))
    }
}

/// Says a line on standard output. A terminal that is gone must not keep a chore from cleaning up,
/// so it is no error.
pub(crate) fn say(line: &str) {
    show(Output::Stdout, format!("{line}\n").as_bytes());
}

/// Says a line on standard error, as [`say`] does.
pub(crate) fn complain(line: &str) {
    show(Output::Stderr, format!("{line}\n").as_bytes());
}

fn show(output: Output, bytes: &[u8]) {
    if cfg!(test) {
        // What a test of a failing step says would read as if the step had failed.
        return;
    }
    drop(match output {
        Output::Stdout => io::stdout().lock().write_all(bytes),
        Output::Stderr => io::stderr().lock().write_all(bytes),
    });
}

/// True for the variables that `cargo run` sets for the program that it runs.
fn is_cargos_own(name: &str) -> bool {
    const PREFIXES: [&str; 3] = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"];
    const NAMES: [&str; 4] = ["CARGO", "CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE", "OUT_DIR"];
    NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is kept under it is one number, whole at any time.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn forward(
    pipe: Option<impl Read + Send + 'static>,
    output: Output,
    lines: Sender<(Output, Vec<u8>)>,
) {
    let Some(pipe) = pipe else { return };
    std::thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        loop {
            let mut line = Vec::new();
            match pipe.read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => break,
                Ok(_) if lines.send((output, line)).is_err() => break,
                Ok(_) => {}
            }
        }
    });
}

/// Passes lines on until the outputs are closed, or for a while after the command's end.
fn pass_on(
    lines: &Receiver<(Output, Vec<u8>)>,
    end: &Receiver<()>,
    log: &mut File,
    look: &mut impl FnMut(Output, &str),
    mut left: Duration,
) {
    use std::sync::mpsc::{RecvTimeoutError, TryRecvError};
    let tick = Duration::from_millis(100);
    loop {
        match lines.recv_timeout(tick) {
            Ok((output, line)) => {
                show(output, &line);
                // A disk that is full is no reason to stop what runs.
                drop(log.write_all(&line));
                look(output, String::from_utf8_lossy(&line).trim_end());
            }
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {
                if end.try_recv() == Err(TryRecvError::Disconnected) {
                    left = left.saturating_sub(tick);
                }
                if left.is_zero() {
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(home: &Path) -> Shell {
        Shell {
            root: home.to_owned(),
            logs: home.to_owned(),
            output_limit: Duration::from_millis(300),
            interrupted: Arc::default(),
            running: Arc::default(),
        }
    }

    fn sh(shell: &Shell, script: &str) -> Command {
        let mut command = shell.command("/bin/sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn output_is_seen_line_by_line_and_kept() {
        let home = tempfile::tempdir().unwrap();
        let shell = shell(home.path());
        let mut seen = Vec::new();
        let command = sh(&shell, "echo one; echo two >&2; exit 3");
        let done =
            shell.run("sample", command, |output, line| seen.push((output, line.to_owned())));
        assert_eq!(done, Ok(false));
        assert!(seen.contains(&(Output::Stdout, "one".to_owned())), "{seen:?}");
        assert!(seen.contains(&(Output::Stderr, "two".to_owned())), "{seen:?}");
        let log = std::fs::read_to_string(home.path().join("sample.log")).unwrap();
        assert_eq!(log.len(), "one\ntwo\n".len(), "{log}");
    }

    #[test]
    fn what_a_command_left_running_is_not_waited_for() {
        let home = tempfile::tempdir().unwrap();
        let shell = shell(home.path());
        let mut pid = String::new();
        // The sleeper inherits the pipe and would hold it for an hour.
        let command = sh(&shell, "sleep 3600 & echo $!");
        assert_eq!(shell.run("sample", command, |_, line| line.clone_into(&mut pid)), Ok(true));
        let pid = Pid::from_raw(pid.parse().unwrap()).unwrap();
        rustix::process::kill_process(pid, Signal::KILL).unwrap();
    }

    #[test]
    fn an_interrupted_chore_starts_nothing_more() {
        let home = tempfile::tempdir().unwrap();
        let shell = shell(home.path());
        shell.interrupted.store(true, Ordering::SeqCst);
        let touched = home.path().join("touched");
        let command = sh(&shell, &format!("touch {}", touched.display()));
        assert_eq!(shell.run("sample", command, |_, _| {}), Err("interrupted".to_owned()));
        assert!(!touched.exists());
    }

    #[test]
    fn only_what_cargo_sets_for_its_child_is_taken_away() {
        for own in ["CARGO", "CARGO_PKG_NAME", "CARGO_MANIFEST_DIR", "OUT_DIR"] {
            assert!(is_cargos_own(own), "{own}");
        }
        for kept in ["CARGO_HOME", "CARGO_TARGET_DIR", "CARGO_TERM_COLOR", "CARGO_NET_OFFLINE"] {
            assert!(!is_cargos_own(kept), "{kept}");
        }
    }
}
