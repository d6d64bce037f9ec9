//! Whether a sandbox's code-server answers.
//!
//! For: one cheap look, asked for every 100 ms while a sandbox starts: an HTTP request as long as
//! that tells enough, Docker only where it doesn't.
//! Not for: waiting; whoever asks decides when to look again.

use std::time::{Duration, Instant};

use bollard::models::ContainerInspectResponse;
use bollard::query_parameters::InspectContainerOptions;
use thon_core::adapter::FailureKind;
use thon_core::endpoint::{Endpoint, NetworkMode};
use thon_core::sandbox::{Health, Phase, SandboxId};

use crate::client::{DockerRuntime, QUICK};
use crate::error::DockerError;
use crate::observe::{inspected_endpoint, inspected_phase};
use crate::probe::{self, Answer};

/// How often Docker is asked about a sandbox whose port is open and whose code-server is silent,
/// which is what a starting one looks like.
const INSPECT_EVERY: Duration = Duration::from_secs(1);

/// What is known of a sandbox without asking again.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    /// The container's name.
    pub(crate) name: String,
    /// Where its code-server answers.
    pub(crate) endpoint: Option<Endpoint>,
    /// When Docker was last asked what it does.
    pub(crate) inspected: Option<Instant>,
}

impl DockerRuntime {
    /// One look at whether code-server answers.
    pub(crate) async fn look(&self, id: &SandboxId) -> Result<Health, DockerError> {
        let known = self.recall(id).await?;
        let tried = format!("asking for the health of sandbox {}", known.name);
        let Some(endpoint) = known.endpoint else {
            return Err(DockerError::engine(
                FailureKind::Other,
                tried,
                "Docker publishes no port of it and its labels don't name one",
                "remove the sandbox and run `thon run`, which makes it anew",
            ));
        };
        let answer = probe::healthz(&endpoint.published().address).await;
        let bridge = endpoint.network_mode() == NetworkMode::Bridge;
        let fresh = known.inspected.is_some_and(|then| then.elapsed() < INSPECT_EVERY);
        match answer {
            // On a bridge Docker holds the port for this very sandbox. In host mode it might be
            // somebody else who answers on it.
            Answer::Healthy if bridge => return Ok(Health::Healthy),
            Answer::NotYet if fresh => return Ok(Health::Starting),
            _ => {}
        }
        let container = self.inspect(&tried, id).await?;
        Ok(judge(&container, answer))
    }

    /// What is known of a sandbox; Docker is asked if nothing is.
    pub(crate) async fn recall(&self, id: &SandboxId) -> Result<Known, DockerError> {
        let known = self.known().get(id).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        self.inspect(&format!("looking at sandbox {id}"), id).await?;
        let known = self.known().get(id).cloned();
        // Gone again only if it was removed at this very moment.
        Ok(known.unwrap_or_else(|| Known { name: id.to_string(), endpoint: None, inspected: None }))
    }

    /// Asks Docker about one sandbox and remembers what doesn't change.
    pub(crate) async fn inspect(
        &self,
        tried: &str,
        id: &SandboxId,
    ) -> Result<ContainerInspectResponse, DockerError> {
        let client = self.client().await?;
        let options = None::<InspectContainerOptions>;
        let container = self.call(tried, QUICK, client.inspect_container(&id.0, options)).await?;
        let name = container.name.as_deref().map(|name| name.trim_start_matches('/'));
        let known = Known {
            name: name.map_or_else(|| id.to_string(), str::to_owned),
            endpoint: inspected_endpoint(&container),
            inspected: Some(Instant::now()),
        };
        self.known().insert(id.clone(), known);
        Ok(container)
    }
}

/// What the container's state and the answer of its port amount to.
fn judge(container: &ContainerInspectResponse, answer: Answer) -> Health {
    let state = container.state.as_ref();
    match inspected_phase(state.and_then(|state| state.status)) {
        Phase::Running if answer == Answer::Healthy => Health::Healthy,
        Phase::Running => Health::Starting,
        Phase::Paused => Health::Paused,
        Phase::Created => Health::Died { exit_code: None, out_of_memory: false },
        Phase::Exited | Phase::Restarting | Phase::Unknown => Health::Died {
            exit_code: state.and_then(|state| state.exit_code),
            out_of_memory: state.and_then(|state| state.oom_killed).unwrap_or(false),
        },
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::{ContainerState, ContainerStateStatusEnum as Status};

    use super::*;

    fn judged(status: Status, answer: Answer) -> Health {
        let state = ContainerState {
            status: Some(status),
            exit_code: Some(1),
            oom_killed: Some(true),
            ..ContainerState::default()
        };
        let container =
            ContainerInspectResponse { state: Some(state), ..ContainerInspectResponse::default() };
        judge(&container, answer)
    }

    #[test]
    fn an_answer_counts_only_while_the_container_runs() {
        let died = Health::Died { exit_code: Some(1), out_of_memory: true };
        assert_eq!(judged(Status::RUNNING, Answer::Healthy), Health::Healthy);
        assert_eq!(judged(Status::EXITED, Answer::Healthy), died);
        assert_eq!(judged(Status::RUNNING, Answer::Refused), Health::Starting);
        assert_eq!(judged(Status::PAUSED, Answer::NotYet), Health::Paused);
    }

    #[test]
    fn going_up_and_down_is_down() {
        let died = Health::Died { exit_code: Some(1), out_of_memory: true };
        assert_eq!(judged(Status::RESTARTING, Answer::NotYet), died);
        assert_eq!(judged(Status::DEAD, Answer::Refused), died);
        let never = Health::Died { exit_code: None, out_of_memory: false };
        assert_eq!(judged(Status::CREATED, Answer::Refused), never);
    }
}
