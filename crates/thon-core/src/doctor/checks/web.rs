//! The way from a browser to an editor: nginx, its certificate, the domain.
//!
//! For: whether participants will reach their editors and be trusted by their browsers.
//! Not for: who else has nginx's ports; see [`super::network`].

use std::time::{Duration, SystemTime};

use super::{Room, judge, span};
use crate::certificate::Trust;
use crate::doctor::facts::{CertificateFacts, ConnectionFacts, DnsFacts, NginxFacts, is_loopback};
use crate::doctor::{Code, Finding, Remedy};
use crate::layout::shared_origin;

/// Whoever prepares an event on the weekend before it needs a certificate that outlasts it.
const EXPIRY_WARNING: Duration = Duration::from_hours(14 * 24);

/// Connections that nginx holds for an open editor, as counted: two websockets, each with one to the
/// browser and one to code-server.
const OPEN_EDITOR: u64 = 4;
/// While an editor loads, a browser opens six connections (HTTP/1.1), each with one behind it.
const LOADING_EDITOR: u64 = 16;

pub(super) fn check(room: &Room<'_>, findings: &mut Vec<Finding>) {
    let (facts, nginx) = (room.facts, &room.config.nginx);
    if !nginx.enabled {
        return;
    }
    findings.extend(judge(Code::Nginx01, &facts.nginx, |found| match &found.version {
        Some(version) => Finding::ok(Code::Nginx01, format!("{version} ({})", found.mode)),
        None => Finding::problem(Code::Nginx01, "the program nginx is not here")
            .fix("sudo apt-get install nginx")
            .remedy(Remedy::InstallPackages),
    }));
    if let Some(found) = facts.nginx.known().filter(|found| found.version.is_some()) {
        installed(room, found, findings);
    }
    match facts.certificate.known() {
        Some(Some(certificate)) => certificates(room, certificate, findings),
        Some(None) => findings.push(
            Finding::note(Code::Tls01, "there is no certificate yet")
                .fix("`thon tls issue` makes it, and so does the first `thon run`")
                .remedy(Remedy::IssueCertificate),
        ),
        None => findings.extend(judge(Code::Tls01, &facts.certificate, |_| {
            Finding::ok(Code::Tls01, "none is needed")
        })),
    }
    findings.extend(judge(Code::Dns01, &facts.dns, |dns| match &dns.addresses {
        Ok(found) => {
            let found: Vec<String> = found.iter().map(ToString::to_string).collect();
            Finding::ok(Code::Dns01, format!("{} is {}", dns.domain, found.join(", ")))
        }
        Err(why) => Finding::problem(
            Code::Dns01,
            format!("the domain {} has no address: {why}", dns.domain),
        )
        .fix(format!("add an A record for {} with this machine's public address", dns.domain)),
    }));
    if let Some(dns) = facts.dns.known() {
        findings.extend(leads_here(room, dns));
    }
    let layout = nginx.layout;
    findings.push(match shared_origin(layout) {
        Some(warning) => Finding::note(Code::Layout01, warning).fix(
            "set nginx.layout to port (or subdomain, with a domain) where people don't trust each other",
        ),
        None => Finding::ok(Code::Layout01, format!("layout {layout}: an origin for each")),
    });
}

fn installed(room: &Room<'_>, nginx: &NginxFacts, findings: &mut Vec<Finding>) {
    let version = nginx.version.as_deref().unwrap_or_default();
    findings.push(match nginx.lacks {
        None => Finding::ok(Code::Nginx02, version),
        Some(lacks) => Finding::warning(Code::Nginx02, format!("nginx {version} lacks {lacks}"))
            .fix("upgrade nginx to 1.19.3 or later"),
    });
    findings.push(match &nginx.refuses {
        None => Finding::ok(Code::Nginx03, "accepted"),
        Some(line) => {
            let mended = if nginx.mode == "managed" {
                "`thon nginx sync` writes it anew"
            } else {
                "mend what `sudo nginx -t` names; THON reloads nothing until then"
            };
            Finding::problem(Code::Nginx03, format!("nginx refuses its configuration: {line}"))
                .fix(mended)
        }
    });
    findings.push(if nginx.running {
        Finding::ok(Code::Nginx04, "it runs")
    } else if room.running() > 0 {
        Finding::problem(Code::Nginx04, "sandboxes run and nginx doesn't: nobody can reach them")
            .fix("thon nginx sync")
            .remedy(Remedy::SyncProxy)
    } else {
        Finding::ok(Code::Nginx04, "it doesn't, and nothing is there to be served")
    });
    findings.extend(judge(Code::Nginx05, &nginx.connections, |most| connections(room, most)));
}

