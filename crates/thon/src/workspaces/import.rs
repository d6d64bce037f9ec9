//! Bringing archives in.
//!
//! For: archives of any origin: each is checked from its first to its last byte before anything is
//! written, so that a bad one changes nothing.
//! Not for: emptying a workspace; what is in it and not in the archive stays.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use thon_core::adapter::{Failure, FailureKind, SandboxRuntime, TarStream, WorkspaceKeeper};
use thon_core::archive::{ARCHIVE_SUFFIX, Bounds, Gate, SUMS_FILE, archive_name, archive_user};
use thon_core::name::UserId;
use thon_core::orchestrator::UserFailure;
use thon_core::workspace::Workspace;
use thon_docker::feed;

use super::export::failure_in;
use super::files::{checksum, checksums, folder_of, in_words};
use super::recode::{Direction, Stopped, Tally, recode};
use super::{Steps, apart};
use crate::error::Error;
use crate::file::write_private;
use crate::node::Node;

/// How an archive begins that zstd made, and one that gzip did.
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// An archive and whose workspace it becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// The archive.
    pub file: PathBuf,
    /// Whose.
    pub user: UserId,
}

/// An archive that was brought in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// Whose workspace it is now.
    pub user: UserId,
    /// The archive.
    pub file: PathBuf,
    /// Files, folders and links in it.
    pub entries: u64,
    /// Bytes in all its files together.
    pub bytes: u64,
    /// Whether its checksum stood beside it and was right.
    pub verified: bool,
}

impl Import {
    /// The archive `file` for `user`, or for the one whom its name tells.
    pub fn new(file: PathBuf, user: Option<UserId>) -> Result<Self, Error> {
        if let Some(user) = user {
            return Ok(Self { file, user });
        }
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match archive_user(&name) {
            Some(user) => Ok(Self { file, user: user? }),
            None => Err(Error::input(format!(
                "{}: the name doesn't tell whose workspace it is, as <group>_<user>{ARCHIVE_SUFFIX} \
                 would; say it with --as GROUP/USER",
                file.display()
            ))),
        }
    }
}

/// An archive that was looked through.
struct Checked {
    import: Import,
    workspace: Workspace,
    file: File,
    sum: String,
    verified: bool,
    tally: Tally,
    gate: Gate,
}

impl Node {
    /// Puts archives into workspaces, which are made where they aren't there. All are looked through
    /// first, and nothing is changed if one can't be taken. A workspace with something in it is
    /// refused, unless `force` says that the archive may be put over it: files of the same name are
    /// replaced, everything else stays.
    pub async fn import_workspaces(
        &self,
        imports: &[Import],
        force: bool,
    ) -> Result<(Vec<Imported>, Vec<UserFailure>), Error> {
        let steps = Steps::begin(self, "check", "looking through the archives", imports.len());
        let mut checked: Vec<Checked> = Vec::new();
        for (done, import) in imports.iter().enumerate() {
            if checked.iter().any(|other| other.import.user == import.user) {
                let user = &import.user;
                return Err(Error::input(format!("two archives for {user}; import one of them")));
            }
            steps.at(done, import.file.display().to_string());
            let one = self.check_import(import, force, &steps, done).await;
            self.keeper().settle().await;
            checked.push(one?);
        }
        steps.end("nothing is wrong with them".to_owned());

        let steps = Steps::begin(self, "import", "writing workspaces", imports.len());
        let (mut imported, mut failures) = (Vec::new(), Vec::new());
        for (done, one) in checked.into_iter().enumerate() {
            let user = one.import.user.clone();
            steps.at(done, user.to_string());
            match self.bring_in(one, &steps, done).await {
                Ok(one) => imported.push(one),
                Err(failure) => failures.push(UserFailure { user, failure }),
            }
        }
        steps.end(format!("{} of {} written", imported.len(), imports.len()));
        Ok((imported, failures))
    }

