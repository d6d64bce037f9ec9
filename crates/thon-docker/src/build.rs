//! Building an image with the engine's own builder.
//!
//! For: sending a context that is in memory, reading the builder's log step by step, and telling a
//! failure with the step and the last lines that explain it.
//! Not for: knowing what the image is made of; the Dockerfile does, and it comes from the caller.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::time::Duration;

use bollard::errors::Error as EngineError;
use bollard::query_parameters::{BuildImageOptionsBuilder, BuilderVersion};
use bytes::Bytes;
use thon_core::adapter::{Failure, FailureKind};
use thon_core::image::ImageRef;

use crate::client::DockerRuntime;
use crate::error::{BuildFailure, DockerError, answered};
use crate::progress::{Progress, ProgressCallback};

/// A step that downloads or compiles may be silent for long.
const SILENCE: Duration = Duration::from_mins(30);
/// Lines of output that are kept for the message of a failure.
const KEPT_LINES: usize = 40;
/// What the image's scripts print before the id of an extension that they could not install.
const EXTENSION_MISSING: &str = "thon-extension-missing: ";

/// A file of a build's context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextFile {
    /// The path in the context, relative, with slashes: `image/scripts/setup.sh`.
    pub path: String,
    /// The permission bits.
    pub mode: u32,
    /// The contents.
    pub contents: Vec<u8>,
}

/// What to build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildRequest {
    /// What to name it.
    pub image: ImageRef,
    /// The path of the Dockerfile in the context.
    pub dockerfile: String,
    /// The context.
    pub context: Vec<ContextFile>,
    /// Build arguments. They remain visible in the image: nothing secret may be among them.
    pub arguments: BTreeMap<String, String>,
    /// Labels for the image, such as [`crate::IMAGE_INPUTS`].
    pub labels: BTreeMap<String, String>,
    /// True to run every step again, whatever is cached.
    pub no_cache: bool,
}

/// An extension that the build could not install.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingExtension {
    /// Its id, `publisher.name`.
    pub id: String,
    /// Why.
    pub reason: String,
}

/// What came of a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildOutcome {
    /// The image's id.
    pub image_id: String,
    /// Extensions that could not be installed, as far as their step was run and not cached.
    pub missing_extensions: Vec<MissingExtension>,
}

impl DockerRuntime {
    /// Builds an image. The kind of the error is [`FailureKind::Unreachable`] if the base image
    /// isn't here and its registry doesn't answer.
    pub async fn build_image(
        &self,
        request: BuildRequest,
        progress: ProgressCallback<'_>,
    ) -> Result<BuildOutcome, DockerError> {
        let image = request.image.clone();
        let tried = format!("building the image {image}");
        let client = self.client().await?;
        let options = BuildImageOptionsBuilder::default()
            .dockerfile(&request.dockerfile)
            .t(image.as_str())
            .buildargs(&hash_map(request.arguments))
            .labels(&hash_map(request.labels))
            .nocache(request.no_cache)
            .rm(true)
            .forcerm(true)
            .version(BuilderVersion::BuilderV1)
            .build();
        let files = request.context;
        let packed = tokio::task::spawn_blocking(move || archive(&files)).await;
        let packed =
            packed.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(|error| {
                let advice = "see the files that the image is built from";
                DockerError::host(FailureKind::Other, &tried, error.to_string(), advice)
            })?;
        let body = futures_util::stream::iter([Ok(Bytes::from(packed))]);
        let mut answers = client.build_image(options, None, Some(bollard::body_try_stream(body)));
        let mut log = BuildLog::default();
        loop {
            let answer = self
                .raw(&tried, SILENCE, async {
                    futures_util::StreamExt::next(&mut answers).await.transpose()
                })
                .await?;
            match answer {
                Ok(None) => break,
                Ok(Some(info)) => {
                    let text = info.stream.or_else(|| info.status.map(|status| status + "\n"));
                    for step in log.take(&text.unwrap_or_default()) {
                        progress(step);
                    }
                }
                Err(EngineError::DockerStreamError { error }) => {
                    return Err(log.failure(&tried, &error));
                }
                Err(error) => return Err(self.error(&tried, &error)),
            }
        }
        let built = self.image_info(&image).await?.ok_or_else(|| {
            log.failure(&tried, "the builder ended without an error and without an image")
        })?;
        Ok(BuildOutcome { image_id: built.id, missing_extensions: log.missing })
    }
}

