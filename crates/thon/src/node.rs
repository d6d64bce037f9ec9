//! The node: adapters chosen from a configuration and put together, in this one place.
//!
//! For: everything that a front-end can ask for, each as one call.
//! Not for: the rules; they are in the core. Not for: prompts and tables; they are the front-ends'.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use thon_auth::Http;
use thon_core::access::IdentityProvider;
use thon_core::adapter::{CertificateProvider, Clock, Failure, ReverseProxy, SandboxRuntime};
use thon_core::certificate::{Certificate, CertificateNames};
use thon_core::config::{Config, SslProvider, Subnet, WebUrl};
use thon_core::event::{Event, EventStream};
use thon_core::image::ImageRef;
use thon_core::kilo::KiloTemplate;
use thon_core::layout::{Coverage, certificate_names};
use thon_core::lifecycle::Change;
use thon_core::log::LogRequest;
use thon_core::name::UserId;
use thon_core::orchestrator::{
    Adapters, ChangeReport, InstanceView, LogNews, NodeSettings, Orchestrator, Prepared, RunReport,
    RunRequest, SiteSettings, UserFailure,
};
use thon_core::port::PortRanges;
use thon_core::proxy::{ProxyChange, ProxyStatus, RouteCheck, base_url};
use thon_core::sandbox::{Health, SandboxId};
use thon_core::shell::{Shell, ShellRequest};
use thon_core::workspace::{Workspace, WorkspaceMode};
use thon_docker::{
    Changes, DockerRuntime, DockerSettings, DockerWorkspaces, FirewallSettings, FirewallState,
};
use thon_nginx::{NginxProxy, NginxSettings};
use thon_tls::{Provider, Tls, TlsSettings};
use tokio::sync::mpsc::Receiver;

use crate::error::Error;
use crate::given::StoredFiles;
use crate::home::{Home, HomeLock};
use crate::setup::{
    EngineStart, EngineState, ImageBuild, ImageOptions, ImageReport, ImageState, Package,
    PackageManager, engine, image, packages,
};
use crate::store::FileStore;
use crate::system::{Argon2Hasher, OsEntropy, SystemClock, cores, own_address};
use crate::{activity, lifetime};

/// Where a public authority's challenges are laid down: nginx's workers must be able to read it,
/// which they can't in anyone's home.
const ACME_WEBROOT: &str = "/var/lib/thon/acme";

/// A node put together from its configuration.
pub struct Node {
    pub(crate) config: Config,
    pub(crate) home: Home,
    pub(crate) docker: Arc<DockerRuntime>,
    pub(crate) proxy: Arc<NginxProxy>,
    pub(crate) certificates: Arc<Tls>,
    keeper: Arc<DockerWorkspaces>,
    orchestrator: Orchestrator,
    pub(crate) names: CertificateNames,
}

impl Node {
    /// Chooses the adapters that `config` asks for and puts them together. Nothing is contacted,
    /// started or written.
    pub fn from_config(config: Config, home: Home) -> Result<Self, Error> {
        Self::with_files(config, home, &StoredFiles::default())
    }

    /// As [`Self::from_config`], with the stored files that sandboxes are given.
    pub fn with_files(config: Config, home: Home, files: &StoredFiles) -> Result<Self, Error> {
        Self::on_stream(config, home, files, EventStream::new(Arc::new(SystemClock)))
    }

    /// As [`Self::with_files`], with a stream of events that others write to as well.
    pub fn on_stream(
        config: Config,
        home: Home,
        files: &StoredFiles,
        events: EventStream,
    ) -> Result<Self, Error> {
        let clock = Arc::new(SystemClock);
        let docker = Arc::new(
            DockerRuntime::connect(DockerSettings {
                subnet: match config.sandbox.subnet {
                    Subnet::Auto => None,
                    network @ Subnet::Network { .. } => Some(network.to_string()),
                },
                timeout: Duration::from_secs(config.sandbox.docker_timeout_seconds.into()),
                firewall: firewall(&config),
                ..DockerSettings::for_node(config.node.clone())
            })
            .map_err(Failure::from)?,
        );
        let image = config.sandbox.image.clone();
        let keeper = DockerWorkspaces::new(docker.clone(), image, workspace_mode(&config)?);
        let keeper = Arc::new(keeper);
        let public = public_host(&config);
        let names = CertificateNames::for_node(&public, config.external_ip);
        let everyone: Vec<UserId> = config.groups.users().map(|(user, _)| user).collect();
        let below = certificate_names(config.nginx.layout, &everyone, &public, coverage(&config));
        let proxy = Arc::new(NginxProxy::new(nginx_settings(&config, &home)));
        let certificates = Arc::new(Tls::new(tls_settings(&config, &home), clock));
        let settings = node_settings(&config, files, public, names.clone())?;
        let names = names.with(below);
        let adapters = Adapters {
            runtime: docker.clone(),
            proxy: proxy.clone(),
            certificates: certificates.clone(),
            store: Arc::new(FileStore::new(home.seats())),
            entropy: Arc::new(OsEntropy),
            hasher: Arc::new(Argon2Hasher),
        };
        let orchestrator = Orchestrator::new(settings, adapters, events);
        Ok(Self { config, home, docker, proxy, certificates, keeper, orchestrator, names })
    }

