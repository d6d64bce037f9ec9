//! Images: whether one is here, getting one, naming one.
//!
//! For: looking, pulling, tagging and importing a root file system.
//! Not for: building, which has a module of its own.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use bollard::errors::Error as EngineError;
use bollard::models::CreateImageInfo;
use bollard::query_parameters::{CreateImageOptionsBuilder, TagImageOptionsBuilder};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use thon_core::adapter::FailureKind;
use thon_core::image::ImageRef;
use tokio::fs::File;
use tokio::io::AsyncReadExt;

use crate::client::{DockerRuntime, QUICK};
use crate::error::{DockerError, is_missing};
use crate::progress::{Progress, ProgressCallback};

/// A pull that says nothing for so long has lost its registry.
const PULL_SILENCE: Duration = Duration::from_mins(3);
/// Unpacking a root file system on a slow disk is silent for long.
const IMPORT_SILENCE: Duration = Duration::from_mins(20);
/// Read from a file at a time.
const CHUNK: usize = 256 * 1024;

/// What Docker knows of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageInfo {
    /// Its id, `sha256:…`.
    pub id: String,
    /// When it was made, as Docker writes times (RFC 3339).
    pub created: Option<String>,
    /// Its size in bytes, with all layers.
    pub size: u64,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

impl DockerRuntime {
    /// What is known of `image`; nothing if it isn't here.
    pub async fn image_info(&self, image: &ImageRef) -> Result<Option<ImageInfo>, DockerError> {
        let tried = format!("looking for the image {image}");
        let client = self.client().await?;
        match self.raw(&tried, QUICK, client.inspect_image(image.as_str())).await? {
            Ok(found) => Ok(Some(ImageInfo {
                id: found.id.unwrap_or_default(),
                created: found.created,
                size: found.size.and_then(|size| u64::try_from(size).ok()).unwrap_or_default(),
                labels: found
                    .config
                    .and_then(|config| config.labels)
                    .unwrap_or_default()
                    .into_iter()
                    .collect(),
            })),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(self.error(&tried, &error)),
        }
    }

    /// Downloads `image` from its registry. The kind of the error is
    /// [`FailureKind::Unreachable`] if the registry doesn't answer and [`FailureKind::Missing`] if
    /// it has no such image.
    pub async fn pull_image(
        &self,
        image: &ImageRef,
        progress: ProgressCallback<'_>,
    ) -> Result<(), DockerError> {
        let tried = format!("downloading the image {image}");
        let client = self.client().await?;
        let builder = CreateImageOptionsBuilder::default();
        let options = if image.as_str().contains('@') {
            builder.from_image(image.as_str()).build()
        } else {
            let (name, tag) = image.name_and_tag();
            builder.from_image(name).tag(tag).build()
        };
        let mut layers = Layers::default();
        let mut answers = client.create_image(Some(options), None, None);
        while let Some(info) = self.next(&tried, PULL_SILENCE, &mut answers).await? {
            if let Some(step) = layers.take(&info) {
                progress(step);
            }
        }
        Ok(())
    }

    /// Gives the image `source` (a reference or an id) the further name `target`.
    pub async fn tag_image(&self, source: &str, target: &ImageRef) -> Result<(), DockerError> {
        let tried = format!("naming the image {source} {target}");
        let client = self.client().await?;
        let (name, tag) = target.name_and_tag();
        let options = TagImageOptionsBuilder::default().repo(name).tag(tag).build();
        self.call(&tried, QUICK, client.tag_image(source, Some(options))).await
    }

