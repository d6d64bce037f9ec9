//! Questions to the person.
//!
//! For: yes and no, and texts with a default; never where nobody can answer.
//! Not for: deciding what to ask.

use std::io::{BufRead, IsTerminal, Read};

use dialoguer::{Confirm, Input, Password};
use thon::core::secret::Secret;

use crate::context::Context;
use crate::failure::CommandFailure;

/// True if someone can answer.
pub(crate) fn can_ask() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Asks `question`; with `--yes` the answer is yes. Where nobody can answer it is refused, in
/// words that say how to go on.
pub(crate) fn confirm(
    context: &Context,
    question: &str,
    default: bool,
) -> Result<bool, CommandFailure> {
    if context.global.yes {
        return Ok(true);
    }
    if !can_ask() {
        return Err(CommandFailure::input(format!(
            "nobody can be asked here ({question}); run this again with --yes to go on"
        )));
    }
    Confirm::new()
        .with_prompt(question)
        .default(default)
        // A letter typed ahead must not be taken for an answer.
        .wait_for_newline(true)
        .interact()
        .map_err(|error| unanswered(&error))
}

/// Asks for a text that `check` accepts; its refusal is shown and the question asked again.
pub(crate) fn text(
    question: &str,
    default: &str,
    check: impl Fn(&str) -> Result<(), String> + Clone,
) -> Result<String, CommandFailure> {
    Input::<String>::new()
        .with_prompt(question)
        .allow_empty(true)
        .default(default.to_owned())
        .show_default(!default.is_empty())
        .validate_with(move |answer: &String| check(answer.trim()))
        .interact_text()
        .map(|answer| answer.trim().to_owned())
        .map_err(|error| unanswered(&error))
}

/// Asks for a password, twice and unseen; where there is no terminal it is a line of standard input.
pub(crate) fn password(
    question: &str,
    check: impl Fn(&Secret) -> Result<(), String>,
) -> Result<Secret, CommandFailure> {
    if !can_ask() {
        let mut line = String::new();
        std::io::stdin()
            .lock()
            .take(4096)
            .read_line(&mut line)
            .map_err(|error| CommandFailure::input(format!("standard input: {error}")))?;
        let secret = Secret::new(line.trim_end_matches(['\n', '\r']));
        check(&secret).map_err(CommandFailure::input)?;
        return Ok(secret);
    }
    Password::new()
        .with_prompt(question)
        .with_confirmation("Again", "those are two different ones")
        .validate_with(move |answer: &String| check(&Secret::new(answer.as_str())))
        .interact()
        .map(Secret::new)
        .map_err(|error| unanswered(&error))
}

fn unanswered(error: &dialoguer::Error) -> CommandFailure {
    CommandFailure::input(format!("no answer: {error}"))
}
