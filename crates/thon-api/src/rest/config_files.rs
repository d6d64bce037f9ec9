//! Configuration files that are stored, with their versions.
//!
//! For: reading, storing, taking away and bringing back.
//! Not for: what may be in them; the library checks it before anything is stored.

use axum::Json;
use axum::extract::{Multipart, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use thon::core::access::Permission;
use thon::core::state::{
    Actor, Change, ConfigFile, ConfigFileKey, ConfigFileVersion, MAX_CONFIG_FILE, Revision,
};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::groups::{etag, still};
use super::view::timestamp;
use crate::app::App;
use crate::guard::{Administrator, Reader, Who};
use crate::input::{Body, InPath, if_match};
use crate::problem::{Code, Problem, WhenChanged, WhenRead};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show, store, remove))
        .routes(routes!(upload))
        .routes(routes!(versions))
        .routes(routes!(version))
        .routes(routes!(restore))
}

pub(crate) const fn label(key: ConfigFileKey) -> &'static str {
    match key {
        ConfigFileKey::GroupsYaml => "Groups YAML",
        ConfigFileKey::KiloJsonc => "Kilo Code Config (kilo.jsonc)",
        ConfigFileKey::VscodeSettings => "VS Code Settings",
    }
}

/// The file that is meant; the names of THON's ancestor are understood as well.
fn key(text: &str) -> Result<ConfigFileKey, Problem> {
    let text = match text {
        "config_groups_yaml" => "groups_yaml",
        "config_kilo_json" => "kilo_jsonc",
        "config_vscode_settings" => "vscode_settings",
        other => other,
    };
    text.parse().map_err(|error: String| Problem::new(Code::NotFound, error))
}

/// A configuration file, without what is in it.
#[derive(Debug, Serialize, ToSchema)]
struct ConfigFileEntry {
    /// Its key.
    key: String,
    /// What it is called.
    label: &'static str,
    /// Whether there is one.
    has_content: bool,
    /// Its present version; 0 where there never was one.
    version: u64,
    /// When it was stored.
    updated_at: Option<String>,
    /// Who stored it.
    updated_by: Option<String>,
}

/// All configuration files.
#[derive(Debug, Serialize, ToSchema)]
struct ConfigFileList {
    /// One for each key.
    config_files: Vec<ConfigFileEntry>,
}

/// The configuration files that can be stored, and which there are.
#[utoipa::path(get, path = "/api/config-files", tag = "config files", responses(
    (status = 200, description = "The files", body = ConfigFileList), WhenRead
), security(("token" = [])))]
async fn list(_: Reader, State(app): State<App>) -> Result<Json<ConfigFileList>, Problem> {
    let mut config_files = Vec::new();
    for key in ConfigFileKey::ALL {
        let found = all(&app, key).await?;
        let present = found.first();
        config_files.push(ConfigFileEntry {
            key: key.to_string(),
            label: label(key),
            has_content: present.is_some_and(|version| !version.file.is_removed()),
            version: present.map_or(0, |version| version.version),
            updated_at: present.and_then(|version| timestamp(version.at)),
            updated_by: present.map(|version| version.actor.clone()),
        });
    }
    Ok(Json(ConfigFileList { config_files }))
}

async fn all(app: &App, key: ConfigFileKey) -> Result<Vec<ConfigFileVersion>, Problem> {
    Ok(app.service.state().store().config_file(key).await.map_err(thon::Error::from)?)
}

/// A configuration file.
#[derive(Debug, Serialize, ToSchema)]
struct Document {
    /// Its key.
    key: String,
    /// What it is called.
    label: &'static str,
    /// What is in it.
    content: String,
    /// Its version.
    version: u64,
    /// When it was stored.
    updated_at: Option<String>,
    /// Who stored it.
    updated_by: String,
    /// How much it changed in the roster, if it has just been stored: users and groups of a groups
    /// file are added with it, and nobody is removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    roster_changes: Option<usize>,
}

/// Refuses those who may not see a file that may hold keys.
fn may_see(who: &Who, key: ConfigFileKey) -> Result<(), Problem> {
    if key.is_secret() && !who.permits(Permission::Administer) {
        let detail = format!("{key} may hold keys: reading it needs scope or role `admin`");
        return Err(Problem::new(Code::Forbidden, detail));
    }
    Ok(())
}

fn answer(version: &ConfigFileVersion, roster_changes: Option<usize>) -> Response {
    let key = version.file.key();
    let document = Document {
        key: key.to_string(),
        label: label(key),
        content: version.file.content().to_owned(),
        version: version.version,
        updated_at: timestamp(version.at),
        updated_by: version.actor.clone(),
        roster_changes,
    };
    (StatusCode::OK, etag(Some(version.version)), Json(document)).into_response()
}