    /// Makes an image of the root file system in the tar file at `path`, without ever holding the
    /// file in memory.
    pub async fn import_base(&self, path: &Path, image: &ImageRef) -> Result<(), DockerError> {
        let tried = format!("importing {} as the image {image}", path.display());
        let file = File::open(path).await.map_err(|error| {
            let advice = "see whether the file is there and readable";
            DockerError::host(FailureKind::Missing, &tried, error.to_string(), advice)
        })?;
        let client = self.client().await?;
        let (name, tag) = image.name_and_tag();
        let options =
            CreateImageOptionsBuilder::default().from_src("-").repo(name).tag(tag).build();
        let body = bollard::body_try_stream(chunks(file));
        let mut answers = client.create_image(Some(options), Some(body), None);
        while self.next(&tried, IMPORT_SILENCE, &mut answers).await?.is_some() {}
        Ok(())
    }

    /// The next item of a stream that may be silent for at most `silence`.
    pub(crate) async fn next<T>(
        &self,
        tried: &str,
        silence: Duration,
        stream: &mut (impl Stream<Item = Result<T, EngineError>> + Unpin),
    ) -> Result<Option<T>, DockerError> {
        self.call(tried, silence, async { stream.next().await.transpose() }).await
    }
}

fn chunks(file: File) -> impl Stream<Item = std::io::Result<Bytes>> + Send + 'static {
    futures_util::stream::try_unfold(file, |mut file| async move {
        let mut buffer = vec![0; CHUNK];
        let read = file.read(&mut buffer).await?;
        buffer.truncate(read);
        Ok((read > 0).then(|| (Bytes::from(buffer), file)))
    })
}

/// The layers of a pull, added up: Docker reports each for itself.
#[derive(Default)]
struct Layers {
    bytes: BTreeMap<String, (u64, u64)>,
}

impl Layers {
    /// Takes one line of Docker's report. Nothing if it says nothing new.
    fn take(&mut self, info: &CreateImageInfo) -> Option<Progress> {
        let status = info.status.as_deref()?;
        let extent = info.progress_detail.as_ref().and_then(|detail| {
            let current = u64::try_from(detail.current?).ok()?;
            Some((current, u64::try_from(detail.total?).ok()?))
        });
        match (&info.id, extent) {
            // Unpacking is counted in bytes again; only the download, which is what takes long, is
            // added up.
            (Some(layer), Some(extent)) if status == "Downloading" => {
                self.bytes.insert(layer.clone(), extent);
            }
            (Some(layer), _) if status == "Download complete" => {
                let extent = self.bytes.get_mut(layer)?;
                extent.0 = extent.1;
            }
            (None, _) => return Some(Progress::text(status)),
            _ => return None,
        }
        let sum = self.bytes.values().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        Some(Progress { text: "downloading".to_owned(), done: Some(sum) })
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::ProgressDetail;

    use super::*;

    fn info(layer: Option<&str>, status: &str, extent: Option<(i64, i64)>) -> CreateImageInfo {
        CreateImageInfo {
            id: layer.map(str::to_owned),
            status: Some(status.to_owned()),
            progress_detail: extent.map(|(current, total)| ProgressDetail {
                current: Some(current),
                total: Some(total),
            }),
            ..CreateImageInfo::default()
        }
    }

    #[test]
    fn layers_are_added_up() {
        let mut layers = Layers::default();
        let mut done = |layer, status, extent| {
            layers.take(&info(layer, status, extent)).and_then(|step| step.done)
        };
        assert_eq!(done(None, "Pulling from library/debian", None), None);
        assert_eq!(done(Some("a"), "Downloading", Some((10, 100))), Some((10, 100)));
        assert_eq!(done(Some("b"), "Downloading", Some((5, 50))), Some((15, 150)));
        assert_eq!(done(Some("a"), "Download complete", None), Some((105, 150)));
        assert_eq!(done(Some("a"), "Extracting", Some((1, 100))), None);
    }

    #[tokio::test]
    async fn a_file_is_streamed_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("base.tar");
        let contents: Vec<u8> = (0..=255).cycle().take(CHUNK + 1234).collect();
        std::fs::write(&path, &contents).unwrap();
        let read = chunks(File::open(&path).await.unwrap());
        let read: Vec<Bytes> = read.map(Result::unwrap).collect().await;
        assert_eq!(read.concat(), contents);
    }
}
