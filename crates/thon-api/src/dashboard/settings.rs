//! The pages of settings, of stored configuration files and of AI.
//!
//! For: showing what is configured, and what a file would become before it is stored.
//! Not for: storing; the API's routes do it.

use std::time::Duration;

use axum::Form;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use similar::{ChangeTag, TextDiff};
use thon::core::access::Permission;
use thon::core::config::{AllowRule, ChatModel};
use thon::core::state::{
    Change, ConfigFile, ConfigFileKey, ConfigFileVersion, SettingKey, overwritten,
};

use super::visit::{Oops, Query, Visit};
use crate::input::InPath;
use crate::problem::{Code, Problem};
use crate::rest::auth::Open;
use crate::rest::config_files::label;
use crate::rest::view::timestamp;

#[derive(Serialize)]
struct File {
    key: String,
    label: &'static str,
    version: u64,
    is_set: bool,
    at: Option<String>,
    actor: Option<String>,
}

#[derive(Serialize)]
struct SettingsPage {
    external_ip: String,
    /// What thon.yaml says, which counts.
    declared_ip: Option<String>,
    files: Vec<File>,
    config: Option<String>,
    sessions: Vec<Open>,
    /// Whether people sign in with accounts.
    sign_in: bool,
    /// With those of whom, and where each is to send people back to.
    providers: Vec<(String, String)>,
    listed: Vec<Listed>,
    tokens: Vec<Known>,
}

/// Those whose accounts may come in, as thon.yaml says it.
#[derive(Serialize)]
struct Listed {
    role: &'static str,
    whom: String,
}

impl From<&AllowRule> for Listed {
    fn from(rule: &AllowRule) -> Self {
        Self { role: rule.role.as_str(), whom: rule.whom() }
    }
}

/// A token.
#[derive(Serialize)]
struct Known {
    name: String,
    scope: String,
    created_at: Option<String>,
    used_at: Option<String>,
    expires_at: Option<String>,
}

async fn versions(visit: &Visit, key: ConfigFileKey) -> Result<Vec<ConfigFileVersion>, Oops> {
    let store = visit.app.service.state().store();
    Ok(store.config_file(key).await.map_err(thon::Error::from)?)
}

pub(super) async fn show(visit: Visit) -> Result<Response, Oops> {
    visit.who.needs(Permission::Administer)?;
    let state = visit.app.service.state();
    let settings = state.store().settings().await.map_err(thon::Error::from)?;
    let mut files = Vec::new();
    for key in ConfigFileKey::ALL {
        let found = versions(&visit, key).await?;
        let present = found.first();
        files.push(File {
            key: key.to_string(),
            label: label(key),
            version: present.map_or(0, |version| version.version),
            is_set: present.is_some_and(|version| !version.file.is_removed()),
            at: present.and_then(|version| timestamp(version.at)),
            actor: present.map(|version| version.actor.clone()),
        });
    }
    let auth = &visit.site.node().config().auth;
    let url = visit.site.node().public_url();
    let back = |provider| {
        let base = url.as_ref().map_or("", |url| url.base());
        format!("{base}{}", thon::auth::callback_path(provider))
    };
    let page = SettingsPage {
        external_ip: settings
            .get(&SettingKey::ExternalIp)
            .map(|setting| setting.reveal().to_owned())
            .unwrap_or_default(),
        declared_ip: visit.site.declared_ip().map(|address| address.to_string()),
        files,
        config: visit.site.config_path().map(|path| path.display().to_string()),
        sessions: Open::all(&visit.app, &visit.who).await?,
        sign_in: auth.enabled,
        providers: auth
            .providers()
            .map(|provider| (auth.provider_name(provider).to_owned(), back(provider)))
            .collect(),
        listed: auth.allow.iter().map(Listed::from).collect(),
        tokens: state
            .access()
            .tokens()
            .await?
            .into_iter()
            .map(|token| Known {
                name: token.name,
                scope: token.scope.to_string(),
                created_at: timestamp(token.created_at),
                used_at: token.used_at.and_then(timestamp),
                expires_at: token.expires_at.and_then(timestamp),
            })
            .collect(),
    };
    visit.page("settings.html", "/settings", "Settings", page).await
}

