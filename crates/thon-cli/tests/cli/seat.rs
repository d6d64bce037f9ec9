//! Someone at a terminal.
//!
//! For: what a command does on a real terminal: keys, sizes, and how it leaves it behind.
//! Not for: pipes; those every command has.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};

use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use crate::support::until;

/// A terminal with a command on it, of which it is the controlling terminal.
pub(crate) struct Seat {
    terminal: OwnedFd,
    child: Child,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl Seat {
    /// Starts a command at a terminal of this size.
    pub(crate) fn take(command: &Command, columns: u16, rows: u16) -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let terminal = openpt(flags).unwrap();
        grantpt(&terminal).unwrap();
        unlockpt(&terminal).unwrap();
        resize(&terminal, columns, rows);
        let end = || ioctl_tiocgptpeer(&terminal, flags).unwrap();
        let mut seated = Command::new("setsid");
        seated.arg("--ctty").arg(command.get_program()).args(command.get_args());
        seated.env_clear().env("TERM", "xterm");
        seated.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        if let Some(folder) = command.get_current_dir() {
            seated.current_dir(folder);
        }
        let child = seated.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let mut screen = File::from(terminal.try_clone().unwrap());
        let all = Arc::clone(&seen);
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            // The end of the last program on a terminal is an error.
            while let Ok(length @ 1..) = screen.read(&mut piece) {
                all.lock().unwrap().extend_from_slice(&piece[..length]);
            }
        });
        Self { terminal, child, seen }
    }

    /// The command's process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Presses these keys.
    pub(crate) fn type_in(&self, keys: &str) {
        File::from(self.terminal.try_clone().unwrap()).write_all(keys.as_bytes()).unwrap();
    }

    /// Everything that was ever shown.
    pub(crate) fn seen(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().unwrap()).into_owned()
    }

    /// Waits until this was shown `times` times.
    #[track_caller]
    pub(crate) fn sees(&self, text: &str, times: usize) {
        let enough = || (self.seen().matches(text).count() >= times).then_some(());
        until(&format!("{text:?}, {times} times, in {}", self.seen()), enough);
    }

    /// Gives the terminal another size.
    pub(crate) fn resize(&self, columns: u16, rows: u16) {
        resize(&self.terminal, columns, rows);
    }

    /// True if the terminal shows what is typed and waits for whole lines, as before.
    pub(crate) fn is_itself(&self) -> bool {
        let modes = tcgetattr(&self.terminal).unwrap().local_modes;
        modes.contains(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG)
    }

    /// Waits for the command's end and returns its exit code.
    #[track_caller]
    pub(crate) fn ends(&mut self) -> Option<i32> {
        until("the command's end", || self.child.try_wait().unwrap()).code()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn resize(terminal: &OwnedFd, columns: u16, rows: u16) {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(terminal, size).unwrap();
}
