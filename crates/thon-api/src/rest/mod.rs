//! The routes below `/api`.
//!
//! For: one module for each kind of thing.
//! Not for: rules; they are the library's.

mod audit;
mod config_files;
mod events;
mod groups;
mod instances;
mod nginx;
mod operations;
mod settings;
mod users;
mod view;
mod workspaces;

use utoipa_axum::router::OpenApiRouter;

use crate::app::App;

pub(crate) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .merge(instances::router())
        .merge(groups::router())
        .merge(users::router())
        .merge(config_files::router())
        .merge(settings::router())
        .merge(workspaces::router())
        .merge(nginx::router())
        .merge(operations::router())
        .merge(audit::router())
        .merge(events::router())
}
