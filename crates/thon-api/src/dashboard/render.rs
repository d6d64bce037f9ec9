//! From templates to pages.
//!
//! For: one environment in which everything is escaped that isn't made here.
//! Not for: what is on a page.

use std::sync::LazyLock;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use minijinja::value::{Serde, Value};
use minijinja::{Environment, HtmlEscape, UndefinedBehavior};
use serde::Serialize;
use thon::core::archive::readable;

use crate::problem::{Code, Problem};

/// What a page may fetch: what comes from here, and pictures that are in the page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; form-action 'self'; base-uri 'none'; \
                      frame-ancestors 'none'";

macro_rules! templates {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../../templates/", $name)))),*]
    };
}

static TEMPLATES: LazyLock<Result<Environment<'static>, String>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    environment.add_filter("bytes", |bytes: Option<u64>| bytes.map_or("?".to_owned(), readable));
    environment.add_filter("plural", |number: usize, word: &str| match number {
        1 => format!("1 {word}"),
        many => format!("{many} {word}s"),
    });
    environment.add_filter("code", |text: &str| Value::from_safe_string(in_code(text)));
    let all = templates!(
        "bare.html",
        "base.html",
        "error.html",
        "group.html",
        "groups.html",
        "handout.html",
        "head.html",
        "instances.html",
        "ai.html",
        "login.html",
        "macros.html",
        "mine.html",
        "overview.html",
        "refused.html",
        "signed_in.html",
        "settings.html",
        "file.html",
        "user.html",
        "users.html",
        "workspaces.html",
    );
    for (name, text) in all {
        environment.add_template(name, text).map_err(|error| format!("{name}: {error:#}"))?;
    }
    Ok(environment)
});

/// Text in which what stands between two backticks is shown as code.
fn in_code(text: &str) -> String {
    let mut html = String::new();
    for (number, part) in text.split('`').enumerate() {
        let part = HtmlEscape(part).to_string();
        if number % 2 == 1 {
            html.extend(["<code>", &part, "</code>"]);
        } else {
            html += &part;
        }
    }
    html
}

/// The page that the template `name` makes of `context`.
pub(super) fn page(
    status: StatusCode,
    name: &str,
    context: impl Serialize,
) -> Result<Response, Problem> {
    let fault = |text: String| Problem::new(Code::Internal, format!("the page: {text}"));
    let environment = TEMPLATES.as_ref().map_err(|text| fault(text.clone()))?;
    let template = environment.get_template(name).map_err(|error| fault(error.to_string()))?;
    let html = template.render(Serde(&context)).map_err(|error| fault(format!("{error:#}")))?;
    let mut response = (status, Html(html)).into_response();
    let policy = HeaderValue::from_static(POLICY);
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    // With none at all a browser doesn't say of its own forms where they come from.
    let referrer = HeaderValue::from_static("same-origin");
    response.headers_mut().insert(header::REFERRER_POLICY, referrer);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_can_be_read() {
        assert_eq!(TEMPLATES.as_ref().err(), None);
    }

    #[test]
    fn code_is_marked_and_nothing_else_becomes_markup() {
        assert_eq!(in_code("run `thon <x>` & wait"), "run <code>thon &lt;x&gt;</code> &amp; wait");
        assert_eq!(in_code("<b>"), "&lt;b&gt;");
    }
}
