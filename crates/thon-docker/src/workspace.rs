//! Workspaces, as far as Docker holds them.
//!
//! For: making a user's volume or folder if it isn't there.
//! Not for: touching one that is, or removing any.

use bollard::models::VolumeCreateRequest;
use thon_core::adapter::FailureKind;
use thon_core::name::UserId;
use thon_core::workspace::{Workspace, WorkspaceChange};

use crate::bind;
use crate::client::{DockerRuntime, QUICK, SLOW};
use crate::error::{DockerError, is_missing};
use crate::labels;

impl DockerRuntime {
    /// Makes the workspace if it isn't there.
    pub(crate) async fn make_workspace(
        &self,
        user: &UserId,
        workspace: &Workspace,
    ) -> Result<WorkspaceChange, DockerError> {
        match workspace {
            Workspace::Volume(name) => self.make_volume(user, name).await,
            Workspace::Bind(path) => {
                let (path, user) = (path.clone(), user.clone());
                let tried = format!("making the workspace {}", path.display());
                tokio::task::spawn_blocking(move || bind::ensure(&path, &user))
                    .await
                    .unwrap_or_else(|error| {
                        let advice = "run `thon run` again";
                        Err(DockerError::host(FailureKind::Other, tried, error.to_string(), advice))
                    })
            }
            Workspace::Ephemeral => Ok(WorkspaceChange::Kept),
        }
    }

    /// A volume of this name that no THON labelled is taken as it is: the files of an earlier
    /// installation are the user's. One that is labelled for somebody else is refused: node `a-b`
    /// and node `a` can come to the same name.
    async fn make_volume(&self, user: &UserId, name: &str) -> Result<WorkspaceChange, DockerError> {
        let tried = format!("making the workspace {name}");
        let client = self.client().await?;
        match self.raw(&tried, QUICK, client.inspect_volume(name)).await? {
            Ok(volume) => {
                let made_for = |label: &str| volume.labels.get(label).map(String::as_str);
                let ours = labels::of_user(self.node(), user);
                let fits = |(label, value): (&String, &String)| {
                    made_for(label).is_none_or(|present| present == value)
                };
                if ours.iter().all(fits) {
                    return Ok(WorkspaceChange::Kept);
                }
                let owner =
                    [labels::NODE, labels::GROUP, labels::USER].map(|l| made_for(l).unwrap_or("?"));
                return Err(DockerError::host(
                    FailureKind::Conflict,
                    &tried,
                    format!(
                        "the volume belongs to {1}/{2} of node {0}",
                        owner[0], owner[1], owner[2]
                    ),
                    "choose another name for this node (`node`) or for the group",
                ));
            }
            Err(error) if is_missing(&error) => {}
            Err(error) => return Err(self.error(&tried, &error)),
        }
        let request = VolumeCreateRequest {
            name: Some(name.to_owned()),
            labels: Some(labels::of_user(self.node(), user)),
            ..VolumeCreateRequest::default()
        };
        self.call(&tried, SLOW, client.create_volume(request)).await?;
        Ok(WorkspaceChange::Made)
    }
}

impl DockerRuntime {
    /// True if there is a volume of this name, whosever it is.
    pub async fn has_volume(&self, name: &str) -> Result<bool, DockerError> {
        let tried = format!("looking for the workspace {name}");
        let client = self.client().await?;
        match self.raw(&tried, QUICK, client.inspect_volume(name)).await? {
            Ok(_) => Ok(true),
            Err(error) if is_missing(&error) => Ok(false),
            Err(error) => Err(self.error(&tried, &error)),
        }
    }
}
