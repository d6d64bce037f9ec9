//! What sandboxes write, line by line.
//!
//! For: asking for it, and making it harmless: whoever works in a sandbox decides what is in its
//! log, and the organizer's terminal must not obey it.
//! Not for: the events of THON itself; those are on the stream.

use std::fmt::Write as _;
use std::time::SystemTime;

use tokio::sync::mpsc;

use crate::adapter::Failure;

/// Which lines are wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogRequest {
    /// At most so many of the last ones; all where nothing is said.
    pub tail: Option<usize>,
    /// Only those written since.
    pub since: Option<SystemTime>,
    /// Whether to wait for further ones until the sandbox is down.
    pub follow: bool,
}

/// A line as a sandbox wrote it, without its end. Nothing in it can be trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// When it was written, where that is known.
    pub at: Option<SystemTime>,
    /// What.
    pub text: String,
}

/// Lines as they come. The end means that the sandbox is down or gone, or that no more was wanted.
pub type LogLines = mpsc::Receiver<Result<LogLine, Failure>>;

/// `text` as it can be shown on a terminal: colours are left out, and whatever else a terminal
/// would obey, or would show in another order than it was written in, is written out (`\u{1b}`).
#[must_use]
pub fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        if let Some(length) = colour(rest) {
            rest = &rest[length..];
            continue;
        }
        if next != '\t' && obeyed(next) {
            // Writing into a String can't fail.
            let _ = write!(shown, "\\u{{{:x}}}", u32::from(next));
        } else {
            shown.push(next);
        }
        rest = &rest[next.len_utf8()..];
    }
    shown
}

/// The length of the sequence that sets colours (`ESC [ 1 ; 31 m`) with which the text begins.
fn colour(text: &str) -> Option<usize> {
    let arguments = text.strip_prefix("\u{1b}[")?;
    let length = arguments.find(|c: char| !(c.is_ascii_digit() || matches!(c, ';' | ':')))?;
    arguments[length..].starts_with('m').then_some("\u{1b}[".len() + length + 1)
}

/// True of control characters, and of those that turn the direction of writing or can't be seen.
fn obeyed(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_stay_and_colours_go() {
        assert_eq!(harmless("GET /\t200 – größer 日本"), "GET /\t200 – größer 日本");
        assert_eq!(harmless("\u{1b}[1;31merror\u{1b}[0m: \u{1b}[mno"), "error: no");
    }

    #[test]
    fn nothing_is_obeyed() {
        for (evil, shown) in [
            // The title, the clipboard, a query whose answer is typed, the screen, the line.
            ("\u{1b}]0;root\u{7}", "\\u{1b}]0;root\\u{7}"),
            ("\u{1b}]52;c;cm0=\u{1b}\\", "\\u{1b}]52;c;cm0=\\u{1b}\\"),
            ("\u{1b}[6n", "\\u{1b}[6n"),
            ("\u{1b}[2J\u{1b}[H", "\\u{1b}[2J\\u{1b}[H"),
            ("\u{9b}2J", "\\u{9b}2J"),
            ("all is well\r", "all is well\\u{d}"),
            ("\u{1b}\u{1b}[31m[2J", "\\u{1b}[2J"),
            ("\u{202e}txt.exe", "\\u{202e}txt.exe"),
            ("\u{1b}[31", "\\u{1b}[31"),
        ] {
            assert_eq!(harmless(evil), shown);
        }
    }

    proptest! {
        #[test]
        fn whatever_is_written_stays_one_line_without_control(text in "\\PC*|(?s).*") {
            let shown = harmless(&text);
            prop_assert!(!shown.chars().any(|c| c != '\t' && obeyed(c)), "{shown:?}");
            prop_assert_eq!(harmless(&shown), shown);
        }
    }
}
