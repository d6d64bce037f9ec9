//! Listening, and ending without cutting anyone off.
//!
//! For: one process that serves the node: it listens, attends to the node, and ends both.
//! Not for: what is served.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use thon::core::access::Doors;
use thon::core::adapter::{Failure, FailureKind};
use thon::core::config::{Config, DashboardConfig};
use thon::core::endpoint::Port;
use thon::core::event::Event;
use thon::{Error, Home, Service};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::app::{App, Door, router};
use crate::connections::{self, SILENT};
use crate::dashboard;

/// How long requests may take to end after the server was asked to.
const FAREWELL: Duration = Duration::from_secs(10);

/// A server that listens already: to programs at one port, to browsers at another.
#[derive(Debug)]
pub struct Server {
    api: TcpListener,
    web: TcpListener,
    service: Service,
    address: SocketAddr,
    web_address: SocketAddr,
    tls_url: Option<String>,
    doors: Doors,
}

impl Server {
    /// Opens the node in `home` and listens where its configuration says. `config` is the
    /// configuration file that was named, if one was.
    pub async fn bind(home: Home, config: Option<PathBuf>) -> Result<Self, Error> {
        let service = Service::open(home, config).await?;
        let site = service.site().await?;
        let config = site.node().config();
        let dashboard = &config.dashboard;
        let (api, address) = listen(dashboard, dashboard.port, "dashboard.port").await?;
        let (web, web_address) =
            listen(dashboard, dashboard.web_port, "dashboard.web_port").await?;
        if !address.ip().is_loopback() && service.is_open().await? {
            let text = format!(
                "dashboard.host {}: with neither a password nor a token everyone who reaches it \
                 could do everything; set one with `thon dashboard password` or \
                 `thon token add`, or listen on 127.0.0.1",
                dashboard.host
            );
            return Err(Error::input(text));
        }
        let doors = doors(config, &address);
        let tls_url = site.node().dashboard_url();
        Ok(Self { api, web, service, address, web_address, tls_url, doors })
    }

    /// Where the API listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the dashboard listens.
    #[must_use]
    pub const fn web_address(&self) -> SocketAddr {
        self.web_address
    }

    /// Where nginx serves both over TLS, if it is to.
    #[must_use]
    pub fn tls_url(&self) -> Option<&str> {
        self.tls_url.as_deref()
    }

    /// The node that it serves.
    #[must_use]
    pub const fn service(&self) -> &Service {
        &self.service
    }

    /// Serves until `stop` is there, then lets requests end and says goodbye to those who watch.
    pub async fn serve(self, stop: impl Future<Output = ()> + Send + 'static) -> Result<(), Error> {
        let Self { api, web, service, address, doors, .. } = self;
        let (end, ending) = watch::channel(false);
        let app = |door| App {
            service: service.clone(),
            here: address.ip(),
            door,
            doors: doors.clone(),
            ending: ending.clone(),
            requests: Arc::default(),
        };
        let api = connections::serve(api, router(app(Door::Api)), ending.clone(), SILENT);
        let pages = dashboard::router(app(Door::Dashboard));
        let web = connections::serve(web, pages, ending.clone(), SILENT);
        let (serving, showing) = (tokio::spawn(api), tokio::spawn(web));
        let telling = tokio::spawn(tell(service.clone()));
        let attended = service.attend(stop).await;
        telling.abort();
        end.send_replace(true);
        // Whoever is still being answered then is told by a closed connection.
        drop(tokio::time::timeout(FAREWELL, async { tokio::join!(serving, showing) }).await);
        service.close().await;
        attended
    }
}

/// Puts into the log what everyone who watches is warned of.
async fn tell(service: Service) {
    use tokio::sync::broadcast::error::RecvError;
    let mut events = service.events().subscribe();
    loop {
        match events.recv().await {
            Ok(said) => {
                if let Event::Warning { text } = &said.event {
                    tracing::warn!("{text}");
                }
            }
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

async fn listen(
    dashboard: &DashboardConfig,
    port: Port,
    key: &str,
) -> Result<(TcpListener, SocketAddr), Failure> {
    let place = format!("{}:{port}", dashboard.host);
    let failed = |error: std::io::Error| {
        let kind = match error.kind() {
            std::io::ErrorKind::AddrInUse => FailureKind::PortTaken,
            _ => FailureKind::Denied,
        };
        let advice = format!("free it, or choose another with `dashboard.host` and `{key}`");
        Failure::new(kind, format!("listening on {place}"), error.to_string(), advice)
    };
    let host = dashboard.host.trim_start_matches('[').trim_end_matches(']');
    let listener = TcpListener::bind((host, port.get())).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// The names under which browsers may ask.
fn doors(config: &Config, address: &SocketAddr) -> Doors {
    let mut doors =
        Doors::default().named(&config.dashboard.host).named(&thon::public_host(config));
    if let Ok(name) = std::fs::read_to_string("/proc/sys/kernel/hostname") {
        doors = doors.named(name.trim()).named(&format!("{}.local", name.trim()));
    }
    if address.ip().is_loopback() { doors } else { doors.at_any_address() }
}

/// Waits until this process is asked to end: by Ctrl-C, or by a service manager.
pub async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let mut asked = match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
        (Ok(interrupt), Ok(terminate)) => (interrupt, terminate),
        // Without them the process ends as processes do.
        _ => return std::future::pending().await,
    };
    tokio::select! {
        _ = asked.0.recv() => {}
        _ = asked.1.recv() => {}
    }
}