    /// The configuration.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// THON's folder.
    #[must_use]
    pub const fn home(&self) -> &Home {
        &self.home
    }

    /// What runs sandboxes.
    pub(crate) fn runtime(&self) -> &DockerRuntime {
        &self.docker
    }

    /// What keeps workspaces.
    pub(crate) fn keeper(&self) -> &DockerWorkspaces {
        &self.keeper
    }

    /// What keeps workspaces, for tasks of their own.
    pub(crate) fn keeper_shared(&self) -> Arc<DockerWorkspaces> {
        Arc::clone(&self.keeper)
    }

    /// The workspace that the configuration gives a user.
    pub(crate) fn workspace_of(&self, user: &UserId) -> Result<Workspace, Error> {
        Ok(Workspace::of(user, &self.config.node, &workspace_mode(&self.config)?))
    }

    /// The stream that everything is said on.
    #[must_use]
    pub const fn events(&self) -> &EventStream {
        self.orchestrator.events()
    }

    /// What carries plans out.
    pub(crate) const fn orchestrator(&self) -> &Orchestrator {
        &self.orchestrator
    }

    /// The runtime, for tasks of their own.
    pub(crate) fn docker_shared(&self) -> Arc<DockerRuntime> {
        Arc::clone(&self.docker)
    }

    /// The runtime, for what its trait doesn't tell.
    pub(crate) fn docker(&self) -> &DockerRuntime {
        &self.docker
    }

    /// Takes the lock that every command which changes the node holds.
    pub fn lock(&self) -> Result<HomeLock, Error> {
        Ok(self.home.lock()?)
    }

    /// Looks at what a run would do. Changes nothing.
    pub async fn plan(&self, request: &RunRequest) -> Result<Prepared, Error> {
        Ok(self.orchestrator.prepare(request).await?)
    }

    /// Makes what is there into what is wanted.
    pub async fn run(&self, request: &RunRequest) -> Result<RunReport, Error> {
        let minutes = u64::from(self.config.sandbox.timeout_minutes);
        let lifetime = (minutes > 0).then(|| Duration::from_secs(minutes * 60));
        let request = RunRequest { lifetime, ..request.clone() };
        let report = self.orchestrator.run(&request).await;
        self.announce_stepped_over();
        Ok(report?)
    }

    /// Everything as it is now, those in `roster` first. Changes nothing.
    pub async fn status(&self, roster: &[UserId]) -> Result<Vec<InstanceView>, Error> {
        let mut views = self.orchestrator.status(roster).await?;
        let ledger = activity::load(&self.home.activity());
        self.orchestrator.remember(&mut views, &ledger, self.idle_policy());
        Ok(views)
    }

    /// Stops the sandboxes of `users`, or everyone's; they can be started again with all that is in
    /// them.
    pub async fn stop(
        &self,
        users: Option<&[UserId]>,
    ) -> Result<(Vec<UserId>, Vec<UserFailure>), Error> {
        Ok(self.orchestrator.stop(users, false).await?)
    }

    /// Stops and removes the sandboxes of `users`; workspaces and seats stay.
    pub async fn remove_sandboxes(
        &self,
        users: &[UserId],
    ) -> Result<(Vec<UserId>, Vec<UserFailure>), Error> {
        Ok(self.orchestrator.stop(Some(users), true).await?)
    }

    /// What the engine says of this node's containers from now on.
    pub async fn changes(&self) -> Result<Changes, Error> {
        Ok(self.docker.changes().await.map_err(Failure::from)?)
    }

    /// What a sandbox that is down ended with, in a few words.
    pub async fn why_down(&self, sandbox: &SandboxId) -> Option<String> {
        match self.docker.health(sandbox).await.ok()? {
            Health::Died { out_of_memory: true, .. } => Some("out of memory".to_owned()),
            Health::Died { exit_code: Some(code), .. } => Some(format!("ended with code {code}")),
            _ => None,
        }
    }

