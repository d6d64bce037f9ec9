//! Workspaces in folders of the host.
//!
//! For: making `<dir>/<group>/<user>` once, with an owner and a mode that fit, and leaving it alone
//! ever after, however many files are in it.
//! Not for: named volumes, which Docker makes.
//!
//! Who may do what: the sandbox's user has the fixed uid 1001. Run as root, or as that very uid, the
//! folder is theirs alone (0700). Run as anybody else it can't be given away, so that it has to be
//! open to everyone (0777); then the group's folder above it is closed (0700), which keeps the other
//! people of the host out. Docker mounts folders as root and passes through closed ones.

use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Component, Path};

use thon_core::adapter::FailureKind;
use thon_core::name::UserId;
use thon_core::sandbox::USER_ID;
use thon_core::workspace::WorkspaceChange;

use crate::error::DockerError;

/// The mode of the folder that holds all workspaces.
const TOP_MODE: u32 = 0o755;

/// Makes the folder if it isn't there. Blocks.
pub(crate) fn ensure(path: &Path, user: &UserId) -> Result<WorkspaceChange, DockerError> {
    let tried = format!("making the workspace {}", path.display());
    let Some((top, group)) = parents(path, user) else { return Err(no_place(&tried, user)) };
    if is_workspace(&tried, group, path)? {
        return Ok(WorkspaceChange::Kept);
    }
    make(top, group, path).map_err(|error| in_words(&tried, top, &error))
}

/// True if the folder is there and was made for this user's sandbox.
pub(crate) fn find(tried: &str, path: &Path, user: &UserId) -> Result<bool, DockerError> {
    let Some((_, group)) = parents(path, user) else { return Err(no_place(tried, user)) };
    is_workspace(tried, group, path)
}

fn is_workspace(tried: &str, group: &Path, path: &Path) -> Result<bool, DockerError> {
    let there = is_folder(tried, group)? && is_folder(tried, path)?;
    if there {
        is_a_workspace(tried, path)?;
    }
    Ok(there)
}

fn no_place(tried: &str, user: &UserId) -> DockerError {
    DockerError::host(
        FailureKind::Other,
        tried,
        format!("the workspace of {user} has to be an absolute path that ends in {user}"),
        "set the folder of the workspaces to an absolute path without `..`",
    )
}

/// The folder of all workspaces and the group's, if `path` is where this user's workspace may be.
fn parents<'a>(path: &'a Path, user: &UserId) -> Option<(&'a Path, &'a Path)> {
    let group = path.parent()?;
    let top = group.parent()?;
    let plain = path.components().all(|part| !matches!(part, Component::ParentDir));
    let fits = path.file_name()? == user.user.as_str() && group.file_name()? == user.group.as_str();
    (path.is_absolute() && plain && fits).then_some((top, group))
}

/// True if it is a folder, false if nothing is there. Anything else, a symbolic link above all, is
/// refused: it could lead one user's sandbox to another's files.
fn is_folder(tried: &str, path: &Path) -> Result<bool, DockerError> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => Ok(true),
        Ok(found) => {
            let what = if found.is_symlink() { "a symbolic link" } else { "not a folder" };
            Err(DockerError::host(
                FailureKind::Conflict,
                tried,
                format!("{} is {what}", path.display()),
                "move it away, or set another folder for the workspaces",
            ))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(in_words(tried, path, &error)),
    }
}

/// Refuses a folder that was never made for a sandbox: a name in a roster, which may come from a
/// sign-up form, must not hand a folder of the host to a participant.
fn is_a_workspace(tried: &str, path: &Path) -> Result<(), DockerError> {
    let found = fs::symlink_metadata(path).map_err(|error| in_words(tried, path, &error))?;
    // Open to everyone is how somebody who isn't root makes them.
    if found.uid() == USER_ID || found.mode() & 0o007 == 0o007 {
        return Ok(());
    }
    let shown = path.display();
    Err(DockerError::host(
        FailureKind::Conflict,
        tried,
        format!(
            "it is there and belongs to user {}, not to the sandboxes' user {USER_ID}",
            found.uid()
        ),
        format!(
            "if it is meant to be theirs, `chown -R {USER_ID}:{USER_ID} {shown}`; else set another \
             folder for the workspaces"
        ),
    ))
}

fn make(top: &Path, group: &Path, leaf: &Path) -> io::Result<WorkspaceChange> {
    DirBuilder::new().recursive(true).mode(TOP_MODE).create(top)?;
    // Made beside its place and moved there when it is right: whoever is killed half-way leaves no
    // workspace that its user can't write to. A user's name can't start with a dot.
    let name = leaf.file_name().map(|name| name.to_string_lossy().into_owned());
    let draft = group.join(format!(".{}.new", name.unwrap_or_default()));
    let group_is_new = match DirBuilder::new().mode(0o700).create(group) {
        Ok(()) => true,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => false,
        Err(error) => return Err(error),
    };
    match fs::remove_dir(&draft) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => DirBuilder::new().mode(0o700).create(&draft)?,
    }
    let we = fs::symlink_metadata(&draft)?.uid();
    let (leaf_mode, group_mode) = if we == 0 {
        std::os::unix::fs::lchown(&draft, Some(USER_ID), Some(USER_ID))?;
        (0o700, 0o711)
    } else if we == USER_ID {
        (0o700, 0o711)
    } else {
        (0o777, 0o700)
    };
    fs::set_permissions(&draft, Permissions::from_mode(leaf_mode))?;
    if group_is_new {
        fs::set_permissions(group, Permissions::from_mode(group_mode))?;
    }
    match fs::rename(&draft, leaf) {
        Ok(()) => Ok(WorkspaceChange::Made),
        // Somebody else made it meanwhile and files are in it already.
        Err(_) if fs::symlink_metadata(leaf).is_ok_and(|found| found.is_dir()) => {
            fs::remove_dir(&draft)?;
            Ok(WorkspaceChange::Kept)
        }
        Err(error) => Err(error),
    }
}

