//! Bringing a fresh machine to where an event can run.
//!
//! For: finding out what is missing, installing packages, starting Docker, making the image.
//! Not for: asking the person; the front-end does that between looking and doing.

pub(crate) mod engine;
pub(crate) mod image;
pub(crate) mod packages;

pub use engine::{EngineStart, EngineState};
pub use image::{ImageBuild, ImageOptions, ImageReport, ImageState};
pub(crate) use packages::is_root;
pub use packages::{Package, PackageManager};
