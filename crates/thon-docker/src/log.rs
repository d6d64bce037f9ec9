//! What a sandbox wrote, line by line.
//!
//! For: lines with their times, those that are there and those to come.
//! Not for: making them harmless; whoever shows them does.

use std::time::SystemTime;

use bollard::container::LogOutput;
use bollard::errors::Error as EngineError;
use bollard::query_parameters::LogsOptionsBuilder;
use futures_util::{Stream, StreamExt};
use thon_core::adapter::Failure;
use thon_core::log::{LogLine, LogLines, LogRequest};
use thon_core::sandbox::SandboxId;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::mpsc;

use crate::client::DockerRuntime;
use crate::error::DockerError;

/// Lines that wait for a slow reader.
const BUFFERED: usize = 64;

/// A line that is longer than this is broken: Docker cuts it into pieces and somebody may write one
/// that never ends.
const LONGEST_LINE: usize = 64 * 1024;

impl DockerRuntime {
    /// The lines that are wanted, as they come.
    pub(crate) async fn lines(
        &self,
        id: &SandboxId,
        request: &LogRequest,
    ) -> Result<LogLines, DockerError> {
        let tried = format!("reading the log of sandbox {}", self.name(id));
        let client = self.client().await?.clone();
        let tail = request.tail.map_or_else(|| "all".to_owned(), |tail| tail.to_string());
        let mut options = LogsOptionsBuilder::default()
            .stdout(true)
            .stderr(true)
            .timestamps(true)
            .follow(request.follow)
            .tail(&tail);
        if let Some(since) = request.since {
            options = options.since(seconds(since));
        }
        let options = options.build();
        // Asks now: a sandbox that isn't there is an error of the call.
        self.recall(id).await?;
        let (sender, lines) = mpsc::channel(BUFFERED);
        let (id, host, since) = (id.clone(), self.host().to_owned(), request.since);
        tokio::spawn(async move {
            let parts = client.logs(&id.0, Some(options));
            let failed =
                |error: &EngineError| Failure::from(DockerError::from_engine(&tried, &host, error));
            tokio::select! {
                () = pass(parts, since, &sender, failed) => {}
                () = sender.closed() => {}
            }
        });
        Ok(lines)
    }
}

/// Passes on the lines that `parts` come to, those from before `since` left out: Docker only knows
/// whole seconds.
async fn pass(
    parts: impl Stream<Item = Result<LogOutput, EngineError>>,
    since: Option<SystemTime>,
    lines: &mpsc::Sender<Result<LogLine, Failure>>,
    failed: impl Fn(&EngineError) -> Failure,
) {
    let mut parts = std::pin::pin!(parts);
    let mut begun = LogLine { at: None, text: String::new() };
    loop {
        let (at, text) = match parts.next().await {
            Some(Ok(part)) => read(&part.into_bytes()),
            Some(Err(error)) => {
                drop(lines.send(Err(failed(&error))).await);
                return;
            }
            None => break,
        };
        begun.at = begun.at.or(at);
        let (text, whole) = match text.strip_suffix('\n') {
            Some(text) => (text.strip_suffix('\r').unwrap_or(text), true),
            None => (text.as_str(), false),
        };
        begun.text.push_str(text);
        if !whole && begun.text.len() < LONGEST_LINE {
            continue;
        }
        let line = std::mem::replace(&mut begun, LogLine { at: None, text: String::new() });
        if line.at >= since && lines.send(Ok(line)).await.is_err() {
            return;
        }
    }
    if !begun.text.is_empty() && begun.at >= since {
        drop(lines.send(Ok(begun)).await);
    }
}

/// The time and the text of `2026-03-01T10:00:00.123456789Z text`.
fn read(part: &[u8]) -> (Option<SystemTime>, String) {
    let text = String::from_utf8_lossy(part).into_owned();
    let Some((time, rest)) = text.split_once(' ') else { return (None, text) };
    match OffsetDateTime::parse(time, &Rfc3339) {
        Ok(at) => (Some(at.into()), rest.to_owned()),
        Err(_) => (None, text),
    }
}

fn seconds(time: SystemTime) -> i32 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i32::try_from(since.as_secs()).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;

    async fn passed(parts: &[&str], since: Option<u64>) -> Vec<(Option<u64>, String)> {
        let parts: Vec<_> = parts
            .iter()
            .map(|part| {
                let message = Bytes::from((*part).to_owned());
                Ok(LogOutput::StdOut { message })
            })
            .collect();
        let (sender, mut lines) = mpsc::channel(16);
        let since = since.map(|seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        pass(futures_util::stream::iter(parts), since, &sender, |_| unreachable!()).await;
        drop(sender);
        let mut found = Vec::new();
        while let Some(Ok(line)) = lines.recv().await {
            let at = line.at.map(|at| at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs());
            found.push((at, line.text));
        }
        found
    }

    #[tokio::test]
    async fn pieces_become_lines_with_their_times() {
        let parts = [
            "1970-01-01T00:00:01.5Z one two\r\n",
            "1970-01-01T00:00:02Z begun, ",
            "1970-01-01T00:00:03Z ended\n",
            "1970-01-01T00:00:04Z \n",
            "without a time\n",
            "1970-01-01T00:00:05Z last",
        ];
        let line = |at: Option<u64>, text: &str| (at, text.to_owned());
        assert_eq!(
            passed(&parts, None).await,
            [
                line(Some(1), "one two"),
                line(Some(2), "begun, ended"),
                line(Some(4), ""),
                line(None, "without a time"),
                line(Some(5), "last"),
            ]
        );
        let late = passed(&parts, Some(4)).await;
        assert_eq!(late, [line(Some(4), ""), line(Some(5), "last")]);
    }

    #[tokio::test]
    async fn a_line_that_never_ends_is_broken() {
        let piece = format!("1970-01-01T00:00:01Z {}", "x".repeat(16 * 1024));
        let found = passed(&[piece.as_str(); 9], None).await;
        assert!(found.len() == 3 && found.iter().all(|(_, text)| text.len() <= LONGEST_LINE));
    }
}