async fn present(app: &App, key: ConfigFileKey) -> Result<ConfigFileVersion, Problem> {
    let found = all(app, key).await?.into_iter().next();
    found
        .filter(|version| !version.file.is_removed())
        .ok_or_else(|| Problem::missing(format!("configuration file {key}")))
}

/// A configuration file as it is now.
#[utoipa::path(get, path = "/api/config-files/{key}", tag = "config files", params(
    ("key" = String, Path, description = "`groups_yaml`, `kilo_jsonc` or `vscode_settings`")
), responses(
    (status = 200, description = "The file", body = Document,
        headers(("ETag" = String, description = "Its version, for `If-Match`"))), WhenRead
), security(("token" = [])))]
async fn show(
    Reader(who): Reader,
    State(app): State<App>,
    InPath(text): InPath<String>,
) -> Result<Response, Problem> {
    let key = key(&text)?;
    may_see(&who, key)?;
    Ok(answer(&present(&app, key).await?, None))
}

/// What is to be in a file.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Content {
    /// Everything that is in it.
    content: String,
}

/// Stores a configuration file, as a new version. What can't be used is refused with its place.
/// Groups and users of a groups file come into the roster with it.
#[utoipa::path(put, path = "/api/config-files/{key}", tag = "config files", params(
    ("key" = String, Path, description = "`groups_yaml`, `kilo_jsonc` or `vscode_settings`"),
    ("If-Match" = Option<String>, Header, description = "The version that was seen")
), request_body = Content, responses(
    (status = 200, description = "The file", body = Document), WhenChanged
), security(("token" = [])))]
async fn store(
    Administrator(who): Administrator,
    State(app): State<App>,
    InPath(text): InPath<String>,
    headers: HeaderMap,
    Body(Content { content }): Body<Content>,
) -> Result<Response, Problem> {
    put(&app, &who.actor, key(&text)?, &headers, content).await
}

async fn put(
    app: &App,
    actor: &Actor,
    key: ConfigFileKey,
    headers: &HeaderMap,
    content: String,
) -> Result<Response, Problem> {
    if content.len() > MAX_CONFIG_FILE {
        let detail = format!("{key} has {} bytes; allowed are {MAX_CONFIG_FILE}", content.len());
        return Err(Problem::new(Code::TooLarge, detail));
    }
    let file = ConfigFile::new(key, content).map_err(|error| Problem::input("content", error))?;
    let expect = seen(app, key, headers).await?;
    let brought = app.service.put_config_file(actor, file, expect).await?;
    Ok(answer(&present(app, key).await?, Some(brought)))
}

/// The version that the change is decided on, which has to be the present one; 0 is that of a file
/// that was never stored.
async fn seen(app: &App, key: ConfigFileKey, headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let expected = if_match(headers)?;
    let version = all(app, key).await?.first().map_or(0, |version| version.version);
    still(expected, Some(Revision(version)), key.as_str())?;
    Ok(expected.map(|Revision(number)| number))
}

/// A file that is uploaded.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes a form that is read part by part")]
struct Form {
    /// The file, as UTF-8 text.
    #[schema(format = Binary, content_media_type = "application/octet-stream")]
    file: String,
}

/// Stores a configuration file that is uploaded as a form.
#[utoipa::path(post, path = "/api/config-files/{key}/upload", tag = "config files", params(
    ("key" = String, Path, description = "`groups_yaml`, `kilo_jsonc` or `vscode_settings`")
), request_body(content = Form, content_type = "multipart/form-data"), responses(
    (status = 200, description = "The file", body = Document), WhenChanged
), security(("token" = [])))]
async fn upload(
    Administrator(who): Administrator,
    State(app): State<App>,
    InPath(text): InPath<String>,
    headers: HeaderMap,
    form: Result<Multipart, axum::extract::multipart::MultipartRejection>,
) -> Result<Response, Problem> {
    let key = key(&text)?;
    let mut form = form.map_err(|_| {
        Problem::new(Code::UnsupportedMedia, "the body is no form with a file in it")
            .hint("send `multipart/form-data` with a part `file`")
    })?;
    let broken = |error: axum::extract::multipart::MultipartError| {
        let code = match error.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Code::TooLarge,
            _ => Code::BadInput,
        };
        Problem::new(code, error.body_text()).about("file")
    };
    while let Some(part) = form.next_field().await.map_err(broken)? {
        if part.name() == Some("file") {
            let bytes = part.bytes().await.map_err(broken)?;
            let content = String::from_utf8(bytes.to_vec())
                .map_err(|_| Problem::input("file", "it is not UTF-8 text"))?;
            return put(&app, &who.actor, key, &headers, content).await;
        }
    }
    Err(Problem::input("file", "the form has no part of that name"))
}

