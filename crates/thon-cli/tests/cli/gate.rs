//! A gate in front of Docker: it stops the command at a request of the test's choice, or plays a
//! Docker that is slow, broken or stuck.
//!
//! For: being sure of how far a run has come when it is killed, or when something happens meanwhile.
//! Not for: changing what is asked, or answering well; what passes passes as it is.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

/// Which side of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Docker hasn't heard of it.
    Before,
    /// Docker has done it, and the command doesn't know yet.
    After,
}

/// A request that the gate stops.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    pub(crate) moment: Moment,
    pub(crate) method: &'static str,
    /// A part of its address.
    pub(crate) address: &'static str,
    /// The how manieth of its kind, from 1.
    pub(crate) nth: usize,
}

/// What is wrong with Docker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It takes so long for each request.
    Slow(Duration),
    /// It answers with an error, and does nothing.
    Fails,
    /// It never answers. What was asked for is done or not.
    Hangs(Moment),
}

/// What a Docker that fails says.
pub(crate) const FAULT: &str = "the storage driver is on fire";

/// A fault with every request of one kind, until the gate is opened.
#[derive(Debug, Clone, Copy)]
struct Disturbance {
    method: &'static str,
    address: &'static str,
    fault: Fault,
}

/// A request as its first line has it: method, and address without version and question.
pub(crate) type Request = (String, String);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing is to be stopped, or nothing any more.
    Open,
    /// Waiting for the step's request, of which so many are still to come.
    Watching(usize),
    /// The request is stopped.
    Held,
    /// Docker is out of reach.
    Shut,
}

struct Shared {
    docker: PathBuf,
    step: Mutex<Option<Step>>,
    disturbance: Mutex<Option<Disturbance>>,
    requests: Mutex<Vec<Request>>,
    state: Mutex<State>,
    changed: Condvar,
    /// How often the gate was shut.
    shuts: AtomicUsize,
    /// True as soon as nobody needs the gate any more.
    over: AtomicBool,
}

/// A socket that leads to Docker as long as the gate is there.
pub(crate) struct Gate {
    socket: PathBuf,
    shared: Arc<Shared>,
}

