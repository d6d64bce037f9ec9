//! The sandbox image: whether it is there and of this version, and making it.
//!
//! For: gathering the build's context, choosing its base, and telling an unchanged image from one
//! whose inputs changed.
//! Not for: the build itself; the Docker adapter does it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use ring::digest::{Context, SHA256};
use thon_core::adapter::{Failure, FailureKind};
use thon_core::config::Config;
use thon_core::event::{Event, EventStream};
use thon_core::image::ImageRef;
use thon_docker::{
    BuildRequest, ContextFile, DockerRuntime, IMAGE_INPUTS, MissingExtension, Progress,
};

use crate::assets::{ASSETS, EXTENSIONS};
use crate::error::Error;
use crate::home::Home;
use crate::setup::packages::{MMDEBSTRAP, Package};
use crate::system::{extra_ca_bundle, find_program};

/// The step's name in events.
const STEP: &str = "image";

/// Where the file of `sandbox.ca_bundle` goes in the context.
const CA_BUNDLE: &str = "image/ca/thon-ca-bundle.crt";

/// The base that the Dockerfile names where nothing else is said.
const DEFAULT_BASE: &str = "debian:bookworm-slim";

/// The repository of bases that were made from the distribution's packages.
const BOOTSTRAPPED: &str = "thon-base";

/// How to build.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageOptions {
    /// The base image; chosen where nothing is said.
    pub base: Option<ImageRef>,
    /// An extension that can't be fetched fails the build.
    pub strict: bool,
    /// Build although nothing changed, every step anew.
    pub rebuild: bool,
    /// Try again to fetch what is missing; every other step is taken as it is.
    pub retry_extensions: bool,
}

/// What is known of the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageState {
    /// It is there and was made from just these inputs.
    Current,
    /// It is there and was made from other inputs.
    Outdated,
    /// It is there and was not made by THON: taken as it is.
    Foreign,
    /// It isn't there.
    Missing,
}

/// The image as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageReport {
    /// Its name.
    pub image: ImageRef,
    /// How it stands.
    pub state: ImageState,
    /// Its id.
    pub id: Option<String>,
    /// Its size in bytes.
    pub size: Option<u64>,
    /// When it was made.
    pub created: Option<String>,
    /// The code-server in it.
    pub code_server: Option<String>,
}

/// What came of making the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageBuild {
    /// The image's id.
    pub id: String,
    /// False if it was there already, unchanged.
    pub built: bool,
    /// Extensions that could not be fetched: id and reason.
    pub missing_extensions: Vec<(String, String)>,
}

/// How the configured image stands.
pub(crate) async fn report(
    docker: &DockerRuntime,
    config: &Config,
    home: &Home,
) -> Result<ImageReport, Error> {
    let image = config.sandbox.image.clone();
    let inputs = Inputs::gather(config, home, &ImageOptions::default()).await?;
    let info = docker.image_info(&image).await.map_err(Failure::from)?;
    let state = match &info {
        None => ImageState::Missing,
        Some(info) => match info.labels.get(IMAGE_INPUTS) {
            None => ImageState::Foreign,
            Some(label) if *label == inputs.digest => ImageState::Current,
            Some(_) => ImageState::Outdated,
        },
    };
    Ok(ImageReport {
        image,
        state,
        id: info.as_ref().map(|info| info.id.clone()),
        size: info.as_ref().map(|info| info.size),
        created: info.as_ref().and_then(|info| info.created.clone()),
        code_server: info.and_then(|info| info.labels.get("thon.image.code-server").cloned()),
    })
}

