//! Programs of the distribution that a configuration needs.
//!
//! For: which are missing and why they are wanted, and installing them with apt.
//! Not for: other package managers; on them the missing programs are named.

use std::ffi::OsString;
use std::process::Stdio;

use thon_core::adapter::{Failure, FailureKind};
use thon_core::config::{Config, SslProvider};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::system::find_program;

/// A package of the distribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Package {
    /// Its name in Debian and Ubuntu.
    pub name: &'static str,
    /// The program in it that is looked for.
    pub program: &'static str,
    /// What it is wanted for.
    pub purpose: &'static str,
}

/// Runs the containers.
pub(crate) const DOCKER: Package =
    Package { name: "docker.io", program: "dockerd", purpose: "runs the sandboxes" };
/// Leads browsers to them.
pub(crate) const NGINX: Package = Package {
    name: "nginx",
    program: "nginx",
    purpose: "leads browsers to the sandboxes over TLS",
};
/// Makes the certificate.
pub(crate) const MKCERT: Package =
    Package { name: "mkcert", program: "mkcert", purpose: "makes the certificate" };
/// Makes the certificate.
pub(crate) const OPENSSL: Package =
    Package { name: "openssl", program: "openssl", purpose: "makes the certificate" };
/// Asks Let's Encrypt for the certificate.
pub(crate) const CERTBOT: Package = Package {
    name: "certbot",
    program: "certbot",
    purpose: "asks Let's Encrypt for the certificate",
};
/// Makes a base image.
pub(crate) const MMDEBSTRAP: Package = Package {
    name: "mmdebstrap",
    program: "mmdebstrap",
    purpose: "makes the base of the sandbox image where no image registry answers",
};

/// What `config` needs and this machine lacks. With `engine_answers` Docker is there, wherever it
/// runs.
#[must_use]
pub(crate) fn missing(config: &Config, engine_answers: bool) -> Vec<Package> {
    wanted(config, engine_answers)
        .into_iter()
        .filter(|package| find_program(package.program).is_none())
        .collect()
}

fn wanted(config: &Config, engine_answers: bool) -> Vec<Package> {
    let mut packages = Vec::new();
    if !engine_answers {
        packages.push(DOCKER);
    }
    if config.nginx.enabled {
        packages.push(NGINX);
        packages.extend(match config.nginx.ssl_provider {
            SslProvider::Auto | SslProvider::Mkcert => Some(MKCERT),
            SslProvider::Openssl => Some(OPENSSL),
            SslProvider::Certbot => Some(CERTBOT),
            SslProvider::Embedded => None,
        });
    }
    packages
}

/// How packages are installed here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageManager {
    before: Vec<OsString>,
    program: OsString,
}

impl PackageManager {
    /// Finds apt, and a way to use it: as root, or through a `sudo` that asks nothing.
    pub async fn find() -> Result<Self, Failure> {
        let tried = "looking for a way to install packages";
        let Some(apt) = find_program("apt-get") else {
            return Err(Failure::new(
                FailureKind::Missing,
                tried,
                "there is no apt-get on this machine",
                "install the named programs yourself, then run this again",
            ));
        };
        if is_root() {
            return Ok(Self { before: Vec::new(), program: apt.into() });
        }
        let sudo = find_program("sudo").unwrap_or_else(|| "sudo".into());
        let quiet = Command::new(&sudo)
            .args(["-n", "true"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .await;
        if quiet.is_ok_and(|status| status.success()) {
            let before = vec![sudo.into(), "-n".into(), "DEBIAN_FRONTEND=noninteractive".into()];
            return Ok(Self { before, program: apt.into() });
        }
        Err(Failure::new(
            FailureKind::Denied,
            tried,
            "this user is not root and sudo wants a password",
            "run `sudo -v` first, run this as root, or install the named programs yourself",
        ))
    }

    /// Refreshes the lists and installs `packages`. Each line that apt says goes to `say`.
    pub async fn install(
        &self,
        packages: &[Package],
        say: &(dyn Fn(String) + Send + Sync),
    ) -> Result<(), Failure> {
        self.apt(&["update"], say).await?;
        let names = packages.iter().map(|package| package.name);
        let arguments: Vec<&str> =
            ["install", "-y", "--no-install-recommends"].into_iter().chain(names).collect();
        self.apt(&arguments, say).await
    }

    async fn apt(
        &self,
        arguments: &[&str],
        say: &(dyn Fn(String) + Send + Sync),
    ) -> Result<(), Failure> {
        let tried = format!("apt-get {}", arguments.join(" "));
        let failed = |cause: String| {
            let advice = "look at the network and at the package sources, then run this again";
            Failure::new(FailureKind::Other, &tried, cause, advice)
        };
        let words: Vec<&OsString> = self.before.iter().chain([&self.program]).collect();
        let mut child = Command::new(words[0])
            .args(&words[1..])
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| failed(error.to_string()))?;
        let mut lines = child.stdout.take().map(|out| BufReader::new(out).lines());
        let mut errors = child.stderr.take().map(|err| BufReader::new(err).lines());
        let mut last = String::new();
        // Both pipes are read at once: a full one would stop apt.
        let (out, err) = (
            async {
                while let Some(Ok(Some(line))) =
                    async { Some(lines.as_mut()?.next_line().await) }.await
                {
                    say(line);
                }
            },
            async {
                while let Some(Ok(Some(line))) =
                    async { Some(errors.as_mut()?.next_line().await) }.await
                {
                    if line.starts_with("E:") || last.is_empty() {
                        last.clone_from(&line);
                    }
                    say(line);
                }
            },
        );
        tokio::join!(out, err);
        let status = child.wait().await.map_err(|error| failed(error.to_string()))?;
        if status.success() { Ok(()) } else { Err(failed(format!("{status}: {last}"))) }
    }
}

/// True if this process may do everything on this machine.
pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    // The owner of one's own process entry is one's effective user.
    std::fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(config: &Config, engine_answers: bool) -> Vec<&'static str> {
        wanted(config, engine_answers).iter().map(|package| package.name).collect()
    }

    #[test]
    fn only_what_the_configuration_needs_is_wanted() {
        let mut config = Config::default();
        assert_eq!(names(&config, false), ["docker.io", "nginx", "mkcert"]);
        assert_eq!(names(&config, true), ["nginx", "mkcert"]);
        config.nginx.ssl_provider = SslProvider::Embedded;
        assert_eq!(names(&config, true), ["nginx"]);
        config.nginx.enabled = false;
        assert!(names(&config, true).is_empty());
    }
}
