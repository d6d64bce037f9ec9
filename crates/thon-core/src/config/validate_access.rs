//! Keys of the login that can each be right and still not go together.
//!
//! For: providers that are half configured, rules that are about nobody or about too many, and
//! whoever would have no way in, found before anything is started.
//! Not for: whether a provider answers; only the network can tell.

use super::choices::{ProviderKind, Role};
use super::schema::Config;
use super::schema_access::{AllowRule, AuthConfig};
use super::types::is_loopback;
use super::validate::Findings;
use crate::access::{ACCOUNT_ID, account_provider};
use crate::secret::Secret;

/// The shortest secret that anything is sealed with, in characters: 32 of them, even from a small
/// alphabet, are beyond guessing.
const MIN_SESSION_SECRET: usize = 32;

/// Claims that say nothing of who somebody is: people set them for themselves (OpenID Connect Core,
/// sections 5.1 and 5.7), or `email` has an entry that asks whether it is verified.
const CHOSEN: [&str; 12] = [
    "email",
    "email_verified",
    "family_name",
    "given_name",
    "locale",
    "middle_name",
    "name",
    "nickname",
    "phone_number",
    "picture",
    "preferred_username",
    "website",
];

impl AuthConfig {
    /// Id and secret of a provider.
    #[must_use]
    pub fn credentials(&self, provider: ProviderKind) -> (&str, &Secret) {
        let (id, secret) = match provider {
            ProviderKind::Github => (&self.github.client_id, &self.github.client_secret),
            ProviderKind::Gitlab => (&self.gitlab.client_id, &self.gitlab.client_secret),
            ProviderKind::Linkedin => (&self.linkedin.client_id, &self.linkedin.client_secret),
            ProviderKind::Oidc => (&self.oidc.client_id, &self.oidc.client_secret),
        };
        (id, secret)
    }

    /// Whether people can sign in with accounts of a provider.
    #[must_use]
    pub fn offers(&self, provider: ProviderKind) -> bool {
        let (id, secret) = self.credentials(provider);
        let found = provider != ProviderKind::Oidc || self.oidc.issuer.is_some();
        self.enabled && found && !id.is_empty() && !secret.is_empty()
    }

    /// The providers that people can sign in with; none while signing in isn't asked for.
    pub fn providers(&self) -> impl Iterator<Item = ProviderKind> {
        ProviderKind::ALL.iter().copied().filter(|provider| self.offers(*provider))
    }

    /// Whether an account could come in as admin.
    #[must_use]
    pub fn lists_an_admin(&self) -> bool {
        self.allow.iter().any(|rule| rule.role == Role::Admin && self.is_about_somebody(rule))
    }

    /// Whether accounts can be there that an entry is about: those of a provider that is used.
    fn is_about_somebody(&self, rule: &AllowRule) -> bool {
        rule.of_provider().is_none_or(|provider| self.offers(provider))
    }

    /// What people call a provider.
    #[must_use]
    pub fn provider_name(&self, provider: ProviderKind) -> &str {
        match provider {
            ProviderKind::Github => "GitHub",
            ProviderKind::Gitlab => "GitLab",
            ProviderKind::Linkedin => "LinkedIn",
            ProviderKind::Oidc => &self.oidc.name,
        }
    }
}

impl Config {
    /// Who may come in, and how.
    pub(super) fn check_access(&self, findings: &mut Findings) {
        if !self.vscode.secure {
            findings.warning(
                "vscode.secure",
                "whoever knows or guesses a URL can use that sandbox",
                "set it to true",
            );
        }
        if !is_loopback(&self.dashboard.host) {
            findings.warning(
                "dashboard.host",
                format!(
                    "{}: passwords and sessions cross the network without TLS",
                    self.dashboard.host
                ),
                "set it to 127.0.0.1, and dashboard.tls_port for whoever comes from elsewhere",
            );
        }
        for (index, rule) in self.auth.allow.iter().enumerate() {
            check_rule(rule, &format!("auth.allow[{index}]"), findings);
        }
        if self.auth.enabled {
            self.check_sign_in(findings);
        }
    }

