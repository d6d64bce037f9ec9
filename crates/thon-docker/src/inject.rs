//! Placing files in a sandbox before it starts.
//!
//! For: one tar stream with the files and exactly those folders on the way to them that the image
//! doesn't have. A folder that is there isn't named in the stream: naming it would change its owner
//! and mode.
//! Not for: files of a running sandbox.

use std::collections::BTreeSet;
use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use bollard::query_parameters::{
    ContainerArchiveInfoOptionsBuilder, UploadToContainerOptionsBuilder,
};
use bytes::Bytes;
use thon_core::adapter::FailureKind;
use thon_core::sandbox::{InjectedFile, SandboxId, USER_ID};

use crate::client::{DockerRuntime, QUICK, SLOW};
use crate::error::{DockerError, is_missing};

/// The mode of folders that have to be made on the way to a file.
const FOLDER_MODE: u32 = 0o755;
/// Go's bits for a folder and for a symbolic link in a file mode, which Docker's answers use.
const GO_FOLDER: u32 = 1 << 31;
const GO_LINK: u32 = 1 << 27;

impl DockerRuntime {
    /// Places `files` in the container `id`, which was made from the image `image_id`.
    pub(crate) async fn inject(
        &self,
        name: &str,
        id: &SandboxId,
        image_id: &str,
        files: &[InjectedFile],
    ) -> Result<(), DockerError> {
        let tried = format!("placing files in sandbox {name}");
        for file in files {
            check(&tried, &file.path)?;
        }
        let mut missing = BTreeSet::new();
        for file in files {
            for folder in folders(&file.path) {
                if missing.contains(folder) || self.has_folder(&tried, id, image_id, folder).await?
                {
                    break;
                }
                missing.insert(folder.to_owned());
            }
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let archive = archive(files, &missing, now).map_err(|error| {
            let advice = "this is a fault in THON: please report it";
            DockerError::host(FailureKind::Other, &tried, error.to_string(), advice)
        })?;
        let client = self.client().await?;
        let options = UploadToContainerOptionsBuilder::default().path("/").build();
        // As a stream, because bollard writes bodies in one piece into its trace log.
        let body = futures_util::stream::iter([Ok(Bytes::from(archive))]);
        let upload =
            client.upload_to_container(&id.0, Some(options), bollard::body_try_stream(body));
        self.call(&tried, SLOW, upload).await
    }

    /// True if the image has this folder. Asked once per image: Docker mounts the container's
    /// files for every question.
    async fn has_folder(
        &self,
        tried: &str,
        id: &SandboxId,
        image_id: &str,
        folder: &str,
    ) -> Result<bool, DockerError> {
        let key = (image_id.to_owned(), folder.to_owned());
        if self.folders().contains(&key) {
            return Ok(true);
        }
        let client = self.client().await?;
        let options = ContainerArchiveInfoOptionsBuilder::default().path(folder).build();
        let question = client.get_container_archive_info(&id.0, Some(options));
        match self.raw(tried, QUICK, question).await? {
            Ok(found) if found.file_mode & (GO_FOLDER | GO_LINK) == 0 => Err(DockerError::engine(
                FailureKind::Conflict,
                tried,
                format!("{folder} is a file in the image and has to be a folder"),
                "use another image",
            )),
            Ok(_) => {
                self.folders().insert(key);
                Ok(true)
            }
            Err(error) if is_missing(&error) => Ok(false),
            Err(error) => Err(self.error(tried, &error)),
        }
    }
}

/// Refuses a path that doesn't say plainly where in the sandbox it leads.
fn check(tried: &str, path: &str) -> Result<(), DockerError> {
    let plain = path.strip_prefix('/').is_some_and(|rest| {
        rest.split('/').all(|part| !matches!(part, "" | "." | "..") && !part.contains('\0'))
    });
    if plain {
        return Ok(());
    }
    Err(DockerError::host(
        FailureKind::Other,
        tried,
        format!("{} is no plain absolute path", thon_core::name::quoted(path)),
        "name files with a path such as /home/vscode/.config/tool.json",
    ))
}

/// The folders on the way to a file, the deepest first, without `/`.
fn folders(path: &str) -> impl Iterator<Item = &str> {
    let mut rest = path;
    std::iter::from_fn(move || {
        let (folder, _) = rest.rsplit_once('/')?;
        rest = folder;
        (!folder.is_empty()).then_some(folder)
    })
}

/// The stream: the folders, parents first, then the files, all owned by `vscode`.
fn archive(files: &[InjectedFile], missing: &BTreeSet<String>, now: u64) -> io::Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    let header = |mode: u32, kind: tar::EntryType, size: usize| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode & 0o7777);
        header.set_uid(USER_ID.into());
        header.set_gid(USER_ID.into());
        header.set_mtime(now);
        header.set_size(size as u64);
        header
    };
    for folder in missing {
        let mut header = header(FOLDER_MODE, tar::EntryType::Directory, 0);
        builder.append_data(&mut header, format!("{}/", relative(folder)), io::empty())?;
    }
    for file in files {
        let mut header = header(file.mode, tar::EntryType::Regular, file.contents.len());
        builder.append_data(&mut header, relative(&file.path), file.contents.as_slice())?;
    }
    builder.into_inner()
}

