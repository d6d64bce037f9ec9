//! The pages that nginx answers with where no instance can.
//!
//! For: their words, once, in the one form that `page.html.j2` gives them.
//! Not for: when each is shown; the templates of the configuration say that.

use minijinja::Environment;
use minijinja::value::Serde;
use serde::Serialize;

use crate::error::NginxError;

/// A page for participants.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Page {
    title: &'static str,
    text: &'static str,
    /// After how many seconds a browser asks again; not at all where it is nothing.
    refresh: Option<u32>,
}

/// At the address without a path.
pub(crate) const WELCOME: Page = Page {
    title: "Welcome to the hackathon",
    text: "Your workspace has a link of its own: ask your organizer for your link.",
    refresh: None,
};
/// Where no instance is.
pub(crate) const MISSING: Page = Page {
    title: "Nothing lives here",
    text: "This address leads to no workspace. Check the link, or ask your organizer for your link.",
    refresh: None,
};
/// For whoever guesses passwords.
pub(crate) const SLOW: Page = Page {
    title: "One moment, please",
    text: "Too many attempts to sign in. Wait half a minute, then try again.",
    refresh: None,
};
/// While an instance doesn't answer.
pub(crate) const STARTING: Page = Page {
    title: "Your workspace is on its way",
    text: "It is starting, or it was stopped. This page tries again every three seconds; if that \
           takes minutes, ask your organizer.",
    refresh: Some(3),
};
/// While an instance is paused.
pub(crate) const PAUSED: Page = Page {
    title: "Your workspace is paused",
    text: "Everything in it is kept as it was, and goes on from there once your organizer resumes \
           it. This page tries again every ten seconds.",
    refresh: Some(10),
};

/// Where the organizer's own pages are, while nobody serves them.
pub(crate) const ASLEEP: Page = Page {
    title: "The dashboard is not running",
    text: "On the machine itself, thon serve starts it. This page tries again every five seconds.",
    refresh: Some(5),
};

impl Page {
    /// The page in one line, as nginx's single quotes take it.
    pub(crate) fn line(&self, environment: &Environment<'_>) -> Result<String, NginxError> {
        let html = environment.get_template("page.html.j2")?.render(Serde(self))?;
        Ok(html.lines().map(str::trim).collect())
    }
}
