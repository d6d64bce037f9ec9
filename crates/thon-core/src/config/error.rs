//! What is wrong with a configuration, in one line each.
//!
//! For: errors that name the file, the place in it, the value and what is allowed; warnings; and
//! the findings of `thon config validate`.
//! Not for: deciding what is wrong. Texts that reach these types carry values only through
//! [`crate::name::quoted`], and never the value of a secret.

use std::fmt::{self, Write as _};

use serde::Serialize;
use thiserror::Error;

/// A place in a text, both counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

/// Bad input: something that a person wrote can't be used as it is. Always one line.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// A configuration or roster file.
    #[error("{}", place(.origin, *.position, .key, .problem))]
    File {
        /// The file, as it was named to the person.
        origin: String,
        /// Where in it, where that is known.
        position: Option<Position>,
        /// The dotted path of the value, `groups.alpha[2]`; empty for the file as a whole.
        key: String,
        /// What is wrong, with the value and what is allowed.
        problem: String,
    },
    /// An environment variable.
    #[error("environment variable {variable} ({key}): {problem}")]
    Variable {
        /// The variable.
        variable: String,
        /// The key of thon.yaml that it stands for.
        key: String,
        /// What is wrong, with the value and what is allowed.
        problem: String,
    },
    /// A group or user that was asked for is not in the roster.
    #[error("no {what} {name} in the roster{hint}")]
    Unknown {
        /// `group` or `user`.
        what: &'static str,
        /// The name as given, quoted.
        name: String,
        /// What was probably meant, or what there is.
        hint: String,
    },
    /// A user who is in the roster already was added again.
    #[error(
        "user {user} is in the roster already; every user of a group needs a name of their own"
    )]
    Duplicate {
        /// The user.
        user: crate::name::UserId,
    },
}

fn place(origin: &str, position: Option<Position>, key: &str, problem: &str) -> String {
    let mut line: String = origin.chars().flat_map(plain).collect();
    if let Some(Position { line: row, column }) = position {
        // Writing to a String can't fail.
        let _ = write!(line, ":{row}:{column}");
    }
    line.push_str(": ");
    if !key.is_empty() {
        line.push_str(key);
        line.push_str(": ");
    }
    line.push_str(problem);
    line
}

/// A character as it is, or escaped where it would break the line.
fn plain(character: char) -> Vec<char> {
    if unprintable(character) { character.escape_debug().collect() } else { vec![character] }
}

/// Characters that have no place in one line of text: control characters, line separators, and
/// those that turn the direction of writing and so make a name look like another.
pub(crate) fn unprintable(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{200E}' | '\u{200F}')
}

/// One line of any text.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().flat_map(plain).collect()
}

/// Something that was accepted, and that a person should look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// The file.
    pub origin: String,
    /// The dotted path.
    pub key: String,
    /// What is to be said about it.
    pub text: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&place(&self.origin, None, &self.key, &self.text))
    }
}

/// How bad a [`Problem`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It works, and probably not as wished.
    Warning,
    /// It can't work.
    Error,
}

/// Keys that don't go together, found by [`crate::config::Config::validate`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// The dotted path of the key to change.
    pub key: String,
    /// What is wrong.
    pub problem: String,
    /// What to do.
    pub fix: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.key, self.problem, self.fix)
    }
}
