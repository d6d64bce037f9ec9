//! The names of a certificate, as strictly as they have to be before a program gets them.
//!
//! For: refusing what is no DNS name, and comparing names as browsers do.
//! Not for: deciding which names a node has; that is the core's.

use std::collections::BTreeSet;

use thon_core::adapter::{Failure, FailureKind};
use thon_core::certificate::CertificateNames;

/// The longest DNS name: 253 characters in text (RFC 1035, 2.3.4).
const LONGEST_NAME: usize = 253;
/// The longest label of one (RFC 1035, 2.3.4).
const LONGEST_LABEL: usize = 63;
/// The longest common name of a certificate (RFC 5280, upper bound `ub-common-name`).
const LONGEST_COMMON_NAME: usize = 64;

/// Refuses names that are none: they end up in argument lists and in openssl's configuration.
pub(crate) fn check(names: &CertificateNames) -> Result<(), Failure> {
    let tried = format!("making a certificate for {:?}", names.primary);
    if names.dns.is_empty() && names.ips.is_empty() {
        return Err(Failure::new(
            FailureKind::Other,
            tried,
            "there is no name to put into it",
            "set external_ip or nginx.domain",
        ));
    }
    match names.dns.iter().find(|name| !is_dns_name(name)) {
        None => Ok(()),
        Some(name) => Err(Failure::new(
            FailureKind::Other,
            tried,
            format!("{name:?} is not a DNS name"),
            "use letters, digits, hyphens and dots; an international name in its xn-- form",
        )),
    }
}

/// True for a DNS name, a wildcard for its first label allowed.
pub(crate) fn is_dns_name(name: &str) -> bool {
    let host = name.strip_prefix("*.").unwrap_or(name);
    name.len() <= LONGEST_NAME && host.split('.').all(is_label)
}

fn is_label(label: &str) -> bool {
    let bytes = label.as_bytes();
    let ends = [bytes.first(), bytes.last()];
    bytes.len() <= LONGEST_LABEL
        && ends.iter().all(|end| end.is_some_and(u8::is_ascii_alphanumeric))
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
}

/// True if one of `covered` covers `name` in a browser's eyes: equal, or a wildcard in the place of
/// exactly one label (RFC 6125, 6.4.3).
pub(crate) fn covers(covered: &BTreeSet<String>, name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    covered.contains(&name)
        || name
            .split_once('.')
            .is_some_and(|(first, rest)| first != "*" && covered.contains(&format!("*.{rest}")))
}

/// `text` made fit for a common name: only what needs no escaping anywhere, and short enough.
pub(crate) fn common_name(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_ascii_alphanumeric() || " .-_:*".contains(c) { c } else { '-' })
        .take(LONGEST_COMMON_NAME)
        .collect::<String>()
        .trim()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_dns_name_is_refused() {
        for good in
            ["localhost", "hack.example.org", "*.hack.example.org", "a-1.b", "xn--bcher-kva.de"]
        {
            assert!(is_dns_name(good), "{good}");
        }
        let long = format!("{}.org", "a".repeat(64));
        for bad in [
            "",
            "-cert-file",
            "a b",
            "a..b",
            "a,DNS:b",
            "a\nDNS.2=b",
            "*",
            "a.*.b",
            "büch.de",
            &long,
        ] {
            assert!(!is_dns_name(bad), "{bad}");
            let names = CertificateNames::for_node(bad, None);
            let failure = check(&names).unwrap_err().to_string();
            assert!(failure.contains("is not a DNS name"), "{failure}");
        }
    }

    #[test]
    fn a_wildcard_stands_for_one_label_and_a_part_of_a_name_for_nothing() {
        let covered = BTreeSet::from(["*.example.org".to_owned(), "node.test".to_owned()]);
        for yes in ["a.example.org", "A.Example.ORG", "node.test", "*.example.org"] {
            assert!(covers(&covered, yes), "{yes}");
        }
        for no in ["example.org", "a.b.example.org", "node.tes", "xnode.test", "ode.test", "test"] {
            assert!(!covers(&covered, no), "{no}");
        }
    }

    #[test]
    fn a_common_name_carries_nothing_that_a_configuration_would_read() {
        assert_eq!(common_name("node $ENV::HOME\n#\"x\\"), "node -ENV::HOME---x-");
        assert_eq!(common_name(&"é".repeat(100)).len(), 64);
    }
}
