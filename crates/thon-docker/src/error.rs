//! How Docker fails, in words that help.
//!
//! For: turning the engine's answers and the connection's errors into one line each: what was
//! tried, why it failed, what the person can do, and of which kind it was.
//! Not for: retrying; whoever asked decides.

use std::error::Error as StdError;
use std::io::ErrorKind;
use std::time::Duration;

use bollard::errors::Error as EngineError;
use thiserror::Error;
use thon_core::adapter::{Failure, FailureKind};

/// What could not be done with Docker.
#[derive(Debug, Error)]
pub enum DockerError {
    /// The engine can't be reached, or didn't answer in time.
    #[error(transparent)]
    Connection(Failure),
    /// The engine answered with an error.
    #[error(transparent)]
    Engine(Failure),
    /// Something on this host is in the way: a folder, a program, a setting.
    #[error(transparent)]
    Host(Failure),
    /// A step of an image's build failed.
    #[error(transparent)]
    Build(Box<BuildFailure>),
}

/// Where and how a build failed.
#[derive(Debug, Error)]
#[error("{failure}")]
pub struct BuildFailure {
    /// What was tried, why it failed, what can be done.
    pub failure: Failure,
    /// The step, such as `3/17 RUN npm install`; nothing if it failed before the first.
    pub step: Option<String>,
    /// The last lines that the build wrote.
    pub output: Vec<String>,
}

impl DockerError {
    /// What kind of failure it was. [`FailureKind::Unreachable`] from a pull or a build means that
    /// the image registry didn't answer.
    #[must_use]
    pub fn kind(&self) -> FailureKind {
        self.failure().kind
    }

    fn failure(&self) -> &Failure {
        match self {
            Self::Connection(failure) | Self::Engine(failure) | Self::Host(failure) => failure,
            Self::Build(build) => &build.failure,
        }
    }

    /// Something on this host is in the way.
    pub(crate) fn host(
        kind: FailureKind,
        tried: impl AsRef<str>,
        cause: impl AsRef<str>,
        advice: impl AsRef<str>,
    ) -> Self {
        Self::Host(Failure::new(kind, tried, cause, advice))
    }

    /// The engine has something that it should not have.
    pub(crate) fn engine(
        kind: FailureKind,
        tried: impl AsRef<str>,
        cause: impl AsRef<str>,
        advice: impl AsRef<str>,
    ) -> Self {
        Self::Engine(Failure::new(kind, tried, cause, advice))
    }

    /// The engine didn't answer in time.
    pub(crate) fn timed_out(tried: &str, limit: Duration) -> Self {
        Self::Connection(Failure::new(
            FailureKind::TimedOut,
            tried,
            format!("Docker did not answer within {} s", limit.as_secs_f64().round()),
            "the machine may be overloaded, its disk slow or the engine stuck: look at the load and \
             at `docker info`, restart the engine if that hangs too, then try again; a slow machine \
             may need a larger `sandbox.docker_timeout_seconds`",
        ))
    }

    /// What bollard said while `tried` was tried at `host`.
    pub(crate) fn from_engine(tried: &str, host: &str, error: &EngineError) -> Self {
        match error {
            EngineError::DockerResponseServerError { status_code, message } => {
                Self::Engine(answered(tried, *status_code, message))
            }
            EngineError::DockerStreamError { error } => Self::Engine(answered(tried, 500, error)),
            EngineError::RequestTimeoutError => Self::timed_out(tried, Duration::from_mins(2)),
            EngineError::SocketNotFoundError(_) => {
                Self::Connection(unreachable(tried, host, Some(ErrorKind::NotFound), ""))
            }
            EngineError::UnsupportedURISchemeError { .. } => Self::Connection(Failure::new(
                FailureKind::Other,
                tried,
                format!("the address {host} is of no kind that THON can use"),
                "set DOCKER_HOST to unix:///path/to/docker.sock or tcp://host:port; for an engine \
                 behind TLS or SSH forward its socket with `ssh -L`",
            )),
            EngineError::HyperLegacyError { .. }
            | EngineError::HyperResponseError { .. }
            | EngineError::IOError { .. } => {
                Self::Connection(unreachable(tried, host, io_kind(error), &deepest(error)))
            }
            other => Self::Engine(Failure::new(
                FailureKind::Other,
                tried,
                deepest(other),
                "Docker's answer was not understood: is its version (`docker version`) at least \
                 20.10?",
            )),
        }
    }
}

