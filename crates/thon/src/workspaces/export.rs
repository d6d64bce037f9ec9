//! Taking workspaces out.
//!
//! For: one archive per workspace, with its checksum.
//! Not for: stopping anyone; whoever works goes on.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use thon_core::adapter::{Failure, FailureKind, SandboxRuntime, TarStream, WorkspaceKeeper};
use thon_core::archive::{Bounds, Gate, archive_name, readable};
use thon_core::event::Event;
use thon_core::name::UserId;
use thon_core::orchestrator::UserFailure;
use thon_core::sandbox::Phase;

use super::files::{Draft, folder_of, forget_checksum, in_words, note_checksum};
use super::recode::{Direction, Stopped, Tally, recode};
use super::{Steps, apart, of};
use crate::error::Error;
use crate::node::Node;

/// How often a workspace is read that changes under the reader's hands.
const ATTEMPTS: usize = 3;
/// zstd's own usual level: as fast as the engine sends.
pub(super) const LEVEL: i32 = 3;

/// A workspace that was taken out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// Whose.
    pub user: UserId,
    /// The archive.
    pub file: PathBuf,
    /// Its size in bytes.
    pub archive_bytes: u64,
    /// Files, folders and links in it.
    pub entries: u64,
    /// Bytes in all its files together, before they were compressed.
    pub bytes: u64,
    /// Sockets, pipes and devices, which no archive can bring back.
    pub left_out: u64,
    /// Its checksum, as in `SHA256SUMS`.
    pub sha256: String,
    /// Whether its user's sandbox was running: what was written meanwhile is in it or not.
    pub was_in_use: bool,
}

impl Node {
    /// Writes the workspaces of `users` to `folder`, each as `<group>_<user>.tar.zst` and a line in
    /// `SHA256SUMS`. An archive that is there is refused before anything is read, unless `force`
    /// says that it may be replaced. What fails for one user stops no other.
    pub async fn export_workspaces(
        &self,
        users: &[UserId],
        folder: &Path,
        force: bool,
    ) -> Result<(Vec<Exported>, Vec<UserFailure>), Error> {
        let places: Vec<PathBuf> = users.iter().map(|u| folder.join(archive_name(u))).collect();
        if let Some(place) = places.iter().find(|place| !force && place.exists()) {
            return Err(Error::input(format!(
                "{} is there already; choose another folder with --output, or replace it with \
                 --force",
                place.display()
            )));
        }
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|error| in_words("making the folder", folder, &error))?;
        let sandboxes = self.runtime().observe().await?;
        let steps = Steps::begin(self, "export", "reading workspaces", users.len());
        let (mut exported, mut failures) = (Vec::new(), Vec::new());
        for (done, (user, place)) in users.iter().zip(&places).enumerate() {
            steps.at(done, user.to_string());
            match self.export(user, place, force, &steps, done).await {
                Ok(mut one) => {
                    let phase = of(&sandboxes, user).map(|sandbox| sandbox.phase);
                    one.was_in_use = matches!(phase, Some(Phase::Running | Phase::Restarting));
                    exported.push(one);
                }
                Err(failure) => failures.push(UserFailure { user: user.clone(), failure }),
            }
        }
        self.keeper().settle().await;
        let bytes: u64 = exported.iter().map(|one| one.archive_bytes).sum();
        steps.end(format!(
            "{} of {} written to {}, {}",
            exported.len(),
            users.len(),
            folder.display(),
            readable(bytes)
        ));
        Ok((exported, failures))
    }

    async fn export(
        &self,
        user: &UserId,
        place: &Path,
        force: bool,
        steps: &Steps,
        done: usize,
    ) -> Result<Exported, Failure> {
        let workspace = self.workspace_of(user).map_err(|error| {
            let advice = "correct the configuration";
            Failure::new(FailureKind::Other, "finding the workspace", error.to_string(), advice)
        })?;
        let tried = format!("exporting the workspace of {user}");
        let mut attempt = 1;
        let (tally, archive_bytes, sha256) = loop {
            let stream = self.keeper().read(user, &workspace).await?;
            let (words, to) = (tried.clone(), place.to_owned());
            let mut say = steps.pieces(done, user);
            let work = move || Ok(write(stream, &words, &to, force, &mut say));
            match apart::<_, Failure>(&tried, work).await? {
                Ok(written) => break written,
                Err(Trouble::Changed(_)) if attempt < ATTEMPTS => {
                    attempt += 1;
                    self.events().emit(Event::Warning {
                        text: format!("{user}: a file changed while it was read; reading again"),
                    });
                }
                Err(Trouble::Changed(cause)) => {
                    let advice = "try again when less is written there, or stop the sandbox first";
                    return Err(Failure::new(FailureKind::Other, &tried, cause, advice));
                }
                Err(Trouble::Failed(failure)) => return Err(failure),
            }
        };
        let folder = folder_of(place).to_owned();
        let (name, sum) = (archive_name(user), sha256.clone());
        apart(&tried, move || note_checksum(&folder, &name, &sum)).await?;
        Ok(Exported {
            user: user.clone(),
            file: place.to_owned(),
            archive_bytes,
            entries: tally.entries,
            bytes: tally.bytes,
            left_out: tally.left_out,
            sha256,
            was_in_use: false,
        })
    }
}

/// Why an archive was not written.
enum Trouble {
    /// The workspace changed in a way that no archive can hold.
    Changed(String),
    /// Anything else.
    Failed(Failure),
}

fn write(
    stream: TarStream,
    tried: &str,
    place: &Path,
    force: bool,
    say: &mut dyn FnMut(&Tally),
) -> Result<(Tally, u64, String), Trouble> {
    let on_disk = |error: io::Error| Trouble::Failed(in_words("writing", place, &error));
    let draft = Draft::begin(place).map_err(on_disk)?;
    let mut encoder = zstd::Encoder::new(draft, LEVEL).map_err(on_disk)?;
    encoder.include_checksum(true).map_err(on_disk)?;
    let mut gate = Gate::new(Bounds::NONE);
    let tally =
        recode(stream, &mut encoder, &mut gate, Direction::Out, say).map_err(|stopped| {
            match stopped {
                Stopped::Target(error) => on_disk(error),
                Stopped::Refused(refusal) => Trouble::Changed(refusal.to_string()),
                Stopped::Damaged(cause) => Trouble::Changed(cause),
                Stopped::Source(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    Trouble::Changed(error.to_string())
                }
                Stopped::Source(error) => {
                    Trouble::Failed(failure_in(&error).unwrap_or_else(|| {
                        let advice =
                            "run this as root (`sudo`) if the files are the sandboxes' user's";
                        Failure::new(FailureKind::Other, tried, error.to_string(), advice)
                    }))
                }
            }
        })?;
    let draft = encoder.finish().map_err(on_disk)?;
    if force && let Some(name) = place.file_name() {
        forget_checksum(folder_of(place), &name.to_string_lossy()).map_err(Trouble::Failed)?;
    }
    let (bytes, sum) = draft.finish(force).map_err(on_disk)?;
    Ok((tally, bytes, sum))
}

/// The failure that a stream of the runtime's carries.
pub(super) fn failure_in(error: &io::Error) -> Option<Failure> {
    error.get_ref()?.downcast_ref::<Failure>().cloned()
}