/// Makes the configured image, if its inputs changed or `options` ask for it.
pub(crate) async fn build(
    docker: &DockerRuntime,
    config: &Config,
    home: &Home,
    options: &ImageOptions,
    events: &EventStream,
) -> Result<ImageBuild, Error> {
    let image = config.sandbox.image.clone();
    let inputs = Inputs::gather(config, home, options).await?;
    let present = docker.image_info(&image).await.map_err(Failure::from)?;
    if let Some(info) = present.filter(|_| !options.rebuild && !options.retry_extensions)
        && info.labels.get(IMAGE_INPUTS) == Some(&inputs.digest)
    {
        return Ok(ImageBuild { id: info.id, built: false, missing_extensions: Vec::new() });
    }
    events.emit(Event::StepStarted { step: STEP.to_owned(), text: format!("building {image}") });
    let progress = |progress: Progress| {
        events.emit(Event::StepProgress {
            step: STEP.to_owned(),
            text: progress.text,
            done: progress.done,
        });
    };
    let base = base(docker, config, options, &progress).await?;
    let mut arguments = BTreeMap::from([
        ("BASE_IMAGE".to_owned(), base.to_string()),
        ("EXTENSIONS_STRICT".to_owned(), u8::from(options.strict).to_string()),
    ]);
    if options.retry_extensions {
        // Any new value makes the step's cached result worthless.
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        arguments.insert("EXTENSIONS_REFRESH".to_owned(), now.as_secs().to_string());
    }
    let request = BuildRequest {
        image: image.clone(),
        dockerfile: "Dockerfile".to_owned(),
        context: inputs.files,
        arguments,
        labels: BTreeMap::from([(IMAGE_INPUTS.to_owned(), inputs.digest)]),
        no_cache: options.rebuild,
    };
    let outcome = docker.build_image(request, &progress).await.map_err(Failure::from)?;
    let missing_extensions: Vec<(String, String)> = outcome
        .missing_extensions
        .into_iter()
        .map(|MissingExtension { id, reason }| (id, reason))
        .collect();
    for (id, reason) in &missing_extensions {
        events
            .emit(Event::Warning { text: format!("the image lacks the extension {id}: {reason}") });
    }
    if !missing_extensions.is_empty() {
        events.emit(Event::Warning {
            text: format!(
                "put the .vsix files of missing extensions into {} and build again, or fetch them \
                 later with `thon image build --retry-extensions`",
                home.image().join("extensions").display()
            ),
        });
    }
    events.emit(Event::StepFinished { step: STEP.to_owned(), text: format!("{image} is ready") });
    Ok(ImageBuild { id: outcome.image_id, built: true, missing_extensions })
}

/// Fetches the configured image from its registry.
pub(crate) async fn pull(
    docker: &DockerRuntime,
    image: &ImageRef,
    events: &EventStream,
) -> Result<(), Error> {
    events.emit(Event::StepStarted { step: STEP.to_owned(), text: format!("downloading {image}") });
    let progress = |progress: Progress| {
        let (text, done) = (progress.text, progress.done);
        events.emit(Event::StepProgress { step: STEP.to_owned(), text, done });
    };
    docker.pull_image(image, &progress).await.map_err(Failure::from)?;
    events.emit(Event::StepFinished { step: STEP.to_owned(), text: format!("{image} is here") });
    Ok(())
}

/// The base to build on: the one that was named, else the Dockerfile's own, else one made from the
/// distribution's packages.
async fn base(
    docker: &DockerRuntime,
    config: &Config,
    options: &ImageOptions,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<ImageRef, Error> {
    let named = options.base.clone().or_else(|| config.sandbox.base_image.clone());
    let here = async |image: &ImageRef| {
        docker.image_info(image).await.map(|info| info.is_some()).map_err(Failure::from)
    };
    if let Some(base) = named {
        if !here(&base).await? {
            docker.pull_image(&base, progress).await.map_err(Failure::from)?;
        }
        return Ok(base);
    }
    let usual: ImageRef = DEFAULT_BASE.parse().map_err(|e| Error::input(format!("{e}")))?;
    if here(&usual).await? || docker.pull_image(&usual, progress).await.is_ok() {
        return Ok(usual);
    }
    progress(Progress {
        text: "no image registry answers: making a base from the distribution's packages"
            .to_owned(),
        done: None,
    });
    if let Some(made) = bootstrapped()
        && here(&made).await?
    {
        return Ok(made);
    }
    Ok(docker.bootstrap_base(progress).await.map_err(Failure::from)?)
}

/// The program that makes a base, if a build would need it and it isn't here.
pub(crate) async fn bootstrap_package(
    docker: &DockerRuntime,
    config: &Config,
    events: &EventStream,
) -> Option<Package> {
    if config.sandbox.base_image.is_some() || find_program(MMDEBSTRAP.program).is_some() {
        return None;
    }
    let bases = DEFAULT_BASE.parse().ok().into_iter().chain(bootstrapped());
    for base in bases {
        if docker.image_info(&base).await.is_ok_and(|info| info.is_some()) {
            return None;
        }
    }
    let usual: ImageRef = DEFAULT_BASE.parse().ok()?;
    pull(docker, &usual, events).await.is_err().then_some(MMDEBSTRAP)
}

/// The name of the base that was made of this machine's distribution, or will be.
fn bootstrapped() -> Option<ImageRef> {
    let release = std::fs::read_to_string("/etc/os-release").ok()?;
    let codename = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="))?;
    format!("{BOOTSTRAPPED}:{}", codename.trim_matches('"')).parse().ok()
}

/// Everything that an image is made from, and the digest of it.
struct Inputs {
    files: Vec<ContextFile>,
    digest: String,
}

impl Inputs {
    async fn gather(config: &Config, home: &Home, options: &ImageOptions) -> Result<Self, Error> {
        // A network whose proxy opens TLS does so for the build as well.
        let bundle = config.sandbox.ca_bundle.clone().or_else(extra_ca_bundle);
        let extensions = config.vscode.extensions_file.clone();
        let base = options.base.clone().or_else(|| config.sandbox.base_image.clone());
        let (home, strict) = (home.clone(), options.strict);
        let read = tokio::task::spawn_blocking(move || {
            let files = files(bundle.as_deref(), extensions.as_deref(), &home)?;
            let base = base.map_or_else(String::new, |base| base.to_string());
            let digest = digest(&files, &format!("base={base} strict={strict}"));
            Ok(Self { files, digest })
        });
        read.await.map_err(|error| Error::input(error.to_string()))?
    }
}

fn files(
    ca_bundle: Option<&Path>,
    extensions: Option<&Path>,
    home: &Home,
) -> Result<Vec<ContextFile>, Error> {
    let mut files: BTreeMap<String, Vec<u8>> =
        ASSETS.iter().map(|asset| (asset.path.to_owned(), asset.contents.to_vec())).collect();
    if let Some(path) = ca_bundle {
        files.insert(CA_BUNDLE.to_owned(), read("sandbox.ca_bundle", path)?);
    }
    if let Some(path) = extensions {
        files.insert(EXTENSIONS.to_owned(), read("vscode.extensions_file", path)?);
    }
    for (folder, ending) in [("extensions", "vsix"), ("ca", "crt"), ("ca", "pem"), ("config", "")] {
        for path in added(&home.image().join(folder), ending)? {
            let name = path.file_name().unwrap_or_default().display().to_string();
            files.insert(format!("image/{folder}/{name}"), read("image", &path)?);
        }
    }
    let into = |(path, contents): (String, Vec<u8>)| {
        let script = Path::new(&path).extension().is_some_and(|ending| ending == "sh");
        let mode = if script { 0o755 } else { 0o644 };
        ContextFile { path, mode, contents }
    };
    Ok(files.into_iter().map(into).collect())
}

/// What the organizer put into a folder; nothing where the folder isn't there.
fn added(folder: &Path, ending: &str) -> Result<Vec<PathBuf>, Error> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::input(format!("{}: {error}", folder.display()))),
    };
    let fits = |path: &PathBuf| {
        path.is_file() && (ending.is_empty() || path.extension().is_some_and(|e| e == ending))
    };
    Ok(entries.filter_map(Result::ok).map(|entry| entry.path()).filter(fits).collect())
}

