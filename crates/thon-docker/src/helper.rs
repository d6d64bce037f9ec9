//! A container that is never started, through which a volume is read and written.
//!
//! For: Docker's own archive of a folder, streamed in both directions; it works whether a sandbox
//! uses the volume or not, and wherever the engine is.
//! Not for: sandboxes. It carries one label of ours, and none by which a sandbox is found.

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bollard::models::{ContainerCreateBody, HostConfig, Mount, MountType, MountVolumeOptions};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, DownloadFromContainerOptionsBuilder,
    ListContainersOptionsBuilder, UploadToContainerOptionsBuilder,
};
use bytes::Bytes;
use futures_util::StreamExt;
use thon_core::adapter::{Failure, FailureKind, TarStream};
use thon_core::image::ImageRef;
use thon_core::workspace::MOUNT_POINT;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::client::{DockerRuntime, QUICK, SLOW};
use crate::error::DockerError;

/// The label of such a container: the node's name, and the process that made it.
const HELPER: &str = "thon.helper";
const PROCESS: &str = "thon.helper.process";

/// How many pieces of an archive wait between the engine and us.
const PIECES: usize = 8;
/// The size of a piece that is sent.
const PIECE: usize = 256 << 10;
/// How long an archive that is written may take to be unpacked.
const UNPACKING: Duration = Duration::from_hours(1);

static COUNT: AtomicU32 = AtomicU32::new(0);

/// What is done with the volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    Read,
    Write,
}

impl DockerRuntime {
    /// Everything in a volume as a tar archive. The task ends when the container is gone again.
    pub(crate) async fn read_volume(
        self: &Arc<Self>,
        tried: String,
        volume: &str,
        image: &ImageRef,
    ) -> Result<(TarStream, JoinHandle<()>), DockerError> {
        let helper = self.make_helper(&tried, volume, image, Use::Read).await?;
        let (sender, receiver) = mpsc::channel(PIECES);
        let this = Arc::clone(self);
        let task = tokio::spawn(async move {
            if let Err(error) = this.send_pieces(&tried, &helper, &sender).await {
                drop(sender.send(Err(error.into())).await);
            }
            // Whoever reads to the end waits for this too.
            drop(this.discard(&tried, &helper).await);
            drop(sender);
        });
        Ok((Box::new(Received { receiver, piece: Bytes::new() }), task))
    }

    async fn send_pieces(
        &self,
        tried: &str,
        helper: &str,
        sender: &mpsc::Sender<Result<Bytes, Failure>>,
    ) -> Result<(), DockerError> {
        let client = self.client().await?;
        // With the dot it is what is in the folder, below `./`.
        let path = format!("{MOUNT_POINT}/.");
        let options = DownloadFromContainerOptionsBuilder::default().path(&path).build();
        let mut pieces = std::pin::pin!(client.download_from_container(helper, Some(options)));
        loop {
            let piece = async { pieces.next().await.transpose() };
            let Some(piece) = self.call(tried, SLOW, piece).await? else { return Ok(()) };
            if sender.send(Ok(piece)).await.is_err() {
                return Ok(());
            }
        }
    }

    /// Unpacks a tar archive in a volume.
    pub(crate) async fn write_volume(
        &self,
        tried: &str,
        volume: &str,
        image: &ImageRef,
        tar: TarStream,
    ) -> Result<(), DockerError> {
        let helper = self.make_helper(tried, volume, image, Use::Write).await?;
        let result = self.unpack(tried, &helper, tar).await;
        let gone = self.discard(tried, &helper).await;
        result.and(gone)
    }

