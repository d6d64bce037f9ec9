//! Accounts that people have elsewhere, and what they may do here.
//!
//! For: what a provider vouches for, and the one rule by which an account gets its role from the list
//! of thon.yaml.
//! Not for: asking a provider; adapters do that.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer, Serialize, de};

use super::Scope;
use crate::config::{AllowRule, Config, ProviderKind, Role};
use crate::instance::InstanceState;
use crate::name::UserId;
use crate::roster::Roster;

/// What somebody needs to be allowed to do for a request to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// See everything but passwords and keys.
    See,
    /// Launch, pause, restart and stop; see instances' passwords and logs.
    Operate,
    /// Change the roster, settings and configuration files.
    Administer,
}

impl Role {
    /// Whether this role may do it with everyone's. What is somebody's own is told by [`Standing`].
    #[must_use]
    pub const fn permits(self, permission: Permission) -> bool {
        match permission {
            Permission::See => matches!(self, Self::Viewer | Self::Operator | Self::Admin),
            Permission::Operate => matches!(self, Self::Operator | Self::Admin),
            Permission::Administer => matches!(self, Self::Admin),
        }
    }

    /// The role that permits it and nothing further.
    #[must_use]
    pub const fn needed_for(permission: Permission) -> Self {
        match permission {
            Permission::See => Self::Viewer,
            Permission::Operate => Self::Operator,
            Permission::Administer => Self::Admin,
        }
    }

    fn rank(self) -> usize {
        Self::ALL.iter().position(|role| *role == self).unwrap_or_default()
    }
}

/// A token of a scope may do what people of this role may.
impl From<Scope> for Role {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::Read => Self::Viewer,
            Scope::Operate => Self::Operator,
            Scope::Admin => Self::Admin,
        }
    }
}

/// The longest text of an account that is kept, in characters.
const LONGEST: usize = 254;

/// How much of an account's id and of its name the audit log shows, in characters.
const SHOWN: (usize, usize) = (60, 30);

/// An account, as its provider vouches for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Who vouches for it.
    pub provider: ProviderKind,
    /// What the provider numbers it with: it stays when everything else of the account changes.
    pub subject: String,
    /// Its name there, where names are the provider's to give.
    pub login: Option<String>,
    /// What the person is called.
    pub name: Option<String>,
    /// Their e-mail address, if the provider has verified it.
    pub email: Option<String>,
    /// What else the provider says of them: claims with what they hold, those alone that the list
    /// asks for.
    #[serde(default)]
    pub claims: BTreeMap<String, BTreeSet<String>>,
}

impl<'de> Deserialize<'de> for ProviderKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl Account {
    /// The account of a subject; nothing if that is no text that fits in a line. It is taken to the
    /// letter or not at all: whatever were mended in it could make it another's. Other texts that
    /// don't fit are left out.
    #[must_use]
    pub fn new(provider: ProviderKind, subject: &str) -> Option<Self> {
        let known = line(subject).filter(|line| line == subject)?;
        let (subject, claims) = (known, BTreeMap::new());
        Some(Self { provider, subject, login: None, name: None, email: None, claims })
    }

    /// With its name at the provider.
    #[must_use]
    pub fn with_login(mut self, login: Option<&str>) -> Self {
        self.login = login.and_then(line);
        self
    }

    /// With the person's name.
    #[must_use]
    pub fn with_name(mut self, name: Option<&str>) -> Self {
        self.name = name.and_then(line);
        self
    }

    /// With the e-mail address that the provider has verified.
    #[must_use]
    pub fn with_verified_email(mut self, email: Option<&str>) -> Self {
        self.email = email.filter(|email| crate::config::types::is_email(email)).and_then(line);
        self
    }

    /// What nobody can take over: `github:583231`.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}:{}", self.provider, self.subject)
    }

    /// How the audit log names it: by what nobody can choose, and behind that, quoted, by what people
    /// know it by.
    #[must_use]
    pub fn named(&self) -> String {
        let short = |text: &str, most| text.chars().take(most).collect::<String>();
        let (id, name) = (short(&self.id(), SHOWN.0), short(self.shown(), SHOWN.1));
        format!("{id} {}", crate::name::quoted(&name))
    }

    /// What people know it by.
    #[must_use]
    pub fn shown(&self) -> &str {
        let known = self.login.as_ref().or(self.email.as_ref()).or(self.name.as_ref());
        known.map_or(self.subject.as_str(), String::as_str)
    }
}

