//! A runtime whose own agent serves `/proxy/<port>`, from the run to the browser.
//!
//! For: the network mode and what nginx asks for follow from the endpoint that the runtime tells,
//! whatever the node is configured for.
//! Not for: Docker, where code-server's own port is published.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use support::{Backend, Stage, free_port};
use thon_core::adapter::{CertificateProvider, Failure};
use thon_core::certificate::{Certificate, CertificateNames};
use thon_core::config::Layout;
use thon_core::endpoint::NetworkMode;
use thon_core::event::EventStream;
use thon_core::image::ImageRef;
use thon_core::layout::Coverage;
use thon_core::limits::Limits;
use thon_core::name::{NodeName, UserId};
use thon_core::orchestrator::{Adapters, NodeSettings, Orchestrator, RunRequest, SiteSettings};
use thon_core::port::PortRanges;
use thon_core::testing::{
    CountingEntropy, Faults, FixedClock, MemoryHasher, MemoryRuntime, MemoryStore,
};
use thon_core::workspace::WorkspaceMode;

/// The certificate of a stage.
#[derive(Debug)]
struct Given(Certificate);

#[async_trait]
impl CertificateProvider for Given {
    fn name(&self) -> &'static str {
        "given"
    }

    async fn ensure(&self, _: &CertificateNames) -> Result<Certificate, Failure> {
        Ok(self.0.clone())
    }

    async fn current(&self, _: &CertificateNames) -> Result<Option<Certificate>, Failure> {
        Ok(Some(self.0.clone()))
    }
}

#[tokio::test]
async fn what_an_agent_serves_is_reached_in_every_layout() {
    let agent = Backend::agent(8443).await;
    let user: UserId = "team/ada".parse().unwrap();
    let mut stage = Stage::managed();
    stage.site.host = "hack.example.org".to_owned();
    let runtime =
        MemoryRuntime::new(NodeName::default(), Arc::new(Faults::default()), Duration::ZERO)
            .through_agent(agent.port.to_string().parse().unwrap());
    let runtime = Arc::new(runtime);
    let store = Arc::new(MemoryStore::new(Arc::default()));
    for layout in [Layout::Path, Layout::Port, Layout::Subdomain] {
        let adapters = Adapters {
            runtime: runtime.clone(),
            proxy: Arc::new(stage.proxy()),
            certificates: Arc::new(Given(stage.site.certificate.clone())),
            store: store.clone(),
            entropy: Arc::new(CountingEntropy::default()),
            hasher: Arc::new(MemoryHasher),
        };
        let events = EventStream::new(Arc::new(FixedClock::default()));
        let orchestrator = Orchestrator::new(settings(&stage, layout), adapters, events);
        let everyone = vec![user.clone()];
        let request =
            RunRequest { roster: everyone.clone(), selected: everyone, ..RunRequest::default() };
        let report = orchestrator.run(&request).await.unwrap();
        // The run itself has gone through nginx and the agent: a request and a socket.
        assert!(report.is_success(), "{layout}: {report:?}");
        let seen = &report.instances[0];
        let told = seen.endpoint.as_ref().unwrap();
        assert_eq!(told.to_string(), format!("127.0.0.1:{}/proxy/8443", agent.port));
        assert_eq!(told.network_mode(), NetworkMode::Bridge, "and host is configured");

        let url = seen.url.as_deref().unwrap();
        let https = stage.site.https_port;
        let wanted = match layout {
            Layout::Path => format!("https://hack.example.org:{https}/{}/proxy/8443/", agent.port),
            Layout::Port => url.to_owned(),
            Layout::Subdomain => format!("https://ada.team.hack.example.org:{https}/"),
        };
        assert_eq!(url, wanted);
        let answer = stage.open(&format!("{url}a/b?c=d")).await;
        assert!(answer.body.starts_with("GET /proxy/8443/a/b?c=d HTTP/1.1\r\n"), "{}", answer.body);
    }
}

/// A node for hosts' networks; the runtime knows better.
fn settings(stage: &Stage, layout: Layout) -> NodeSettings {
    let host = stage.site.host.clone();
    let public = free_port().get();
    NodeSettings {
        node: NodeName::default(),
        image: ImageRef::default(),
        network_mode: NetworkMode::Host,
        limits: Limits::default(),
        internet: true,
        groups: BTreeMap::new(),
        ports: PortRanges { first_code_port: "8443".parse().unwrap(), host_ports: 20_000..=29_999 },
        workspace: WorkspaceMode::Volume,
        secure: true,
        environment: BTreeMap::new(),
        files: Vec::new(),
        kilo: None,
        emails: BTreeMap::new(),
        launch_concurrency: 1,
        ready_timeout: Duration::from_mins(1),
        site: Some(SiteSettings {
            names: CertificateNames::for_node(&host, None),
            host,
            https_port: stage.site.https_port,
            http_port: stage.site.http_port,
            dashboard: None,
            layout,
            instance_ports: public..=public,
            coverage: Coverage::Wildcards,
        }),
    }
}
