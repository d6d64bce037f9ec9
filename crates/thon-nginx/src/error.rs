//! What this crate can't do, and what the person can do about it.
//!
//! For: one variant per way of failing, and the way from it to the core's [`Failure`].
//! Not for: printing; front-ends do that.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;
use thon_core::adapter::{Failure, FailureKind};
use thon_core::endpoint::Port;
use thon_core::name::quoted;

/// Why nginx could not be made to serve, to answer or to go away.
#[derive(Debug, Error)]
pub enum NginxError {
    /// A value that has no place in an nginx configuration.
    #[error("{what} {} can't stand in an nginx configuration: {allowed}", quoted(.value))]
    Value {
        /// What the value was meant for.
        what: &'static str,
        /// The value.
        value: String,
        /// What is allowed.
        allowed: &'static str,
    },
    /// Two routes, or the two ports, want the same place.
    #[error("{what} is wanted twice: by {first} and by {second}")]
    Clash {
        /// The path or port.
        what: String,
        /// Who wants it.
        first: String,
        /// Who wants it as well.
        second: String,
    },
    /// A template that does not render: a defect of the template.
    #[error("the configuration does not render: {0}")]
    Template(#[from] minijinja::Error),
    /// A file, folder or process of the operating system's.
    #[error("{tried}: {source}")]
    Io {
        /// What was tried, on what.
        tried: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// There is no nginx to run.
    #[error("nginx was not found ({searched})")]
    NoBinary {
        /// Where it was searched.
        searched: String,
    },
    /// nginx refuses our configuration; what was served before is served on.
    #[error("nginx refuses the new configuration: {line}")]
    Rejected {
        /// nginx's own line.
        line: String,
        /// Where the refused configuration was kept.
        kept: PathBuf,
    },
    /// nginx refuses what was there before we touched it.
    #[error("nginx refuses the configuration in {} even without THON's file: {line}", .conf.display())]
    BrokenBefore {
        /// nginx's own line.
        line: String,
        /// The folder of the configuration.
        conf: PathBuf,
    },
    /// The port belongs to something else.
    #[error("port {port} is in use by {holder}")]
    PortTaken {
        /// The port.
        port: Port,
        /// Who holds it, as far as that could be seen.
        holder: String,
    },
    /// The port may not be bound by this user.
    #[error("nginx may not listen on port {port}: {line}")]
    PortDenied {
        /// The port.
        port: u16,
        /// nginx's own line.
        line: String,
    },
    /// nginx did not start.
    #[error("nginx does not start: {line}")]
    NotStarted {
        /// nginx's own line.
        line: String,
        /// Where it logs.
        log: PathBuf,
    },
    /// nginx was told to reload and kept its old configuration.
    #[error("nginx did not take the new configuration over: {line}")]
    NotReloaded {
        /// nginx's own line, or what was waited for in vain.
        line: String,
        /// Where it logs.
        log: PathBuf,
    },
    /// Something took longer than it may.
    #[error("{tried} took longer than {seconds} s")]
    TimedOut {
        /// What was tried.
        tried: String,
        /// How long it was given.
        seconds: u64,
    },
    /// Another THON is at work on the same proxy.
    #[error("another thon is changing the proxy ({} is locked)", .lock.display())]
    Busy {
        /// The lock file.
        lock: PathBuf,
    },
    /// The certificate can't be used to check the routes.
    #[error("the certificate can't be used: {0}")]
    Certificate(String),
    /// A task of ours was ended before it was done.
    #[error("the work was interrupted: {0}")]
    Interrupted(#[from] tokio::task::JoinError),
}

impl NginxError {
    /// For `map_err`: what was tried, on which path.
    pub(crate) fn io(tried: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let tried = format!("{tried} {}", path.display());
        move |source| Self::Io { tried, source }
    }

    fn kind(&self) -> FailureKind {
        match self {
            Self::Clash { .. } => FailureKind::Conflict,
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    FailureKind::Denied
                }
                io::ErrorKind::NotFound => FailureKind::Missing,
                _ => FailureKind::Other,
            },
            Self::NoBinary { .. } => FailureKind::Missing,
            Self::PortTaken { .. } => FailureKind::PortTaken,
            Self::PortDenied { .. } => FailureKind::Denied,
            Self::NotStarted { .. } => FailureKind::Died,
            Self::TimedOut { .. } | Self::Busy { .. } => FailureKind::TimedOut,
            Self::Value { .. }
            | Self::Template(_)
            | Self::Rejected { .. }
            | Self::BrokenBefore { .. }
            | Self::NotReloaded { .. }
            | Self::Certificate(_)
            | Self::Interrupted(_) => FailureKind::Other,
        }
    }

    fn advice(&self) -> String {
        match self {
            Self::Value { .. } => "change the value and run the command again".to_owned(),
            Self::Clash { .. } => "give one of them a place of its own".to_owned(),
            Self::Template(_) | Self::Interrupted(_) => "run `thon nginx sync` again".to_owned(),
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::PermissionDenied => {
                    "run the command as a user who may do that (nginx.mode: managed needs no folder \
                     but THON's own)"
                        .to_owned()
                }
                io::ErrorKind::StorageFull => "free some space on that disk".to_owned(),
                _ => "look at that path, then run `thon nginx sync`".to_owned(),
            },
            Self::NoBinary { .. } => {
                "run `thon setup`, or install it: apt-get install nginx".to_owned()
            }
            Self::Rejected { kept, .. } => format!(
                "what was served before is served on; the refused configuration is in {}",
                kept.display()
            ),
            Self::BrokenBefore { conf, .. } => format!(
                "nothing was changed; mend the configuration in {} until `nginx -t` passes, or set \
                 nginx.mode: managed",
                conf.display()
            ),
            Self::PortTaken { .. } => {
                "stop it, or choose other ports with nginx.https_port, nginx.http_port and \
                 nginx.instance_ports"
                .to_owned()
            }
            Self::PortDenied { .. } => "run as root, or allow nginx low ports (setcap \
                 cap_net_bind_service=+ep on its binary), or choose ports from 1024 up with \
                 nginx.https_port and nginx.http_port"
                .to_owned(),
            Self::NotStarted { log, .. } => format!("see {}", log.display()),
            Self::NotReloaded { log, .. } => {
                format!("what was served before is served on; see {}", log.display())
            }
            Self::TimedOut { .. } => "look at the machine's load, then try again".to_owned(),
            Self::Busy { .. } => "wait until it is done, then try again".to_owned(),
            Self::Certificate(_) => "make a new one with `thon tls issue`".to_owned(),
        }
    }

    /// The core's form of the same failure, with what was being done in front.
    pub(crate) fn into_failure(self, tried: &str) -> Failure {
        Failure::new(self.kind(), tried, self.to_string(), self.advice())
    }
}
