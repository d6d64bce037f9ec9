//! The hand-out: a card for each participant.
//!
//! For: paper, with the address as text and as a QR code.
//! Not for: whoever has no address yet; their card says so.

use axum::response::Response;
use qrcode::QrCode;
use qrcode::render::svg;
use serde::{Deserialize, Serialize};
use thon::core::access::Permission;
use thon::core::certificate::Trust;
use thon::core::instance::InstanceState;

use super::visit::{Oops, Query, Visit};
use crate::rest::view::user_of;

/// How large a code is drawn, in pixels.
const SIZE: u32 = 180;

#[derive(Deserialize)]
pub(super) struct Which {
    #[serde(default)]
    group: String,
}

#[derive(Serialize)]
struct Card {
    id: String,
    group: String,
    title: String,
    name: String,
    shown: Option<String>,
    url: Option<String>,
    /// True if it has no address yet, but will have one soon.
    starts: bool,
    password: Option<String>,
    /// The code, as a picture in text.
    code: Option<String>,
}

#[derive(Serialize)]
struct Page {
    cards: Vec<Card>,
    group: String,
    groups: Vec<String>,
    without: usize,
    /// Where the root certificate is that browsers don't know by themselves.
    root: Option<String>,
}

pub(super) async fn show(visit: Visit, Query(which): Query<Which>) -> Result<Response, Oops> {
    visit.who.needs(Permission::Operate)?;
    let roster = &visit.site.wanted.roster;
    let cards: Vec<Card> = roster
        .users()
        .filter(|(id, _)| which.group.is_empty() || id.group.as_str() == which.group)
        .map(|(id, _)| {
            let view = visit.room.instance(&id);
            let url = view.and_then(|view| view.url.clone());
            let group = roster.group(&id.group).and_then(|group| group.title.clone());
            Card {
                group: id.group.to_string(),
                title: group.unwrap_or_else(|| id.group.to_string()),
                name: id.user.to_string(),
                shown: user_of(roster, &id).and_then(|user| user.display.clone()),
                password: view
                    .and_then(|view| view.password.as_ref())
                    .map(|password| password.reveal().to_owned()),
                starts: view.is_some_and(|view| view.state == InstanceState::Pending),
                code: url.as_deref().and_then(code),
                url,
                id: id.key(),
            }
        })
        .collect();
    // A certificate that can't be read is said elsewhere, and no card is worth less for it.
    let certificate = visit.site.node().certificate().await.ok().flatten();
    let imported = certificate.is_some_and(|found| found.trust == Trust::ImportedRoot);
    let page = Page {
        root: imported.then(|| format!("{}/ca.crt", visit.site.node().base_url())),
        without: cards.iter().filter(|card| card.url.is_none()).count(),
        groups: roster.groups().iter().map(|group| group.name.to_string()).collect(),
        group: which.group,
        cards,
    };
    visit.page("handout.html", "/handout", "Hand-out", page).await
}

/// The QR code of a text. Nothing for one that is too long for any.
fn code(text: &str) -> Option<String> {
    let code = QrCode::new(text).ok()?;
    let picture = code.render::<svg::Color<'_>>().min_dimensions(SIZE, SIZE).build();
    // Without the declaration of XML it may stand in a page.
    picture.find("<svg").map(|begin| picture[begin..].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_a_picture_that_brings_no_style_of_its_own() {
        let picture = code("https://203.0.113.7/20000/proxy/8443/").unwrap();
        assert!(picture.starts_with("<svg") && picture.ends_with("</svg>"));
        assert!(!picture.contains("style=") && !picture.contains("<script"), "{picture}");
        assert!(code(&"x".repeat(10_000)).is_none());
    }
}
