//! Docker as THON's sandbox runtime.
//!
//! For: everything that is said to a Docker engine: sandboxes as containers with limits, hardening
//! and labels, the node's own networks and the walls around them, volumes and host folders for
//! workspaces, files placed as a tar stream, health, logs, and the sandbox image (pulled, built, or
//! bootstrapped from the distribution's packages).
//!
//! Not for: deciding what should run. [`DockerRuntime`] implements
//! [`thon_core::adapter::SandboxRuntime`], does what it is asked and remembers nothing that Docker
//! couldn't tell again: every container, volume and network of ours carries labels by which it is
//! found.

mod activity;
mod address;
mod bind;
mod bind_pack;
mod bootstrap;
mod build;
mod changes;
mod client;
mod create;
mod disk;
mod error;
mod exec;
mod facts;
mod feed;
mod firewall;
mod freeze;
mod health;
mod helper;
mod image;
mod inject;
mod keeper;
mod labels;
mod log;
mod network;
mod observe;
mod probe;
mod progress;
mod runtime;
mod settings;
mod shell;
mod subnet;
mod tree;
mod workspace;

pub use build::{BuildOutcome, BuildRequest, ContextFile, MissingExtension};
pub use changes::Changes;
pub use client::{DockerRuntime, EngineVersion};
pub use error::{BuildFailure, DockerError};
pub use exec::ExecOutput;
pub use feed::feed;
pub use firewall::{FirewallSettings, FirewallState, Gap, Wall};
pub use image::ImageInfo;
pub use keeper::DockerWorkspaces;
pub use labels::{FINGERPRINT, GROUP, IMAGE_INPUTS, MANAGED, NODE, USER, VERSION};
pub use progress::{Progress, ProgressCallback};
pub use settings::DockerSettings;
