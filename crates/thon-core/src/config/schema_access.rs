//! The keys of thon.yaml: the API, the dashboard, and who may come in.
//!
//! For: the one declaration of each key, as in [`super::schema`].
//! Not for: what the keys cause; [`crate::access`] has the rules.

use super::choices::{ProviderKind, Role};
use super::node::{Env, section};
use super::schema::port;
use super::types::{DnsName, is_email, is_host};
use super::web::WebUrl;
use crate::endpoint::Port;
use crate::name::UserId;
use crate::secret::Secret;

section! {
    /// The REST API and the web dashboard.
    pub struct DashboardConfig {
        /// The address to listen on.
        pub host: String = "127.0.0.1".to_owned(), env Env::PATH.always(),
            must "an address or host name such as 127.0.0.1" |text| is_host(text);
        /// The port of the REST API.
        pub port: Port = port(8100), env Env::PATH.always();
        /// The port of the web dashboard, at the same address.
        pub web_port: Port = port(8501), env Env::PATH;
        /// The port on which nginx serves dashboard and API over TLS, to everyone who reaches this
        /// machine and has the password or a token; empty for none.
        pub tls_port: Option<Port> = None, env Env::PATH;
        /// Where people reach the dashboard, such as `https://hack.example.org:8502`: providers of
        /// accounts send them back there. Empty for the address that `tls_port` gives it.
        pub public_url: Option<WebUrl> = None, env Env::PATH,
            must "an address without a path, such as https://hack.example.org:8502"
            |url| url.as_ref().is_none_or(WebUrl::is_origin);
        /// Tell callers more about failures; for developers.
        pub debug: bool = false, env Env::PATH;
    }
}

section! {
    /// Signing in to the API and the dashboard with an account that people have elsewhere.
    pub struct AuthConfig {
        /// Ask everyone who comes to sign in.
        pub enabled: bool = false, env Env::PATH;
        /// Seals what a browser keeps while somebody signs in; made at the first start where it is
        /// empty.
        pub session_secret: Secret = Secret::default(), env Env::PATH;
        /// Accounts of github.com, or of a GitHub Enterprise Server.
        pub github: ProviderConfig = ProviderConfig::default();
        /// Accounts of gitlab.com, or of a GitLab of one's own.
        pub gitlab: ProviderConfig = ProviderConfig::default();
        /// Accounts of linkedin.com.
        pub linkedin: LinkedinConfig = LinkedinConfig::default();
        /// Accounts of any other provider that speaks OpenID Connect.
        pub oidc: OidcConfig = OidcConfig::default();
        /// Who may come in, and as what. An account that no entry is about gets in nowhere.
        pub allow: Vec<AllowRule> = Vec::new();
    }
}

section! {
    /// A provider of accounts: what it gave when THON was registered with it.
    pub struct ProviderConfig {
        /// The application's id.
        pub client_id: String = String::new(), env Env::PATH,
            must "the id to the letter, as the provider gave it" |id| id.is_ascii();
        /// The application's secret.
        pub client_secret: Secret = Secret::default(), env Env::PATH;
        /// The address of one's own server; empty for the public one.
        pub base_url: Option<WebUrl> = None, env Env::PATH;
    }
}

section! {
    /// LinkedIn: what it gave when THON was registered with it.
    pub struct LinkedinConfig {
        /// The application's id.
        pub client_id: String = String::new(), env Env::PATH,
            must "the id to the letter, as the provider gave it" |id| id.is_ascii();
        /// The application's secret.
        pub client_secret: Secret = Secret::default(), env Env::PATH;
        /// Send a proof key (PKCE). LinkedIn answers `invalid_client` to applications that it has not
        /// enabled for it.
        pub pkce: bool = true;
    }
}

section! {
    /// A provider that speaks OpenID Connect, such as Keycloak, Authentik, Google or Entra ID.
    pub struct OidcConfig {
        /// What the button says: `Sign in with <name>`.
        pub name: String = "single sign-on".to_owned(),
            must "a name of 1 to 40 characters" |name| (1..=40).contains(&name.chars().count());
        /// The issuer, exactly as the provider writes it; below it lies
        /// `/.well-known/openid-configuration`.
        pub issuer: Option<WebUrl> = None, env Env::PATH,
            must "the issuer alone: what follows it as /.well-known/openid-configuration is added"
            |issuer| issuer.as_ref().is_none_or(|issuer| !issuer.as_str().contains("/.well-known"));
        /// The client's id.
        pub client_id: String = String::new(), env Env::PATH,
            must "the id to the letter, as the provider gave it" |id| id.is_ascii();
        /// The client's secret.
        pub client_secret: Secret = Secret::default(), env Env::PATH;
        /// What is asked for, with spaces between.
        pub scopes: String = "openid profile email".to_owned(),
            must "scopes with spaces between, openid among them"
            |scopes| scopes.split_whitespace().any(|scope| scope == "openid");
    }
}

section! {
    /// Somebody who may come in: whom it is about (one of `account`, `login`, `email`, `domain`,
    /// `claim` and `roster`), and as what.
    pub struct AllowRule {
        /// As what: `participant` (their own instance only), `viewer`, `operator` or `admin`.
        pub role: Role = Role::Participant;
        /// Of this provider only: `github`, `gitlab`, `linkedin` or `oidc`; empty for each of them.
        pub provider: Option<ProviderKind> = None;
        /// An account by what the provider numbers it with, which nobody can take over, such as
        /// `github:583231`.
        pub account: String = String::new();
        /// An account by its name at GitHub or GitLab.
        pub login: String = String::new();
        /// A verified e-mail address.
        pub email: String = String::new(),
            must "an e-mail address such as ada@example.org, or nothing" |text| text.is_empty() || is_email(text);
        /// All verified e-mail addresses of this domain, those of its subdomains not among them.
        pub domain: Option<DnsName> = None;
        /// A claim of the provider `oidc`, which holds `value` or has it in its list.
        pub claim: String = String::new();
        /// What the claim holds.
        pub value: String = String::new();
        /// Everyone whose verified e-mail address the roster has.
        pub roster: bool = false;
        /// The user of the roster who this is, `<group>/<user>`; where it is empty, the one with the
        /// same e-mail address. For participants.
        pub user: Option<UserId> = None;
    }
    required { "role" }
}