/// A text that fits in a line.
fn line(text: &str) -> Option<String> {
    let text = text.trim();
    let fits = !text.is_empty()
        && text.chars().count() <= LONGEST
        && !text.chars().any(crate::config::error::unprintable);
    fits.then(|| text.to_owned())
}

/// What an account's id looks like.
pub const ACCOUNT_ID: &str = "<provider>:<number>, such as github:583231";

/// Who vouches for the account of an id, if it can be one.
#[must_use]
pub fn account_provider(id: &str) -> Option<ProviderKind> {
    let (provider, number) = id.split_once(':')?;
    let provider: ProviderKind = provider.parse().ok()?;
    // GitHub and GitLab count; what others call somebody is theirs to choose.
    let counts = matches!(provider, ProviderKind::Github | ProviderKind::Gitlab);
    let fits = !counts || number.bytes().all(|byte| byte.is_ascii_digit());
    (fits && !number.is_empty()).then_some(provider)
}

/// Whether somebody may restart an instance in this state because it is theirs: what an organizer
/// paused or stopped is an organizer's to start again.
#[must_use]
pub const fn restarts_own(state: InstanceState) -> bool {
    matches!(state, InstanceState::Running | InstanceState::Failed)
}

/// As what somebody is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// What they may do with everyone's.
    pub role: Role,
    /// The users of the roster who they are: their instances are theirs.
    pub users: BTreeSet<UserId>,
}

impl Standing {
    /// Somebody of this role who isn't in the roster.
    #[must_use]
    pub const fn of(role: Role) -> Self {
        Self { role, users: BTreeSet::new() }
    }

    /// Whether they may do it with what is this user's.
    #[must_use]
    pub fn permits(&self, permission: Permission, user: &UserId) -> bool {
        let own = permission != Permission::Administer && self.users.contains(user);
        own || self.role.permits(permission)
    }

    /// Whether they may do it with what is these users' alone; with what is nobody's only by their role.
    #[must_use]
    pub fn permits_each(&self, permission: Permission, users: &[UserId]) -> bool {
        let each = !users.is_empty() && users.iter().all(|user| self.permits(permission, user));
        each || self.role.permits(permission)
    }
}

/// Why an account isn't let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unlisted {
    /// Nothing on the list is about it.
    Nowhere,
    /// It is listed by an e-mail address or for a participant, and the provider vouches for no address.
    NoEmail,
    /// It is listed as a participant, and nobody in the roster is this person.
    NotInRoster,
    /// It is listed as a user who isn't in the roster.
    UserGone,
}

impl Unlisted {
    /// Why, for whoever isn't let in.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Nowhere => "this account is not on the list of those who may come in",
            Self::NoEmail => {
                "this account shows no verified e-mail address, by which the list could know it"
            }
            Self::UserGone => {
                "this account is listed as somebody who is not among the participants (any more)"
            }
            Self::NotInRoster => {
                "nobody among the participants has the e-mail address of this account"
            }
        }
    }
}

/// What an account may do, by the list of `config` and the people of `roster`.
pub fn standing(config: &Config, roster: &Roster, account: &Account) -> Result<Standing, Unlisted> {
    if !config.auth.offers(account.provider) {
        return Err(Unlisted::Nowhere);
    }
    let mail = account.email.as_deref();
    let of_roster = mail.map(|mail| with_email(roster, mail)).unwrap_or_default();
    let is_known = !of_roster.is_empty();
    let fitting: Vec<&AllowRule> =
        config.auth.allow.iter().filter(|rule| fits(rule, account, is_known)).collect();
    let Some(role) = fitting.iter().map(|rule| rule.role).max_by_key(|role| role.rank()) else {
        let by_email =
            |rule: &AllowRule| !rule.email.is_empty() || rule.domain.is_some() || rule.roster;
        let unknown = mail.is_none() && config.auth.allow.iter().any(by_email);
        return Err(if unknown { Unlisted::NoEmail } else { Unlisted::Nowhere });
    };
    let named = fitting.iter().filter_map(|rule| rule.user.as_ref());
    let named = named.filter(|user| roster.user(user).is_some()).cloned();
    let users: BTreeSet<UserId> = named.chain(of_roster).collect();
    if role == Role::Participant && users.is_empty() {
        let named = fitting.iter().any(|rule| rule.user.is_some());
        return Err(match mail {
            _ if named => Unlisted::UserGone,
            None => Unlisted::NoEmail,
            Some(_) => Unlisted::NotInRoster,
        });
    }
    Ok(Standing { role, users })
}

