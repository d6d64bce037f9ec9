//! The terminal that the person sits at.
//!
//! For: handing it over, key by key, to a program elsewhere, and giving it back as it was.
//! Not for: what is printed on it otherwise.

use std::io::{IsTerminal, Read, stdin, stdout};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use thon::core::shell::{ShellInput, Terminal, TerminalSize};
use tokio::sync::mpsc::Sender;

/// A piece of input.
const PIECE: usize = 8 * 1024;

/// The terminal, if both what is typed and what is printed are on one.
pub(crate) fn ours() -> Option<Terminal> {
    if !(stdin().is_terminal() && stdout().is_terminal()) {
        return None;
    }
    let kind = std::env::var("TERM").ok();
    Some(Terminal::new(size()?, kind.as_deref()))
}

/// Its size.
pub(crate) fn size() -> Option<TerminalSize> {
    let size = tcgetwinsize(stdout()).ok()?;
    Some(TerminalSize { columns: size.ws_col, rows: size.ws_row })
}

/// As long as it is held, keys go through as they are: Ctrl-C is a key like any other, nothing is
/// shown twice, and no line is waited for.
#[derive(Debug)]
pub(crate) struct Raw {
    before: Termios,
}

impl Raw {
    pub(crate) fn take() -> std::io::Result<Self> {
        let before = tcgetattr(stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin(), OptionalActions::Now, &raw)?;
        Ok(Self { before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing back.
        let _ = tcsetattr(stdin(), OptionalActions::Now, &self.before);
    }
}

/// Passes on what is typed or piped until it ends or nobody wants it. On a thread of its own, which
/// ends with the process: a read can't be called off.
pub(crate) fn pass_on_input(to: Sender<ShellInput>) {
    std::thread::spawn(move || {
        let mut input = stdin().lock();
        let mut piece = vec![0; PIECE];
        while let Ok(length @ 1..) = input.read(&mut piece) {
            if to.blocking_send(ShellInput::Bytes(piece[..length].to_vec())).is_err() {
                return;
            }
        }
    });
}
