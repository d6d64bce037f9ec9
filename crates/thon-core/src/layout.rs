//! The public layouts: where browsers find whose instance, and what that makes them share.
//!
//! For: pure rules that the orchestrator, the validation of a configuration and the doctor have in
//! common: an instance's entrance, its host name, the names of a certificate, the warning of the
//! shared origin.
//! Not for: giving ports out ([`crate::port`]), and for any proxy's configuration language.

use std::collections::BTreeSet;

use crate::config::{Layout, SslProvider};
use crate::endpoint::Port;
use crate::name::UserId;
use crate::proxy::Entrance;

/// The most names that Let's Encrypt puts into one certificate.
pub const MOST_PUBLIC_NAMES: usize = 100;

/// The longest DNS name in text (RFC 1035, 2.3.4).
pub const LONGEST_NAME: usize = 253;

/// The host name of a user's instance in the layout `subdomain`: `<user>.<group>.<domain>`.
#[must_use]
pub fn host_name(user: &UserId, domain: &str) -> String {
    format!("{}.{}.{}", user.user, user.group, domain.to_ascii_lowercase())
}

/// Where browsers enter a user's instance on a node that is reached under `host`; nothing where
/// the user has no public port yet.
#[must_use]
pub fn entrance(
    layout: Layout,
    user: &UserId,
    host: &str,
    public_port: Option<Port>,
) -> Option<Entrance> {
    match layout {
        Layout::Path => Some(Entrance::Path),
        Layout::Port => public_port.map(Entrance::Port),
        Layout::Subdomain => Some(Entrance::Name(host_name(user, host))),
    }
}

/// How a certificate covers the names of the layout `subdomain`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Coverage {
    /// Name by name: all that is certified over HTTP.
    Exact,
    /// One wildcard for each group, so that a newcomer needs no new certificate.
    Wildcards,
}

impl Coverage {
    /// How a certificate by `provider` covers this many users. Where `auto` could come to ask a public
    /// authority, names are spelled out as long as it would take them.
    #[must_use]
    pub const fn by(provider: SslProvider, users: usize) -> Self {
        match provider {
            SslProvider::Certbot => Self::Exact,
            // The domain's own name is one of them.
            SslProvider::Auto if users < MOST_PUBLIC_NAMES => Self::Exact,
            SslProvider::Auto
            | SslProvider::Mkcert
            | SslProvider::Openssl
            | SslProvider::Embedded => Self::Wildcards,
        }
    }
}

/// The DNS names that a certificate must cover beside the node's own.
#[must_use]
pub fn certificate_names<'a>(
    layout: Layout,
    users: impl IntoIterator<Item = &'a UserId>,
    host: &str,
    coverage: Coverage,
) -> BTreeSet<String> {
    if layout != Layout::Subdomain {
        return BTreeSet::new();
    }
    let name = |user: &UserId| match coverage {
        Coverage::Exact => host_name(user, host),
        Coverage::Wildcards => format!("*.{}.{}", user.group, host.to_ascii_lowercase()),
    };
    users.into_iter().map(name).collect()
}

/// What an organizer has to know who leaves all participants on one origin, in one line; nothing
/// where each is an origin of their own.
#[must_use]
pub const fn shared_origin(layout: Layout) -> Option<&'static str> {
    if !layout.shares_origin() {
        return None;
    }
    Some(
        "layout path: all participants share one browser origin, so that a page which one of them \
         serves can act as another who opens it",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users() -> Vec<UserId> {
        ["alpha/ada", "alpha/bob", "beta/ada"].map(|user| user.parse().unwrap()).to_vec()
    }

    #[test]
    fn everyone_has_a_name_of_their_own_below_the_domain() {
        assert_eq!(host_name(&users()[0], "Hack.example.org"), "ada.alpha.hack.example.org");
        let names: BTreeSet<_> = users().iter().map(|user| host_name(user, "d.test")).collect();
        assert_eq!(names.len(), 3);
    }

    #[test]
    fn a_wildcard_stands_for_a_group_and_only_where_names_are_used() {
        let names = |layout, coverage| {
            let names = certificate_names(layout, &users(), "d.test", coverage);
            names.into_iter().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(names(Layout::Subdomain, Coverage::Wildcards), "*.alpha.d.test *.beta.d.test");
        assert_eq!(
            names(Layout::Subdomain, Coverage::Exact),
            "ada.alpha.d.test ada.beta.d.test bob.alpha.d.test"
        );
        assert_eq!(names(Layout::Port, Coverage::Exact), "");
    }

    #[test]
    fn a_public_authority_is_asked_for_no_wildcard_and_for_no_more_than_it_gives() {
        assert_eq!(Coverage::by(SslProvider::Certbot, 5), Coverage::Exact);
        assert_eq!(Coverage::by(SslProvider::Auto, 99), Coverage::Exact);
        assert_eq!(Coverage::by(SslProvider::Auto, 100), Coverage::Wildcards);
        assert_eq!(Coverage::by(SslProvider::Embedded, 5), Coverage::Wildcards);
    }

    #[test]
    fn only_the_layout_path_is_warned_of() {
        assert!(
            shared_origin(Layout::Path).is_some_and(|text| text.contains("one browser origin"))
        );
        assert_eq!(shared_origin(Layout::Port), None);
        assert_eq!(shared_origin(Layout::Subdomain), None);
    }
}
