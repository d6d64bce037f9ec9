//! A program in a sandbox that someone talks to: a shell, most of the time.
//!
//! For: what is asked for, what goes in and what comes out, and which program is meant where none
//! is named.
//! Not for: terminals of this machine; a front-end has them.

use tokio::sync::mpsc;

use crate::adapter::Failure;

/// What runs where no command is named: the best shell that the image has.
const SHELL: [&str; 3] = ["/bin/sh", "-c", "command -v bash >/dev/null 2>&1 && exec bash; exec sh"];

/// The type of terminal that is claimed where ours has no name.
const PLAIN_TERMINAL: &str = "xterm-256color";

/// How large a terminal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TerminalSize {
    /// How many characters in a line.
    pub columns: u16,
    /// How many lines.
    pub rows: u16,
}

/// The terminal that the person sits at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terminal {
    /// Its size now.
    pub size: TerminalSize,
    /// Its type, as in the variable `TERM`.
    pub kind: String,
}

impl Terminal {
    /// A terminal; a type that isn't one word of the usual characters is not passed on.
    #[must_use]
    pub fn new(size: TerminalSize, kind: Option<&str>) -> Self {
        let usual = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '+' | '.');
        let kind = kind.filter(|kind| !kind.is_empty() && kind.chars().all(usual));
        Self { size, kind: kind.unwrap_or(PLAIN_TERMINAL).to_owned() }
    }
}

/// A program to run in a sandbox, as the sandbox's user, in the workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShellRequest {
    /// The program and its arguments.
    pub arguments: Vec<String>,
    /// The terminal, where there is one. Without one standard output and standard error are kept
    /// apart and nothing is added to what goes through.
    pub terminal: Option<Terminal>,
}

impl ShellRequest {
    /// `arguments`, or a shell if there are none.
    #[must_use]
    pub fn new(arguments: Vec<String>, terminal: Option<Terminal>) -> Self {
        let shell = || SHELL.map(str::to_owned).to_vec();
        Self { arguments: if arguments.is_empty() { shell() } else { arguments }, terminal }
    }
}

/// What goes in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShellInput {
    /// What was typed or piped.
    Bytes(Vec<u8>),
    /// The terminal has another size now.
    Resize(TerminalSize),
}

/// What comes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShellOutput {
    /// On standard output; with a terminal everything.
    Stdout(Vec<u8>),
    /// On standard error.
    Stderr(Vec<u8>),
    /// The program ended. Nothing comes after it.
    Ended {
        /// With what.
        exit_code: i64,
    },
}

/// A running program. Dropping `input` tells it that nothing more comes. Dropping `output`, in
/// whatever way this process ends, hangs up on it: it gets what a closed terminal sends.
#[derive(Debug)]
pub struct Shell {
    /// What goes in.
    pub input: mpsc::Sender<ShellInput>,
    /// What comes out.
    pub output: mpsc::Receiver<Result<ShellOutput, Failure>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_command_it_is_a_shell() {
        assert_eq!(ShellRequest::new(Vec::new(), None).arguments[0], "/bin/sh");
        let named = ShellRequest::new(vec!["id".to_owned(), "-u".to_owned()], None);
        assert_eq!(named.arguments, ["id", "-u"]);
    }

    #[test]
    fn only_a_plain_type_of_terminal_is_passed_on() {
        let size = TerminalSize { columns: 80, rows: 24 };
        let kind = |kind| Terminal::new(size, kind).kind;
        assert_eq!(kind(Some("screen.xterm-256color")), "screen.xterm-256color");
        for odd in [None, Some(""), Some("x=y"), Some("a b"), Some("a\0b")] {
            assert_eq!(kind(odd), PLAIN_TERMINAL);
        }
    }
}