/// The users with an e-mail address.
fn with_email(roster: &Roster, mail: &str) -> Vec<UserId> {
    let mut found = Vec::new();
    for group in roster.groups() {
        for user in &group.users {
            if user.email.as_ref().is_some_and(|email| email.eq_ignore_ascii_case(mail)) {
                found.push(UserId::new(group.name.clone(), user.name.clone()));
            }
        }
    }
    found
}

/// Whether a rule is about an account.
fn fits(rule: &AllowRule, account: &Account, in_roster: bool) -> bool {
    if rule.provider.is_some_and(|provider| provider != account.provider) {
        return false;
    }
    // Names and addresses are compared without regard to the case of ASCII letters alone: others have
    // cases that make two different texts one.
    let same = |wanted: &str, found: Option<&str>| {
        !wanted.is_empty() && found.is_some_and(|found| found.eq_ignore_ascii_case(wanted))
    };
    let mail = account.email.as_deref();
    let host = mail.and_then(|mail| mail.split_once('@')).map(|(_, host)| host);
    let holds = |claim: &str| {
        let found = account.claims.get(claim).filter(|_| account.provider == ProviderKind::Oidc);
        found.is_some_and(|values| values.contains(&rule.value))
    };
    (!rule.account.is_empty() && rule.account == account.id())
        || (rule.provider.is_some() && same(&rule.login, account.login.as_deref()))
        || same(&rule.email, mail)
        || rule.domain.as_ref().is_some_and(|domain| same(domain.as_str(), host))
        || (!rule.claim.is_empty() && holds(&rule.claim))
        || (rule.roster && in_roster)
}

impl AllowRule {
    /// Of which provider alone the accounts are that it can be about; nothing where of each.
    #[must_use]
    pub fn of_provider(&self) -> Option<ProviderKind> {
        let named = account_provider(&self.account);
        let claims = (!self.claim.is_empty()).then_some(ProviderKind::Oidc);
        self.provider.or(named).or(claims)
    }

    /// Whom it is about, in words.
    #[must_use]
    pub fn whom(&self) -> String {
        let whom = if !self.account.is_empty() {
            format!("account {}", self.account)
        } else if !self.login.is_empty() {
            self.login.clone()
        } else if !self.email.is_empty() {
            self.email.clone()
        } else if let Some(domain) = &self.domain {
            format!("everyone of @{domain}")
        } else if self.roster {
            "everyone whose address the roster has".to_owned()
        } else {
            format!("whoever has {} in the claim {}", self.value, self.claim)
        };
        let by = self.provider.map(|provider| format!(", by {provider}")).unwrap_or_default();
        let user = self.user.as_ref().map(|user| format!(", as {user}")).unwrap_or_default();
        whom + &by + &user
    }
}