impl From<DockerError> for Failure {
    fn from(error: DockerError) -> Self {
        match error {
            DockerError::Connection(failure)
            | DockerError::Engine(failure)
            | DockerError::Host(failure) => failure,
            DockerError::Build(build) => build.failure,
        }
    }
}

/// True if the engine said that the thing isn't there.
pub(crate) fn is_missing(error: &EngineError) -> bool {
    matches!(error, EngineError::DockerResponseServerError { status_code: 404, .. })
}

/// True if the engine said that the thing is in the way or there already.
pub(crate) fn is_conflict(error: &EngineError) -> bool {
    matches!(error, EngineError::DockerResponseServerError { status_code: 409, .. })
}

/// The innermost words of an error, which are the ones that say what happened.
fn deepest(error: &(dyn StdError + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

fn io_kind(error: &(dyn StdError + 'static)) -> Option<ErrorKind> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return Some(io.kind());
        }
        next = error.source();
    }
    None
}

/// No connection, or one that broke.
fn unreachable(tried: &str, host: &str, kind: Option<ErrorKind>, cause: &str) -> Failure {
    let start = "start it with `sudo systemctl start docker`, or let `thon setup` install it";
    let (kind, cause, advice) = match kind {
        Some(ErrorKind::NotFound) => (
            FailureKind::Unreachable,
            format!("there is no Docker socket at {host}: Docker is not installed or not running"),
            start.to_owned(),
        ),
        Some(ErrorKind::PermissionDenied) => (
            FailureKind::Denied,
            format!("you may not use the Docker socket at {host}"),
            "add yourself to its group with `sudo usermod -aG docker $USER` and log in again, or \
             run as root"
                .to_owned(),
        ),
        Some(ErrorKind::ConnectionRefused) => (
            FailureKind::Unreachable,
            format!("nothing answers at {host}: the Docker engine is down"),
            start.to_owned(),
        ),
        _ => (
            FailureKind::Unreachable,
            format!("the connection to Docker at {host} broke: {cause}"),
            format!("see whether the engine runs with `docker info`; {start}"),
        ),
    };
    Failure::new(kind, tried, cause, advice)
}

/// The engine answered with `status` and `message`.
pub(crate) fn answered(tried: &str, status: u16, message: &str) -> Failure {
    let lower = message.to_ascii_lowercase();
    let has = |part: &str| lower.contains(part);
    let (kind, advice) = if has("port is already allocated") || has("address already in use") {
        let port = taken_port(message);
        let holder = port.as_ref().map_or_else(
            || "find what holds it with `ss -ltnp`".to_owned(),
            |port| format!("find what holds it with `ss -ltnp 'sport = :{port}'`"),
        );
        (FailureKind::PortTaken, format!("{holder} and stop it, or change `sandbox.host_ports`"))
    } else if has("no space left on device") {
        (FailureKind::Other, "free disk space, for instance with `docker system prune`".to_owned())
    } else if has("docker-init") {
        (FailureKind::Missing, "install the package `tini` (`thon setup` does)".to_owned())
    } else if has("no such image") || has("manifest unknown") || has("pull access denied") {
        (FailureKind::Missing, "build it with `thon image build`".to_owned())
    } else if has("marked for removal") {
        (FailureKind::Missing, "run `thon run`, which makes what is missing".to_owned())
    } else if has("bind source path does not exist") {
        (FailureKind::Missing, "the workspace's folder is gone: run `thon run` again".to_owned())
    } else if registry_is_silent(&lower) {
        let advice = "check the network and its proxy settings, or build on what the distribution \
                      offers with `thon image build`";
        (FailureKind::Unreachable, advice.to_owned())
    } else {
        match status {
            404 => (FailureKind::Missing, "run `thon run`, which makes what is missing".to_owned()),
            409 => (
                FailureKind::Conflict,
                "see what is in the way with `docker ps -a`, and remove or rename it".to_owned(),
            ),
            _ => (
                FailureKind::Other,
                "the engine's own log says more: `journalctl -u docker`".to_owned(),
            ),
        }
    };
    Failure::new(kind, tried, message, advice)
}

/// True if the engine complains that an image registry can't be reached.
fn registry_is_silent(lower: &str) -> bool {
    let asked = lower.contains("get \"http") || lower.contains("head \"http");
    let silent = [
        "no such host",
        "dial tcp",
        "i/o timeout",
        "connection refused",
        "tls handshake timeout",
        "network is unreachable",
        "temporary failure in name resolution",
        "server misbehaving",
        "client.timeout",
        "proxyconnect",
        "x509:",
        "eof",
        "forbidden",
        "context deadline exceeded",
        "request canceled",
    ];
    asked && silent.iter().any(|part| lower.contains(part))
}

/// The port in `Bind for 127.0.0.1:20001 failed` and `listen tcp4 127.0.0.1:20001: bind`.
fn taken_port(message: &str) -> Option<String> {
    let after = message.split("127.0.0.1:").nth(1).or_else(|| message.split("0.0.0.0:").nth(1))?;
    let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
    (!digits.is_empty()).then_some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(status: u16, message: &str) -> FailureKind {
        answered("trying", status, message).kind
    }

    #[test]
    fn the_engines_answers_are_told_apart() {
        assert_eq!(kind(404, "No such image: thon:none"), FailureKind::Missing);
        assert_eq!(kind(404, "No such container: abc"), FailureKind::Missing);
        // Whoever reads the log of a sandbox in the moment in which it goes finds none, as a moment later.
        for gone in [
            "can not get logs from container which is dead or marked for removal",
            "Container is marked for removal and cannot be started.",
        ] {
            assert_eq!(kind(409, gone), FailureKind::Missing, "{gone}");
        }
        assert_eq!(
            kind(409, "Conflict. The container name \"/x\" is in use"),
            FailureKind::Conflict
        );
        assert_eq!(kind(500, "write /x: no space left on device"), FailureKind::Other);
        assert_eq!(
            kind(500, "Get \"https://r.example/v2/\": dial tcp: lookup r.example: no such host"),
            FailureKind::Unreachable
        );
        assert_eq!(
            kind(
                400,
                "invalid mount config for type \"bind\": bind source path does not exist: /x"
            ),
            FailureKind::Missing
        );
    }

    #[test]
    fn a_taken_port_is_named_with_how_to_find_its_holder() {
        for message in [
            "driver failed programming external connectivity on endpoint a (b): \
             Bind for 127.0.0.1:20001 failed: port is already allocated",
            "driver failed programming external connectivity on endpoint a (b): Error starting \
             userland proxy: listen tcp4 127.0.0.1:20001: bind: address already in use",
        ] {
            let failure = answered("starting sandbox x", 500, message);
            assert_eq!(failure.kind, FailureKind::PortTaken);
            assert!(failure.advice.contains("sport = :20001"), "{failure}");
        }
    }

    #[test]
    fn every_connection_error_says_what_to_do() {
        let of = |kind| unreachable("asking", "unix:///x.sock", Some(kind), "cause");
        assert!(of(ErrorKind::NotFound).advice.contains("thon setup"));
        let denied = of(ErrorKind::PermissionDenied);
        assert_eq!(denied.kind, FailureKind::Denied);
        assert!(denied.advice.contains("usermod -aG docker"));
        assert!(of(ErrorKind::ConnectionRefused).advice.contains("systemctl start docker"));
        assert_eq!(of(ErrorKind::BrokenPipe).kind, FailureKind::Unreachable);
    }

    #[test]
    fn an_error_stays_one_line() {
        let failure = answered("x", 500, "one\ntwo\r\nthree");
        assert!(!failure.to_string().contains('\n'));
    }
}
