//! The page for participants: their own workspace.
//!
//! For: its state, the way in, the password, and a restart.
//! Not for: anything of anybody else.

use axum::response::Response;
use serde::Serialize;

use super::visit::{Oops, Own};
use crate::rest::view::{Instance, user_of};

#[derive(Serialize)]
struct Mine {
    id: String,
    name: String,
    /// What people read.
    shown: String,
    group: String,
    instance: Option<Instance>,
}

#[derive(Serialize)]
struct Page {
    workspaces: Vec<Mine>,
}

pub(super) async fn show(Own(visit): Own) -> Result<Response, Oops> {
    let roster = &visit.site.wanted.roster;
    let mine = visit.who.standing.users.iter().map(|id| {
        let group = roster.group(&id.group).and_then(|group| group.title.clone());
        let person = user_of(roster, id).and_then(|user| user.display.clone());
        Mine {
            id: id.key(),
            name: id.to_string(),
            shown: person.unwrap_or_else(|| id.user.to_string()),
            group: group.unwrap_or_else(|| id.group.to_string()),
            instance: visit.room.instance(id).map(|view| Instance::new(view, roster, &visit.who)),
        }
    });
    let page = Page { workspaces: mine.collect() };
    visit.page("mine.html", "/mine", "Your workspace", page).await
}