    /// Pauses, resumes or restarts the sandboxes of `users`, or of everyone who has one, and tells
    /// the proxy, once.
    pub async fn change(
        &self,
        change: Change,
        users: Option<&[UserId]>,
    ) -> Result<ChangeReport, Error> {
        Ok(self.orchestrator.change(change, users).await?)
    }

    /// Removes all sandboxes, the proxy's configuration, the sandboxes' networks and the walls around
    /// them. Workspaces, seats and certificates stay.
    pub async fn down(&self) -> Result<(Vec<UserId>, Vec<UserFailure>), Error> {
        // There is nothing to watch any more.
        lifetime::end(&self.home);
        let removed = self.orchestrator.stop(None, true).await?;
        self.orchestrator.cleanup_proxy().await?;
        self.docker.dismantle().await.map_err(Failure::from)?;
        Ok(removed)
    }

    /// The last `tail` lines of a user's sandbox.
    pub async fn logs(&self, user: &UserId, tail: usize) -> Result<String, Error> {
        Ok(self.orchestrator.logs(user, tail).await?)
    }

    /// The lines of the sandboxes of `users`, or of everyone who has one; with
    /// [`LogRequest::follow`] as they come.
    pub async fn log_news(
        &self,
        users: Option<&[UserId]>,
        request: LogRequest,
    ) -> Result<Receiver<LogNews>, Error> {
        Ok(self.orchestrator.log_news(users, request).await?)
    }

    /// Runs a program in the running sandbox of `user`, for someone who talks to it.
    pub async fn shell(&self, user: &UserId, request: &ShellRequest) -> Result<Shell, Error> {
        Ok(self.orchestrator.shell(user, request).await?)
    }

    /// What the proxy does now.
    pub async fn proxy_status(&self) -> Result<ProxyStatus, Error> {
        Ok(self.proxy.status().await?)
    }

    /// Writes the proxy's routes anew from what runs, and checks each.
    pub async fn proxy_sync(&self) -> Result<(Option<ProxyChange>, Vec<RouteCheck>), Error> {
        Ok(self.orchestrator.sync_proxy().await?)
    }

    /// Takes the proxy's configuration away and gives back what was there before.
    pub async fn proxy_cleanup(&self) -> Result<(), Error> {
        Ok(self.proxy.cleanup().await?)
    }

    /// The names that the certificate must cover.
    #[must_use]
    pub const fn certificate_names(&self) -> &CertificateNames {
        &self.names
    }

    /// The URL of what all participants share: the page that greets them and `/ca.crt`; without a
    /// slash at its end.
    #[must_use]
    pub fn base_url(&self) -> String {
        base_url(&self.names.primary, self.config.nginx.https_port)
    }

    /// The URL of dashboard and API behind nginx; nothing where nginx is not to serve them.
    #[must_use]
    pub fn dashboard_url(&self) -> Option<String> {
        let route = self.config.dashboard_route()?;
        Some(base_url(&self.names.primary, route.port))
    }

    /// Where people reach the dashboard, and providers of accounts send them back to: what
    /// `dashboard.public_url` says, or where nginx serves it over TLS, or this machine's loopback.
    pub fn public_url(&self) -> Result<WebUrl, Error> {
        if let Some(url) = &self.config.dashboard.public_url {
            return Ok(url.clone());
        }
        let here = || {
            let dashboard = &self.config.dashboard;
            let port = dashboard.web_port;
            match dashboard.host.parse() {
                Ok(std::net::IpAddr::V6(address)) => format!("http://[{address}]:{port}"),
                _ => format!("http://{}:{port}", dashboard.host),
            }
        };
        let url = self.dashboard_url().unwrap_or_else(here);
        url.parse().map_err(|_| {
            let text = format!(
                "dashboard.public_url: providers of accounts can't send people back to {url}; set it to \
                 the address over TLS at which people reach the dashboard"
            );
            Error::input(text)
        })
    }