fn read(key: &str, path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|error| {
        let shown = path.display();
        Error::World(Failure::new(
            FailureKind::Missing,
            format!("reading {shown} for {key}"),
            error.to_string(),
            format!("correct {key}, or put the file there"),
        ))
    })
}

/// The inputs' SHA-256: of every path, mode and content, each preceded by its length so that no
/// two lists of files run into the same bytes.
fn digest(files: &[ContextFile], options: &str) -> String {
    let mut context = Context::new(&SHA256);
    let mut add = |bytes: &[u8]| {
        context.update(&bytes.len().to_be_bytes());
        context.update(bytes);
    };
    add(options.as_bytes());
    for file in files {
        add(file.path.as_bytes());
        add(&file.mode.to_be_bytes());
        add(&file.contents);
    }
    let mut text = String::new();
    for byte in context.finish().as_ref() {
        // Writing to a String can't fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_digest_follows_what_the_organizer_adds() {
        let temp = tempfile::tempdir().unwrap();
        let home = Home::at(temp.path());
        let mut config = Config::default();
        let digest = async |config: &Config, options: &ImageOptions| {
            Inputs::gather(config, &home, options).await.unwrap().digest
        };
        let plain = ImageOptions::default();
        let first = digest(&config, &plain).await;
        assert_eq!(first, digest(&config, &plain).await);

        std::fs::create_dir_all(home.image().join("extensions")).unwrap();
        std::fs::write(home.image().join("extensions/my.vsix"), "zip").unwrap();
        std::fs::write(home.image().join("extensions/notes.txt"), "not an extension").unwrap();
        let added = digest(&config, &plain).await;
        assert_ne!(first, added);
        let files = Inputs::gather(&config, &home, &plain).await.unwrap().files;
        let paths: Vec<_> = files.iter().map(|file| file.path.as_str()).collect();
        assert!(paths.contains(&"image/extensions/my.vsix") && paths.contains(&"Dockerfile"));
        assert!(!paths.iter().any(|path| path.contains("notes")));

        let bundle = temp.path().join("bundle.pem");
        std::fs::write(&bundle, "certificates").unwrap();
        config.sandbox.ca_bundle = Some(bundle);
        assert_ne!(added, digest(&config, &plain).await);
    }

    #[tokio::test]
    async fn a_bundle_that_is_not_there_is_named_with_its_key() {
        let temp = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.sandbox.ca_bundle = Some(temp.path().join("gone.pem"));
        let home = Home::at(temp.path());
        let result = Inputs::gather(&config, &home, &ImageOptions::default()).await;
        let error = result.err().unwrap().to_string();
        assert!(error.contains("sandbox.ca_bundle") && error.contains("gone.pem"), "{error}");
    }
}
