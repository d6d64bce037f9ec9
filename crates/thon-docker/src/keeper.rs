//! Whole workspaces: found, read, written and deleted, in volumes and in folders.
//!
//! For: the trait that the facade knows.
//! Not for: what may be in an archive, and whether a workspace may go; the core says that.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bollard::query_parameters::{ListVolumesOptions, RemoveVolumeOptions};
use thon_core::adapter::{Failure, FailureKind, TarStream, WorkspaceKeeper};
use thon_core::image::ImageRef;
use thon_core::name::{GroupName, SEPARATOR, UserId, Username};
use thon_core::workspace::{FoundWorkspace, Workspace, WorkspaceMode};
use tokio::task::JoinHandle;

use crate::client::{DockerRuntime, QUICK, SLOW};
use crate::error::{DockerError, is_missing};
use crate::{bind, bind_pack, feed, labels, tree};

/// Workspaces as Docker and the host keep them.
#[derive(Debug)]
pub struct DockerWorkspaces {
    runtime: Arc<DockerRuntime>,
    /// The image through which volumes are read.
    image: ImageRef,
    mode: WorkspaceMode,
    /// What is still being tidied up.
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl DockerWorkspaces {
    /// The workspaces of the node that `runtime` works for.
    #[must_use]
    pub fn new(runtime: Arc<DockerRuntime>, image: ImageRef, mode: WorkspaceMode) -> Self {
        Self { runtime, image, mode, tasks: Mutex::default() }
    }

    /// Waits until nothing of what was read stays behind in Docker. A command does this before it
    /// ends; what is left by one that was killed is removed by the next.
    pub async fn settle(&self) {
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        for task in tasks {
            // One that broke down has nothing more to tidy up.
            drop(task.await);
        }
    }

    async fn volumes(&self, tried: &str) -> Result<Vec<Place>, DockerError> {
        let client = self.runtime.client().await?;
        let listed = client.list_volumes(None::<ListVolumesOptions>);
        let listed = self.runtime.call(tried, QUICK, listed).await?;
        // Only then is a folder of the engine's one of ours.
        let here = self.runtime.is_here();
        let mut found = Vec::new();
        for volume in listed.volumes.unwrap_or_default() {
            let Some(user) = self.owner(&volume.name, &volume.labels) else { continue };
            let folder = here.then(|| PathBuf::from(volume.mountpoint));
            found.push(Place { user, workspace: Workspace::Volume(volume.name), folder });
        }
        Ok(found)
    }

    /// Whose volume it is: as its labels say, or its name where nobody labelled it.
    fn owner(&self, name: &str, found: &HashMap<String, String>) -> Option<UserId> {
        if found.contains_key(labels::NODE) {
            return labels::are_of(self.runtime.node(), found).then(|| labels::user(found))?;
        }
        let rest = name.strip_prefix(self.runtime.node().as_str())?.strip_prefix("-workspace-")?;
        let (group, user) = rest.split_once(SEPARATOR)?;
        Some(UserId::new(GroupName::new(group).ok()?, Username::new(user).ok()?))
    }

    /// Refuses a volume that isn't there or is somebody else's.
    async fn check_volume(
        &self,
        tried: &str,
        user: &UserId,
        name: &str,
    ) -> Result<(), DockerError> {
        let client = self.runtime.client().await?;
        match self.runtime.raw(tried, QUICK, client.inspect_volume(name)).await? {
            Ok(volume) if self.owner(name, &volume.labels).as_ref() == Some(user) => Ok(()),
            Ok(_) => Err(DockerError::engine(
                FailureKind::Conflict,
                tried,
                format!("the volume {name} belongs to somebody else"),
                "see whose it is with `docker volume inspect`",
            )),
            Err(error) if is_missing(&error) => Err(none(tried, user)),
            Err(error) => Err(self.runtime.error(tried, &error)),
        }
    }

    async fn stream(&self, user: &UserId, workspace: &Workspace) -> Result<TarStream, DockerError> {
        let tried = format!("reading the workspace of {user}");
        match workspace {
            Workspace::Volume(name) => {
                self.check_volume(&tried, user, name).await?;
                let (stream, task) = self.runtime.read_volume(tried, name, &self.image).await?;
                self.tasks.lock().unwrap_or_else(PoisonError::into_inner).push(task);
                Ok(stream)
            }
            Workspace::Bind(path) => {
                let (path, user) = (path.clone(), user.clone());
                let words = tried.clone();
                apart(&tried, move || {
                    check_folder(&words, &user, &path)?;
                    let root =
                        tree::open(&path).map_err(|error| in_words(&words, &path, &error))?;
                    feed(move |writer| bind_pack::pack(&root, io::BufWriter::new(writer)))
                        .map_err(|error| in_words(&words, &path, &error))
                })
                .await
            }
            Workspace::Ephemeral => Err(ephemeral(&tried)),
        }
    }

    async fn fill(
        &self,
        user: &UserId,
        workspace: &Workspace,
        tar: TarStream,
    ) -> Result<(), DockerError> {
        let tried = format!("writing the workspace of {user}");
        match workspace {
            Workspace::Volume(name) => {
                self.check_volume(&tried, user, name).await?;
                self.runtime.write_volume(&tried, name, &self.image, tar).await
            }
            Workspace::Bind(path) => {
                let (path, user) = (path.clone(), user.clone());
                let words = tried.clone();
                apart(&tried, move || {
                    check_folder(&words, &user, &path)?;
                    tree::open(&path)
                        .and_then(|root| bind_pack::unpack(&root, tar))
                        .map_err(|error| in_words(&words, &path, &error))
                })
                .await
            }
            Workspace::Ephemeral => Err(ephemeral(&tried)),
        }
    }

    async fn take_away(&self, user: &UserId, workspace: &Workspace) -> Result<(), DockerError> {
        let tried = format!("deleting the workspace of {user}");
        match workspace {
            Workspace::Volume(name) => {
                match self.check_volume(&tried, user, name).await {
                    Err(error) if error.kind() == FailureKind::Missing => return Ok(()),
                    other => other?,
                }
                self.runtime.sweep_helpers(&tried).await?;
                let client = self.runtime.client().await?;
                let removed = client.remove_volume(name, None::<RemoveVolumeOptions>);
                match self.runtime.raw(&tried, SLOW, removed).await? {
                    Err(error) if !is_missing(&error) => Err(self.runtime.error(&tried, &error)),
                    _ => Ok(()),
                }
            }
            Workspace::Bind(path) => {
                let (path, user) = (path.clone(), user.clone());
                let words = tried.clone();
                apart(&tried, move || delete_folder(&words, &user, &path)).await
            }
            Workspace::Ephemeral => Ok(()),
        }
    }
}

#[async_trait]
impl WorkspaceKeeper for DockerWorkspaces {
    async fn list(
        &self,
        measured: &(dyn for<'a> Fn(&'a UserId) -> bool + Sync),
    ) -> Result<Vec<FoundWorkspace>, Failure> {
        let tried = "listing the workspaces";
        let mut all = self.volumes(tried).await?;
        if let WorkspaceMode::Bind(top) = self.mode.clone() {
            all.extend(apart(tried, move || folders(tried, &top)).await?);
        }
        all.sort_by(|one, other| one.user.cmp(&other.user));
        for place in all.iter_mut().filter(|place| !measured(&place.user)) {
            place.folder = None;
        }
        Ok(apart(tried, move || Ok(all.into_iter().map(Place::measured).collect())).await?)
    }

