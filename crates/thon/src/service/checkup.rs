//! What the doctor says, for those who watch.
//!
//! For: the last findings, found out anew when somebody asks and they are old.
//! Not for: what is checked; [`crate::doctor`] has it.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use thon_core::doctor::Finding;
use thon_core::event::Event;

use super::Service;

/// After so long findings are found out anew.
const OLD: Duration = Duration::from_mins(5);

/// What the doctor found.
#[derive(Debug, Clone)]
pub struct Checkup {
    /// When.
    pub at: SystemTime,
    /// Everything, what is fine included.
    pub findings: Vec<Finding>,
}

/// The last findings, and whether new ones are on their way.
#[derive(Debug, Default)]
pub(super) struct Ward {
    last: Option<Arc<Checkup>>,
    busy: bool,
}

impl Service {
    /// The doctor's last findings; nothing before the first. Where they are old, or `anew` is wished,
    /// new ones are found out meanwhile, and said on the stream of events.
    pub fn checkup(&self, anew: bool) -> Option<Arc<Checkup>> {
        let mut ward = self.inner.ward.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.inner.events.now();
        let old = ward
            .last
            .as_ref()
            .is_none_or(|last| now.duration_since(last.at).map_or(true, |since| since >= OLD));
        if (old || anew) && !ward.busy {
            ward.busy = true;
            let service = self.clone();
            tokio::spawn(async move { service.examine().await });
        }
        ward.last.clone()
    }

    async fn examine(&self) {
        let found = match self.site().await {
            Ok(site) => Some(site.node().examine(site.config_path()).await),
            Err(_) => None,
        };
        let at = self.inner.events.now();
        let mut ward = self.inner.ward.lock().unwrap_or_else(PoisonError::into_inner);
        ward.busy = false;
        let Some(findings) = found else { return };
        ward.last = Some(Arc::new(Checkup { at, findings }));
        drop(ward);
        self.inner.events.emit(Event::Examined);
    }
}
