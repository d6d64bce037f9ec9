//! Listening, and ending without cutting anyone off.
//!
//! For: one process that serves the node: it listens, attends to the node, and ends both.
//! Not for: what is served.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use thon::core::adapter::{Failure, FailureKind};
use thon::{Error, Home, Service};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::app::{App, router};

/// How long requests may take to end after the server was asked to.
const FAREWELL: Duration = Duration::from_secs(10);

/// A server that listens already.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    service: Service,
    address: SocketAddr,
}

impl Server {
    /// Opens the node in `home` and listens where its configuration says. `config` is the
    /// configuration file that was named, if one was.
    pub async fn bind(home: Home, config: Option<PathBuf>) -> Result<Self, Error> {
        let service = Service::open(home, config).await?;
        let site = service.site().await?;
        let dashboard = &site.node().config().dashboard;
        let place = format!("{}:{}", dashboard.host, dashboard.port);
        let failed = |error: std::io::Error| {
            let kind = match error.kind() {
                std::io::ErrorKind::AddrInUse => FailureKind::PortTaken,
                _ => FailureKind::Denied,
            };
            let advice = "free it, or choose another with `dashboard.host` and `dashboard.port`";
            Failure::new(kind, format!("listening on {place}"), error.to_string(), advice)
        };
        let host = dashboard.host.trim_start_matches('[').trim_end_matches(']');
        let listener = TcpListener::bind((host, dashboard.port.get())).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        if !address.ip().is_loopback() && service.state().access().is_open().await? {
            let text = format!(
                "dashboard.host {}: with neither a password nor a token everyone who reaches it \
                 could do everything; set one with `thon dashboard password` or \
                 `thon token add`, or listen on 127.0.0.1",
                dashboard.host
            );
            return Err(Error::input(text));
        }
        Ok(Self { listener, service, address })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The node that it serves.
    #[must_use]
    pub const fn service(&self) -> &Service {
        &self.service
    }

    /// Serves until `stop` is there, then lets requests end and says goodbye to those who watch.
    pub async fn serve(self, stop: impl Future<Output = ()> + Send + 'static) -> Result<(), Error> {
        let Self { listener, service, address } = self;
        let (end, ending) = watch::channel(false);
        let app = App {
            service: service.clone(),
            only_here: address.ip().is_loopback(),
            ending: ending.clone(),
            requests: Arc::default(),
        };
        let asked = |mut ending: watch::Receiver<bool>| async move {
            let _ = ending.wait_for(|ending| *ending).await;
        };
        let served = axum::serve(listener, router(app))
            .with_graceful_shutdown(asked(ending.clone()))
            .into_future();
        let serving = tokio::spawn(served);
        let attended = service.attend(async {
            stop.await;
        });
        let attended = attended.await;
        end.send_replace(true);
        // Whoever is still being answered then is told by a closed connection.
        drop(tokio::time::timeout(FAREWELL, serving).await);
        service.close().await;
        attended
    }
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
