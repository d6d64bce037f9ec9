//! A Docker that isn't one.
//!
//! For: an engine of another version, or one that takes every connection and says nothing.
//! Not for: an engine that works; the gate stands before the real one.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// A socket with a Docker of a kind behind it, as long as it lives.
pub(crate) struct FakeDocker {
    socket: PathBuf,
    over: Arc<AtomicBool>,
}

impl FakeDocker {
    /// A Docker that speaks no newer interface than `api`, and refuses whoever does.
    pub(crate) fn of_version(folder: &Path, version: &'static str, api: &'static str) -> Self {
        let newest = number(api);
        Self::serve(folder, move |client| {
            let mut requests = BufReader::new(client.try_clone().unwrap());
            while let Some(path) = next_path(&mut requests) {
                let asked = path.strip_prefix("/v").and_then(|rest| rest.split_once('/'));
                let (status, body) = match asked {
                    Some((asked, _)) if number(asked) > newest => (
                        "400 Bad Request",
                        format!(
                            r#"{{"message":"client version {asked} is too new. Maximum supported API version is {api}"}}"#
                        ),
                    ),
                    _ if path.ends_with("/version") => (
                        "200 OK",
                        format!(
                            r#"{{"Version":"{version}","ApiVersion":"{api}","MinAPIVersion":"1.12"}}"#
                        ),
                    ),
                    _ if path.ends_with("/info") => (
                        "200 OK",
                        format!(r#"{{"ServerVersion":"{version}","DockerRootDir":"/","NCPU":2}}"#),
                    ),
                    _ => ("404 Not Found", r#"{"message":"page not found"}"#.to_owned()),
                };
                let head = format!(
                    "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                );
                if (&client).write_all((head + &body).as_bytes()).is_err() {
                    return;
                }
            }
        })
    }

    /// A Docker that is stuck.
    pub(crate) fn silent(folder: &Path) -> Self {
        Self::serve(folder, |client| {
            let mut requests = BufReader::new(client);
            while next_path(&mut requests).is_some() {}
        })
    }

    fn serve(folder: &Path, answer: impl Fn(UnixStream) + Copy + Send + 'static) -> Self {
        let socket = folder.join("fake-docker.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&over);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                thread::spawn(move || answer(client));
            }
        });
        Self { socket, over }
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }
}

impl Drop for FakeDocker {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        // Whoever waits for clients looks up.
        drop(UnixStream::connect(&self.socket));
        drop(std::fs::remove_file(&self.socket));
    }
}

/// The path of the next request, whose head is read to its end.
fn next_path(requests: &mut impl BufRead) -> Option<String> {
    let mut lines = requests.lines().map_while(Result::ok);
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let end = lines.find(String::is_empty);
    end.map(|_| path)
}

fn number(api: &str) -> (u32, u32) {
    let (major, minor) = api.split_once('.').unwrap();
    (major.parse().unwrap(), minor.parse().unwrap())
}