    /// Where it is noted that an import into a user's empty workspace began and hasn't ended.
    pub(crate) fn import_note(&self, user: &UserId) -> PathBuf {
        let name = archive_name(user);
        self.home().imports().join(name.strip_suffix(ARCHIVE_SUFFIX).unwrap_or(&name))
    }

    /// Notes what is about to be written into a user's workspace, for whoever finds half of it.
    pub(crate) fn note_import(&self, user: &UserId, what: &str) -> Result<(), Failure> {
        let folder = self.home().imports();
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .map_err(|error| in_words("making the folder", &folder, &error))?;
        write_private(&self.import_note(user), format!("{what}\n").as_bytes())
    }

    async fn check_import(
        &self,
        import: &Import,
        force: bool,
        steps: &Steps,
        done: usize,
    ) -> Result<Checked, Error> {
        let workspace = self.workspace_of(&import.user)?;
        if workspace == Workspace::Ephemeral {
            return Err(Error::input(
                "workspaces live in the sandboxes alone (`workspace.ephemeral`), and nothing can \
                 be imported into them",
            ));
        }
        let tried = format!("looking through {}", import.file.display());
        let path = import.file.clone();
        let (file, sum, verified) = apart(&tried, move || open(&path)).await?;

        let noted = fs::read_to_string(self.import_note(&import.user)).unwrap_or_default();
        let gate = match self.keeper().read(&import.user, &workspace).await {
            Ok(present) => {
                let (user, go_on) = (import.user.clone(), force || noted.trim() == sum);
                apart(&tried, move || look(present, &user, go_on)).await?
            }
            Err(failure)
                if failure.kind == FailureKind::Missing
                    && !self.needs_image(&workspace).await? =>
            {
                Gate::new(Bounds::IMPORT)
            }
            Err(failure) => return Err(failure.into()),
        };
        let (import, mut say) = (import.clone(), steps.pieces(done, &import.user));
        apart(&tried, move || {
            // The archive is looked through with a gate of its own; the same one, fresh, lets it in.
            let mut trial = gate.clone();
            let tally = read(&file, io::sink(), &mut trial, &mut say)
                .map_err(|stopped| bad(&import.file, stopped))?;
            Ok(Checked { import, workspace, file, sum, verified, tally, gate })
        })
        .await
    }

    /// True if the workspace is a volume and there is no image to read it through.
    async fn needs_image(&self, workspace: &Workspace) -> Result<bool, Error> {
        let image = &self.config().sandbox.image;
        Ok(matches!(workspace, Workspace::Volume(_)) && !self.runtime().has_image(image).await?)
    }

    async fn bring_in(
        &self,
        checked: Checked,
        steps: &Steps,
        done: usize,
    ) -> Result<Imported, Failure> {
        let Checked { import, workspace, file, sum, verified, tally, mut gate } = checked;
        let note = self.import_note(&import.user);
        let fresh = gate.is_fresh();
        if fresh {
            // Whoever is killed from here on can go on with the same archive.
            self.note_import(&import.user, &sum)?;
        }
        let ensured = self.runtime().ensure_workspace(&import.user, &workspace).await;
        if fresh && ensured.is_err() {
            // Nothing of it was written, so that there is nothing to go on with.
            drop(fs::remove_file(&note));
        }
        ensured?;
        let mut say = steps.pieces(done, &import.user);
        let stream = feed(move |to| {
            let to = io::BufWriter::with_capacity(1 << 16, to);
            read(&file, to, &mut gate, &mut say).map(drop).map_err(|stopped| match stopped {
                Stopped::Source(error) | Stopped::Target(error) => error,
                Stopped::Refused(refusal) => io::Error::other(refusal.to_string()),
                Stopped::Damaged(cause) => io::Error::other(cause),
            })
        });
        let stream = stream.map_err(|error| in_words("reading", &import.file, &error))?;
        self.keeper().write(&import.user, &workspace, stream).await?;
        match fs::remove_file(&note) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(in_words("removing", &note, &error));
            }
            _ => {}
        }
        let (entries, bytes) = (tally.entries, tally.bytes);
        Ok(Imported { user: import.user, file: import.file, entries, bytes, verified })
    }
}