    /// Those who vouch for the accounts with which people can sign in, by their names.
    pub fn identity_providers(
        &self,
    ) -> Result<BTreeMap<&'static str, Arc<dyn IdentityProvider>>, Error> {
        let config = &self.config.auth;
        if !config.enabled {
            return Ok(BTreeMap::new());
        }
        let (http, base) = (Http::new()?, self.public_url()?);
        let clock = Arc::new(SystemClock) as Arc<dyn Clock>;
        let made = config.providers().filter_map(|kind| {
            let made = thon_auth::provider(kind, config, &base, &http, &clock)?;
            Some((kind.as_str(), made))
        });
        Ok(made.collect())
    }

    /// The certificate that is there now.
    pub async fn certificate(&self) -> Result<Option<Certificate>, Error> {
        Ok(self.certificates.current(&self.names).await?)
    }

    /// A certificate that is valid now, made or renewed if need be.
    pub async fn issue_certificate(&self) -> Result<Certificate, Error> {
        let certificate = self.certificates.ensure(&self.names).await;
        self.announce_stepped_over();
        Ok(certificate?)
    }

    /// Says which providers of certificates were tried in vain before another one served.
    fn announce_stepped_over(&self) {
        for failure in self.certificates.stepped_over() {
            self.events().emit(Event::Warning { text: failure.to_string() });
        }
    }

    /// Who trusts `certificate`, and what participants have to do; plain lines.
    #[must_use]
    pub fn explain_certificate(&self, certificate: &Certificate) -> Vec<String> {
        thon_tls::explain(certificate, &self.names, self.config.nginx.https_port)
    }

    /// How the Docker engine stands.
    pub async fn engine(&self) -> EngineState {
        let version = self.docker.version().await;
        engine::state(version.map(|version| version.version).map_err(Failure::from))
    }

    /// Starts the Docker engine and waits until it answers.
    pub async fn start_engine(&self) -> Result<EngineStart, Error> {
        self.docker.close_before_start().await;
        let docker = Arc::clone(&self.docker);
        let answers = move || {
            let docker = Arc::clone(&docker);
            async move { docker.ping().await.is_ok() }
        };
        Ok(engine::start(&self.home, answers).await?)
    }

    /// The programs that this configuration needs and the machine lacks.
    pub async fn missing_packages(&self) -> Vec<Package> {
        let answers = matches!(self.engine().await, EngineState::Answers(_));
        packages::missing(&self.config, answers)
    }

    /// Installs packages of the distribution.
    pub async fn install_packages(&self, packages: &[Package]) -> Result<(), Error> {
        let manager = PackageManager::find().await?;
        let names: Vec<&str> = packages.iter().map(|package| package.name).collect();
        let names = names.join(" ");
        let step = || "packages".to_owned();
        self.events()
            .emit(Event::StepStarted { step: step(), text: format!("installing {names}") });
        let say = |text: String| {
            self.events().emit(Event::StepProgress { step: step(), text, done: None });
        };
        manager.install(packages, &say).await?;
        self.events()
            .emit(Event::StepFinished { step: step(), text: format!("{names} installed") });
        Ok(())
    }

    /// The program that makes a base image where no registry answers, if this machine lacks it and
    /// a build would need it.
    pub async fn bootstrap_package(&self) -> Option<Package> {
        let report = self.image().await.ok()?;
        if !needs_build(&report) {
            return None;
        }
        image::bootstrap_package(&self.docker, &self.config, self.events()).await
    }

    /// How the sandbox image stands.
    pub async fn image(&self) -> Result<ImageReport, Error> {
        image::report(&self.docker, &self.config, &self.home).await
    }

    /// Builds the sandbox image if its inputs changed, or if `options` ask for it.
    pub async fn build_image(&self, options: &ImageOptions) -> Result<ImageBuild, Error> {
        image::build(&self.docker, &self.config, &self.home, options, self.events()).await
    }

    /// Makes the image ready for a launch: THON's own is built where it is missing or outdated,
    /// another's is fetched where it is missing. Returns whether anything had to be done.
    pub async fn ready_image(&self) -> Result<bool, Error> {
        let report = self.image().await?;
        if needs_build(&report) {
            return Ok(self.build_image(&ImageOptions::default()).await?.built);
        }
        if report.state == ImageState::Missing {
            image::pull(&self.docker, &report.image, self.events()).await?;
            return Ok(true);
        }
        Ok(false)
    }

    /// How the walls around sandboxes stand. Changes nothing.
    pub async fn firewall(&self) -> FirewallState {
        self.docker.firewall().await
    }

    /// Makes the network that all sandboxes share and the walls around it, where they aren't there
    /// yet, so that no launch waits for them. Returns what will not hold, one line each.
    pub async fn ready_network(&self) -> Result<Vec<String>, Error> {
        Ok(self.docker.prepare().await?)
    }
}

/// True if the image is THON's own and has to be built before a launch.
fn needs_build(report: &ImageReport) -> bool {
    let own = report.image == ImageRef::default();
    match report.state {
        ImageState::Missing => own,
        ImageState::Outdated => true,
        ImageState::Current | ImageState::Foreign => false,
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("home", &self.home).finish_non_exhaustive()
    }
}

