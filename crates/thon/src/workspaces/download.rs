//! A workspace as a stream of bytes.
//!
//! For: whoever fetches an archive without a place for it on this machine.
//! Not for: archives in a folder with their checksums; [`super::export`] writes them.

use std::io::{self, Write};

use thon_core::adapter::WorkspaceKeeper;
use thon_core::archive::{Bounds, Gate, archive_name};
use thon_core::name::UserId;
use tokio::sync::mpsc;

use super::recode::{Direction, Stopped, recode};
use crate::error::Error;
use crate::node::Node;

/// Pieces that wait for a slow reader.
const WAITING: usize = 16;

/// How much is sent at once, in bytes.
const PIECE: usize = 64 << 10;

/// An archive on its way.
#[derive(Debug)]
pub struct Download {
    /// What a file of it is called: `<group>_<user>.tar.zst`.
    pub name: String,
    /// Its pieces; an error is the last one, and what came before it is no whole archive.
    pub pieces: mpsc::Receiver<io::Result<Vec<u8>>>,
}

impl Node {
    /// The workspace of `user` as an archive, while whoever works goes on.
    pub async fn download_workspace(&self, user: &UserId) -> Result<Download, Error> {
        let workspace = self.workspace_of(user)?;
        let stream = self.keeper().read(user, &workspace).await?;
        let (sender, pieces) = mpsc::channel(WAITING);
        let keeper = self.keeper_shared();
        tokio::spawn(async move {
            let last = sender.clone();
            let written = tokio::task::spawn_blocking(move || write(stream, sender)).await;
            if let Ok(Err(error)) = written {
                drop(last.send(Err(error)).await);
            }
            keeper.settle().await;
        });
        Ok(Download { name: archive_name(user), pieces })
    }
}

fn write(
    stream: thon_core::adapter::TarStream,
    sender: mpsc::Sender<io::Result<Vec<u8>>>,
) -> io::Result<()> {
    let out = Pieces { sender, piece: Vec::with_capacity(PIECE) };
    let mut encoder = zstd::Encoder::new(out, super::export::LEVEL)?;
    encoder.include_checksum(true)?;
    let mut gate = Gate::new(Bounds::NONE);
    recode(stream, &mut encoder, &mut gate, Direction::Out, &mut |_| {}).map_err(|stopped| {
        match stopped {
            Stopped::Source(error) | Stopped::Target(error) => error,
            Stopped::Refused(refusal) => io::Error::other(refusal.to_string()),
            Stopped::Damaged(cause) => io::Error::other(cause),
        }
    })?;
    encoder.finish()?.send()
}

/// Bytes, sent on in pieces.
struct Pieces {
    sender: mpsc::Sender<io::Result<Vec<u8>>>,
    piece: Vec<u8>,
}

impl Pieces {
    fn send(&mut self) -> io::Result<()> {
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE));
        let gone = |_| io::Error::new(io::ErrorKind::BrokenPipe, "nobody takes it any more");
        self.sender.blocking_send(Ok(piece)).map_err(gone)
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let some = &bytes[..bytes.len().min(PIECE - self.piece.len())];
        self.piece.extend_from_slice(some);
        if self.piece.len() == PIECE {
            self.send()?;
        }
        Ok(some.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
