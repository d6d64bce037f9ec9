//! The `thon` command as an organizer meets it: what it prints, what it leaves behind, how it ends.
//!
//! For: everything from a command line to its exit code, with the real Docker, nginx and mkcert
//! wherever they take part.
//! Not for: what the editors look like in a browser; that is the target `browser`.
#![allow(clippy::format_collect, reason = "texts for a test may be built the short way")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;

// What every test works with.
mod desk;
mod engine;
mod fakedocker;
mod gate;
mod machine;
mod outside;
mod root;
mod seat;
mod stage;
mod standin;
mod watched;
mod web;

// Without Docker.
mod completions;
mod config;
mod database;
mod doctor;
mod help;
mod init;
mod roster;
mod secrets;
mod world;

// With everything.
mod api;
mod archive;
mod change;
mod crash;
mod event;
mod faults;
mod follow;
mod fulldisk;
mod fuzz;
mod given;
mod layouts;
mod lifecycle;
mod lifetime;
mod limits;
mod modes;
mod outage;
mod pause;
mod reboot;
mod shell;
mod signin;
mod sluggish;
mod trouble;
mod walk;
mod walls;
