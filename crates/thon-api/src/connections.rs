//! Connections: taken in, bounded, ended well.
//!
//! For: what comes before a request: how many connections there are, and how long one may be silent.
//! Not for: requests.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tower_service::Service;

/// How long a connection may be without a whole head of a request: before its first one, and between
/// two.
pub(crate) const SILENT: Duration = Duration::from_secs(30);

/// How many connections a port has at once, five hundred who watch among them; whoever comes then
/// waits. Processes mostly may have 1024 files, and Docker and the database need some.
const MOST: usize = 800;

/// After a connection that couldn't be taken in, for want of files mostly.
const BREATH: Duration = Duration::from_millis(100);

/// Serves until `ending` is true, then lets requests end that are under way.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    mut ending: watch::Receiver<bool>,
    silent: Duration,
) {
    let room = Arc::new(Semaphore::new(MOST));
    let graceful = GracefulShutdown::new();
    loop {
        // Closed it never is.
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        let taken = tokio::select! {
            taken = listener.accept() => taken,
            _ = ending.wait_for(|ending| *ending) => break,
        };
        let Ok((stream, peer)) = taken else {
            tokio::time::sleep(BREATH).await;
            continue;
        };
        let connection = graceful.watch(connection(stream, peer, router.clone(), silent));
        tokio::spawn(async move {
            // Whoever goes away in the middle has no need to be told.
            drop(connection.await);
            drop(place);
        });
    }
    drop(listener);
    graceful.shutdown().await;
}

/// One connection, of which a request may follow another.
fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    silent: Duration,
) -> impl hyper_util::server::graceful::GracefulConnection<Error = hyper::Error> {
    // Answers are written whole: nothing is gained by waiting for more of them.
    drop(stream.set_nodelay(true));
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        let mut router = router.clone();
        async move {
            let answer: Result<_, Infallible> = router.call(request.map(Body::new)).await;
            answer
        }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(silent)
        .serve_connection(TokioIo::new(stream), service)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn a_silent_connection_is_ended_and_one_under_way_is_not_cut_off() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (end, ending) = watch::channel(false);
        let (go, gone) = watch::channel(false);
        let slow = get(move || {
            let mut gone = gone.clone();
            async move {
                drop(gone.wait_for(|gone| *gone).await);
                "done"
            }
        });
        let router = Router::new().route("/slow", slow);
        let server = tokio::spawn(serve(listener, router, ending, Duration::from_millis(50)));

        let mut said = Vec::new();
        let mut silent = TcpStream::connect(address).await.unwrap();
        silent.write_all(b"GET / HTTP/1.1\r\nhost: half a he").await.unwrap();
        silent.read_to_end(&mut said).await.unwrap();
        let text = String::from_utf8_lossy(&said).into_owned();
        assert!(text.is_empty() || text.starts_with("HTTP/1.1 408"), "{text}");

        let mut busy = TcpStream::connect(address).await.unwrap();
        busy.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        // Longer than a silent one lasts: the next has come to its end meanwhile.
        let mut other = TcpStream::connect(address).await.unwrap();
        assert_eq!(other.read(&mut [0; 1]).await.unwrap(), 0, "it was ended");
        end.send_replace(true);
        go.send_replace(true);
        said.clear();
        busy.read_to_end(&mut said).await.unwrap();
        assert!(String::from_utf8_lossy(&said).ends_with("done"), "a request was cut off");
        server.await.unwrap();
        assert!(TcpStream::connect(address).await.is_err(), "it listens on");
    }
}