    async fn unpack(&self, tried: &str, helper: &str, tar: TarStream) -> Result<(), DockerError> {
        let client = self.client().await?;
        let (sender, receiver) = mpsc::channel::<io::Result<Bytes>>(PIECES);
        let reader = tokio::task::spawn_blocking(move || read_pieces(tar, &sender));
        let body = futures_util::stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|piece| (piece, receiver))
        });
        let options = UploadToContainerOptionsBuilder::default()
            .path(MOUNT_POINT)
            .no_overwrite_dir_non_dir("1")
            .build();
        let upload =
            client.upload_to_container(helper, Some(options), bollard::body_try_stream(body));
        let sent = self.call(tried, UNPACKING, upload).await;
        // What went wrong on our side is why the engine was left without the rest.
        match reader.await {
            Ok(Err(error)) => {
                let advice = "see what the message says, and try again";
                Err(DockerError::host(FailureKind::Other, tried, error.to_string(), advice))
            }
            _ => sent,
        }
    }

    async fn make_helper(
        &self,
        tried: &str,
        volume: &str,
        image: &ImageRef,
        purpose: Use,
    ) -> Result<String, DockerError> {
        self.sweep_helpers(tried).await?;
        if self.image_info(image).await?.is_none() {
            return Err(DockerError::engine(
                FailureKind::Missing,
                tried,
                format!("the image {image} is not here, and Docker reads volumes through one"),
                "build it with `thon image build`, or name another one in `sandbox.image`",
            ));
        }
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-archive-{}-{count}", self.node(), std::process::id());
        let labels = [
            (HELPER.to_owned(), self.node().to_string()),
            (PROCESS.to_owned(), process(std::process::id()).unwrap_or_default()),
        ];
        let mount = Mount {
            target: Some(MOUNT_POINT.to_owned()),
            source: Some(volume.to_owned()),
            typ: Some(MountType::VOLUME),
            read_only: Some(purpose == Use::Read),
            // A new volume gets its owner and mode from the image, as it would for a sandbox.
            volume_options: Some(MountVolumeOptions {
                no_copy: Some(purpose == Use::Read),
                ..MountVolumeOptions::default()
            }),
            ..Mount::default()
        };
        let body = ContainerCreateBody {
            image: Some(image.to_string()),
            cmd: Some(vec!["true".to_owned()]),
            entrypoint: Some(Vec::new()),
            labels: Some(HashMap::from(labels)),
            host_config: Some(HostConfig {
                network_mode: Some("none".to_owned()),
                mounts: Some(vec![mount]),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        let client = self.client().await?;
        let options = CreateContainerOptionsBuilder::default().name(&name).build();
        let created = client.create_container(Some(options), body);
        Ok(self.call(tried, SLOW, created).await?.id)
    }

    /// Removes what processes left behind that are gone.
    pub(crate) async fn sweep_helpers(&self, tried: &str) -> Result<(), DockerError> {
        let client = self.client().await?;
        let label = format!("{HELPER}={}", self.node());
        let filters = HashMap::from([("label".to_owned(), vec![label])]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let found = self.call(tried, QUICK, client.list_containers(Some(options))).await?;
        for helper in found {
            let labels = helper.labels.unwrap_or_default();
            let made_by = labels.get(PROCESS).map(String::as_str).unwrap_or_default();
            let number = made_by.split(':').next().and_then(|number| number.parse().ok());
            if number.and_then(process).is_none_or(|now| now != made_by)
                && let Some(id) = helper.id
            {
                self.discard(tried, &id).await?;
            }
        }
        Ok(())
    }
}

/// A process, by its number and when it began: numbers are given again. Nothing if it is gone.
fn process(number: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{number}/stat")).ok()?;
    // The name in brackets may hold anything; the time is the 20th field after it.
    let began = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.to_owned();
    Some(format!("{number}:{began}"))
}

fn read_pieces(mut tar: TarStream, sender: &mpsc::Sender<io::Result<Bytes>>) -> io::Result<()> {
    loop {
        let mut piece = vec![0; PIECE];
        match tar.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(read) => {
                piece.truncate(read);
                if sender.blocking_send(Ok(piece.into())).is_err() {
                    return Ok(());
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                drop(sender.blocking_send(Err(io::Error::other("the archive broke off"))));
                return Err(error);
            }
        }
    }
}

/// The pieces that the engine sends, read where blocking is allowed.
struct Received {
    receiver: mpsc::Receiver<Result<Bytes, Failure>>,
    piece: Bytes,
}

impl Read for Received {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.receiver.blocking_recv() {
                Some(Ok(piece)) => self.piece = piece,
                Some(Err(failure)) => return Err(io::Error::other(failure)),
                None => return Ok(0),
            }
        }
        let piece = self.piece.split_to(self.piece.len().min(buffer.len()));
        buffer[..piece.len()].copy_from_slice(&piece);
        Ok(piece.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_more_than_its_number() {
        let own = process(std::process::id()).unwrap();
        assert!(own.starts_with(&format!("{}:", std::process::id())), "{own}");
        assert_eq!(process(std::process::id()), Some(own));
        assert_eq!(process(u32::MAX), None);
    }
}
