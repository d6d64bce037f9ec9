//! How busy the machine and the instances are.
//!
//! For: CPU, memory and disk at this moment.
//! Not for: keeping them; Prometheus does that.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::view::Load;
use crate::app::App;
use crate::guard::Reader;
use crate::input::{Params, user};
use crate::problem::{Problem, WhenRead};

/// The most instances that are asked about at once.
const MOST: usize = 200;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(load))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Whose {
    /// The ids of instances: `<group>_<user>`; without any the machine alone.
    #[serde(default)]
    #[param(max_items = 200)]
    id: Vec<String>,
}

/// How busy an instance is.
#[derive(Debug, Serialize, ToSchema)]
struct InstanceLoad {
    /// `<group>_<user>`.
    id: String,
    /// How much of one CPU it used since somebody asked before; 250 is two and a half CPUs.
    cpu_percent: Option<f64>,
    /// Its memory, in bytes.
    memory: Option<u64>,
}

/// How busy everything is.
#[derive(Debug, Serialize, ToSchema)]
struct Loads {
    /// The machine.
    host: Load,
    /// The instances that were asked about and run.
    instances: Vec<InstanceLoad>,
}

/// How busy the machine is, and those of the instances that run.
#[utoipa::path(get, path = "/api/load", tag = "server", params(Whose), responses(
    (status = 200, description = "How busy they are", body = Loads), WhenRead
), security(("token" = [])))]
async fn load(
    _: Reader,
    State(app): State<App>,
    Params(Whose { id }): Params<Whose>,
) -> Result<Json<Loads>, Problem> {
    if id.len() > MOST {
        return Err(Problem::input("id", format!("{} ids: allowed are {MOST}", id.len())));
    }
    let users = id.iter().map(|id| user(id)).collect::<Result<Vec<_>, _>>()?;
    let instances = app.service.load(&users).await?.into_iter().map(|load| InstanceLoad {
        id: load.user.key(),
        cpu_percent: load.cpu_percent,
        memory: load.memory,
    });
    let instances = instances.collect();
    Ok(Json(Loads { host: (&app.service.host_load().await).into(), instances }))
}