/// Opens an archive and holds it against the checksum beside it, where there is one.
fn open(path: &Path) -> Result<(File, String, bool), Error> {
    let unreadable = |error: io::Error| Error::input(format!("{}: {error}", path.display()));
    let file = File::open(path).map_err(unreadable)?;
    if !file.metadata().map_err(unreadable)?.is_file() {
        return Err(Error::input(format!("{}: it is no file", path.display())));
    }
    let sum = checksum(&file).map_err(unreadable)?;
    let sums = checksums(folder_of(path))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let expected = sums.as_ref().and_then(|sums| sums.get(&name));
    match expected {
        Some(expected) if *expected != sum => Err(Error::input(format!(
            "{}: its checksum is {sum}, and {SUMS_FILE} beside it says {expected}: it was damaged \
             or changed; fetch it again",
            path.display()
        ))),
        _ => Ok((file, sum.clone(), expected.is_some())),
    }
}

/// Looks at what is in a workspace. Without `go_on` it has to be empty.
fn look(present: TarStream, user: &UserId, go_on: bool) -> Result<Gate, Error> {
    // The folder itself is the first entry, and with one alone to be admitted the next one stops it.
    let bounds = if go_on { Bounds::NONE } else { Bounds { entries: 1, ..Bounds::NONE } };
    let mut gate = Gate::new(bounds);
    match recode(present, io::sink(), &mut gate, Direction::Out, &mut |_| {}) {
        Ok(_) => Ok(gate.into_present(Bounds::IMPORT)),
        Err(Stopped::Refused(_)) if !go_on => Err(Error::input(format!(
            "the workspace of {user} isn't empty; put the archive over what is in it with --force, \
             or remove it first with `thon workspace remove {user}`"
        ))),
        Err(stopped) => {
            let cause = match &stopped {
                Stopped::Source(error) | Stopped::Target(error) => match failure_in(error) {
                    Some(failure) => return Err(failure.into()),
                    None => error.to_string(),
                },
                Stopped::Refused(refusal) => refusal.to_string(),
                Stopped::Damaged(cause) => cause.clone(),
            };
            let tried = format!("looking at the workspace of {user}");
            let advice = "it may have changed meanwhile: try again";
            Err(Failure::new(FailureKind::Other, tried, cause, advice).into())
        }
    }
}

/// Reads an archive from its beginning to its end.
fn read(
    mut file: &File,
    to: impl Write,
    gate: &mut Gate,
    say: &mut dyn FnMut(&Tally),
) -> Result<Tally, Stopped> {
    let mut magic = Vec::new();
    file.rewind().map_err(Stopped::Source)?;
    file.take(4).read_to_end(&mut magic).map_err(Stopped::Source)?;
    file.rewind().map_err(Stopped::Source)?;
    if magic == ZSTD {
        let from = zstd::Decoder::new(file).map_err(Stopped::Source)?;
        return recode(from, to, gate, Direction::In, say);
    }
    if magic.starts_with(&GZIP) {
        let cause = "it is compressed with gzip; make it one of zstd with `zcat FILE | zstd`";
        return Err(Stopped::Damaged(cause.to_owned()));
    }
    recode(BufReader::new(file), to, gate, Direction::In, say)
}

fn bad(file: &Path, stopped: Stopped) -> Error {
    let cause = match stopped {
        Stopped::Refused(refusal) => refusal.to_string(),
        Stopped::Damaged(cause) => format!("it is no whole tar archive: {cause}"),
        Stopped::Source(error) | Stopped::Target(error) => {
            format!("it is damaged or cut: {error}")
        }
    };
    Error::input(format!("{}: {cause}; nothing was changed", file.display()))
}
