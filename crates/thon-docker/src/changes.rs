//! What the engine says of the node's containers while it happens.
//!
//! For: looking anew at once when a sandbox starts, ends or is taken away, whoever did it.
//! Not for: knowing what is there: an event may be missed, a list is complete.

use std::collections::HashMap;

use bollard::query_parameters::EventsOptionsBuilder;
use futures_util::StreamExt;
use thon_core::adapter::FailureKind;
use tokio::sync::mpsc;

use crate::client::DockerRuntime;
use crate::error::DockerError;
use crate::labels;

/// What becomes of a container that changes what a list shows. What is run in one is none of it.
const ACTIONS: [&str; 8] =
    ["create", "start", "die", "oom", "pause", "unpause", "destroy", "rename"];

/// Words that may wait for a listener. More are not needed: it looks at everything anew.
const WAITING: usize = 64;

/// The engine's words about the node's containers, as they come.
#[derive(Debug)]
pub struct Changes {
    words: mpsc::Receiver<Result<(), DockerError>>,
}

impl Changes {
    /// Waits until something becomes of a container of the node. Fails once the engine is silent
    /// for good: it was stopped, or restarted.
    pub async fn next(&mut self) -> Result<(), DockerError> {
        let ended = || {
            let (tried, cause) = ("listening to Docker's events", "Docker has ended them");
            DockerError::engine(FailureKind::Unreachable, tried, cause, "see whether Docker runs")
        };
        self.words.recv().await.unwrap_or_else(|| Err(ended()))
    }
}

impl DockerRuntime {
    /// Listens to what becomes of the node's containers from now on.
    pub async fn changes(&self) -> Result<Changes, DockerError> {
        let client = self.client().await?.clone();
        let mut filters: HashMap<String, Vec<String>> = labels::filter(self.node());
        filters.insert("type".to_owned(), vec!["container".to_owned()]);
        filters.insert("event".to_owned(), ACTIONS.map(str::to_owned).to_vec());
        let options = EventsOptionsBuilder::default().filters(&filters).build();
        let host = self.host().to_owned();
        let (sender, words) = mpsc::channel(WAITING);
        tokio::spawn(async move {
            let mut events = std::pin::pin!(client.events(Some(options)));
            loop {
                let event = tokio::select! {
                    event = events.next() => event,
                    () = sender.closed() => return,
                };
                let Some(event) = event else { return };
                let tried = "listening to Docker's events";
                let word =
                    event.map(drop).map_err(|error| DockerError::from_engine(tried, &host, &error));
                let last = word.is_err();
                if sender.send(word).await.is_err() || last {
                    return;
                }
            }
        });
        Ok(Changes { words })
    }
}