    async fn read(&self, user: &UserId, workspace: &Workspace) -> Result<TarStream, Failure> {
        Ok(self.stream(user, workspace).await?)
    }

    async fn write(
        &self,
        user: &UserId,
        workspace: &Workspace,
        tar: TarStream,
    ) -> Result<(), Failure> {
        Ok(self.fill(user, workspace, tar).await?)
    }

    async fn delete(&self, user: &UserId, workspace: &Workspace) -> Result<(), Failure> {
        Ok(self.take_away(user, workspace).await?)
    }
}

/// Runs `work` where blocking is allowed.
async fn apart<T: Send + 'static>(
    tried: &str,
    work: impl FnOnce() -> Result<T, DockerError> + Send + 'static,
) -> Result<T, DockerError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        let advice = "this is a fault in THON: please report it";
        Err(DockerError::host(FailureKind::Other, tried, error.to_string(), advice))
    })
}

/// Where a workspace is.
struct Place {
    user: UserId,
    workspace: Workspace,
    /// The folder of this host that can be looked into.
    folder: Option<PathBuf>,
}

impl Place {
    /// The workspace with its size, as far as that can be found out. Blocks.
    fn measured(self) -> FoundWorkspace {
        let measured = self.folder.and_then(|folder| tree::measure(&folder).ok());
        let (size, changed_at) = measured.unzip();
        FoundWorkspace { user: self.user, workspace: self.workspace, size, changed_at }
    }
}

/// The workspaces below `top`: folders of the form `<group>/<user>` that were made for sandboxes.
fn folders(tried: &str, top: &Path) -> Result<Vec<Place>, DockerError> {
    let mut all = Vec::new();
    for group in names(tried, top)? {
        let Ok(group) = GroupName::new(group) else { continue };
        let folder = top.join(group.as_str());
        let present = names(tried, &folder)?;
        for user in &present {
            // What a deletion that was killed has left is still its user's, to be deleted again.
            if let Some(user) = user.strip_prefix('.').and_then(|name| name.strip_suffix(".gone"))
                && let Ok(user) = Username::new(user)
                && !present.iter().any(|name| name == user.as_str())
            {
                let path = folder.join(user.as_str());
                let user = UserId::new(group.clone(), user);
                let folder = Some(aside(&path, &user));
                all.push(Place { user, workspace: Workspace::Bind(path), folder });
                continue;
            }
            let Ok(user) = Username::new(user) else { continue };
            let path = folder.join(user.as_str());
            let user = UserId::new(group.clone(), user);
            if check_folder(tried, &user, &path).is_ok() {
                let folder = Some(path.clone());
                all.push(Place { user, workspace: Workspace::Bind(path), folder });
            }
        }
    }
    Ok(all)
}

