//! Listening to the engine.
//!
//! For: a look as soon as something becomes of a container, whoever did it.
//! Not for: what became of it; the look sees that.

use std::time::Duration;

use super::Service;

/// Before an engine that doesn't answer is asked again.
pub(super) const AGAIN: Duration = Duration::from_secs(2);

impl Service {
    /// Listens to the engine's events, and begins anew whenever they end.
    pub(super) async fn keep_listening(&self) {
        loop {
            if let Ok(site) = self.site().await
                && let Ok(mut changes) = site.node().changes().await
            {
                // Between the last look and now something may have happened unheard.
                self.inner.look.notify_one();
                while changes.next().await.is_ok() {
                    self.inner.look.notify_one();
                }
                self.inner.look.notify_one();
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}