    fn check_sign_in(&self, findings: &mut Findings) {
        let auth = &self.auth;
        for provider in ProviderKind::ALL {
            let (id, secret) = auth.credentials(*provider);
            let issuer = *provider == ProviderKind::Oidc && auth.oidc.issuer.is_some();
            let begun = !id.is_empty() || !secret.is_empty() || issuer;
            let missing = [
                ("client_id", id.is_empty()),
                ("client_secret", secret.is_empty()),
                ("issuer", *provider == ProviderKind::Oidc && !issuer),
            ];
            for (key, _) in missing.into_iter().filter(|(_, missing)| begun && *missing) {
                findings.error(
                    &format!("auth.{provider}.{key}"),
                    "it is missing, and the provider can't be used without it",
                    "set it, or remove what else is set for this provider",
                );
            }
        }
        let begun =
            ProviderKind::ALL.iter().any(|provider| !auth.credentials(*provider).0.is_empty());
        if auth.providers().next().is_none() && !begun {
            findings.error(
                "auth.enabled",
                "nobody can sign in without a provider",
                "set client_id and client_secret of auth.github, auth.gitlab, auth.linkedin or auth.oidc",
            );
        }
        let several = auth.providers().count() > 1;
        if !auth.lists_an_admin() {
            findings.warning(
                "auth.allow",
                "no account comes in as admin",
                "list one with role: admin; without, only the dashboard's password or a token of scope \
                 admin is a way in, and without those `thon serve` doesn't start",
            );
        }
        for (index, rule) in auth.allow.iter().enumerate() {
            if let Some(provider) = rule.of_provider().filter(|_| !auth.is_about_somebody(rule)) {
                findings.warning(
                    &format!("auth.allow[{index}]"),
                    format!("nobody signs in with {provider} here, so that this is about nobody"),
                    format!(
                        "set auth.{provider}.client_id and its client_secret, or remove the entry"
                    ),
                );
            }
            let gone = rule.user.as_ref().filter(|user| self.groups.user(user).is_none());
            if let Some(user) = gone {
                findings.warning(
                    &format!("auth.allow[{index}].user"),
                    format!("{user} is not in this roster"),
                    "add them with `thon user add`, unless the database has them already",
                );
            }
            let by_address = !rule.email.is_empty() || rule.domain.is_some();
            let high = matches!(rule.role, Role::Operator | Role::Admin);
            if several && by_address && high && rule.provider.is_none() {
                findings.warning(
                    &format!("auth.allow[{index}].provider"),
                    "each of the enabled providers vouches for that address",
                    "name the one that you believe about it",
                );
            }
        }
        let dashboard = &self.dashboard;
        let served = self.nginx.enabled && dashboard.tls_port.is_some();
        if dashboard.public_url.is_none() && !served && !is_loopback(&dashboard.host) {
            findings.error(
                "dashboard.public_url",
                "providers need an address over TLS to send people back to",
                "set it, or dashboard.tls_port",
            );
        }
        let length = auth.session_secret.reveal().chars().count();
        if (1..MIN_SESSION_SECRET).contains(&length) {
            findings.error(
                "auth.session_secret",
                format!("{length} characters can be guessed"),
                format!("use {MIN_SESSION_SECRET} random ones, or none: then it is made at the first start"),
            );
        }
    }
}

/// A rule that is about nobody, or that says two things.
fn check_rule(rule: &AllowRule, key: &str, findings: &mut Findings) {
    let about: Vec<&str> = [
        ("account", !rule.account.is_empty()),
        ("login", !rule.login.is_empty()),
        ("email", !rule.email.is_empty()),
        ("domain", rule.domain.is_some()),
        ("claim", !rule.claim.is_empty()),
        ("roster", rule.roster),
    ]
    .into_iter()
    .filter_map(|(name, given)| given.then_some(name))
    .collect();
    let mut error = |below: &str, problem: &str, fix: &str| {
        let key = if below.is_empty() { key.to_owned() } else { format!("{key}.{below}") };
        findings.error(&key, problem, fix);
    };
    match about.as_slice() {
        [_] => {}
        [] if !rule.value.is_empty() => {}
        [] => error(
            "",
            "it says nothing of whom it is about",
            "give one of account, login, email, domain, claim with value, or roster: true",
        ),
        _ => error(
            "",
            &format!("it is about {}, and one of them alone is looked at", about.join(" and ")),
            "make an entry of each",
        ),
    }
    let provider = rule.provider;
    let has_logins = matches!(provider, Some(ProviderKind::Github | ProviderKind::Gitlab));
    if !rule.login.is_empty() && !has_logins {
        error(
            "provider",
            "names of accounts are each provider's own, and only GitHub and GitLab have some that hold",
            "set it to github or gitlab, or use email or claim",
        );
    }
    if !rule.account.is_empty() {
        let known = account_provider(&rule.account);
        if known.is_none() || provider.is_some_and(|provider| Some(provider) != known) {
            let shown = crate::name::quoted(&rule.account);
            error(
                "account",
                &format!("{shown} is not {ACCOUNT_ID}"),
                "`thon auth sessions` shows it",
            );
        }
    }
    if !rule.claim.is_empty() && provider.is_some_and(|provider| provider != ProviderKind::Oidc) {
        error("provider", "only the provider oidc has claims", "set it to oidc, or leave it out");
    }
    if CHOSEN.contains(&rule.claim.as_str()) {
        error(
            "claim",
            "people choose that themselves, or nobody has verified it",
            "use email, domain or account, or a claim that the provider's administrators set",
        );
    }
    if rule.claim.is_empty() != rule.value.is_empty() {
        error(
            if rule.claim.is_empty() { "claim" } else { "value" },
            "a claim and the value that it holds go together",
            "give both",
        );
    }
    if rule.user.is_some() && rule.role != Role::Participant {
        error("user", "only participants are users of the roster", "leave it out");
    }
    if rule.user.is_some() && (rule.domain.is_some() || rule.roster) {
        error("user", "everyone whom this is about would be this one user", "leave it out");
    }
}

