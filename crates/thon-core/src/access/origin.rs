//! Where a request comes from, as the browser that sends it says.
//!
//! For: refusing pages of other origins, and names of other people that lead here (DNS rebinding):
//! cookies and the right of this machine come along with whatever a browser sends.
//! Not for: who asks; and not a protection from programs, which say what they want.

use std::collections::BTreeSet;
use std::net::IpAddr;

/// The names under which a server may be asked. Without any, this machine's own: `localhost` and its
/// loopback addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Doors {
    names: BTreeSet<String>,
    any_address: bool,
    tls: bool,
}

/// What a request says of where it comes from, in the words of its headers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Asked<'a> {
    /// `Host`.
    pub host: Option<&'a str>,
    /// `Origin`.
    pub origin: Option<&'a str>,
    /// `Sec-Fetch-Site`.
    pub site: Option<&'a str>,
    /// True for a link that somebody follows: it only reads, and whoever has the link can't read what
    /// is shown.
    pub follows_link: bool,
}

/// Why a request isn't let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Foreign {
    /// It names a host that isn't this one.
    Host,
    /// It comes from a page of another origin.
    Origin,
}

impl Doors {
    /// Asked under this name or address as well, such as `hack.example.org`.
    #[must_use]
    pub fn named(mut self, host: &str) -> Self {
        self.names.insert(bare(host).to_ascii_lowercase());
        self
    }

    /// Asked under any address as well: an address belongs to whoever is there, so that none can lead
    /// here from somebody else's page.
    #[must_use]
    pub const fn at_any_address(mut self) -> Self {
        self.any_address = true;
        self
    }

    /// Asked over TLS.
    #[must_use]
    pub const fn over_tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// Lets a request in, or says why not.
    pub fn admit(&self, asked: &Asked<'_>) -> Result<(), Foreign> {
        let host = asked.host.filter(|host| self.is_ours(host)).ok_or(Foreign::Host)?;
        let scheme = if self.tls { "https://" } else { "http://" };
        let ours = |origin: &str| origin.strip_prefix(scheme) == Some(host);
        let from_elsewhere = !asked.origin.is_none_or(ours);
        let sent_from_elsewhere = !matches!(asked.site.unwrap_or("none"), "none" | "same-origin");
        if from_elsewhere || (sent_from_elsewhere && !asked.follows_link) {
            return Err(Foreign::Origin);
        }
        Ok(())
    }

    /// True if a `Host` header names one of the doors.
    fn is_ours(&self, host: &str) -> bool {
        let name = without_port(host);
        if name.eq_ignore_ascii_case("localhost") {
            return true;
        }
        let named = self.names.contains(&bare(name).to_ascii_lowercase());
        named
            || bare(name)
                .parse::<IpAddr>()
                .is_ok_and(|address| self.any_address || address.is_loopback())
    }
}

/// A `Host` header without the port.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// An address of version 6 without its brackets.
fn bare(name: &str) -> &str {
    name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(host: &str) -> Asked<'_> {
        Asked { host: Some(host), ..Asked::default() }
    }

    #[test]
    fn this_machine_is_asked_under_its_own_names_alone() {
        let here = Doors::default();
        for host in ["127.0.0.1:8100", "localhost", "LOCALHOST:1", "[::1]:8100", "127.9.9.9"] {
            assert_eq!(here.admit(&to(host)), Ok(()), "{host}");
        }
        for host in [
            "",
            ":8100",
            "evil.example",
            "evil.example:8100",
            "10.0.0.1:8100",
            "localhost.evil",
            "localhost:1:2",
            "127.0.0.1.evil.example",
        ] {
            assert_eq!(here.admit(&to(host)), Err(Foreign::Host), "{host}");
        }
        assert_eq!(here.admit(&Asked::default()), Err(Foreign::Host));
    }

    #[test]
    fn a_server_that_others_reach_has_further_names_and_no_stranger_s() {
        let doors = Doors::default().named("Hack.Example.org").named("[fd00::1]");
        for host in ["hack.example.org", "HACK.example.org:8501", "[fd00::1]:8501", "127.0.0.1"] {
            assert_eq!(doors.admit(&to(host)), Ok(()), "{host}");
        }
        for host in ["evil.example", "sub.hack.example.org", "203.0.113.7"] {
            assert_eq!(doors.admit(&to(host)), Err(Foreign::Host), "{host}");
        }
        let doors = doors.at_any_address();
        assert_eq!(doors.admit(&to("203.0.113.7:8501")), Ok(()));
        assert_eq!(doors.admit(&to("evil.example")), Err(Foreign::Host));
    }

    #[test]
    fn our_own_pages_are_let_in_and_other_pages_are_not() {
        let here = Doors::default();
        let own = Asked {
            origin: Some("http://localhost:8100"),
            site: Some("same-origin"),
            ..to("localhost:8100")
        };
        assert_eq!(here.admit(&own), Ok(()));
        for origin in [
            "http://evil.example",
            "null",
            "",
            "http://localhost:8501",
            "http://localhost:81000",
            "https://localhost:8100",
            "http://localhost:8100.evil.example",
        ] {
            let asked = Asked { origin: Some(origin), follows_link: true, ..to("localhost:8100") };
            assert_eq!(here.admit(&asked), Err(Foreign::Origin), "{origin}");
        }
        for site in ["cross-site", "same-site", "?"] {
            let asked = Asked { site: Some(site), ..to("localhost:8100") };
            assert_eq!(here.admit(&asked), Err(Foreign::Origin), "{site}");
        }
        let tls = Doors::default().named("hack.example.org").over_tls();
        let asked = |origin| Asked { origin: Some(origin), ..to("hack.example.org") };
        assert_eq!(tls.admit(&asked("https://hack.example.org")), Ok(()));
        assert_eq!(tls.admit(&asked("http://hack.example.org")), Err(Foreign::Origin));
    }

    #[test]
    fn a_link_may_be_followed_from_anywhere_and_not_to_a_stranger_s_name() {
        let link = |host| Asked { site: Some("cross-site"), follows_link: true, ..to(host) };
        assert_eq!(Doors::default().admit(&link("localhost")), Ok(()));
        assert_eq!(Doors::default().admit(&link("evil.example")), Err(Foreign::Host));
    }
}