fn relative(path: &str) -> &str {
    path.trim_start_matches('/')
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn file(path: &str, mode: u32, contents: &str) -> InjectedFile {
        InjectedFile { path: path.to_owned(), mode, contents: contents.as_bytes().to_vec() }
    }

    fn entries(bytes: &[u8]) -> Vec<(String, u32, u64, u64, String)> {
        let mut archive = tar::Archive::new(bytes);
        archive
            .entries()
            .unwrap()
            .map(|entry| {
                let mut entry = entry.unwrap();
                let mut contents = String::new();
                entry.read_to_string(&mut contents).unwrap();
                let path = entry.path().unwrap().display().to_string();
                let header = entry.header();
                let mode = header.mode().unwrap();
                (path, mode, header.uid().unwrap(), header.gid().unwrap(), contents)
            })
            .collect()
    }

    #[test]
    fn files_belong_to_the_user_and_only_missing_folders_are_named() {
        let files = [
            file("/home/vscode/.config/code-server/config.yaml", 0o600, "password: x"),
            file("/home/vscode/.config/new/deep/tool.json", 0o644, "{}"),
        ];
        let missing = BTreeSet::from([
            "/home/vscode/.config/new".to_owned(),
            "/home/vscode/.config/new/deep".to_owned(),
        ]);
        let id = u64::from(USER_ID);
        let found = entries(&archive(&files, &missing, 7).unwrap());
        let expected = [
            ("home/vscode/.config/new/", 0o755, ""),
            ("home/vscode/.config/new/deep/", 0o755, ""),
            ("home/vscode/.config/code-server/config.yaml", 0o600, "password: x"),
            ("home/vscode/.config/new/deep/tool.json", 0o644, "{}"),
        ]
        .map(|(path, mode, text)| (path.to_owned(), mode, id, id, text.to_owned()));
        assert_eq!(found, expected);
    }

    #[test]
    fn a_path_longer_than_a_tar_header_arrives_whole() {
        let long = format!("/home/vscode/{}/{}/f", "a".repeat(120), "b".repeat(120));
        let found = entries(&archive(&[file(&long, 0o600, "x")], &BTreeSet::new(), 0).unwrap());
        assert_eq!(format!("/{}", found[0].0), long);
    }

    #[test]
    fn folders_come_deepest_first() {
        assert_eq!(folders("/a/b/c.txt").collect::<Vec<_>>(), ["/a/b", "/a"]);
        assert_eq!(folders("/c.txt").count(), 0);
    }

    #[test]
    fn paths_that_lead_elsewhere_are_refused() {
        for path in ["", "etc/x", "/", "/a/../b", "/a//b", "/a/.", "/a/", "/a\0b"] {
            assert!(check("x", path).is_err(), "{path:?}");
        }
        assert!(check("x", "/home/vscode/.config/a b.json").is_ok());
    }
}
