//! Whether a machine is fit for an event: what was found out, judged by fixed rules.
//!
//! For: [`examine`], which turns facts about a host into findings, each with a stable code, one line
//! that says what is and what is allowed, and the way to mend it.
//! Not for: finding anything out, and not for mending; the facade does both.

mod checks;
mod code;
mod facts;

use std::path::PathBuf;

use serde::Serialize;

use crate::config::Config;

pub use checks::{ACTIVE_SEAT, IDLE_SEAT, INOTIFY_PER_SEAT};
pub use code::Code;
pub use facts::{
    CertificateFacts, ClockFacts, ConnectionFacts, DiskFacts, DnsFacts, EngineFacts, ExposedFile,
    Fact, HostFacts, ImageFacts, KernelFacts, MemoryFacts, NetworkFacts, NginxFacts, PortFacts,
    PortHolder, PortPurpose, PortsFacts, RangeFacts, Space, WallGap,
};

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// An event on this machine will fail, wholly or in part.
    Problem,
    /// It may fail, or less well than it could be.
    Warning,
    /// Worth knowing.
    Note,
    /// It could not be found out.
    Unknown,
    /// As it should be.
    Ok,
}

/// What can be done about a finding without asking anybody for anything but consent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Remedy {
    /// Set a value of the kernel, now and for every boot.
    Sysctl {
        /// Its name, such as `fs.inotify.max_user_instances`.
        key: &'static str,
        /// The value.
        value: u64,
    },
    /// Start the Docker engine.
    StartEngine,
    /// Install the programs that the configuration needs and the machine lacks.
    InstallPackages,
    /// Make the sandboxes' network and put up the walls around it.
    MakeNetwork,
    /// Make or renew the certificate.
    IssueCertificate,
    /// Take everyone's rights but the owner's from a file or folder.
    MakePrivate(PathBuf),
    /// Build the sandbox image, or fetch it.
    ReadyImage,
    /// Have nginx serve what runs.
    SyncProxy,
}

impl Remedy {
    /// True if `thon setup` does it as well.
    #[must_use]
    pub const fn is_of_setup(&self) -> bool {
        match self {
            Self::StartEngine
            | Self::InstallPackages
            | Self::MakeNetwork
            | Self::IssueCertificate
            | Self::ReadyImage => true,
            Self::Sysctl { .. } | Self::MakePrivate(_) | Self::SyncProxy => false,
        }
    }

    /// What it does, as a question would put it.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Sysctl { key, value } => {
                format!("Set {key} to {value}, now and for every boot (/etc/sysctl.d/90-thon.conf)")
            }
            Self::StartEngine => "Start Docker".to_owned(),
            Self::InstallPackages => "Install the missing programs with apt-get".to_owned(),
            Self::MakeNetwork => "Make the sandboxes' network and the walls around it".to_owned(),
            Self::IssueCertificate => "Make a new certificate".to_owned(),
            Self::MakePrivate(path) => format!("Make {} its owner's alone", path.display()),
            Self::ReadyImage => "Make the sandbox image ready".to_owned(),
            Self::SyncProxy => "Start nginx with the routes of what runs".to_owned(),
        }
    }
}

/// What one check came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which check.
    pub code: Code,
    /// How much it matters.
    pub severity: Severity,
    /// What was found, with the measured value and the allowed one, in one line.
    pub says: String,
    /// How it is mended; nothing where nothing has to be.
    pub fix: Option<String>,
    /// The part of that which can be done for the person.
    pub remedy: Option<Remedy>,
}

impl Finding {
    fn new(code: Code, severity: Severity, says: impl Into<String>) -> Self {
        Self { code, severity, says: says.into(), fix: None, remedy: None }
    }

    fn ok(code: Code, says: impl Into<String>) -> Self {
        Self::new(code, Severity::Ok, says)
    }

    fn note(code: Code, says: impl Into<String>) -> Self {
        Self::new(code, Severity::Note, says)
    }

    fn warning(code: Code, says: impl Into<String>) -> Self {
        Self::new(code, Severity::Warning, says)
    }

    fn problem(code: Code, says: impl Into<String>) -> Self {
        Self::new(code, Severity::Problem, says)
    }

    fn unknown(code: Code, why: &str) -> Self {
        Self::new(code, Severity::Unknown, format!("not found out: {why}"))
    }

    fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    fn remedy(mut self, remedy: Remedy) -> Self {
        self.remedy = Some(remedy);
        self
    }

    /// A value of the kernel that is to be raised.
    fn sysctl(self, key: &'static str, value: u64) -> Self {
        self.fix(format!("sudo sysctl -w {key}={value}")).remedy(Remedy::Sysctl { key, value })
    }
}

/// Judges `facts` for an event with this configuration. What worries most comes first; within one
/// severity the order is that of the codes.
#[must_use]
pub fn examine(facts: &HostFacts, config: &Config) -> Vec<Finding> {
    let mut findings = checks::all(facts, config);
    findings.sort_by_key(|finding| (finding.severity, finding.code));
    findings
}
