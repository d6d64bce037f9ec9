//! The domain of THON and its rules.
//!
//! For: everything that is true of an event whatever Docker, nginx or a certificate authority
//! happen to be: names, roster, configuration, ports, workspaces, the plan, the instance's states,
//! the event stream, the traits that adapters implement and the orchestrator that knows only them.
//!
//! Not for: input and output. Nothing here opens a file, a socket or a process, reads the clock or
//! draws a random number; those arrive as arguments or behind the traits of [`adapter`].

pub mod access;
pub mod adapter;
pub mod archive;
pub mod certificate;
pub mod config;
pub mod disk;
pub mod doctor;
pub mod endpoint;
pub mod event;
pub mod idle;
pub mod image;
pub mod instance;
pub mod kilo;
pub mod layout;
pub mod lifecycle;
pub mod lifetime;
pub mod limits;
pub mod log;
pub mod name;
pub mod operation;
pub mod orchestrator;
pub mod plan;
pub mod port;
pub mod proxy;
pub mod roster;
pub mod sandbox;
pub mod seat;
pub mod secret;
pub mod shell;
pub mod state;
pub mod workspace;

#[cfg(feature = "testing")]
pub mod testing;
