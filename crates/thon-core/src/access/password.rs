//! The password that opens the dashboard.
//!
//! For: which passwords are taken, and one as it is remembered.
//! Not for: hashing it; that takes memory and time, and a library.

use std::time::SystemTime;

use crate::config::error::unprintable;
use crate::secret::Secret;

/// The fewest characters.
const SHORTEST: usize = 10;

/// The most bytes: nobody types more, and nobody is to make us hash a book.
const LONGEST: usize = 512;

/// The fewest different characters.
const DIFFERENT: usize = 4;

/// Checks a password that somebody wants to set. The refusal never shows it.
pub fn fit_password(password: &Secret) -> Result<(), String> {
    let text = password.reveal();
    let problem = if text.chars().any(unprintable) {
        "has characters that nobody can type again; use letters, digits, spaces and signs"
            .to_owned()
    } else if text.len() > LONGEST {
        format!("is too long; {LONGEST} bytes are the most")
    } else if text.chars().count() < SHORTEST || text.trim().chars().count() < SHORTEST {
        format!("is too short; take at least {SHORTEST} characters, such as four random words")
    } else if text.chars().collect::<std::collections::BTreeSet<_>>().len() < DIFFERENT {
        "is a few characters again and again; take four random words".to_owned()
    } else {
        return Ok(());
    };
    Err(format!("the password {problem}"))
}

/// A password as it is remembered: never itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPassword {
    /// Its hash in PHC form, `$argon2id$…`: whoever has it can guess without being slowed down.
    pub hash: Secret,
    /// Since when it holds.
    pub set_at: SystemTime,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_guessed_at_once_is_refused_without_being_shown() {
        for good in ["correct horse", "größer 日本 9", "0123456789"] {
            assert_eq!(fit_password(&Secret::new(good)), Ok(()), "{good}");
        }
        for (bad, why) in [
            ("", "too short"),
            ("hunter2hu", "too short"),
            ("hunter2      ", "too short"),
            ("hunter2\thunter2", "nobody can type"),
            ("hunter2\u{202e}hunter2", "nobody can type"),
            ("ababababababab", "again and again"),
            (&"hunter2 ".repeat(65), "too long"),
        ] {
            let said = fit_password(&Secret::new(bad)).unwrap_err();
            assert!(said.contains(why) && !said.contains("hunter2"), "{said}");
        }
    }
}
