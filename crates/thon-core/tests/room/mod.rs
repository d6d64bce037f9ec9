//! A node on in-memory adapters with faults.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "tests, and each uses a part of it"
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use thon_core::certificate::CertificateNames;
use thon_core::config::Layout;
use thon_core::endpoint::{NetworkMode, Port};
use thon_core::event::EventStream;
use thon_core::image::ImageRef;
use thon_core::layout::Coverage;
use thon_core::limits::Limits;
use thon_core::name::{NodeName, UserId};
use thon_core::orchestrator::{
    Adapters, NodeSettings, Orchestrator, RunReport, RunRequest, SiteSettings,
};
use thon_core::port::PortRanges;
use thon_core::testing::{
    CountingEntropy, Faults, FixedClock, MemoryCertificates, MemoryHasher, MemoryProxy,
    MemoryRuntime, MemoryStore,
};
use thon_core::workspace::WorkspaceMode;

pub struct Room {
    pub faults: Arc<Faults>,
    pub runtime: Arc<MemoryRuntime>,
    pub proxy: Arc<MemoryProxy>,
    pub store: Arc<MemoryStore>,
    pub certificates: Arc<MemoryCertificates>,
    pub clock: Arc<FixedClock>,
}

impl Room {
    pub fn new() -> Self {
        Self::with(|runtime| runtime)
    }

    pub fn with(runtime: impl FnOnce(MemoryRuntime) -> MemoryRuntime) -> Self {
        let faults = Arc::new(Faults::default());
        let memory =
            MemoryRuntime::new(NodeName::default(), Arc::clone(&faults), Duration::from_secs(1));
        Self {
            runtime: Arc::new(runtime(memory)),
            proxy: Arc::new(MemoryProxy::new(Arc::clone(&faults))),
            store: Arc::new(MemoryStore::new(Arc::clone(&faults))),
            certificates: Arc::new(MemoryCertificates::new(Arc::clone(&faults))),
            clock: Arc::default(),
            faults,
        }
    }

    pub fn orchestrator(&self) -> Orchestrator {
        self.orchestrator_with(|_| {})
    }

    pub fn orchestrator_with(&self, change: impl FnOnce(&mut NodeSettings)) -> Orchestrator {
        let port = |number| Port::new(number).unwrap();
        let mut settings = NodeSettings {
            node: NodeName::default(),
            image: ImageRef::default(),
            network_mode: NetworkMode::Bridge,
            limits: Limits::default(),
            internet: true,
            groups: BTreeMap::new(),
            ports: PortRanges { first_code_port: port(8443), host_ports: 20_000..=29_999 },
            workspace: WorkspaceMode::Volume,
            secure: true,
            environment: BTreeMap::new(),
            files: Vec::new(),
            kilo: None,
            emails: BTreeMap::new(),
            launch_concurrency: 4,
            ready_timeout: Duration::from_mins(1),
            site: Some(SiteSettings {
                host: "203.0.113.7".to_owned(),
                https_port: port(443),
                http_port: port(80),
                dashboard: None,
                layout: Layout::Path,
                instance_ports: 30_000..=32_767,
                names: CertificateNames::for_node("203.0.113.7", None),
                coverage: Coverage::Wildcards,
            }),
        };
        change(&mut settings);
        let adapters = Adapters {
            runtime: self.runtime.clone(),
            proxy: self.proxy.clone(),
            certificates: self.certificates.clone(),
            store: self.store.clone(),
            entropy: Arc::new(CountingEntropy::default()),
            hasher: Arc::new(MemoryHasher),
        };
        Orchestrator::new(settings, adapters, EventStream::new(self.clock.clone()))
    }

    pub async fn run(&self, users: &[UserId]) -> RunReport {
        self.orchestrator().run(&everyone(users)).await.unwrap()
    }
}

/// An orchestrator of the same room in another layout, below a domain where that has one.
pub fn laid_out(room: &Room, layout: Layout) -> Orchestrator {
    room.orchestrator_with(|settings| {
        let site = settings.site.as_mut().unwrap();
        site.layout = layout;
        if layout == Layout::Subdomain {
            "hack.example.org".clone_into(&mut site.host);
        }
    })
}

pub fn everyone(users: &[UserId]) -> RunRequest {
    RunRequest { roster: users.to_vec(), selected: users.to_vec(), ..RunRequest::default() }
}

pub fn urls(report: &RunReport) -> Vec<String> {
    report.instances.iter().filter_map(|instance| instance.url.clone()).collect()
}