fn connections(room: &Room<'_>, most: &ConnectionFacts) -> Finding {
    let ConnectionFacts { workers, per_worker, set_in } = most;
    let all = workers * per_worker;
    let (open, loading) = (room.users() * OPEN_EDITOR, room.users() * LOADING_EDITOR);
    let says = format!("nginx holds {all} connections ({workers} × {per_worker}, {set_in});");
    let fix = || {
        let wanted = loading.div_ceil(*workers).next_power_of_two().max(1024);
        format!("set worker_connections {wanted} and worker_rlimit_nofile {}", wanted * 2)
    };
    if all < open {
        let says = format!("{says} {} {open} at the least", room.editors_need());
        Finding::problem(Code::Nginx05, says).fix(fix())
    } else if all < loading {
        let says = format!("{says} {} {loading} while all load", room.editors_need());
        Finding::warning(Code::Nginx05, says).fix(fix())
    } else {
        Finding::ok(Code::Nginx05, format!("{says} {loading} needed"))
    }
}

fn certificates(room: &Room<'_>, found: &CertificateFacts, findings: &mut Vec<Finding>) {
    let path = found.chain.display();
    findings.push(Finding::ok(Code::Tls01, path.to_string()));
    if let Some((_, end)) = found.valid {
        lifetime(room, end, &path.to_string(), findings);
    }
    findings.push(match &found.lacks {
        None => Finding::ok(Code::Tls04, "every name and address"),
        Some(name) => renew(Finding::problem(
            Code::Tls04,
            format!("the certificate does not cover {name}: browsers refuse it"),
        )),
    });
    findings.push(match &found.flaw {
        None => Finding::ok(Code::Tls05, "whole"),
        Some(flaw) => {
            renew(Finding::problem(Code::Tls05, format!("the certificate {flaw} ({path})")))
        }
    });
    // What can't be read has no issuer to trust either.
    if found.valid.is_none() {
        return;
    }
    findings.push(match found.trust {
        Trust::Public => Finding::ok(Code::Tls06, "every browser does"),
        Trust::ImportedRoot => Finding::note(
            Code::Tls06,
            "browsers trust it once its root is imported; until then VS Code's web views (Markdown \
             preview, notebooks) stay empty",
        )
        .fix("hand out /ca.crt before the event; `thon tls ca` says how it is imported"),
        Trust::SelfSigned => Finding::warning(
            Code::Tls06,
            "no browser trusts the certificate, and VS Code's web views stay empty",
        )
        .fix("set nginx.ssl_provider to embedded, mkcert or openssl for one with a root"),
    });
}

fn renew(finding: Finding) -> Finding {
    finding.fix("thon tls issue").remedy(Remedy::IssueCertificate)
}

fn lifetime(room: &Room<'_>, end: SystemTime, path: &str, findings: &mut Vec<Finding>) {
    let left = match end.duration_since(room.facts.now) {
        Ok(left) => left,
        Err(ago) => {
            let ago = span(ago.duration());
            let says = format!("the certificate expired {ago} ago ({path})");
            findings.push(renew(Finding::problem(Code::Tls02, says)));
            return;
        }
    };
    let says = format!("{} left", span(left));
    findings.push(Finding::ok(Code::Tls02, &says));
    findings.push(if left < EXPIRY_WARNING {
        let says = format!("the certificate expires in {}; 14 days are wanted", span(left));
        renew(Finding::warning(Code::Tls03, says))
    } else {
        Finding::ok(Code::Tls03, says)
    });
}

/// Whether one of the domain's addresses is ours.
fn leads_here(room: &Room<'_>, dns: &DnsFacts) -> Option<Finding> {
    let found = dns.addresses.as_ref().ok()?;
    let first = found.first()?;
    let domain = &dns.domain;
    let ours = room.config.external_ip.unwrap_or(dns.own);
    let says = format!("{domain} leads to {first}, this machine is {ours}");
    if found.contains(&ours) {
        return Some(Finding::ok(Code::Dns02, format!("{domain} is {ours}")));
    }
    if found.iter().all(|address| is_loopback(*address)) {
        return Some(
            Finding::warning(
                Code::Dns02,
                format!("{domain} leads to {first} here; what it is elsewhere can't be seen"),
            )
            .fix("take it out of /etc/hosts and run this again"),
        );
    }
    if dns.local.iter().any(|address| found.contains(address) && !is_loopback(*address)) {
        return Some(Finding::ok(Code::Dns02, format!("{domain} is one of this machine's")));
    }
    if room.config.external_ip.is_none() && dns.behind_router {
        return Some(Finding::warning(Code::Dns02, format!("{says}, behind a router")).fix(
            format!(
                "forward the ports {} and {} from {first} to {ours}, and set external_ip: {first}",
                room.config.nginx.https_port, room.config.nginx.http_port
            ),
        ));
    }
    Some(
        Finding::problem(Code::Dns02, format!("{says}: participants end up elsewhere"))
            .fix(format!("point the A record of {domain} to {ours}, or correct external_ip")),
    )
}
