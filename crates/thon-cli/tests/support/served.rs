//! A `thon serve` of the test's own, and what it answers.
//!
//! For: starting and ending it, and requests as a program without any library makes them.
//! Not for: what the answers have to be; the tests know that.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::wait::until;

/// A server that is ended when it is dropped.
pub(crate) struct Served {
    pub(crate) child: Child,
    host: String,
    port: u16,
    /// What is shown with each request.
    pub(crate) token: Option<String>,
}

/// An answer of the server.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// In small letters.
    pub(crate) head: String,
    pub(crate) body: String,
    /// The head as it came.
    raw: String,
}

impl Answer {
    fn read(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let (small, body) = (head.to_ascii_lowercase(), body.to_owned());
        Self { status, head: small, body, raw: head.to_owned() }
    }

    /// All headers of a name, in small letters, as they came.
    pub(crate) fn headers<'a>(&'a self, name: &str) -> std::vec::IntoIter<&'a str> {
        let lines = self.raw.lines().filter_map(|line| line.split_once(": "));
        let found: Vec<&str> = lines
            .filter(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
            .collect();
        found.into_iter()
    }

    /// The one header of a name.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers(name).next().unwrap_or_else(|| panic!("no {name}: {self:?}"))
    }

    /// The cookie that is set under a name that begins so: name, value, and what holds for it.
    #[track_caller]
    pub(crate) fn cookie(&self, begin: &str) -> (String, String, String) {
        let found = self.headers("set-cookie").find(|cookie| cookie.starts_with(begin));
        let cookie = found.unwrap_or_else(|| panic!("no cookie {begin}: {self:?}"));
        let (pair, rest) = cookie.split_once("; ").unwrap();
        let (name, value) = pair.split_once('=').unwrap();
        (name.to_owned(), value.to_owned(), rest.to_owned())
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }
}

impl Served {
    /// Starts a server that will listen there.
    pub(crate) fn start(mut command: Command, host: &str, port: u16) -> Self {
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut served = Self { child, host: host.to_owned(), port, token: None };
        until("the server to listen", || {
            let ended = served.child.try_wait().unwrap();
            assert_eq!(ended, None, "the server ended");
            TcpStream::connect((host, port)).ok()
        });
        served
    }

    /// The same server at another of its ports.
    pub(crate) fn ask(host: &str, port: u16, method: &str, path: &str, headers: &str) -> Answer {
        Self::ask_with(host, port, method, path, headers, "")
    }

    /// An answer that has no end, before it began.
    pub(crate) fn open(host: &str, port: u16, path: &str, headers: &str) -> TcpStream {
        let mut stream = TcpStream::connect((host, port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_mins(2))).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: {host}:{port}\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        stream
    }

    /// The same stream, once it has said hello.
    pub(crate) fn open_events(host: &str, port: u16, headers: &str) -> TcpStream {
        let mut stream = Self::open(host, port, "/api/events", headers);
        read_to(&mut stream, "hello");
        stream
    }

    /// The head of such an answer.
    pub(crate) fn head_of(host: &str, port: u16, path: &str, headers: &str) -> Answer {
        let mut stream = Self::open(host, port, path, headers);
        Answer::read(&read_to(&mut stream, "\r\n\r\n"))
    }

    /// The same with a body.
    pub(crate) fn ask_with(
        host: &str,
        port: u16,
        method: &str,
        path: &str,
        headers: &str,
        body: &str,
    ) -> Answer {
        let mut stream = TcpStream::connect((host, port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_mins(2))).unwrap();
        let named = headers.lines().any(|line| line.starts_with("host:"));
        let own = if named { String::new() } else { format!("host: {host}:{port}\r\n") };
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\n{own}connection: close\r\n{headers}\
             content-length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut text = Vec::new();
        stream.read_to_end(&mut text).unwrap();
        Answer::read(&String::from_utf8_lossy(&text))
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> String {
        format!("http://{}:{}", self.host, self.port)
    }

    pub(crate) fn send(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let token = self.token.as_ref().map(|t| format!("authorization: Bearer {t}\r\n"));
        let headers = token.unwrap_or_default() + headers;
        Self::ask_with(&self.host, self.port, method, path, &headers, body)
    }

    /// Watches the stream of events; ready as soon as it has said hello.
    pub(crate) fn watch(&self) -> TcpStream {
        let mut stream = TcpStream::connect((self.host.as_str(), self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_mins(2))).unwrap();
        let token = self.token.as_deref().unwrap_or_default();
        let request = format!(
            "GET /api/events HTTP/1.1\r\nhost: {}:{}\r\nauthorization: Bearer {token}\r\n\
             connection: close\r\n\r\n",
            self.host, self.port
        );
        stream.write_all(request.as_bytes()).unwrap();
        read_to(&mut stream, "hello");
        stream
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send("GET", path, "", "")
    }

    pub(crate) fn call(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.send(method, path, "content-type: application/json\r\n", &body.to_string())
    }

    /// Does what is answered with an operation, to its end.
    #[track_caller]
    pub(crate) fn work(&self, method: &str, path: &str, body: &Value) -> Value {
        let begun = self.call(method, path, body).expect(202);
        let id = begun.json()["id"].as_u64().unwrap();
        assert!(begun.head.contains(&format!("location: /api/operations/{id}")), "{}", begun.head);
        until("the operation to end", || {
            let operation = self.get(&format!("/api/operations/{id}?wait=10")).expect(200).json();
            let state = operation["state"].as_str().unwrap().to_owned();
            (state != "queued" && state != "running").then_some(operation)
        })
    }

    pub(crate) fn signal(&mut self, signal: Signal) -> Option<i32> {
        let pid = Pid::from_raw(self.child.id().try_into().unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
        self.child.wait().unwrap().code()
    }
}

/// What comes until a text is there.
fn read_to(stream: &mut TcpStream, wanted: &str) -> String {
    let (mut said, mut piece) = (Vec::new(), [0; 256]);
    loop {
        let text = String::from_utf8_lossy(&said).into_owned();
        if text.contains(wanted) {
            return text;
        }
        let length = stream.read(&mut piece).unwrap();
        assert!(length > 0, "{text}");
        said.extend_from_slice(&piece[..length]);
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