fn hash_map(map: BTreeMap<String, String>) -> HashMap<String, String> {
    map.into_iter().collect()
}

/// The context as the engine takes it. Times are left out, so that the same files make the same
/// stream.
fn archive(files: &[ContextFile]) -> io::Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    for file in files {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Regular);
        header.set_mode(file.mode & 0o7777);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(file.contents.len() as u64);
        builder.append_data(&mut header, &file.path, file.contents.as_slice())?;
    }
    builder.into_inner()
}

/// The builder's log, as it comes in: in pieces that are now a line, now less.
#[derive(Default)]
struct BuildLog {
    pending: String,
    step: Option<String>,
    done: Option<(u64, u64)>,
    last: VecDeque<String>,
    missing: Vec<MissingExtension>,
}

impl BuildLog {
    fn take(&mut self, piece: &str) -> Vec<Progress> {
        self.pending.push_str(piece);
        let mut steps = Vec::new();
        while let Some(end) = self.pending.find(['\n', '\r']) {
            let rest = self.pending.split_off(end + 1);
            let line = std::mem::replace(&mut self.pending, rest);
            steps.extend(self.line(&plain(&line)));
        }
        steps
    }

    fn line(&mut self, line: &str) -> Option<Progress> {
        if line.is_empty() {
            return None;
        }
        if let Some((number, of, command)) = step(line) {
            self.step = Some(format!("{number}/{of} {command}"));
            // A step that has begun isn't done.
            self.done = Some((number - 1, of));
            self.last.clear();
            return Some(Progress { text: command.to_owned(), done: self.done });
        }
        if let Some(rest) = line.strip_prefix(EXTENSION_MISSING) {
            let (id, reason) = rest.split_once(": ").unwrap_or((rest, "no reason was given"));
            let found = MissingExtension { id: id.to_owned(), reason: reason.to_owned() };
            if !self.missing.contains(&found) {
                self.missing.push(found);
            }
        }
        if self.last.len() == KEPT_LINES {
            self.last.pop_front();
        }
        self.last.push_back(line.to_owned());
        Some(Progress { text: line.to_owned(), done: self.done })
    }

    /// The failure that the builder's `error` is, with what led to it.
    fn failure(&mut self, tried: &str, error: &str) -> DockerError {
        let rest = std::mem::take(&mut self.pending);
        self.line(&plain(&rest));
        let tried = self
            .step
            .as_ref()
            .map_or_else(|| tried.to_owned(), |step| format!("{tried}, step {}", cut(step, 100)));
        // What the failing command wrote last says more than that it failed.
        let output: Vec<String> = self.last.iter().cloned().collect();
        let said =
            output.iter().rev().find(|line| !line.starts_with("--->")).map(|line| cut(line, 200));
        let mut failure = answered(&tried, 500, error);
        if failure.kind == FailureKind::Other || failure.kind == FailureKind::Missing {
            let cause = said
                .map_or_else(|| error.to_owned(), |said| format!("{}: {said}", cut(error, 160)));
            let advice = "look at the last lines of the build's output; where downloads fail, see \
                          the network, the proxy settings and `sandbox.ca_bundle`";
            failure = Failure::new(FailureKind::Other, &tried, cause, advice);
        }
        DockerError::Build(Box::new(BuildFailure { failure, step: self.step.clone(), output }))
    }
}

