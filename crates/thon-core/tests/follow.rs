//! What someone who follows logs, or opens a shell, would notice, on in-memory adapters.
#![allow(clippy::unwrap_used, reason = "tests")]

mod room;

use room::Room;
use thon_core::adapter::FailureKind;
use thon_core::lifecycle::Change;
use thon_core::log::LogRequest;
use thon_core::name::UserId;
use thon_core::orchestrator::LogNews;
use thon_core::shell::ShellRequest;
use thon_core::testing::fixture;
use tokio::sync::mpsc::Receiver;

const FOLLOW: LogRequest = LogRequest { tail: None, since: None, follow: true };

/// What came next, in short; `end` once nothing more comes.
async fn next(news: &mut Receiver<LogNews>) -> String {
    match news.recv().await {
        Some(LogNews::Line { user, text, .. }) => format!("{user} | {text}"),
        Some(LogNews::Down { user }) => format!("{user} down"),
        Some(LogNews::Removed { user }) => format!("{user} removed"),
        Some(LogNews::Failed { user, failure }) => format!("{user} failed: {failure}"),
        None => "end".to_owned(),
    }
}

async fn follow(room: &Room, users: Option<&[UserId]>, request: LogRequest) -> Receiver<LogNews> {
    room.orchestrator().log_news(users, request).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_log_goes_on_after_a_restart_and_a_stop_and_says_nothing_twice() {
    let room = Room::new();
    let users = fixture::users(1);
    room.run(&users).await;
    let user = &users[0];
    let line = |text: &str| format!("{user} | {text}");
    let mut news = follow(&room, None, FOLLOW).await;
    assert_eq!(next(&mut news).await, line("HTTP server listening"));
    room.runtime.write(user, "before");
    assert_eq!(next(&mut news).await, line("before"));

    room.orchestrator().change(Change::Restart, None).await.unwrap();
    assert_eq!(next(&mut news).await, line("HTTP server listening"));

    room.orchestrator().stop(None, false).await.unwrap();
    assert_eq!(next(&mut news).await, format!("{user} down"));
    room.run(&users).await;
    assert_eq!(next(&mut news).await, line("HTTP server listening"));
    // The terminal of whoever reads it obeys nothing of it.
    room.runtime.write(user, "\u{1b}[2J\u{1b}[31mred");
    assert_eq!(next(&mut news).await, line("\\u{1b}[2Jred"));
}

#[tokio::test(start_paused = true)]
async fn who_is_removed_is_said_once_and_the_last_one_is_the_end() {
    let room = Room::new();
    let users = fixture::users(2);
    room.run(&users).await;
    let mut news = follow(&room, None, FOLLOW).await;
    for _ in &users {
        next(&mut news).await;
    }
    room.orchestrator().stop(Some(&users[..1]), true).await.unwrap();
    assert_eq!(next(&mut news).await, format!("{} removed", users[0]));
    room.runtime.write(&users[1], "still here");
    assert_eq!(next(&mut news).await, format!("{} | still here", users[1]));
    room.orchestrator().stop(None, true).await.unwrap();
    assert_eq!(next(&mut news).await, format!("{} removed", users[1]));
    assert_eq!(next(&mut news).await, "end");
}

#[tokio::test(start_paused = true)]
async fn who_has_no_sandbox_is_named_and_the_others_are_shown() {
    let room = Room::new();
    let users = fixture::users(2);
    room.run(&users[..1]).await;
    let once = LogRequest { follow: false, ..FOLLOW };
    let mut news = follow(&room, Some(&users), once).await;
    assert!(next(&mut news).await.contains("there is no sandbox of that user"));
    assert_eq!(next(&mut news).await, format!("{} | HTTP server listening", users[0]));
    assert_eq!(next(&mut news).await, "end");
    let nobody = room.orchestrator().log_news(Some(&users[1..]), once).await;
    assert!(nobody.unwrap_err().to_string().contains("there is no sandbox of that user"));
}

#[tokio::test(start_paused = true)]
async fn a_runtime_that_does_not_answer_any_more_is_said_and_not_waited_for() {
    let room = Room::new();
    let users = fixture::users(1);
    room.run(&users).await;
    let mut news = follow(&room, None, FOLLOW).await;
    next(&mut news).await;
    room.faults.fail("observe", None, FailureKind::Unreachable, 1);
    room.runtime.kill(&users[0], 1);
    assert!(next(&mut news).await.starts_with(&format!("{} failed: ", users[0])));
    assert_eq!(next(&mut news).await, "end");
}

#[tokio::test(start_paused = true)]
async fn a_shell_needs_a_sandbox_that_runs() {
    let room = Room::new();
    let users = fixture::users(2);
    room.run(&users[..1]).await;
    let orchestrator = room.orchestrator();
    let request = ShellRequest { arguments: vec!["true".to_owned()], terminal: None };
    assert!(orchestrator.shell(&users[0], &request).await.is_ok());
    orchestrator.change(Change::Pause, None).await.unwrap();
    let refused = async |user| orchestrator.shell(user, &request).await.err().unwrap().to_string();
    assert!(refused(&users[0]).await.ends_with("`thon resume group-0/user-0` lets it go on"));
    orchestrator.stop(None, false).await.unwrap();
    assert!(refused(&users[0]).await.ends_with("`thon run --user group-0/user-0` starts it"));
    assert!(refused(&users[1]).await.contains("there is no sandbox of that user"));
}
