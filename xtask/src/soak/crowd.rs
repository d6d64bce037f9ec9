//! Everyone at once, each with a request and a socket through nginx.
//!
//! For: holding them open, asking on them again and again, and noting what was lost.
//! Not for: how a connection works.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::client::{Client, Connection, Trouble};
use crate::shell::{Shell, say};

/// Between two messages on one socket, and between two requests on one connection.
const EVERY: Duration = Duration::from_secs(2);
/// For everyone's first answer.
const GATHERING: Duration = Duration::from_mins(2);

/// What became of one member so far.
#[derive(Default)]
struct Tally {
    /// How long answers on the socket took since this was last asked.
    echoes: Vec<Duration>,
    /// How long answers to requests took since this was last asked.
    answers: Vec<Duration>,
    echoed: usize,
    answered: usize,
    /// Connections for requests that nginx closed and that were opened again: allowed any time.
    reopened: usize,
    /// Requests that failed on a connection of their own.
    unanswered: Vec<String>,
    /// Why the socket is gone, if it is.
    lost: Option<String>,
}

/// One person at one instance.
struct Member {
    url: String,
    tally: Mutex<Tally>,
}

impl Member {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        // Counts and lists are whole at any time.
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells all threads to end.
#[derive(Default)]
struct End {
    over: Mutex<bool>,
    changed: Condvar,
}

impl End {
    /// Waits for a while; true as soon as it is over.
    fn within(&self, time: Duration) -> bool {
        let over = self.over.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(over, time, |over| !*over);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn come(&self) {
        *self.over.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }
}

/// Everyone; gone when it is dropped.
pub(super) struct Crowd {
    members: Vec<Arc<Member>>,
    end: Arc<End>,
    threads: Vec<JoinHandle<()>>,
}

impl Crowd {
    /// Opens a request and a socket to each of these instances, all at the same time.
    pub(super) fn gather<'u>(client: &Client, urls: impl Iterator<Item = &'u str>) -> Self {
        let members: Vec<Arc<Member>> = urls
            .map(|url| {
                let url = format!("{url}healthz");
                Arc::new(Member { url, tally: Mutex::default() })
            })
            .collect();
        let end = Arc::new(End::default());
        let mut threads = Vec::with_capacity(members.len() * 2);
        for member in &members {
            for work in [hold_socket, hold_connection] {
                let (client, member, end) = (client.clone(), Arc::clone(member), Arc::clone(&end));
                threads.push(std::thread::spawn(move || work(&client, &member, &end)));
            }
        }
        Self { members, end, threads }
    }

    /// Waits until everyone's request was answered and everyone's socket too, or given up. Returns
    /// how many were.
    pub(super) fn wait_until_all_are_answered(&self, shell: &Shell) -> usize {
        let start = Instant::now();
        loop {
            let reached = self.count(|tally| tally.echoed > 0 && tally.answered > 0);
            let given_up = self.count(|tally| tally.lost.is_some());
            let late = start.elapsed() > GATHERING || shell.is_interrupted();
            if reached + given_up >= self.members.len() || late {
                let took = start.elapsed().as_secs_f64();
                say(&format!("{reached} of {} reached in {took:.1} s", self.members.len()));
                return reached;
            }
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    /// Those whose socket is gone, and why.
    pub(super) fn lost(&self) -> Vec<String> {
        let lost = |member: &Arc<Member>| {
            Some(format!("{}: {}", member.url, member.tally().lost.as_ref()?))
        };
        self.members.iter().filter_map(lost).collect()
    }

    /// Requests that nobody answered, and why.
    pub(super) fn unanswered(&self) -> Vec<String> {
        let of = |member: &Arc<Member>| {
            let reasons = member.tally().unanswered.clone();
            reasons
                .into_iter()
                .map(|reason| format!("{}: {reason}", member.url))
                .collect::<Vec<_>>()
        };
        self.members.iter().flat_map(of).collect()
    }

    /// How often a connection for requests was opened again.
    pub(super) fn reopened(&self) -> usize {
        self.members.iter().map(|member| member.tally().reopened).sum()
    }

    /// How many sockets are open.
    pub(super) fn open(&self) -> usize {
        self.count(|tally| tally.lost.is_none() && tally.echoed > 0)
    }

    /// How long answers took since this was last asked: on sockets, and to requests.
    pub(super) fn take_times(&self) -> (Vec<Duration>, Vec<Duration>) {
        let (mut echoes, mut answers) = (Vec::new(), Vec::new());
        for member in &self.members {
            let mut tally = member.tally();
            echoes.append(&mut tally.echoes);
            answers.append(&mut tally.answers);
        }
        (echoes, answers)
    }

    fn count(&self, is: impl Fn(&Tally) -> bool) -> usize {
        self.members.iter().filter(|member| is(&member.tally())).count()
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.end.come();
        for thread in self.threads.drain(..) {
            // One that panicked has nothing more to say.
            drop(thread.join());
        }
    }
}

/// Holds a socket open until the end, or until it is lost.
fn hold_socket(client: &Client, member: &Member, end: &End) {
    let mut socket = match client.socket(&member.url) {
        Ok(socket) => socket,
        Err(reason) => {
            member.tally().lost = Some(reason);
            return;
        }
    };
    loop {
        let start = Instant::now();
        let asked = socket.ask();
        let mut tally = member.tally();
        match asked {
            Ok(()) => {
                tally.echoes.push(start.elapsed());
                tally.echoed += 1;
            }
            Err(reason) => {
                tally.lost = Some(reason);
                return;
            }
        }
        drop(tally);
        if end.within(EVERY) {
            return;
        }
    }
}

/// Asks again and again on one connection, and opens another where nginx closed it: a browser does
/// the same.
fn hold_connection(client: &Client, member: &Member, end: &End) {
    let mut kept: Option<Connection> = None;
    loop {
        let start = Instant::now();
        let asked = match kept.as_mut().map(Connection::ask) {
            Some(Err(Trouble::Gone(_))) => {
                member.tally().reopened += 1;
                ask_anew(client, &member.url, &mut kept)
            }
            Some(asked) => asked,
            None => ask_anew(client, &member.url, &mut kept),
        };
        if !matches!(asked, Ok(true)) {
            kept = None;
        }
        let mut tally = member.tally();
        match asked {
            Ok(_) => {
                tally.answers.push(start.elapsed());
                tally.answered += 1;
            }
            Err(Trouble::Gone(reason) | Trouble::Refused(reason)) => tally.unanswered.push(reason),
        }
        drop(tally);
        if end.within(EVERY) {
            return;
        }
    }
}

/// Asks on a connection of its own, which is kept.
fn ask_anew(client: &Client, url: &str, kept: &mut Option<Connection>) -> Result<bool, Trouble> {
    kept.insert(client.connect(url)?).ask()
}
