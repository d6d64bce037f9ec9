//! What people have to know about a certificate, in plain lines.
//!
//! For: who trusts it, what happens where it isn't trusted, and how a root is imported.
//! Not for: printing; front-ends do that.

use thon_core::certificate::{Certificate, CertificateNames, Trust};
use thon_core::endpoint::Port;
use thon_core::proxy::base_url;

/// Who trusts `certificate`, which the proxy serves on `https_port`, and what participants have to
/// do, one line each.
#[must_use]
pub fn explain(
    certificate: &Certificate,
    names: &CertificateNames,
    https_port: Port,
) -> Vec<String> {
    let mut lines = Vec::new();
    let mut say = |line: &str| lines.push(line.to_owned());
    match certificate.trust {
        Trust::Public => {
            say("Every browser trusts this certificate: nobody has to import anything.");
            if !names.ips.is_empty() {
                say(&format!(
                    "It covers the domain, not the address: open {}/.",
                    base_url(public_name(names), https_port)
                ));
            }
        }
        Trust::ImportedRoot => {
            say("Browsers trust this certificate once the root of this node is imported.");
            say(WITHOUT_TRUST);
            let base = base_url(&names.primary, https_port);
            say(&format!("Download the root: {base}/ca.crt (saved as rootCA.crt), then"));
            for line in IMPORTS {
                say(line);
            }
            say("After the event remove it again in the same place.");
            if names.public_dns().next().is_some() {
                say("With a domain that is reachable from the internet, nginx.ssl_provider: \
                     certbot makes a certificate that every browser trusts as it is.");
            }
        }
        Trust::SelfSigned => {
            say("No browser trusts this certificate, and there is no root to import.");
            say(WITHOUT_TRUST);
            say("Set nginx.ssl_provider to embedded, mkcert or openssl for one with a root.");
        }
    }
    lines
}

const WITHOUT_TRUST: &str = "Without trust a browser warns, and clicking the warning away is not \
     enough: VS Code's web views (Markdown preview, notebooks, extension pages) stay empty.";

const IMPORTS: [&str; 7] = [
    "  Windows (Edge, Chrome): certutil -addstore -user Root rootCA.crt, or open the file, Install \
     Certificate, Current User, Trusted Root Certification Authorities.",
    "  macOS (Safari, Chrome): security add-trusted-cert -r trustRoot -k \
     ~/Library/Keychains/login.keychain-db rootCA.crt, or open the file in Keychain Access and set \
     it to Always Trust.",
    "  Linux (Chrome, Chromium): certutil -d sql:$HOME/.pki/nssdb -A -t C,, -n thon -i rootCA.crt \
     (package libnss3-tools); for curl and git too: sudo cp rootCA.crt \
     /usr/local/share/ca-certificates/thon.crt && sudo update-ca-certificates.",
    "  Firefox, any system: Settings, Privacy & Security, View Certificates, Authorities, Import, \
     tick Trust this CA to identify websites.",
    "  iPhone, iPad: open the file, Settings, General, VPN & Device Management, install the \
     profile; then Settings, General, About, Certificate Trust Settings, switch it on.",
    "  Android: Settings, Security, Encryption & credentials, Install a certificate, CA \
     certificate.",
    "  Then close the browser completely and open it again.",
];

fn public_name(names: &CertificateNames) -> &str {
    names.public_dns().next().unwrap_or(&names.primary)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::SystemTime;

    use thon_core::certificate::CertificateChange;

    use super::*;

    fn explained(trust: Trust, public: &str) -> String {
        explained_on(443, trust, public)
    }

    fn explained_on(port: u32, trust: Trust, public: &str) -> String {
        let certificate = Certificate {
            provider: "embedded",
            chain: PathBuf::new(),
            key: PathBuf::new(),
            root: None,
            not_after: SystemTime::UNIX_EPOCH,
            trust,
            change: CertificateChange::Issued,
        };
        let names = CertificateNames::for_node(public, None);
        explain(&certificate, &names, Port::new(port).unwrap()).join("\n")
    }

    #[test]
    fn an_imported_root_is_explained_for_every_system() {
        let text = explained(Trust::ImportedRoot, "203.0.113.7");
        for word in
            ["web views", "https://203.0.113.7/ca.crt", "Windows", "macOS", "Linux", "Firefox"]
        {
            assert!(text.contains(word), "{word} in {text}");
        }
        for word in ["iPhone", "Android"] {
            assert!(text.contains(word), "{word} in {text}");
        }
        assert!(!text.contains("certbot"), "{text}");
        let text = explained_on(8444, Trust::ImportedRoot, "203.0.113.7");
        assert!(text.contains("https://203.0.113.7:8444/ca.crt"), "{text}");
        assert!(explained(Trust::ImportedRoot, "2001:db8::7").contains("https://[2001:db8::7]/ca"));
        assert!(explained(Trust::ImportedRoot, "hack.example.org").contains("certbot"));
    }

    #[test]
    fn a_public_certificate_needs_no_import() {
        let text = explained(Trust::Public, "hack.example.org");
        assert!(text.contains("nobody has to import"), "{text}");
        assert!(text.contains("https://hack.example.org/"), "{text}");
        assert!(!text.contains("ca.crt"), "{text}");
    }

    #[test]
    fn a_self_signed_certificate_is_called_what_it_is() {
        let text = explained(Trust::SelfSigned, "203.0.113.7");
        assert!(text.contains("No browser trusts") && text.contains("web views"), "{text}");
    }
}