/// The names of the folders in a folder; none where it isn't there.
fn names(tried: &str, folder: &Path) -> Result<Vec<String>, DockerError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(in_words(tried, folder, &error)),
    };
    let entries = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|t| t.is_dir()));
    Ok(entries.filter_map(|entry| entry.file_name().into_string().ok()).collect())
}

/// Refuses a folder that isn't there or was never made for this user's sandbox.
fn check_folder(tried: &str, user: &UserId, path: &Path) -> Result<(), DockerError> {
    if bind::find(tried, path, user)? { Ok(()) } else { Err(none(tried, user)) }
}

/// Deletes a folder: it is put aside under a name that no user can have, so that whoever is killed
/// half-way leaves no half workspace, and the next deletion goes on with it.
fn delete_folder(tried: &str, user: &UserId, path: &Path) -> Result<(), DockerError> {
    let aside = aside(path, user);
    let failed = |error: &io::Error| in_words(tried, path, error);
    sweep(&aside).map_err(|error| failed(&error))?;
    if bind::find(tried, path, user)? {
        fs::rename(path, &aside).map_err(|error| failed(&error))?;
        if let Err(error) = sweep(&aside) {
            // What is left stays where it is found, and can be deleted again.
            drop(fs::rename(&aside, path));
            return Err(failed(&error));
        }
    }
    if let Some(group) = path.parent() {
        // Stays where others of the group have theirs in it.
        drop(fs::remove_dir(group));
    }
    Ok(())
}

/// Where a folder is put while it is deleted.
fn aside(path: &Path, user: &UserId) -> PathBuf {
    path.with_file_name(format!(".{}.gone", user.user))
}

fn sweep(aside: &PathBuf) -> io::Result<()> {
    match fs::remove_dir_all(aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn none(tried: &str, user: &UserId) -> DockerError {
    DockerError::host(
        FailureKind::Missing,
        tried,
        format!("{user} has no workspace"),
        "see who has one with `thon workspace list`",
    )
}

fn ephemeral(tried: &str) -> DockerError {
    DockerError::host(
        FailureKind::Missing,
        tried,
        "workspaces live in the sandboxes alone (`workspace.ephemeral`)",
        "set `workspace.ephemeral: false`, which gives every user a volume",
    )
}

fn in_words(tried: &str, path: &Path, error: &io::Error) -> DockerError {
    let (kind, advice) = match error.kind() {
        io::ErrorKind::PermissionDenied => (
            FailureKind::Denied,
            "run this as root (`sudo`): the files belong to the sandboxes' user".to_owned(),
        ),
        io::ErrorKind::StorageFull => {
            (FailureKind::Other, format!("free space below {}", path.display()))
        }
        _ => (FailureKind::Other, format!("look at {}", path.display())),
    };
    DockerError::host(kind, tried, error.to_string(), advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_found_and_deleted_with_everything_in_them() {
        let top = tempfile::tempdir().unwrap();
        let alice: UserId = "alpha/alice".parse().unwrap();
        let path = top.path().join("alpha/alice");
        bind::ensure(&path, &alice).unwrap();
        fs::create_dir_all(path.join("a/b")).unwrap();
        fs::create_dir_all(top.path().join("Not a group/alice")).unwrap();
        fs::create_dir_all(top.path().join("alpha/.alice.gone/left/behind")).unwrap();
        let found = folders("x", top.path()).unwrap();
        let found: Vec<_> = found.into_iter().map(Place::measured).collect();
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((&found[0].user, found[0].size.is_some()), (&alice, true));

        // A deletion that was killed, or could not do everything, is found and goes on.
        fs::remove_dir_all(top.path().join("alpha/.alice.gone")).unwrap();
        fs::rename(&path, top.path().join("alpha/.alice.gone")).unwrap();
        let [half] = &folders("x", top.path()).unwrap()[..] else { panic!("lost") };
        assert_eq!((&half.user, &half.workspace), (&alice, &Workspace::Bind(path.clone())));

        for _ in 0..2 {
            delete_folder("x", &alice, &path).unwrap();
            assert!(!top.path().join("alpha").exists());
        }
        assert!(folders("x", top.path()).unwrap().is_empty());
        assert!(folders("x", &top.path().join("nowhere")).unwrap().is_empty());
        assert_eq!(check_folder("x", &alice, &path).unwrap_err().kind(), FailureKind::Missing);
    }
}