/// The name or address in URLs: the domain, else the configured address, else the one found out.
#[must_use]
pub fn public_host(config: &Config) -> String {
    let domain = config.nginx.domain.as_ref().map(|domain| domain.as_str().to_owned());
    let address = || config.external_ip.unwrap_or_else(|| own_address().address);
    domain.unwrap_or_else(|| match address() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => address.to_string(),
    })
}

fn firewall(config: &Config) -> Option<FirewallSettings> {
    let keeps_offline = config.keeps_offline();
    config.open_ports().map(|services| FirewallSettings { services, keeps_offline })
}

fn node_settings(
    config: &Config,
    files: &StoredFiles,
    host: String,
    names: CertificateNames,
) -> Result<NodeSettings, Error> {
    let sandbox = &config.sandbox;
    let site = config.nginx.enabled.then_some(SiteSettings {
        host,
        https_port: config.nginx.https_port,
        http_port: config.nginx.http_port,
        dashboard: config.dashboard_route(),
        layout: config.nginx.layout,
        instance_ports: config.nginx.instance_ports.numbers(),
        names,
        coverage: coverage(config),
    });
    Ok(NodeSettings {
        node: config.node.clone(),
        image: sandbox.image.clone(),
        network_mode: sandbox.network_mode,
        limits: sandbox.limits(),
        internet: sandbox.internet,
        groups: config
            .groups
            .groups()
            .iter()
            .map(|group| (group.name.clone(), group.rules))
            .collect(),
        ports: PortRanges {
            first_code_port: sandbox.starting_port,
            host_ports: sandbox.host_ports.first().get()..=sandbox.host_ports.last().get(),
        },
        workspace: workspace_mode(config)?,
        secure: config.vscode.secure,
        environment: std::collections::BTreeMap::new(),
        files: files.vscode_settings(config)?.into_iter().collect(),
        kilo: KiloTemplate::of(config, files.kilo(config)?),
        emails: config
            .groups
            .users()
            .filter_map(|(id, user)| Some((id, user.email.clone()?)))
            .collect(),
        launch_concurrency: sandbox.launch_concurrency.on(cores()),
        ready_timeout: Duration::from_secs(sandbox.ready_timeout_seconds.into()),
        site,
    })
}

/// How the certificate covers the names of instances, where they have some.
fn coverage(config: &Config) -> Coverage {
    Coverage::by(config.nginx.ssl_provider, config.groups.user_count())
}

pub(crate) fn workspace_mode(config: &Config) -> Result<WorkspaceMode, Error> {
    if config.workspace.ephemeral {
        return Ok(WorkspaceMode::Ephemeral);
    }
    let Some(dir) = &config.workspace.dir else { return Ok(WorkspaceMode::Volume) };
    let absolute = std::path::absolute(dir)
        .map_err(|error| Error::input(format!("workspace.dir {}: {error}", dir.display())))?;
    Ok(WorkspaceMode::Bind(absolute))
}

fn nginx_settings(config: &Config, home: &Home) -> NginxSettings {
    NginxSettings {
        mode: config.nginx.mode,
        acme_webroot: webroot(config),
        ..NginxSettings::new(config.node.clone(), home.nginx())
    }
}

fn tls_settings(config: &Config, home: &Home) -> TlsSettings {
    let provider = match config.nginx.ssl_provider {
        SslProvider::Auto => Provider::Auto,
        SslProvider::Mkcert => Provider::Mkcert,
        SslProvider::Openssl => Provider::Openssl,
        SslProvider::Embedded => Provider::Embedded,
        SslProvider::Certbot => Provider::Certbot,
    };
    let dir = config.nginx.ssl_dir.clone().unwrap_or_else(|| home.tls());
    let email = &config.nginx.certbot_email;
    TlsSettings {
        node_name: config.node.to_string(),
        domain: config.nginx.domain.as_ref().map(|domain| domain.as_str().to_owned()),
        certbot_email: (!email.is_empty()).then(|| email.clone()),
        webroot: webroot(config),
        deploy_hook: deploy_hook(),
        ..TlsSettings::new(provider, dir)
    }
}

/// What certbot's own timer starts after a renewal, so that nginx serves it at once.
fn deploy_hook() -> Vec<String> {
    let program =
        std::env::current_exe().ok().and_then(|path| path.into_os_string().into_string().ok());
    program.map_or_else(Vec::new, |program| vec![program, "nginx".to_owned(), "sync".to_owned()])
}

fn webroot(config: &Config) -> Option<PathBuf> {
    let public = matches!(config.nginx.ssl_provider, SslProvider::Auto | SslProvider::Certbot);
    (public && config.nginx.domain.is_some()).then(|| PathBuf::from(ACME_WEBROOT))
}
