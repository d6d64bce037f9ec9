//! A base image without an image registry.
//!
//! For: making one from the distribution's own packages with mmdebstrap.
//! Not for: the sandbox image itself, which is built on top of it.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use thon_core::adapter::FailureKind;
use thon_core::image::ImageRef;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::client::DockerRuntime;
use crate::error::DockerError;
use crate::progress::{Progress, ProgressCallback};

/// Where a distribution says what it is.
const OS_RELEASE: &str = "/etc/os-release";
/// The program that makes a root file system.
const PROGRAM: &str = "mmdebstrap";
/// Where a host's package sources are, in the order in which they are looked for: mmdebstrap takes
/// such a file, and the base then fetches from where its host does. Without one it takes the
/// distribution's own archive.
const SOURCES: [&str; 3] = [
    "/etc/apt/sources.list.d/debian.sources",
    "/etc/apt/sources.list.d/ubuntu.sources",
    "/etc/apt/sources.list",
];
/// Manuals and translations, a quarter of a base, are left out; copyrights stay.
const LEFT_OUT: [&str; 6] = [
    "--dpkgopt=path-exclude=/usr/share/man/*",
    "--dpkgopt=path-exclude=/usr/share/info/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
    "--dpkgopt=path-include=/usr/share/locale/locale.alias",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-include=/usr/share/doc/*/copyright",
];
/// A slow mirror may need this long for some 60 MB of packages.
const LIMIT: Duration = Duration::from_mins(30);
/// Lines of output that are kept for the message of a failure.
const KEPT_LINES: usize = 20;

impl DockerRuntime {
    /// Makes the image `thon-base:<codename>` from the packages of the distribution that this host
    /// runs, if it isn't there, and returns its name.
    pub async fn bootstrap_base(
        &self,
        progress: ProgressCallback<'_>,
    ) -> Result<ImageRef, DockerError> {
        let tried = "making a base image from the distribution's packages";
        let release = tokio::fs::read_to_string(OS_RELEASE).await.unwrap_or_default();
        let unknown = || {
            DockerError::host(
                FailureKind::Missing,
                tried,
                format!("{OS_RELEASE} names no release of Debian or Ubuntu"),
                "name a base image that is at hand when you build the image",
            )
        };
        let codename = codename(&release).ok_or_else(unknown)?;
        let image: ImageRef = format!("thon-base:{codename}").parse().map_err(|_| unknown())?;
        if self.image_info(&image).await?.is_some() {
            return Ok(image);
        }
        let folder = tempfile::Builder::new().prefix("thon-base-").tempdir().map_err(|error| {
            let advice = "free space in the folder for temporary files, or set TMPDIR to another";
            DockerError::host(FailureKind::Other, tried, error.to_string(), advice)
        })?;
        let tar = folder.path().join("base.tar");
        progress(Progress::text(format!("collecting the packages of {codename}")));
        run(tried, PROGRAM.as_ref(), codename, &tar, progress).await?;
        progress(Progress::text(format!("importing {image}")));
        self.import_base(&tar, &image).await?;
        Ok(image)
    }
}

/// Runs mmdebstrap and passes on what it says.
async fn run(
    tried: &str,
    program: &OsStr,
    codename: &str,
    tar: &Path,
    progress: ProgressCallback<'_>,
) -> Result<(), DockerError> {
    let mut child = Command::new(program)
        .args(["--variant=minbase", "--include=ca-certificates"])
        .args(LEFT_OUT)
        .arg(codename)
        .arg(tar)
        .args(SOURCES.iter().map(Path::new).find(|path| path.is_file()))
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| not_started(tried, program, &error))?;
    let mut last = VecDeque::new();
    let work = async {
        if let Some(stderr) = child.stderr.take() {
            let mut lines = BufReader::new(stderr).split(b'\n');
            while let Some(line) = lines.next_segment().await? {
                let line = String::from_utf8_lossy(&line);
                // Progress bars draw over themselves; what stands there last counts.
                let line = line.rsplit('\r').find(|part| !part.trim().is_empty()).unwrap_or("");
                let line = line.trim().to_owned();
                if line.is_empty() {
                    continue;
                }
                progress(Progress::text(line.clone()));
                if last.len() == KEPT_LINES {
                    last.pop_front();
                }
                last.push_back(line);
            }
        }
        child.wait().await
    };
    let ended = tokio::time::timeout(LIMIT, work).await.map_err(|_| {
        DockerError::host(
            FailureKind::TimedOut,
            tried,
            format!("{PROGRAM} did not end within {} minutes", LIMIT.as_secs() / 60),
            "see whether the package mirror answers, for instance with `apt-get update`",
        )
    })?;
    let ended = ended.map_err(|error| not_started(tried, program, &error))?;
    if ended.success() {
        return Ok(());
    }
    let errors = last.iter().filter(|line| line.starts_with("E:")).cloned();
    let mut said: Vec<String> = errors.collect();
    if said.is_empty() {
        said.extend(last.back().cloned());
    }
    Err(DockerError::host(
        FailureKind::Other,
        tried,
        format!("{PROGRAM} ended with {ended}: {}", said.join(" ")),
        "see whether the package mirror answers (`apt-get update`) and the disk has 1 GB free, or \
         name a base image that is at hand",
    ))
}

fn not_started(tried: &str, program: &OsStr, error: &std::io::Error) -> DockerError {
    let name = program.to_string_lossy();
    if error.kind() == ErrorKind::NotFound {
        return DockerError::host(
            FailureKind::Missing,
            tried,
            format!("the program {name} is not installed"),
            "install it with `sudo apt-get install mmdebstrap` (`thon setup` does), or name a base \
             image that is at hand",
        );
    }
    let advice = "see whether it can be run by hand";
    DockerError::host(FailureKind::Other, tried, format!("{name}: {error}"), advice)
}

/// The value of `VERSION_CODENAME`.
fn codename(release: &str) -> Option<&str> {
    let value = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="))?;
    let value = value.trim().trim_matches(['"', '\'']);
    let plain = value.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    (plain && !value.is_empty()).then_some(value)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn the_codename_is_read_in_each_form_and_nothing_else_is_taken() {
        assert_eq!(codename("ID=debian\nVERSION_CODENAME=bookworm\n"), Some("bookworm"));
        assert_eq!(codename("VERSION_CODENAME=\"noble\"\n"), Some("noble"));
        for text in ["", "VERSION_CODENAME=\n", "VERSION_CODENAME=--help\n", "VERSION_CODENAME=a b"]
        {
            assert_eq!(codename(text), None, "{text:?}");
        }
    }

    #[tokio::test]
    async fn a_missing_program_says_how_to_get_it() {
        let error = run("x", "/nonexistent/mmdebstrap".as_ref(), "a", Path::new("t"), &|_| ())
            .await
            .unwrap_err();
        assert_eq!(error.kind(), FailureKind::Missing);
        assert!(error.to_string().contains("apt-get install mmdebstrap"), "{error}");
    }

    #[tokio::test]
    async fn a_failing_program_is_told_with_its_own_error() {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("source");
        let program = folder.path().join("stand-in");
        let script =
            "#!/bin/sh\necho 'I: arguments' \"$@\" >&2\necho 'E: no mirror' >&2\nexit 25\n";
        std::fs::write(&source, script).unwrap();
        // Another program makes it executable: a file that this one wrote to can be busy for as
        // long as a child that another test starts still holds it open.
        let install = std::process::Command::new("install")
            .args(["-m", "755"])
            .args([&source, &program])
            .status();
        assert!(install.unwrap().success());
        let told = Mutex::new(Vec::new());
        let tell = |step: Progress| told.lock().unwrap().push(step.text);
        let tar = Path::new("/tmp/base.tar");
        let error = run("x", program.as_ref(), "bookworm", tar, &tell).await.unwrap_err();
        assert!(error.to_string().contains("E: no mirror"), "{error}");
        let arguments = told.lock().unwrap()[0].clone();
        let first = "I: arguments --variant=minbase --include=ca-certificates --dpkgopt=";
        assert!(arguments.starts_with(first), "{arguments}");
        // What follows the target is where the packages come from: this host's own file, if any.
        let (_, sources) = arguments.split_once(" bookworm /tmp/base.tar").unwrap();
        assert!(sources.is_empty() || SOURCES.contains(&sources.trim()), "{arguments}");
    }
}
