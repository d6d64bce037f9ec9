//! What is wanted: the configuration and the database, put together anew when either changes.
//!
//! For: the roster, the rules of what may be changed in it, and the node of the present
//! configuration.
//! Not for: what runs, see [`super::Room`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use thon_core::access::{IdentityProvider, ProviderKind};
use thon_core::config::{AuthConfig, Config, Severity, WebUrl};
use thon_core::event::Event;
use thon_core::name::UserId;
use thon_core::roster::Roster;
use thon_core::state::{Editor, Snapshot, Wanted, complete, wanted};

use super::Service;
use crate::error::Error;
use crate::given::StoredFiles;
use crate::load;
use crate::node::Node;

/// How often thon.yaml is looked at when nobody asks for anything.
const READ_EVERY: Duration = Duration::from_secs(2);

/// What is wanted, as of one moment.
#[derive(Debug)]
pub struct Site {
    /// What the database has.
    pub stored: Snapshot,
    /// It and thon.yaml together, and where each user is known from.
    pub wanted: Wanted,
    file: File,
    node: Node,
    vouching: Vouching,
    key: Key,
}

/// Those who vouch for accounts, and by what they were made: what they have learnt of their
/// providers is kept as long as that stays.
#[derive(Clone, Default)]
struct Vouching {
    by: Option<(AuthConfig, WebUrl)>,
    providers: BTreeMap<&'static str, Arc<dyn IdentityProvider>>,
}

impl std::fmt::Debug for Vouching {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.providers.keys()).finish()
    }
}

impl Vouching {
    /// Those of a configuration; the ones `before` where nothing has changed.
    fn new(node: &Node, before: Option<&Self>) -> Result<Self, Error> {
        let config = &node.config().auth;
        if !config.enabled {
            return Ok(Self::default());
        }
        let by = (config.clone(), node.public_url()?);
        if let Some(before) = before.filter(|before| before.by.as_ref() == Some(&by)) {
            return Ok(before.clone());
        }
        Ok(Self { providers: node.identity_providers()?, by: Some(by) })
    }
}

/// What thon.yaml says.
#[derive(Debug, Clone)]
struct File {
    config: Config,
    origin: String,
    path: Option<PathBuf>,
    problem: Option<String>,
}

/// By what a site is known to be the present one.
#[derive(Debug, PartialEq, Eq)]
struct Key {
    text: Option<Vec<u8>>,
    generation: u64,
}

impl Key {
    /// How there is nothing to read, if so.
    fn is_silent(&self) -> Option<&'static str> {
        match &self.text {
            None => Some("it is gone"),
            Some(text) if text.trim_ascii().is_empty() => Some("it is empty"),
            Some(_) => None,
        }
    }
}

impl Site {
    /// The node of the present configuration, its roster being everyone who is wanted.
    #[must_use]
    pub const fn node(&self) -> &Node {
        &self.node
    }

    /// What thon.yaml declares.
    #[must_use]
    pub const fn declared(&self) -> &Roster {
        &self.file.config.groups
    }

    /// What that file is called.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.file.origin
    }

    /// Where it is, if there is one.
    #[must_use]
    pub fn config_path(&self) -> Option<&Path> {
        self.file.path.as_deref()
    }

    /// The address under which participants reach this machine, where thon.yaml says it.
    #[must_use]
    pub const fn declared_ip(&self) -> Option<std::net::IpAddr> {
        self.file.config.external_ip
    }

    /// Why thon.yaml as it is now can't be used, if so: then everything goes by what it said before.
    #[must_use]
    pub fn problem(&self) -> Option<&str> {
        self.file.problem.as_deref()
    }

    /// Who vouches for the accounts of a provider, if people can sign in with them.
    #[must_use]
    pub fn provider(&self, provider: ProviderKind) -> Option<&dyn IdentityProvider> {
        self.vouching.providers.get(provider.as_str()).map(AsRef::as_ref)
    }

    /// The rules of what may be changed.
    #[must_use]
    pub fn editor(&self) -> Editor<'_> {
        Editor { stored: &self.stored, declared: self.declared(), origin: self.origin() }
    }

    /// Everyone who is wanted.
    #[must_use]
    pub fn everyone(&self) -> Vec<UserId> {
        self.wanted.roster.users().map(|(id, _)| id).collect()
    }
}