fn in_words(tried: &str, top: &Path, error: &io::Error) -> DockerError {
    let top = top.display();
    let (kind, advice) = match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => (
            FailureKind::Denied,
            format!("make {top} writable for the user who runs THON, or set another folder"),
        ),
        ErrorKind::StorageFull => (FailureKind::Other, format!("free space below {top}")),
        _ => (FailureKind::Other, format!("look at {top}, or set another folder")),
    };
    DockerError::host(kind, tried, error.to_string(), advice)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn alice() -> UserId {
        "alpha/alice".parse().unwrap()
    }

    #[test]
    fn it_is_made_once_and_left_alone_ever_after() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ws/alpha/alice");
        assert_eq!(ensure(&path, &alice()).unwrap(), WorkspaceChange::Made);
        let made = fs::metadata(&path).unwrap();
        let group = fs::metadata(folder.path().join("ws/alpha")).unwrap();
        let modes = (made.mode() & 0o777, group.mode() & 0o777);
        if fs::metadata(folder.path()).unwrap().uid() == 0 {
            assert_eq!((made.uid(), made.gid()), (USER_ID, USER_ID));
            assert_eq!(modes, (0o700, 0o711));
        } else if made.uid() != USER_ID {
            assert_eq!(modes, (0o777, 0o700));
        }

        fs::set_permissions(&path, Permissions::from_mode(0o750)).unwrap();
        fs::write(path.join("file"), "x").unwrap();
        assert_eq!(ensure(&path, &alice()).unwrap(), WorkspaceChange::Kept);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o750);
        assert_eq!(fs::read_dir(folder.path().join("ws/alpha")).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_of_the_host_is_not_handed_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alpha/alice");
        fs::create_dir_all(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        let ours = fs::metadata(&path).unwrap().uid() == USER_ID;
        let result = ensure(&path, &alice());
        if ours {
            assert_eq!(result.unwrap(), WorkspaceChange::Kept);
        } else {
            let error = result.unwrap_err();
            assert_eq!(error.kind(), FailureKind::Conflict);
            assert!(error.to_string().contains("chown -R 1001:1001"), "{error}");
        }
        fs::set_permissions(&path, Permissions::from_mode(0o777)).unwrap();
        assert_eq!(ensure(&path, &alice()).unwrap(), WorkspaceChange::Kept);
    }

    #[test]
    fn a_run_that_was_killed_half_way_is_no_obstacle() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("alpha/.alice.new")).unwrap();
        let path = folder.path().join("alpha/alice");
        assert_eq!(ensure(&path, &alice()).unwrap(), WorkspaceChange::Made);
        assert!(path.is_dir() && !folder.path().join("alpha/.alice.new").exists());
    }

    #[test]
    fn links_and_files_in_the_way_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let top = folder.path();
        symlink(elsewhere.path(), top.join("alpha")).unwrap();
        let error = ensure(&top.join("alpha/alice"), &alice()).unwrap_err();
        assert_eq!(error.kind(), FailureKind::Conflict);
        assert!(error.to_string().contains("symbolic link"), "{error}");
        assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);

        fs::remove_file(top.join("alpha")).unwrap();
        fs::create_dir(top.join("alpha")).unwrap();
        symlink(elsewhere.path(), top.join("alpha/alice")).unwrap();
        assert_eq!(
            ensure(&top.join("alpha/alice"), &alice()).unwrap_err().kind(),
            FailureKind::Conflict
        );
        fs::remove_file(top.join("alpha/alice")).unwrap();
        fs::write(top.join("alpha/alice"), "").unwrap();
        assert!(ensure(&top.join("alpha/alice"), &alice()).is_err());
    }

    #[test]
    fn a_place_that_is_not_the_users_is_refused() {
        for path in ["alpha/alice", "/ws/alpha/bob", "/ws/beta/alice", "/ws/../x/alpha/alice", "/"]
        {
            assert!(ensure(Path::new(path), &alice()).is_err(), "{path}");
        }
    }

    #[test]
    fn a_folder_that_cannot_be_written_to_says_what_to_do() {
        // The kernel's own folder: not even root can make one in it.
        let error = ensure(Path::new("/proc/thon/alpha/alice"), &alice()).unwrap_err();
        assert!(error.to_string().contains("set another folder"), "{error}");
        let denied = io::Error::from(ErrorKind::PermissionDenied);
        assert_eq!(in_words("x", Path::new("/ws"), &denied).kind(), FailureKind::Denied);
    }
}