/// How long the shortest comparison is looked for: afterwards a longer one does.
const COMPARING: Duration = Duration::from_millis(300);

/// How many lines of a comparison are shown.
const MOST_LINES: usize = 2_000;

/// A line of a comparison.
#[derive(Serialize)]
struct Line {
    kind: &'static str,
    text: String,
}

#[derive(Serialize)]
struct Kept {
    version: u64,
    removed: bool,
    size: usize,
    at: Option<String>,
    actor: String,
}

#[derive(Serialize)]
struct FilePage {
    key: String,
    label: &'static str,
    /// The version that is compared with, and that has to be the present one when it is stored.
    version: u64,
    is_set: bool,
    content: String,
    versions: Vec<Kept>,
    /// Why the text can't be stored.
    problem: Option<String>,
    /// How the text differs from what is stored; nothing where that wasn't asked for.
    diff: Option<Vec<Line>>,
    /// What comes into the roster with it, in words.
    brings: Vec<String>,
    /// The version that is looked at in the place of the present one.
    looked_at: Option<u64>,
}

#[derive(Deserialize)]
pub(super) struct Look {
    version: Option<u64>,
}

/// A file with its versions; with `version` that one in the editor.
pub(super) async fn file(
    visit: Visit,
    InPath(text): InPath<String>,
    Query(Look { version }): Query<Look>,
) -> Result<Response, Oops> {
    visit.who.needs(Permission::Administer)?;
    let key = key(&text)?;
    let all = versions(&visit, key).await?;
    let looked_at = all.iter().find(|one| Some(one.version) == version);
    if version.is_some() && looked_at.is_none() {
        return Err(Problem::missing("version of that number").into());
    }
    let shown = looked_at.or(all.first());
    let content = shown.map_or("", |one| one.file.content()).to_owned();
    let diff = match looked_at {
        Some(_) => Some(compared(present(&all), &content).await?),
        None => None,
    };
    let page = page(key, &all, content, None, diff, version);
    visit.page("file.html", "/settings", label(key), page).await
}

#[derive(Deserialize)]
pub(super) struct Edited {
    content: String,
}

/// Says whether a text could be stored, and what would be another.
pub(super) async fn check(
    visit: Visit,
    InPath(text): InPath<String>,
    Form(Edited { content }): Form<Edited>,
) -> Result<Response, Oops> {
    visit.who.needs(Permission::Administer)?;
    let key = key(&text)?;
    let all = versions(&visit, key).await?;
    // Browsers send the ends of lines as the network has them.
    let content = content.replace("\r\n", "\n");
    let (problem, brings) = match ConfigFile::new(key, content.as_str()) {
        Ok(file) => {
            let changes = visit.site.brings(&file).map_err(Problem::from)?;
            let say = |change: &Change| {
                let detail = overwritten(&visit.site.stored, change).join("; ");
                let colon = if detail.is_empty() { "" } else { ": " };
                format!("{} {}{colon}{detail}", change.action(), change.subject())
            };
            (None, changes.iter().map(say).collect())
        }
        Err(problem) => (Some(problem), Vec::new()),
    };
    let diff = Some(compared(present(&all), &content).await?);
    let page = FilePage { brings, ..page(key, &all, content, problem, diff, None) };
    visit.page("file.html", "/settings", label(key), page).await
}

fn key(text: &str) -> Result<ConfigFileKey, Problem> {
    text.parse().map_err(|_| Problem::missing("page at this address"))
}

fn present(all: &[ConfigFileVersion]) -> &str {
    all.first().map_or("", |version| version.file.content())
}

fn page(
    key: ConfigFileKey,
    all: &[ConfigFileVersion],
    content: String,
    problem: Option<String>,
    diff: Option<Vec<Line>>,
    looked_at: Option<u64>,
) -> FilePage {
    let version = |one: &ConfigFileVersion| Kept {
        version: one.version,
        removed: one.file.is_removed(),
        size: one.file.content().len(),
        at: timestamp(one.at),
        actor: one.actor.clone(),
    };
    FilePage {
        key: key.to_string(),
        label: label(key),
        version: all.first().map_or(0, |one| one.version),
        is_set: !present(all).is_empty(),
        content,
        versions: all.iter().map(version).collect(),
        problem,
        diff,
        brings: Vec::new(),
        looked_at,
    }
}

