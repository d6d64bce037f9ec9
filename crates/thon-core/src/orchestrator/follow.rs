//! Looking into sandboxes while they run: following logs, and talking to a shell.
//!
//! For: one stream of lines from many sandboxes that goes on when one is restarted and ends for one
//! that is removed; and the way into a running one.
//! Not for: what is printed of it, and not for terminals.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Orchestrator, RunError};
use crate::adapter::{Failure, FailureKind};
use crate::log::{LogLine, LogRequest, harmless};
use crate::name::UserId;
use crate::sandbox::{ObservedSandbox, Phase, SandboxId};
use crate::shell::{Shell, ShellRequest};

/// Lines that wait for a slow reader before the sandboxes' logs are read no further.
const BUFFERED: usize = 1024;

/// How often a sandbox that is down is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How long a sandbox may be missing before it counts as removed: one that is being replaced is
/// missing for a moment.
const GONE_AFTER: Duration = Duration::from_secs(5);

/// What happens while logs are followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogNews {
    /// A line, harmless to show.
    Line {
        /// Whose sandbox wrote it.
        user: UserId,
        /// When, where that is known.
        at: Option<SystemTime>,
        /// What.
        text: String,
    },
    /// It is down; its log goes on once it is started.
    Down {
        /// Whose.
        user: UserId,
    },
    /// Its sandbox was removed: nothing more comes of it.
    Removed {
        /// Whose.
        user: UserId,
    },
    /// Its log can't be read any more.
    Failed {
        /// Whose.
        user: UserId,
        /// Why.
        failure: Failure,
    },
}

/// How far the log of one user has been read.
#[derive(Debug, Clone)]
struct Place {
    id: SandboxId,
    last: Option<SystemTime>,
    /// Since when no sandbox was seen.
    missing: Option<Instant>,
    said_down: bool,
}

impl Orchestrator {
    /// The lines of the sandboxes of `users`, or of everyone who has one, as they come; with
    /// `follow` until all of them are removed or nobody listens any more.
    pub async fn log_news(
        &self,
        users: Option<&[UserId]>,
        request: LogRequest,
    ) -> Result<mpsc::Receiver<LogNews>, RunError> {
        let observed = self.adapters.runtime.observe().await?;
        let everyone: Vec<UserId> = observed.iter().map(|sandbox| sandbox.user.clone()).collect();
        let (mut places, mut missing) = (BTreeMap::new(), Vec::new());
        for user in users.unwrap_or(&everyone) {
            match find(&observed, user, "reading the log") {
                Ok(sandbox) => {
                    let (id, last) = (sandbox.id.clone(), None);
                    let place = Place { id, last, missing: None, said_down: false };
                    places.insert(user.clone(), place);
                }
                Err(failure) => missing.push(LogNews::Failed { user: user.clone(), failure }),
            }
        }
        if let (true, Some(LogNews::Failed { failure, .. })) = (places.is_empty(), missing.first())
        {
            return Err(failure.clone().into());
        }
        let (news, reader) = mpsc::channel(BUFFERED);
        let this = self.clone();
        tokio::spawn(async move {
            for one in missing {
                drop(news.send(one).await);
            }
            this.follow(places, request, news).await;
        });
        Ok(reader)
    }

    async fn follow(
        self,
        places: BTreeMap<UserId, Place>,
        request: LogRequest,
        news: mpsc::Sender<LogNews>,
    ) {
        let mut readers = JoinSet::new();
        for (user, place) in places {
            readers.spawn(self.clone().read(user, place, request, news.clone()));
        }
        // Those that are down or missing. They are looked at together, with one question.
        let mut waiting: BTreeMap<UserId, Place> = BTreeMap::new();
        while !(readers.is_empty() && waiting.is_empty()) {
            tokio::select! {
                Some(ended) = readers.join_next() => {
                    if let Ok((user, Some(place))) = ended && request.follow {
                        waiting.insert(user, place);
                    }
                }
                () = tokio::time::sleep(LOOK_EVERY), if !waiting.is_empty() => {
                    let Ok(observed) = self.look_again(&mut waiting, &news).await else { return };
                    for (user, mut place) in std::mem::take(&mut waiting) {
                        match next(&user, &mut place, &observed, Instant::now()) {
                            Next::Read => {
                                let since = place.last.or(request.since);
                                let rest = LogRequest { tail: None, since, ..request };
                                readers.spawn(self.clone().read(user, place, rest, news.clone()));
                            }
                            Next::Wait => {
                                if !place.said_down && place.missing.is_none() {
                                    place.said_down = true;
                                    drop(news.send(LogNews::Down { user: user.clone() }).await);
                                }
                                waiting.insert(user, place);
                            }
                            Next::Removed => drop(news.send(LogNews::Removed { user }).await),
                        }
                    }
                }
                () = news.closed() => return,
            }
        }
    }