impl Service {
    /// What is wanted now. Where thon.yaml can't be used as it is, what it said before holds on, and
    /// [`Site::problem`] says why.
    pub async fn site(&self) -> Result<Arc<Site>, Error> {
        let inner = &self.inner;
        // Asked before the state is read: what changes in between makes the next one read again.
        let generation = inner.state.store().generation().await?;
        let path = load::find(inner.config.as_deref(), &inner.home)?;
        // A pipe can be read once; what was in it holds.
        let text = path.as_ref().filter(|path| path.is_file()).and_then(|p| std::fs::read(p).ok());
        let key = Key { text, generation };
        let before = inner.site.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(site) = before.as_ref().filter(|site| site.key == key) {
            return Ok(Arc::clone(site));
        }
        let same_text = before.as_ref().filter(|site| site.key.text == key.text);
        // Editors empty a file before they write it, or put another one into its place: what is between
        // is nobody's word, and would let everyone go.
        let was_there = before.as_ref().filter(|site| site.file.path.is_some());
        let between = was_there.and_then(|site| Some((site, key.is_silent()?)));
        let file = match (same_text, self.read_file().await, before.as_ref()) {
            (Some(before), ..) => before.file.clone(),
            _ if let Some((before, how)) = between => {
                File { problem: Some(how.to_owned()), ..before.file.clone() }
            }
            (None, Ok(file), _) => file,
            (None, Err(error), Some(before)) if error.is_bad_input() => {
                File { problem: Some(error.to_string()), ..before.file.clone() }
            }
            (None, Err(error), _) => return Err(error),
        };
        let stored = inner.state.snapshot().await?;
        let mut wanted = wanted(&file.config.groups, &stored.roster());
        let mut config = Config { groups: wanted.roster.clone(), ..file.config.clone() };
        config.add_demo();
        complete(&mut config, &inner.state.store().settings().await?);
        wanted.declare(&config.groups);
        let files = StoredFiles::read(&inner.state).await?;
        let node = Node::on_stream(config, inner.home.clone(), &files, inner.events.clone())?;
        let vouching = Vouching::new(&node, before.as_ref().map(|site| &site.vouching))?;
        let site = Arc::new(Site { stored, wanted, file, node, vouching, key });
        *inner.site.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&site));
        Ok(site)
    }

    /// Follows thon.yaml and the database: what they say holds whether anybody asks or not. Whoever is
    /// logged in is held against the list when it may be another one, and why a file can't be used is
    /// said once.
    pub(super) async fn keep_reading(&self) {
        let mut last: Option<Arc<Site>> = None;
        loop {
            // What fails now is said by whoever asks for something.
            if let Ok(site) = self.site().await
                && last.as_ref().is_none_or(|last| !Arc::ptr_eq(last, &site))
            {
                let problem = site.problem();
                if problem.is_some() && problem != last.as_ref().and_then(|last| last.problem()) {
                    let problem = problem.unwrap_or_default();
                    let text = format!("thon.yaml can't be used as it is: {problem}");
                    self.events().emit(Event::Warning { text });
                }
                if self.hold_against_the_list().await.is_ok() {
                    last = Some(site);
                }
            }
            tokio::time::sleep(READ_EVERY).await;
        }
    }

    /// The configuration as it is now, if it can be used.
    async fn read_file(&self) -> Result<File, Error> {
        let loaded = load::load(self.inner.config.as_deref(), &self.inner.home)?;
        let problems = loaded.config.validate();
        if let Some(problem) = problems.iter().find(|p| p.severity == Severity::Error) {
            return Err(Error::input(problem.to_string()));
        }
        let auth = &loaded.config.auth;
        if auth.enabled && !self.state().access().has_way_in(auth).await? {
            let text = "auth.allow: nobody could come in as admin; list an account with `role: admin`, \
                        or set a password with `thon dashboard password`";
            return Err(Error::input(text));
        }
        let origin =
            loaded.path.as_ref().map_or("thon.yaml".to_owned(), |path| path.display().to_string());
        Ok(File { config: loaded.config, origin, path: loaded.path, problem: None })
    }
}
