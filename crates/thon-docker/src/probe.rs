//! Looking at ports of this host.
//!
//! For: asking a code-server for `/healthz` and when a browser was there, and finding out which ports something holds.
//! Not for: judging what the answers mean for a sandbox; that is the health module's.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use thon_core::endpoint::Port;
use tokio::net::TcpStream;

/// The loopback connects at once or not at all.
const CONNECT_LIMIT: Duration = Duration::from_millis(500);
/// A code-server that takes longer than this to say that it is well isn't.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);
/// Who asks, for code-server's logs.
const AGENT: &str = concat!("thon/", env!("CARGO_PKG_VERSION"));

/// What came of one look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// `/healthz` answered 200.
    Healthy,
    /// Nothing listens.
    Refused,
    /// Something listens and doesn't answer as it should. Docker's own proxy accepts connections
    /// before code-server listens, and resets them.
    NotYet,
}

/// Asks the code-server at `address` for `/healthz`, which it answers without a login and without
/// taking it for activity.
pub(crate) async fn healthz(address: &str) -> Answer {
    let stream = match tokio::time::timeout(CONNECT_LIMIT, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => return Answer::Refused,
        _ => return Answer::NotYet,
    };
    match tokio::time::timeout(ANSWER_LIMIT, ask(stream, address)).await {
        Ok(Some(StatusCode::OK)) => Answer::Healthy,
        _ => Answer::NotYet,
    }
}

/// The longest answer that is read of `/healthz`; it has less than 100 bytes.
const ANSWER_SIZE: usize = 4096;

/// When a browser was last at the code-server at `address`, as it says; nothing if none ever was.
/// An error is what kept it from saying so.
pub(crate) async fn heartbeat(address: &str) -> Result<Option<SystemTime>, String> {
    let limit = CONNECT_LIMIT + ANSWER_LIMIT;
    match tokio::time::timeout(limit, read(address)).await {
        Ok(body) => last_heartbeat(&body?),
        Err(_) => Err("it doesn't answer".to_owned()),
    }
}

async fn read(address: &str) -> Result<Bytes, String> {
    let failed = |error: hyper::Error| error.to_string();
    let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    let body = async {
        let response = sender.send_request(request(address)?).await.map_err(failed)?;
        let body = Limited::new(response.into_body(), ANSWER_SIZE).collect().await;
        Ok(body.map_err(|error| error.to_string())?.to_bytes())
    };
    let drive = async {
        drop(connection.await);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        body = body => body,
        () = drive => Err("the connection was closed".to_owned()),
    }
}

/// The time in `{"status":"alive","lastHeartbeat":1767225599000}`; 0 stands for never.
fn last_heartbeat(body: &[u8]) -> Result<Option<SystemTime>, String> {
    let said: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let Some(ms) = said.and_then(|said| said.get("lastHeartbeat")?.as_u64()) else {
        return Err("its /healthz tells no lastHeartbeat".to_owned());
    };
    Ok((ms > 0).then(|| SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(ms))).flatten())
}

fn request(address: &str) -> Result<Request<Empty<Bytes>>, String> {
    Request::get("/healthz")
        .header("host", address)
        .header("user-agent", AGENT)
        .header("connection", "close")
        .body(Empty::new())
        .map_err(|error| error.to_string())
}

async fn ask(stream: TcpStream, address: &str) -> Option<StatusCode> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
    let answer = sender.send_request(request(address).ok()?);
    tokio::pin!(answer, connection);
    // The connection is driven until the head of the answer is there; nobody needs the rest.
    tokio::select! {
        biased;
        answer = &mut answer => answer.ok().map(|response| response.status()),
        _ = &mut connection => answer.await.ok().map(|response| response.status()),
    }
}

/// True if something on the loopback holds `port`.
pub(crate) fn is_held(port: Port) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.get()));
    match TcpListener::bind(address) {
        Ok(_) => false,
        Err(error) if error.kind() == ErrorKind::AddrInUse => true,
        // A low port, which only Docker may bind: held if somebody answers.
        Err(_) => std::net::TcpStream::connect_timeout(&address, CONNECT_LIMIT).is_ok(),
    }
}

/// Those of `ports` that something on the loopback holds.
pub(crate) async fn held(ports: &[Port]) -> BTreeSet<Port> {
    let ports = ports.to_vec();
    tokio::task::spawn_blocking(move || ports.into_iter().filter(|port| is_held(*port)).collect())
        .await
        // The task neither panics nor is it cancelled while somebody waits for it, save when the
        // whole runtime goes down; then nobody reads the answer.
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener as StdListener;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    fn nobodys() -> Port {
        // Assigned to a service of 1988 that nobody runs; no test is ever given it as a free port.
        Port::new(1).unwrap()
    }

    fn port_of(listener: &StdListener) -> Port {
        Port::new(listener.local_addr().unwrap().port().into()).unwrap()
    }

    #[tokio::test]
    async fn a_held_port_is_seen_whoever_listens_on_which_address() {
        let loopback = StdListener::bind("127.0.0.1:0").unwrap();
        let everywhere = StdListener::bind("0.0.0.0:0").unwrap();
        let asked = [port_of(&loopback), port_of(&everywhere), nobodys()];
        assert_eq!(held(&asked).await, BTreeSet::from([asked[0], asked[1]]));
    }

    async fn server(answer: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0_u8; 1024];
                let read = stream.read(&mut request).await.unwrap_or(0);
                assert!(request[..read].starts_with(b"GET /healthz HTTP/1.1\r\n"));
                drop(stream.write_all(answer.as_bytes()).await);
            }
        });
        address
    }

    #[tokio::test]
    async fn only_a_200_is_healthy() {
        let well = server("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").await;
        assert_eq!(healthz(&well).await, Answer::Healthy);
        let ill = server("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n").await;
        assert_eq!(healthz(&ill).await, Answer::NotYet);
        // What Docker's proxy does as long as code-server doesn't listen.
        let reset = server("").await;
        assert_eq!(healthz(&reset).await, Answer::NotYet);
        assert_eq!(healthz("127.0.0.1:1").await, Answer::Refused);
    }

    #[tokio::test]
    async fn the_heartbeat_is_read_and_never_guessed() {
        let alive = r#"{"status":"alive","lastHeartbeat":1767225599500}"#;
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{alive}", alive.len());
        let alive = server(answer.leak()).await;
        let expected = SystemTime::UNIX_EPOCH + Duration::from_millis(1_767_225_599_500);
        assert_eq!(heartbeat(&alive).await, Ok(Some(expected)));
        assert_eq!(last_heartbeat(br#"{"status":"expired","lastHeartbeat":0}"#), Ok(None));
        let other = server("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").await;
        assert!(heartbeat(&other).await.is_err());
        assert!(heartbeat(&server("").await).await.is_err());
        assert!(heartbeat("127.0.0.1:1").await.is_err());
    }
}