impl Gate {
    /// An open gate with its socket in `folder`.
    pub(crate) fn new(folder: &Path) -> Self {
        let socket = folder.join("gate.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let named = std::env::var("DOCKER_HOST").unwrap_or_default();
        let docker = named.strip_prefix("unix://").unwrap_or("/var/run/docker.sock");
        let shared = Arc::new(Shared {
            docker: docker.into(),
            step: Mutex::new(None),
            disturbance: Mutex::new(None),
            requests: Mutex::new(Vec::new()),
            state: Mutex::new(State::Open),
            changed: Condvar::new(),
            shuts: AtomicUsize::new(0),
            over: AtomicBool::new(false),
        });
        let all = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if all.over.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&all);
                thread::spawn(move || shared.serve(&client));
            }
        });
        Self { socket, shared }
    }

    /// What the command takes for `DOCKER_HOST`.
    pub(crate) fn docker_host(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// From now on the gate stops the command at this step, once.
    pub(crate) fn stop_at(&self, step: Step) {
        *self.shared.step.lock().unwrap() = Some(step);
        self.shared.turn(State::Watching(step.nth));
    }

    /// True if the command stands before the gate.
    pub(crate) fn holds(&self) -> bool {
        *self.shared.state() == State::Held
    }

    /// From now on every request of this kind goes wrong.
    pub(crate) fn disturb(&self, method: &'static str, address: &'static str, fault: Fault) {
        *self.shared.disturbance.lock().unwrap() = Some(Disturbance { method, address, fault });
        self.shared.turn(State::Open);
    }

    /// Every request until now, in order.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// Lets the stopped request go on, and everything after it.
    pub(crate) fn open(&self) {
        *self.shared.disturbance.lock().unwrap() = None;
        self.shared.turn(State::Open);
    }

    /// Ends all connections, the stopped one included, and lets nobody through until the gate is
    /// opened.
    pub(crate) fn shut(&self) {
        self.shared.shuts.fetch_add(1, Ordering::SeqCst);
        self.shared.turn(State::Shut);
    }

    /// Docker is well again. What it was asked for meanwhile and didn't do is never done.
    pub(crate) fn recover(&self) {
        self.shut();
        self.open();
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        self.shut();
        // Whoever waits for clients looks up.
        drop(UnixStream::connect(&self.socket));
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn turn(&self, state: State) {
        *self.state() = state;
        self.changed.notify_all();
    }

    /// Leads one client to Docker until one of the two closes, or the gate is shut.
    fn serve(self: &Arc<Self>, client: &UnixStream) {
        if *self.state() == State::Shut {
            return;
        }
        let docker = UnixStream::connect(&self.docker).unwrap();
        let answers = Arc::new(Mutex::new(false));
        let back = {
            let (shared, answers) = (Arc::clone(self), Arc::clone(&answers));
            let (from, to) = (docker.try_clone().unwrap(), client.try_clone().unwrap());
            thread::spawn(move || {
                shared.pass(from, to, &|shared, _| {
                    !std::mem::take(&mut *answers.lock().unwrap()) || shared.stop()
                });
            })
        };
        self.pass(client.try_clone().unwrap(), docker.try_clone().unwrap(), &|shared, bytes| {
            let Some(request) = read(bytes) else { return true };
            let stopped = shared.meets(&request);
            let fault = shared.disturbs(&request);
            shared.requests.lock().unwrap().push(request);
            match fault {
                Some(Fault::Slow(time)) => thread::park_timeout(time),
                Some(Fault::Fails) => {
                    fail(client);
                    return false;
                }
                _ => {}
            }
            let hangs = match fault {
                Some(Fault::Hangs(moment)) => Some(moment),
                _ => None,
            };
            match stopped.or(hangs) {
                Some(Moment::Before) => shared.stop(),
                Some(Moment::After) => {
                    *answers.lock().unwrap() = true;
                    true
                }
                None => true,
            }
        });
        drop(back.join());
    }

    /// Passes bytes on as long as `may` allows it; then both ends are closed.
    fn pass(&self, mut from: UnixStream, mut to: UnixStream, may: &dyn Fn(&Self, &[u8]) -> bool) {
        let mut bytes = vec![0; 1 << 16];
        while let Ok(count @ 1..) = from.read(&mut bytes) {
            let shut = *self.state() == State::Shut;
            if shut || !may(self, &bytes[..count]) || to.write_all(&bytes[..count]).is_err() {
                break;
            }
        }
        for end in [from, to] {
            drop(end.shutdown(std::net::Shutdown::Both));
        }
    }

    /// What is wrong with Docker for this request.
    fn disturbs(&self, (method, address): &Request) -> Option<Fault> {
        let disturbance = (*self.disturbance.lock().unwrap())?;
        let fits = method == disturbance.method && address.contains(disturbance.address);
        fits.then_some(disturbance.fault)
    }

    /// The moment at which this request is to be stopped, if it is the awaited one.
    fn meets(&self, (method, address): &Request) -> Option<Moment> {
        let step = (*self.step.lock().unwrap())?;
        if method != step.method || !address.contains(step.address) {
            return None;
        }
        let mut state = self.state();
        match *state {
            State::Watching(1) => {
                *state = State::Watching(0);
                Some(step.moment)
            }
            State::Watching(more @ 2..) => {
                *state = State::Watching(more - 1);
                None
            }
            _ => None,
        }
    }

    /// Holds whoever asks until the gate is opened or shut; true if it was opened.
    fn stop(&self) -> bool {
        let shuts = self.shuts.load(Ordering::SeqCst);
        self.turn(State::Held);
        let state = self.changed.wait_while(self.state(), |state| *state == State::Held).unwrap();
        *state == State::Open && self.shuts.load(Ordering::SeqCst) == shuts
    }
}

/// The request that begins here, if one does. A client waits for an answer before it sends another
/// request, so that each begins what is read at once.
fn read(bytes: &[u8]) -> Option<Request> {
    let line = bytes.split(|byte| *byte == b'\r').next()?;
    let line = std::str::from_utf8(line).ok()?;
    let (method, rest) = line.split_once(' ')?;
    let address = rest.strip_suffix(" HTTP/1.1")?;
    Some((method.to_owned(), address.split('?').next()?.to_owned()))
}

/// Answers as Docker does when it can't.
fn fail(mut client: &UnixStream) {
    let body = format!("{{\"message\":\"{FAULT}\"}}");
    let head = format!(
        "HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    // Whoever is gone needs no answer.
    drop(client.write_all(format!("{head}{body}").as_bytes()));
}