#[cfg(test)]
mod tests {
    use super::super::error::Severity;
    use super::*;

    /// What is wrong with a configuration, an error a line.
    fn errors(text: &str) -> String {
        let config = Config::parse(text, "thon.yaml").unwrap().config;
        let found = config.validate().into_iter();
        let errors = found.filter(|problem| problem.severity == Severity::Error);
        errors.map(|problem| problem.to_string() + "\n").collect()
    }

    #[test]
    fn a_provider_is_whole_or_it_is_named_with_what_it_lacks() {
        let of = |auth: &str| errors(&format!("auth: {{enabled: true, {auth}}}"));
        assert_eq!(of("github: {client_id: x, client_secret: y}"), "");
        assert_eq!(
            of("oidc: {issuer: 'http://127.0.0.1:3000', client_id: x, client_secret: y}"),
            ""
        );
        for (auth, key) in [
            ("github: {client_id: x}", "auth.github.client_secret: "),
            ("gitlab: {client_secret: x}", "auth.gitlab.client_id: "),
            ("linkedin: {client_id: x}", "auth.linkedin.client_secret: "),
            ("oidc: {client_id: x, client_secret: y}", "auth.oidc.issuer: "),
            ("oidc: {issuer: 'https://login.example.org'}", "auth.oidc.client_id: "),
        ] {
            let found = of(auth);
            assert!(found.contains(key), "{auth}: {found}");
        }
        assert_eq!(errors("auth: {github: {client_id: x}}"), "", "nobody is to sign in");
    }

    #[test]
    fn an_address_that_providers_send_people_to_is_needed_beyond_this_machine() {
        let of = |dashboard: &str| {
            errors(&format!(
                "dashboard: {{{dashboard}}}\nauth: {{enabled: true, github: {{client_id: x, client_secret: y}}}}"
            ))
        };
        assert_eq!(of("host: 127.0.0.1"), "");
        assert!(of("host: 0.0.0.0").contains("dashboard.public_url: "));
        assert_eq!(of("host: 0.0.0.0, tls_port: 8502"), "");
        assert_eq!(of("host: 0.0.0.0, public_url: 'https://hack.example.org'"), "");
        let path = Config::parse("dashboard: {public_url: 'https://a.example/x'}", "thon.yaml");
        assert!(path.unwrap_err().to_string().contains("without a path"));
    }

    #[test]
    fn a_rule_is_about_somebody_and_says_one_thing() {
        for rule in [
            "{role: admin, provider: github, login: ada}",
            "{role: admin, account: 'github:583231'}",
            "{role: viewer, email: ada@example.org}",
            "{role: viewer, domain: example.org, provider: gitlab}",
            "{role: operator, claim: groups, value: staff}",
            "{role: participant, roster: true}",
            "{role: participant, email: ada@example.org, user: alpha/ada}",
        ] {
            assert_eq!(errors(&format!("auth: {{allow: [{rule}]}}")), "", "{rule}");
        }
        for (rule, key) in [
            ("{role: admin}", "auth.allow[0]: "),
            ("{role: admin, email: a@b.c, domain: b.c}", "auth.allow[0]: "),
            ("{role: admin, login: ada}", "auth.allow[0].provider: "),
            ("{role: admin, login: ada, provider: oidc}", "auth.allow[0].provider: "),
            ("{role: admin, account: '583231'}", "auth.allow[0].account: "),
            ("{role: admin, account: 'github:1', provider: gitlab}", "auth.allow[0].account: "),
            ("{role: admin, claim: groups}", "auth.allow[0].value: "),
            ("{role: admin, email: a@b.c, value: x}", "auth.allow[0].claim: "),
            ("{role: admin, value: x}", "auth.allow[0].claim: "),
            ("{role: admin, account: 'github:ada'}", "auth.allow[0].account: \"github:ada\""),
            ("{role: admin, claim: g, value: x, provider: github}", "auth.allow[0].provider: "),
            ("{role: admin, claim: email, value: a@b.c}", "auth.allow[0].claim: "),
            ("{role: admin, claim: preferred_username, value: a}", "auth.allow[0].claim: "),
            ("{role: viewer, email: a@b.c, user: alpha/ada}", "auth.allow[0].user: "),
            ("{role: participant, domain: b.c, user: alpha/ada}", "auth.allow[0].user: "),
        ] {
            let found = errors(&format!("auth: {{allow: [{rule}]}}"));
            assert!(found.starts_with(key), "{rule}: {found}");
        }
        let nobody = Config::parse("auth: {allow: [{email: a@b.c}]}", "thon.yaml").unwrap_err();
        assert!(nobody.to_string().contains("`role` is missing"), "{nobody}");
        let other = Config::parse("auth: {allow: [{role: root, email: a@b.c}]}", "thon.yaml");
        let other = other.unwrap_err().to_string();
        assert!(other.contains("participant, viewer, operator, admin"), "{other}");
    }
}
