//! Settings: a fixed list of keys; secrets can be written and never read.
//!
//! For: reading and setting them; the paths of THON's ancestor are understood as well.
//! Not for: what they may hold; the library checks it.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use thon::core::state::{Actor, Change, Setting, SettingKey};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::guard::{Administrator, Reader};
use crate::input::{Body, InPath};
use crate::problem::{Code, Problem, WhenChanged, WhenRead};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show, set, clear))
        .routes(routes!(show_old, set_old))
}

/// A setting.
#[derive(Debug, Serialize, ToSchema)]
struct SettingEntry {
    /// Its key.
    key: String,
    /// Its value; nothing where it is not set, and for one that is secret.
    value: Option<String>,
    /// Whether it is set.
    is_set: bool,
    /// Whether it is secret.
    secret: bool,
}

impl SettingEntry {
    fn new(key: SettingKey, setting: Option<&Setting>) -> Self {
        let shown = setting.filter(|_| !key.is_secret());
        Self {
            key: key.to_string(),
            value: shown.map(|setting| setting.reveal().to_owned()),
            is_set: setting.is_some(),
            secret: key.is_secret(),
        }
    }
}

/// All settings.
#[derive(Debug, Serialize, ToSchema)]
struct SettingList {
    /// One for each key.
    settings: Vec<SettingEntry>,
}

fn key(text: &str) -> Result<SettingKey, Problem> {
    text.parse().map_err(|error: String| Problem::new(Code::NotFound, error))
}

/// All settings that there can be.
#[utoipa::path(get, path = "/api/settings", tag = "settings", responses(
    (status = 200, description = "The settings", body = SettingList), WhenRead
), security(("token" = [])))]
async fn list(_: Reader, State(app): State<App>) -> Result<Json<SettingList>, Problem> {
    let known = app.service.state().store().settings().await?;
    let settings = SettingKey::ALL.into_iter().map(|key| SettingEntry::new(key, known.get(&key)));
    Ok(Json(SettingList { settings: settings.collect() }))
}

async fn one(app: &App, text: &str) -> Result<Json<SettingEntry>, Problem> {
    let key = key(text)?;
    let known = app.service.state().store().settings().await?;
    Ok(Json(SettingEntry::new(key, known.get(&key))))
}

/// One setting.
#[utoipa::path(get, path = "/api/settings/{key}", tag = "settings", params(
    ("key" = String, Path, description = "Its key")
), responses(
    (status = 200, description = "The setting", body = SettingEntry), WhenRead
), security(("token" = [])))]
async fn show(
    _: Reader,
    State(app): State<App>,
    InPath(text): InPath<String>,
) -> Result<Json<SettingEntry>, Problem> {
    one(&app, &text).await
}

/// What a setting is to be.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewValue {
    /// Its key, which may be left out.
    #[serde(default)]
    key: Option<String>,
    /// Its value, as text.
    value: String,
}

async fn put(
    app: &App,
    actor: &Actor,
    text: &str,
    value: &NewValue,
) -> Result<Json<SettingEntry>, Problem> {
    let key = key(text)?;
    if value.key.as_deref().is_some_and(|named| named != key.as_str()) {
        return Err(Problem::input("key", format!("it is another one than {key} in the path")));
    }
    let setting =
        Setting::new(key, &value.value).map_err(|error| Problem::input("value", error))?;
    app.service.apply(actor, &[Change::SetSetting { setting }]).await?;
    one(app, text).await
}

/// Sets a setting.
#[utoipa::path(put, path = "/api/settings/{key}", tag = "settings", params(
    ("key" = String, Path, description = "Its key")
), request_body = NewValue, responses(
    (status = 200, description = "The setting", body = SettingEntry), WhenChanged
), security(("token" = [])))]
async fn set(
    Administrator(who): Administrator,
    State(app): State<App>,
    InPath(text): InPath<String>,
    Body(value): Body<NewValue>,
) -> Result<Json<SettingEntry>, Problem> {
    put(&app, &who.actor, &text, &value).await
}

/// Takes a setting away, so that the default holds.
#[utoipa::path(delete, path = "/api/settings/{key}", tag = "settings", params(
    ("key" = String, Path, description = "Its key")
), responses(
    (status = 200, description = "The setting, which isn't set any more", body = SettingEntry),
    WhenChanged
), security(("token" = [])))]
async fn clear(
    Administrator(who): Administrator,
    State(app): State<App>,
    InPath(text): InPath<String>,
) -> Result<Json<SettingEntry>, Problem> {
    let key = key(&text)?;
    app.service.apply(&who.actor, &[Change::ClearSetting { key }]).await?;
    one(&app, &text).await
}

/// One setting, at the path of THON's ancestor.
#[utoipa::path(get, path = "/api/instances/settings/{key}", tag = "settings", operation_id = "get_setting_old", params(
    ("key" = String, Path, description = "Its key")
), responses(
    (status = 200, description = "The setting", body = SettingEntry), WhenRead
), security(("token" = [])))]
async fn show_old(
    _: Reader,
    State(app): State<App>,
    InPath(text): InPath<String>,
) -> Result<Json<SettingEntry>, Problem> {
    one(&app, &text).await
}

/// Sets a setting, at the path of THON's ancestor.
#[utoipa::path(put, path = "/api/instances/settings/{key}", tag = "settings", operation_id = "put_setting_old", params(
    ("key" = String, Path, description = "Its key")
), request_body = NewValue, responses(
    (status = 200, description = "The setting", body = SettingEntry), WhenChanged
), security(("token" = [])))]
async fn set_old(
    Administrator(who): Administrator,
    State(app): State<App>,
    InPath(text): InPath<String>,
    Body(value): Body<NewValue>,
) -> Result<Json<SettingEntry>, Problem> {
    put(&app, &who.actor, &text, &value).await
}