/// A file was taken away.
#[derive(Debug, Serialize, ToSchema)]
struct Gone {
    /// `deleted`.
    status: &'static str,
    /// Its key.
    key: String,
}

/// Takes a configuration file away. Its versions stay, and can be restored.
#[utoipa::path(delete, path = "/api/config-files/{key}", tag = "config files", params(
    ("key" = String, Path, description = "`groups_yaml`, `kilo_jsonc` or `vscode_settings`"),
    ("If-Match" = Option<String>, Header, description = "The version that was seen")
), responses(
    (status = 200, description = "It is taken away", body = Gone), WhenChanged
), security(("token" = [])))]
async fn remove(
    Administrator(who): Administrator,
    State(app): State<App>,
    InPath(text): InPath<String>,
    headers: HeaderMap,
) -> Result<Json<Gone>, Problem> {
    let key = key(&text)?;
    present(&app, key).await?;
    let expect = seen(&app, key, &headers).await?;
    app.service.apply(&who.actor, &[Change::RemoveConfigFile { key, expect }]).await?;
    Ok(Json(Gone { status: "deleted", key: key.to_string() }))
}

/// A version of a file, without what is in it.
#[derive(Debug, Serialize, ToSchema)]
struct Past {
    /// Counts from 1.
    version: u64,
    /// Whether the file was taken away with it.
    removed: bool,
    /// How many bytes it has.
    size: usize,
    /// When it was stored.
    at: Option<String>,
    /// Who stored it.
    actor: String,
}

/// The versions of a file.
#[derive(Debug, Serialize, ToSchema)]
struct Pasts {
    /// Its key.
    key: String,
    /// The present one first.
    versions: Vec<Past>,
}

/// The versions of a configuration file, the present one first.
#[utoipa::path(get, path = "/api/config-files/{key}/versions", tag = "config files", params(
    ("key" = String, Path, description = "`groups_yaml`, `kilo_jsonc` or `vscode_settings`")
), responses(
    (status = 200, description = "The versions", body = Pasts), WhenRead
), security(("token" = [])))]
async fn versions(
    _: Reader,
    State(app): State<App>,
    InPath(text): InPath<String>,
) -> Result<Json<Pasts>, Problem> {
    let key = key(&text)?;
    let past = |version: ConfigFileVersion| Past {
        version: version.version,
        removed: version.file.is_removed(),
        size: version.file.content().len(),
        at: timestamp(version.at),
        actor: version.actor,
    };
    let versions = all(&app, key).await?.into_iter().map(past).collect();
    Ok(Json(Pasts { key: key.to_string(), versions }))
}

/// An earlier version of a configuration file.
#[utoipa::path(get, path = "/api/config-files/{key}/versions/{version}", tag = "config files",
    params(
    ("key" = String, Path, description = "`groups_yaml`, `kilo_jsonc` or `vscode_settings`"),
    ("version" = u64, Path, description = "Counts from 1")
), responses(
    (status = 200, description = "The file as it was", body = Document), WhenRead
), security(("token" = [])))]
async fn version(
    Reader(who): Reader,
    State(app): State<App>,
    InPath((text, number)): InPath<(String, u64)>,
) -> Result<Response, Problem> {
    let key = key(&text)?;
    may_see(&who, key)?;
    let found = all(&app, key).await?.into_iter().find(|version| version.version == number);
    found
        .as_ref()
        .map(|found| answer(found, None))
        .ok_or_else(|| Problem::missing(format!("version {number} of {key}")))
}

/// The version to go back to.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Back {
    /// Its number.
    #[schema(minimum = 1)]
    version: u64,
}

/// Stores an earlier version anew, as the present one.
#[utoipa::path(post, path = "/api/config-files/{key}/restore", tag = "config files", params(
    ("key" = String, Path, description = "`groups_yaml`, `kilo_jsonc` or `vscode_settings`")
), request_body = Back, responses(
    (status = 200, description = "The file", body = Document), WhenChanged
), security(("token" = [])))]
async fn restore(
    Administrator(who): Administrator,
    State(app): State<App>,
    InPath(text): InPath<String>,
    Body(Back { version }): Body<Back>,
) -> Result<Response, Problem> {
    let key = key(&text)?;
    let wanted = all(&app, key).await?.into_iter().find(|found| found.version == version);
    if wanted.is_none_or(|found| found.file.is_removed()) {
        return Err(Problem::missing(format!("version {version} of {key} that has a content")));
    }
    let brought = app.service.restore_config_file(&who.actor, key, version).await?;
    Ok(answer(&present(&app, key).await?, Some(brought)))
}
