//! The stream of events, as server-sent events.
//!
//! For: everyone who watches: what happens is said once and passed on.
//! Not for: what happened before; lists and operations tell that.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::request::Parts;
use axum::response::sse::{Event as Message, KeepAlive, Sse};
use thon::core::access::{Permission, Standing};
use thon::core::event::Stamped;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;
use tokio_stream::{Stream, StreamExt};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::view::timestamp;
use crate::app::App;
use crate::guard::{Anyone, Who, identify};
use crate::problem::WhenRead;

/// How often a silent stream says that it is alive: proxies give up after a minute.
const ALIVE: Duration = Duration::from_secs(15);

/// How often somebody who watches is asked again who they are.
const ASKED_AGAIN: Duration = Duration::from_secs(5);

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(events))
}

/// What happens, from now on, as server-sent events. Each has its kind as its name and JSON as its
/// data; `lagged` says that some were missed, and that lists should be read anew. Participants hear of
/// what happens to their own instance alone.
#[utoipa::path(get, path = "/api/events", tag = "server", responses(
    (status = 200, description = "The stream", body = String, content_type = "text/event-stream"),
    WhenRead
), security(("token" = [])))]
async fn events(
    Anyone(who): Anyone,
    State(app): State<App>,
    parts: Parts,
) -> Sse<impl Stream<Item = Result<Message, Infallible>>> {
    let said = BroadcastStream::new(app.service.events().subscribe());
    let mut ending = app.ending.clone();
    let before = who.standing.clone();
    let ended = async move {
        tokio::select! {
            _ = ending.wait_for(|ending| *ending) => {}
            () = no_longer(&app, parts, before) => {}
        }
    };
    let said = until(said, ended).filter(move |said| is_for(&who, said));
    let said = said.map(|said| Ok(message(said)));
    // The first word makes the answer's head go out: who watches knows that nothing is missed from
    // here on.
    let hello = tokio_stream::once(Ok(Message::default().event("hello").data("{}")));
    Sse::new(hello.chain(said)).keep_alive(KeepAlive::new().interval(ALIVE))
}

/// Waits until whoever asked so would no longer be let in, or as somebody who may do something else:
/// their session or token has ended, or the list says otherwise. A browser asks again then.
async fn no_longer(app: &App, parts: Parts, before: Standing) {
    loop {
        tokio::time::sleep(ASKED_AGAIN).await;
        match identify(app, &parts).await {
            Ok(who) if who.standing == before => {}
            Ok(_) => return,
            Err(problem) if problem.is_refusal() => return,
            // A database that doesn't answer now turns nobody away.
            Err(_) => {}
        }
    }
}

/// Whether somebody is to hear of it.
fn is_for(who: &Who, said: &Result<Arc<Stamped>, BroadcastStreamRecvError>) -> bool {
    if who.permits(Permission::See) {
        return true;
    }
    let Ok(stamped) = said else { return true };
    stamped.event.user().is_some_and(|user| who.permits_with(Permission::See, user))
}

/// A stream that ends when `end` is there.
fn until<S: Stream>(stream: S, end: impl Future<Output = ()>) -> impl Stream<Item = S::Item> {
    use std::task::Poll;
    let mut stream = Box::pin(stream);
    let mut end = Box::pin(end);
    poll_fn(move |context| {
        if end.as_mut().poll(context).is_ready() {
            return Poll::Ready(None);
        }
        stream.as_mut().poll_next(context)
    })
}

/// A stream from a function that is asked for the next item.
fn poll_fn<T, F>(next: F) -> impl Stream<Item = T>
where
    F: FnMut(&mut std::task::Context<'_>) -> std::task::Poll<Option<T>> + Unpin,
{
    struct Asked<F>(F);
    impl<T, F> Stream for Asked<F>
    where
        F: FnMut(&mut std::task::Context<'_>) -> std::task::Poll<Option<T>> + Unpin,
    {
        type Item = T;

        fn poll_next(
            mut self: std::pin::Pin<&mut Self>,
            context: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<T>> {
            (self.0)(context)
        }
    }
    Asked(next)
}

fn message(said: Result<Arc<Stamped>, BroadcastStreamRecvError>) -> Message {
    let stamped = match said {
        Ok(stamped) => stamped,
        Err(BroadcastStreamRecvError::Lagged(missed)) => {
            let data = serde_json::json!({ "missed": missed });
            return Message::default().event("lagged").data(data.to_string());
        }
    };
    let mut data = serde_json::to_value(&stamped.event).unwrap_or_default();
    let kind = data["event"].as_str().unwrap_or("event").to_owned();
    data["at"] = timestamp(stamped.at).into();
    data["number"] = stamped.number.into();
    Message::default().event(kind).id(stamped.number.to_string()).data(data.to_string())
}