/// `Step 3/17 : RUN …` taken apart.
fn step(line: &str) -> Option<(u64, u64, &str)> {
    let (count, command) = line.strip_prefix("Step ")?.split_once(" : ")?;
    let (number, of) = count.split_once('/')?;
    let number: u64 = number.parse().ok().filter(|number| *number > 0)?;
    Some((number, of.parse().ok()?, command))
}

/// A line without colours and other control characters.
fn plain(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            '\u{1b}' => {
                // An escape sequence ends with its first letter.
                let _ended = characters.by_ref().find(char::is_ascii_alphabetic);
            }
            '\t' => text.push(' '),
            character if character.is_control() => {}
            character => text.push(character),
        }
    }
    text.trim().to_owned()
}

fn cut(text: &str, length: usize) -> String {
    if text.chars().count() <= length {
        return text.to_owned();
    }
    text.chars().take(length).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_counted_however_the_log_is_cut_into_pieces() {
        let mut log = BuildLog::default();
        assert!(log.take("Step 1/3 : FROM deb").is_empty());
        let steps = log.take("ian\n ---> 123\nStep 2/3 : RUN npm install\n");
        let told: Vec<_> = steps.iter().map(|step| (step.text.as_str(), step.done)).collect();
        assert_eq!(
            told,
            [
                ("FROM debian", Some((0, 3))),
                ("---> 123", Some((0, 3))),
                ("RUN npm install", Some((1, 3))),
            ]
        );
    }

    #[test]
    fn a_failing_step_is_told_with_what_it_wrote() {
        let mut log = BuildLog::default();
        log.take(
            "Step 2/3 : RUN npm install\n ---> Running in 1\n\u{1b}[91mnpm ERR! 404\n\u{1b}[0m",
        );
        let error = log.failure("building the image x", "The command returned a non-zero code: 1");
        let DockerError::Build(build) = &error else { panic!("{error}") };
        assert_eq!(build.step.as_deref(), Some("2/3 RUN npm install"));
        assert_eq!(build.output.last().unwrap(), "npm ERR! 404");
        let text = error.to_string();
        assert!(
            text.contains("step 2/3 RUN npm install") && text.contains("npm ERR! 404"),
            "{text}"
        );
    }

    #[test]
    fn a_silent_registry_can_be_told_from_a_failing_step() {
        let mut log = BuildLog::default();
        log.take("Step 1/3 : FROM debian\n");
        let silent = "Get \"https://registry.example/v2/\": dial tcp: lookup registry.example: \
                      Temporary failure in name resolution";
        assert_eq!(log.failure("building", silent).kind(), FailureKind::Unreachable);
        let failed = "The command '/bin/sh -c false' returned a non-zero code: 1";
        assert_eq!(log.failure("building", failed).kind(), FailureKind::Other);
    }

    #[test]
    fn extensions_that_are_missing_are_collected_once() {
        let mut log = BuildLog::default();
        log.take("thon-extension-missing: a.b: no gallery answered\n");
        log.take("thon-extension-missing: a.b: no gallery answered\nthon-extension-missing: c.d\n");
        let found: Vec<_> =
            log.missing.iter().map(|one| (one.id.as_str(), one.reason.as_str())).collect();
        assert_eq!(found, [("a.b", "no gallery answered"), ("c.d", "no reason was given")]);
    }

    #[test]
    fn the_same_files_make_the_same_stream() {
        let file = ContextFile { path: "a/b.sh".to_owned(), mode: 0o755, contents: b"x".to_vec() };
        let bytes = archive(std::slice::from_ref(&file)).unwrap();
        assert_eq!(bytes, archive(&[file]).unwrap());
        let mut read = tar::Archive::new(bytes.as_slice());
        let entry = read.entries().unwrap().next().unwrap().unwrap();
        assert_eq!(entry.path().unwrap().to_str(), Some("a/b.sh"));
        assert_eq!(entry.header().mode().unwrap(), 0o755);
        let outside = ContextFile { path: "../x".to_owned(), mode: 0, contents: Vec::new() };
        assert!(archive(&[outside]).is_err());
    }
}
