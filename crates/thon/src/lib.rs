//! The Hackathon Organizer Node as a library.
//!
//! For: embedding what the `thon` command does: [`Node::from_config`] chooses the adapters that a
//! configuration asks for, and everything else is a method of [`Node`].
//! Not for: rules (they are in [`core`]) and not for talking to people (front-ends do that).

mod access;
mod activity;
mod assets;
mod doctor;
mod error;
mod file;
mod files;
mod given;
mod held;
mod home;
mod lifetime;
mod load;
mod node;
mod service;
mod setup;
mod sheet;
mod state;
mod store;
mod system;
mod workspaces;

pub use thon_auth as auth;
pub use thon_core as core;
pub use thon_docker as docker;
pub use thon_nginx as nginx;
pub use thon_store as database;
pub use thon_tls as tls;

pub use thon_docker::{FirewallState, Gap, Wall};

pub use access::{
    Access, CameBack, LogIn, LoggedIn, SignIn, SignInBegun, Which, csrf, csrf_fits, sign_in_cookie,
};
pub use error::Error;
pub use file::write_private;
pub use files::Files;
pub use given::StoredFiles;
pub use home::{Home, HomeLock};
pub use lifetime::{Watch, Watched, watcher};
pub use load::{Loaded, find as find_config, load as load_config, load_groups};
pub use node::{Node, public_host};
pub use service::{Checkup, HostLoad, InstanceLoad, Room, Service, Site};
pub use setup::{
    EngineStart, EngineState, ImageBuild, ImageOptions, ImageReport, ImageState, Package,
    PackageManager,
};
pub use sheet::{RosterFile, RosterFormat, read_roster, write_roster};
pub use state::State;
pub use store::FileStore;
pub use system::{
    Argon2Hasher, OsEntropy, OwnAddress, Reach, SystemClock, cores, extra_ca_bundle, find_program,
    has_systemd, own_address, reach,
};
pub use workspaces::{Download, Exported, Import, Imported, Relocated, Removed, WorkspaceView};