    /// What is there now; who can't be told about any more is told so.
    async fn look_again(
        &self,
        waiting: &mut BTreeMap<UserId, Place>,
        news: &mpsc::Sender<LogNews>,
    ) -> Result<Vec<ObservedSandbox>, ()> {
        match self.adapters.runtime.observe().await {
            Ok(observed) => Ok(observed),
            Err(failure) => {
                for user in std::mem::take(waiting).into_keys() {
                    let failed = LogNews::Failed { user, failure: failure.clone() };
                    news.send(failed).await.map_err(drop)?;
                }
                Ok(Vec::new())
            }
        }
    }

    /// Reads one sandbox's log to its end and passes it on; the place is where it ended, nothing if
    /// it can't be read.
    async fn read(
        self,
        user: UserId,
        mut place: Place,
        request: LogRequest,
        news: mpsc::Sender<LogNews>,
    ) -> (UserId, Option<Place>) {
        let failed = |failure| LogNews::Failed { user: user.clone(), failure };
        let mut lines = match self.adapters.runtime.follow_log(&place.id, &request).await {
            Ok(lines) => lines,
            // Removed at this very moment: whoever looks again finds that out.
            Err(failure) if failure.kind == FailureKind::Missing && request.follow => {
                return (user, Some(place));
            }
            Err(failure) => {
                drop(news.send(failed(failure)).await);
                return (user, None);
            }
        };
        let read_before = place.last;
        while let Some(line) = lines.recv().await {
            match line {
                // What was read before the sandbox went down comes again.
                Ok(LogLine { at: Some(at), .. }) if read_before.is_some_and(|last| at <= last) => {}
                Ok(LogLine { at, text }) => {
                    place.last = at.or(place.last);
                    place.said_down = false;
                    let line = LogNews::Line { user: user.clone(), at, text: harmless(&text) };
                    if news.send(line).await.is_err() {
                        return (user, None);
                    }
                }
                Err(failure) => {
                    drop(news.send(failed(failure)).await);
                    return (user, None);
                }
            }
        }
        (user, Some(place))
    }

    /// Runs a program in the sandbox of `user`, which has to be running.
    pub async fn shell(&self, user: &UserId, request: &ShellRequest) -> Result<Shell, RunError> {
        let observed = self.adapters.runtime.observe().await?;
        let sandbox = find(&observed, user, "opening a shell in the sandbox")?;
        let closed = match sandbox.phase {
            Phase::Running => {
                return Ok(self.adapters.runtime.attach(&sandbox.id, request).await?);
            }
            Phase::Paused => ("it is paused", format!("`thon resume {user}` lets it go on")),
            _ => ("it is down", format!("`thon run --user {user}` starts it")),
        };
        let tried = format!("opening a shell in the sandbox of {user}");
        Err(Failure::new(FailureKind::Conflict, tried, closed.0, closed.1).into())
    }
}

/// What is to be done about a sandbox whose log has ended.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Read,
    Wait,
    Removed,
}

fn next(user: &UserId, place: &mut Place, observed: &[ObservedSandbox], now: Instant) -> Next {
    let Some(sandbox) = observed.iter().find(|sandbox| sandbox.user == *user) else {
        let since = *place.missing.get_or_insert(now);
        return if now - since >= GONE_AFTER { Next::Removed } else { Next::Wait };
    };
    place.missing = None;
    place.id = sandbox.id.clone();
    match sandbox.phase {
        Phase::Running | Phase::Paused | Phase::Restarting => Next::Read,
        Phase::Created | Phase::Exited | Phase::Unknown => Next::Wait,
    }
}

fn find<'o>(
    observed: &'o [ObservedSandbox],
    user: &UserId,
    tried: &str,
) -> Result<&'o ObservedSandbox, Failure> {
    observed.iter().find(|sandbox| sandbox.user == *user).ok_or_else(|| {
        Failure::new(
            FailureKind::Missing,
            format!("{tried} of {user}"),
            "there is no sandbox of that user",
            "`thon status` lists who has one",
        )
    })
}
