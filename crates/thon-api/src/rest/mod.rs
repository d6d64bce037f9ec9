//! The routes below `/api`.
//!
//! For: one module for each kind of thing.
//! Not for: rules; they are the library's.

mod audit;
pub(crate) mod auth;
pub(crate) mod config_files;
mod events;
pub(crate) mod groups;
pub(crate) mod instances;
mod load;
mod nginx;
mod operations;
mod settings;
pub(crate) mod users;
pub(crate) mod view;
pub(crate) mod workspaces;

use utoipa_axum::router::OpenApiRouter;

use crate::app::App;

pub(crate) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .merge(instances::router())
        .merge(load::router())
        .merge(groups::router())
        .merge(users::router())
        .merge(config_files::router())
        .merge(settings::router())
        .merge(workspaces::router())
        .merge(nginx::router())
        .merge(operations::router())
        .merge(auth::router())
        .merge(audit::router())
        .merge(events::router())
}
