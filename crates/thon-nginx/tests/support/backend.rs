//! A stand-in for code-server: answers what was asked, echoes on websockets, logs people in.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A server on a free port of the loopback interface; it ends when it is dropped.
pub struct Backend {
    pub port: u16,
    task: tokio::task::JoinHandle<()>,
    connections: Arc<AtomicUsize>,
}

impl Backend {
    pub async fn start() -> Self {
        Self::below("/").await
    }

    /// An agent as some runtimes have in their sandboxes: it serves code-server below
    /// `/proxy/<port>/` and nothing else.
    pub async fn agent(code_port: u16) -> Self {
        Self::below(&format!("/proxy/{code_port}/")).await
    }

    /// A server that has nothing outside of `base`.
    async fn below(base: &str) -> Self {
        let base: Arc<str> = base.into();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let task = tokio::spawn(async move {
            let mut sessions = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                sessions.spawn(serve(stream, Arc::clone(&base)));
            }
        });
        Self { port, task, connections }
    }

    /// How many connections were made to it.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Answers requests on one connection until it ends.
async fn serve(mut stream: TcpStream, base: Arc<str>) {
    loop {
        let Some(head) = peek_head(&stream).await else { return };
        let path = head.split(' ').nth(1).unwrap_or_default();
        if !path.starts_with(&*base) {
            let refused =
                b"HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
            drop(stream.write_all(refused).await);
            return;
        }
        if head.to_ascii_lowercase().contains("\r\nupgrade: websocket\r\n") {
            let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else { return };
            while let Some(Ok(message)) = socket.next().await {
                if (message.is_text() || message.is_binary()) && socket.send(message).await.is_err()
                {
                    return;
                }
            }
            return;
        }
        let mut taken = vec![0; head.len()];
        if stream.read_exact(&mut taken).await.is_err() {
            return;
        }
        if stream.write_all(answer(&head).as_bytes()).await.is_err() {
            return;
        }
    }
}

/// The head of the next request, left in the socket; the tests send no bodies.
async fn peek_head(stream: &TcpStream) -> Option<String> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let length = stream.peek(&mut buffer).await.ok().filter(|length| *length > 0)?;
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        if let Some(end) = text.find("\r\n\r\n") {
            return Some(text[..end + 4].to_owned());
        }
        tokio::task::yield_now().await;
    }
}

fn answer(head: &str) -> String {
    let path = head.split(' ').nth(1).unwrap_or_default();
    let extra = match path {
        // As code-server does: without HttpOnly and Secure, on the root if the browser names no base.
        path if path.to_ascii_lowercase().starts_with("/login") => {
            "Set-Cookie: code-server-session=abc; Path=/; SameSite=Lax\r\n\
             Set-Cookie: theme=dark; Path=/\r\n"
        }
        // Hostile answers: a cookie for someone else's path, and orders to nginx.
        "/evil-cookie" => "Set-Cookie: code-server-session=evil; Path=/1/proxy/2/\r\n",
        "/evil-redirect" => "X-Accel-Redirect: /thon-generation\r\n",
        "/worker.js" => "Service-Worker-Allowed: /\r\n",
        _ => "",
    };
    // The request comes back as the answer, so that a test sees what the server saw.
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n{extra}Content-Length: {}\r\n\r\n{head}",
        head.len()
    )
}