/// Compares apart from what serves others.
async fn compared(before: &str, after: &str) -> Result<Vec<Line>, Oops> {
    let (before, after) = (before.to_owned(), after.to_owned());
    let lines = tokio::task::spawn_blocking(move || compare(&before, &after)).await;
    Ok(lines.map_err(|_| Problem::new(Code::Internal, "comparing the texts ended early"))?)
}

/// The lines that differ, each with a few around it.
fn compare(before: &str, after: &str) -> Vec<Line> {
    let diff = TextDiff::configure().timeout(COMPARING).diff_lines(before, after);
    let mut lines = Vec::new();
    for (number, group) in diff.grouped_ops(3).iter().enumerate() {
        if number > 0 {
            lines.push(Line { kind: "gap", text: "…".to_owned() });
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let kind = match change.tag() {
                ChangeTag::Delete => "del",
                ChangeTag::Insert => "add",
                ChangeTag::Equal => "same",
            };
            if lines.len() >= MOST_LINES {
                lines.push(Line { kind: "gap", text: "… and more".to_owned() });
                return lines;
            }
            lines.push(Line { kind, text: change.value().trim_end_matches('\n').to_owned() });
        }
    }
    lines
}

#[derive(Serialize)]
struct Model {
    name: String,
    checkpoint: String,
    context: u32,
}

#[derive(Serialize)]
struct AiPage {
    lemonade: bool,
    server: String,
    /// Whether it is there already, and sandboxes are led to it.
    elsewhere: Option<String>,
    models: Vec<Model>,
    embedding: String,
    gateway: bool,
    gateway_mode: String,
    token_limit: u32,
    token_window: u32,
    kilo_model: String,
    langfuse: bool,
}

/// What is configured of AI.
pub(super) async fn ai(visit: Visit) -> Result<Response, Oops> {
    let config = visit.site.node().config();
    let (lemonade, gateway, kilo) = (&config.lemonade, &config.gateway, &config.kilo);
    let model = |model: &ChatModel| Model {
        name: model.name.clone(),
        checkpoint: model.checkpoint.clone(),
        context: model.context,
    };
    let page = AiPage {
        lemonade: lemonade.enabled,
        server: if lemonade.url.is_empty() {
            format!("http://{}:{}", lemonade.host, lemonade.port)
        } else {
            lemonade.url.clone()
        },
        elsewhere: Some(lemonade.url.clone()).filter(|url| lemonade.enabled && !url.is_empty()),
        models: lemonade.chat_models.iter().map(model).collect(),
        embedding: lemonade.embedding_model_name.clone(),
        gateway: gateway.enabled,
        gateway_mode: gateway.mode.to_string(),
        token_limit: gateway.token_limit,
        token_window: gateway.token_window,
        kilo_model: kilo.chat_model.clone(),
        langfuse: config.langfuse.enabled,
    };
    visit.page("ai.html", "/ai", "AI", page).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_shown_with_what_is_around_it() {
        let before: Vec<_> = (1..=20).map(|n| format!("line {n}\n")).collect();
        let before = before.concat();
        let after = before.replace("line 2\n", "").replace("line 19\n", "line 19\nnew\n");
        let lines = compare(&before, &after);
        let of = |kind| -> Vec<&str> {
            lines.iter().filter(|l| l.kind == kind).map(|l| l.text.as_str()).collect()
        };
        assert_eq!((of("del"), of("add"), of("gap")), (vec!["line 2"], vec!["new"], vec!["…"]));
        assert!(lines.len() < 20);
        assert!(compare(&before, &before).is_empty());
        // Two large files with nothing in common: the shortest way from one to the other would
        // take minutes.
        let large = |word: &str| {
            let lines: Vec<_> = (0..100_000).map(|n| format!("{word} {n}\n")).collect();
            lines.concat()
        };
        let lines = compare(&large("one"), &large("other"));
        assert_eq!(lines.len(), MOST_LINES + 1);
    }
}