/// The claims that the list asks for.
#[must_use]
pub fn claims_of_interest(config: &Config) -> BTreeSet<String> {
    let claims = config.auth.allow.iter().map(|rule| &rule.claim);
    claims.filter(|claim| !claim.is_empty()).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(allow: &str) -> Config {
        let text = format!(
            "groups: {{alpha: [{{name: ada, email: Ada@Example.org}}, bob]}}\n\
             auth: {{enabled: true, github: {{client_id: x, client_secret: y}}, \
             oidc: {{issuer: 'https://login.example.org', client_id: x, client_secret: y}}, \
             allow: [{allow}]}}"
        );
        Config::parse(&text, "thon.yaml").unwrap().config
    }

    fn judged(allow: &str, account: &Account) -> Result<(Role, Vec<String>), Unlisted> {
        let config = config(allow);
        let found = standing(&config, &config.groups, account)?;
        Ok((found.role, found.users.iter().map(ToString::to_string).collect()))
    }

    fn ada() -> Account {
        Account::new(ProviderKind::Github, "583231")
            .unwrap()
            .with_login(Some("ada-l"))
            .with_name(Some("Ada Lovelace"))
            .with_verified_email(Some("ada@example.org"))
    }

    fn of_oidc() -> Account {
        let mut account = Account::new(ProviderKind::Oidc, "0-1").unwrap();
        account.claims.insert("groups".to_owned(), ["staff".to_owned()].into());
        account
    }

    #[test]
    fn an_account_is_found_by_what_its_provider_vouches_for() {
        let alone = vec!["alpha/ada".to_owned()];
        for rule in [
            "{role: viewer, provider: github, login: Ada-L}",
            "{role: viewer, account: 'github:583231'}",
            "{role: viewer, email: ADA@example.org}",
            "{role: viewer, domain: example.org}",
            "{role: viewer, domain: example.org, provider: github}",
            "{role: viewer, roster: true}",
        ] {
            assert_eq!(judged(rule, &ada()), Ok((Role::Viewer, alone.clone())), "{rule}");
        }
        let staff = "{role: operator, claim: groups, value: staff}";
        assert_eq!(judged(staff, &of_oidc()), Ok((Role::Operator, vec![])));
    }

    #[test]
    fn an_account_that_nothing_is_about_gets_in_nowhere() {
        for rule in [
            "",
            "{role: admin, provider: gitlab, login: ada-l}",
            "{role: admin, account: 'github:58323'}",
            "{role: admin, account: 'gitlab:583231'}",
            "{role: admin, email: ada@example.com}",
            "{role: admin, domain: ample.org}",
            "{role: admin, domain: org}",
            "{role: admin, domain: ada.example.org}",
            "{role: admin, domain: example.org, provider: oidc}",
            "{role: admin, claim: login, value: ada-l}",
        ] {
            assert_eq!(judged(rule, &ada()), Err(Unlisted::Nowhere), "{rule}");
        }
        let kelvin = ada().with_login(Some("\u{212a}ate"));
        let rule = "{role: admin, provider: github, login: kate}";
        assert_eq!(judged(rule, &kelvin), Err(Unlisted::Nowhere));
        for claim in [
            "{role: admin, claim: groups, value: staf}",
            "{role: admin, claim: group, value: staff}",
        ] {
            assert_eq!(judged(claim, &of_oidc()), Err(Unlisted::Nowhere), "{claim}");
        }
        let mut other = ada();
        other.claims = of_oidc().claims;
        let staff = "{role: admin, claim: groups, value: staff}";
        assert_eq!(judged(staff, &other), Err(Unlisted::Nowhere), "only oidc has claims");
    }

    #[test]
    fn a_provider_that_is_not_used_any_more_vouches_for_nobody() {
        let mut config = config("{role: admin, email: ada@example.org}");
        assert!(standing(&config, &config.groups, &ada()).is_ok());
        config.auth.enabled = false;
        assert_eq!(standing(&config, &config.groups, &ada()), Err(Unlisted::Nowhere));
        config.auth.enabled = true;
        config.auth.github.client_secret = crate::secret::Secret::default();
        assert_eq!(standing(&config, &config.groups, &ada()), Err(Unlisted::Nowhere));
    }

    #[test]
    fn an_address_that_nobody_verified_counts_for_nothing() {
        let unverified = ada().with_verified_email(None);
        for rule in ["{role: admin, email: ada@example.org}", "{role: participant, roster: true}"] {
            assert_eq!(judged(rule, &unverified), Err(Unlisted::NoEmail), "{rule}");
        }
        for odd in ["ada", "ada@evil.example@example.org", "a b@example.org", "\"a@b\"@example.org"]
        {
            assert_eq!(ada().with_verified_email(Some(odd)).email, None, "{odd}");
        }
    }

    #[test]
    fn the_highest_role_counts_and_an_own_instance_stays_ones_own() {
        let rules = "{role: participant, roster: true}, {role: operator, domain: example.org}";
        let config = config(rules);
        let found = standing(&config, &config.groups, &ada()).unwrap();
        assert_eq!(found.role, Role::Operator);
        let own: UserId = "alpha/ada".parse().unwrap();
        assert!(found.permits(Permission::Operate, &own));
        assert!(!found.permits(Permission::Administer, &own));
    }

    #[test]
    fn a_participant_is_a_user_of_the_roster_and_may_do_what_is_theirs() {
        let config = config("{role: participant, provider: github, login: ada-l, user: alpha/bob}");
        let found = standing(&config, &config.groups, &ada().with_verified_email(None)).unwrap();
        let (ada, bob): (UserId, UserId) =
            ("alpha/ada".parse().unwrap(), "alpha/bob".parse().unwrap());
        assert!(found.permits(Permission::See, &bob) && found.permits(Permission::Operate, &bob));
        assert!(!found.permits(Permission::Administer, &bob));
        assert!(!found.permits(Permission::See, &ada) && !found.role.permits(Permission::See));
        assert!(found.permits_each(Permission::See, std::slice::from_ref(&bob)));
        assert!(!found.permits_each(Permission::See, &[ada, bob.clone()]));
        assert!(!found.permits_each(Permission::See, &[]), "what is nobody's isn't theirs");
        let gone = "{role: participant, provider: github, login: ada-l, user: alpha/gone}";
        let alone = self::ada().with_verified_email(None);
        assert_eq!(judged(gone, &alone), Err(Unlisted::UserGone));
        let stranger = self::ada().with_verified_email(Some("eve@example.org"));
        let all = "{role: participant, domain: example.org}";
        assert_eq!(judged(all, &stranger), Err(Unlisted::NotInRoster));
    }

    #[test]
    fn what_an_organizer_paused_or_stopped_stays_so() {
        use InstanceState::{Failed, Paused, Pausing, Pending, Running, Stopping, Terminated};
        assert!([Running, Failed].into_iter().all(restarts_own));
        let not = [Paused, Pausing, Pending, Stopping, Terminated];
        assert!(!not.into_iter().any(restarts_own));
    }

    #[test]
    fn an_account_has_a_number_of_its_provider() {
        assert_eq!(account_provider("github:583231"), Some(ProviderKind::Github));
        assert_eq!(account_provider("oidc:a:b"), Some(ProviderKind::Oidc));
        for odd in ["", "ada", "github:", "github:ada", "google:1", ":1"] {
            assert_eq!(account_provider(odd), None, "{odd}");
        }
    }

    #[test]
    fn a_rule_can_be_read_aloud() {
        let config = config(
            "{role: admin, provider: github, login: ada}, {role: viewer, domain: example.org}, \
             {role: participant, email: a@b.c, user: alpha/bob}, {role: operator, claim: g, value: x}",
        );
        let said: Vec<String> = config.auth.allow.iter().map(AllowRule::whom).collect();
        let expected = [
            "ada, by github",
            "everyone of @example.org",
            "a@b.c, as alpha/bob",
            "whoever has x in the claim g",
        ];
        assert_eq!(said, expected);
    }

    #[test]
    fn texts_of_a_provider_are_lines_and_the_account_is_known_by_the_best_of_them() {
        let odd = ada().with_login(Some("a\nb")).with_name(Some(" \u{1b}[31m "));
        assert_eq!((odd.login.as_deref(), odd.name.as_deref()), (None, None));
        assert_eq!(odd.shown(), "ada@example.org");
        assert_eq!(odd.with_verified_email(None).shown(), "583231");
        assert_eq!(ada().id(), "github:583231");
        assert_eq!(Account::new(ProviderKind::Oidc, "a\nb"), None);
        for odd in [" ", " root", "root\u{3000}", "\u{a0}root"] {
            assert_eq!(Account::new(ProviderKind::Oidc, odd), None, "{odd:?}");
        }
    }

    #[test]
    fn a_token_may_do_what_its_scope_says() {
        for (scope, role) in [
            (Scope::Read, Role::Viewer),
            (Scope::Operate, Role::Operator),
            (Scope::Admin, Role::Admin),
        ] {
            assert_eq!(Role::from(scope), role);
        }
        for permission in [Permission::See, Permission::Operate, Permission::Administer] {
            assert!(Role::needed_for(permission).permits(permission));
        }
    }
}
