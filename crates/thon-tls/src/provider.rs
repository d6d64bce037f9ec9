//! The provider: which certificate there is, whether it does, and who makes another.
//!
//! For: [`Tls`], the order of steps that all providers share.
//! Not for: how each of them makes a certificate.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use tempfile::TempDir;
use thon_core::adapter::{CertificateProvider, Clock, Failure, FailureKind};
use thon_core::certificate::{Certificate, CertificateChange, CertificateNames, Trust};

use crate::authority::{Authority, ROOT, ROOT_KEY};
use crate::certbot::Lineage;
use crate::files::{self, PRIVATE, PUBLIC, blocking};
use crate::material::{Flaw, Pair, Root, Verdict};
use crate::settings::{Provider, TlsSettings};
use crate::{embedded, mkcert, names, openssl, process};

/// The chain's file.
const CHAIN: &str = "thon.pem";
/// The key's file.
const KEY: &str = "thon-key.pem";

/// Provides the node's certificate as its settings say.
pub struct Tls {
    settings: Arc<TlsSettings>,
    clock: Arc<dyn Clock>,
    stepped_over: Mutex<Vec<Failure>>,
}

/// What is there before anything is made.
struct Found {
    root: Option<Root>,
    pair: Result<Pair, Option<Flaw>>,
    verdict: Option<Verdict>,
}

impl Tls {
    /// A provider that works as `settings` say and by `clock`.
    #[must_use]
    pub fn new(settings: TlsSettings, clock: Arc<dyn Clock>) -> Self {
        Self { settings: Arc::new(settings), clock, stepped_over: Mutex::default() }
    }

    /// What went wrong in the last [`ensure`](CertificateProvider::ensure) without keeping it from
    /// a usable certificate: a provider that `auto` had to do without, a renewal that failed while
    /// the present certificate is still valid. To be shown as warnings.
    #[must_use]
    pub fn stepped_over(&self) -> Vec<Failure> {
        self.warnings().clone()
    }

    /// Puts the node's root into the trust stores of this machine, by `mkcert -install`, and
    /// returns what mkcert said. It changes what every program on this machine trusts, so nothing
    /// else in here calls it.
    pub async fn trust_on_this_machine(&self) -> Result<Vec<String>, Failure> {
        let settings = Arc::clone(&self.settings);
        let now = self.clock.now();
        let authority = blocking(move || {
            let authority = Authority::present(&settings);
            let has_root = match &authority {
                Some(authority) => authority.root(now)?.is_some(),
                None => false,
            };
            authority.filter(|_| has_root).ok_or_else(|| {
                Failure::new(
                    FailureKind::Missing,
                    "putting the root into this machine's trust stores",
                    "this node has no root yet",
                    "issue a certificate first: thon tls issue",
                )
            })
        })
        .await?;
        let program = process::require("mkcert", self.settings.mkcert.as_deref())?;
        mkcert::install(&program, authority.dir()).await
    }

    fn warnings(&self) -> MutexGuard<'_, Vec<Failure>> {
        // A panic elsewhere can't leave a list of messages in a bad state.
        self.stepped_over.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn settings(&self) -> &TlsSettings {
        &self.settings
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    pub(crate) fn first_choice(&self, names: &CertificateNames) -> Provider {
        if process::find("mkcert", self.settings.mkcert.as_deref()).is_some() {
            Provider::Mkcert
        } else if self.settings.has_domain(names) {
            Provider::Certbot
        } else {
            Provider::Embedded
        }
    }

    /// A certificate by our own authority, made by `tool` if one has to be made. One by another
    /// tool does too unless `strict`.
    async fn ensure_own(
        &self,
        tool: Provider,
        strict: bool,
        names: &CertificateNames,
    ) -> Result<Certificate, Failure> {
        let now = self.clock.now();
        let dir = self.settings.dir.clone();
        let _lock = blocking(move || {
            files::private_dir(&dir)?;
            files::lock(&dir)
        })
        .await?;
        let authority = self.authority(tool).await?;
        let found = self.find(&authority, names, now, strict.then_some(tool)).await?;
        let change = match &found.verdict {
            Some(Verdict::Fits) => CertificateChange::Reused,
            Some(Verdict::Expiring) => CertificateChange::Renewed,
            _ => CertificateChange::Issued,
        };
        if change == CertificateChange::Reused
            && let (Ok(pair), Some(root)) = (&found.pair, &found.root)
        {
            return self.hand_out(root, pair, change).await;
        }
        match self.issue(tool, &authority, found.root.as_ref(), names, now).await {
            Ok((root, pair)) => self.hand_out(&root, &pair, change).await,
            Err(failure) => match (&found.pair, &found.root) {
                (Ok(pair), Some(root))
                    if change == CertificateChange::Renewed && pair.is_valid(Some(root), now) =>
                {
                    self.warnings().push(failure);
                    self.hand_out(root, pair, CertificateChange::Reused).await
                }
                _ => Err(failure),
            },
        }
    }

    /// The node's authority. mkcert's root of the person who runs THON becomes it where the node
    /// has none yet: that person's browsers trust it already. It is remembered, so that a later run
    /// as root, whose mkcert root is another, doesn't change what participants imported.
    async fn authority(&self, tool: Provider) -> Result<Authority, Failure> {
        let settings = Arc::clone(&self.settings);
        let present = blocking(move || Ok(Authority::present(&settings))).await?;
        if let Some(present) = present {
            return Ok(present);
        }
        if tool == Provider::Mkcert
            && let Some(program) = process::find("mkcert", self.settings.mkcert.as_deref())
            && let Some(caroot) = mkcert::own_caroot(&program).await
        {
            let settings = Arc::clone(&self.settings);
            let adopted = blocking(move || match Authority::existing(caroot) {
                Some(authority) => authority.remember(&settings).map(|()| Some(authority)),
                None => Ok(None),
            })
            .await?;
            if let Some(adopted) = adopted {
                return Ok(adopted);
            }
        }
        Ok(Authority::own(&self.settings))
    }

    async fn find(
        &self,
        authority: &Authority,
        names: &CertificateNames,
        now: SystemTime,
        maker: Option<Provider>,
    ) -> Result<Found, Failure> {
        let (authority, names) = (authority.clone(), names.clone());
        let (chain, key) = self.paths();
        blocking(move || {
            let root = authority.root(now)?;
            let pair = read_pair(&chain, &key)?;
            let pair = if files::is_exposed(&key) { Err(Some(Flaw::Exposed)) } else { pair };
            let verdict = match (&pair, &root) {
                (Ok(pair), Some(root)) => Some(match (maker, pair.maker) {
                    (Some(wanted), Some(made)) if wanted != made => {
                        Verdict::Unfit(Flaw::OtherProvider(made))
                    }
                    _ => pair.judge(&names, Some(root), now),
                }),
                _ => None,
            };
            Ok(Found { root, pair, verdict })
        })
        .await
    }

    /// Makes a certificate, and the root if there is none, looks at what came of it, and only then
    /// puts it into the place of the present one.
    async fn issue(
        &self,
        tool: Provider,
        authority: &Authority,
        root: Option<&Root>,
        names: &CertificateNames,
        now: SystemTime,
    ) -> Result<(Root, Pair), Failure> {
        let dir = self.settings.dir.clone();
        let staging = blocking(move || files::staging(&dir)).await?;
        let new_root = match root {
            Some(_) => None,
            None => Some(self.stage_root(tool, authority, now).await?),
        };
        let issuer = match &new_root {
            Some(staged) => Authority::staged(staged.path()),
            None => authority.clone(),
        };
        let (chain, key) = (staging.path().join(CHAIN), staging.path().join(KEY));
        match tool {
            Provider::Mkcert => {
                let program = process::require("mkcert", self.settings.mkcert.as_deref())?;
                self.check_key(&issuer, now).await?;
                mkcert::make_leaf(&program, issuer.dir(), names, (&chain, &key)).await?;
            }
            Provider::Openssl => {
                let program = process::require("openssl", self.settings.openssl.as_deref())?;
                let root = self
                    .check_key(&issuer, now)
                    .await?
                    .ok_or_else(|| unusable(tool, &Flaw::NoRoot))?;
                let dirs = (staging.path(), issuer.dir());
                let end = root.not_after;
                openssl::make_leaf(&program, dirs, names, (now, end), (CHAIN, KEY)).await?;
            }
            Provider::Auto | Provider::Certbot | Provider::Embedded => {
                let (issuer, names) = (issuer.clone(), names.clone());
                let (chain, key) = (chain.clone(), key.clone());
                blocking(move || {
                    let root = issuer.root(now)?.ok_or_else(|| unusable(tool, &Flaw::NoRoot))?;
                    let root_key = issuer.key(&root)?;
                    let made = embedded::make_leaf(&names, &root, root_key, now)?;
                    files::create(&key, &made.key, PRIVATE)?;
                    files::create(&chain, &made.certificate, PUBLIC)
                })
                .await?;
            }
        }
        let (authority, names) = (authority.clone(), names.clone());
        let (to_chain, to_key) = self.paths();
        // Not the time from before: mkcert's certificates begin when they are made.
        let now = self.clock.now();
        blocking(move || {
            let root = issuer.root(now)?.ok_or_else(|| unusable(tool, &Flaw::NoRoot))?;
            issuer.key(&root)?;
            let pair = read_pair(&chain, &key)?
                .map_err(|flaw| unusable(tool, &flaw.unwrap_or(Flaw::NoCertificate)))?;
            if let Verdict::Unfit(flaw) = pair.judge(&names, Some(&root), now) {
                return Err(unusable(tool, &flaw));
            }
            if let Some(staged) = &new_root {
                authority.adopt(staged.path())?;
            }
            files::move_into_place(&[(&key, &to_key, PRIVATE), (&chain, &to_chain, PUBLIC)])?;
            // The staging folders live until here.
            drop((staging, new_root));
            Ok((root, pair))
        })
        .await
    }

    /// A folder in the authority's with a new root in it; for mkcert an empty one, because mkcert
    /// makes its root along with the first certificate.
    async fn stage_root(
        &self,
        tool: Provider,
        authority: &Authority,
        now: SystemTime,
    ) -> Result<TempDir, Failure> {
        let dir = authority.dir().to_owned();
        let staged = blocking(move || {
            files::private_dir(&dir)?;
            files::remove_leftovers(&dir);
            files::staging(&dir)
        })
        .await?;
        let node = self.settings.node_name.clone();
        match tool {
            Provider::Mkcert => Ok(staged),
            Provider::Openssl => {
                let program = process::require("openssl", self.settings.openssl.as_deref())?;
                openssl::make_root(&program, staged.path(), &node, now).await?;
                Ok(staged)
            }
            Provider::Auto | Provider::Certbot | Provider::Embedded => {
                blocking(move || {
                    let made = embedded::make_root(&node, now)?;
                    files::create(&staged.path().join(ROOT_KEY), &made.key, PRIVATE)?;
                    files::create(&staged.path().join(ROOT), &made.certificate, PUBLIC)?;
                    Ok(staged)
                })
                .await
            }
        }
    }

    /// The root of `issuer`, if there is one, with a key that belongs to it: the programs would
    /// issue with a wrong one, or make a new root.
    async fn check_key(
        &self,
        issuer: &Authority,
        now: SystemTime,
    ) -> Result<Option<Root>, Failure> {
        let issuer = issuer.clone();
        blocking(move || {
            let root = issuer.root(now)?;
            if let Some(root) = &root {
                issuer.key(root)?;
            }
            Ok(root)
        })
        .await
    }

    /// Lays the root out to be served and says what there is.
    async fn hand_out(
        &self,
        root: &Root,
        pair: &Pair,
        change: CertificateChange,
    ) -> Result<Certificate, Failure> {
        let (path, pem) = (self.settings.dir.join(ROOT), root.pem.clone());
        blocking(move || files::replace(&path, &pem, PUBLIC)).await?;
        Ok(self.own_certificate(root, pair, change))
    }

    fn own_certificate(&self, root: &Root, pair: &Pair, change: CertificateChange) -> Certificate {
        let (chain, key) = self.paths();
        Certificate {
            provider: pair.maker.unwrap_or(Provider::Embedded).as_str(),
            chain,
            key,
            root: Some(self.settings.dir.join(ROOT)),
            not_after: pair.end(Some(root)),
            trust: Trust::ImportedRoot,
            change,
        }
    }

    pub(crate) fn paths(&self) -> (PathBuf, PathBuf) {
        (self.settings.dir.join(CHAIN), self.settings.dir.join(KEY))
    }

    async fn current_own(&self, names: &CertificateNames) -> Result<Option<Certificate>, Failure> {
        let settings = Arc::clone(&self.settings);
        let Some(authority) = blocking(move || Ok(Authority::present(&settings))).await? else {
            return Ok(None);
        };
        let found = self.find(&authority, names, self.clock.now(), None).await?;
        Ok(match found {
            Found { root: Some(root), pair: Ok(pair), verdict: Some(verdict) }
                if !matches!(verdict, Verdict::Unfit(_)) =>
            {
                Some(self.own_certificate(&root, &pair, CertificateChange::Reused))
            }
            _ => None,
        })
    }

    /// A certificate by a public authority.
    async fn ensure_public(&self, names: &CertificateNames) -> Result<Certificate, Failure> {
        let lineage = Lineage::new(&self.settings, names)?;
        names::check(&lineage.names)?;
        let now = self.clock.now();
        let before = read_lineage(&lineage).await?;
        let verdict = before.as_ref().ok().map(|pair| pair.judge(&lineage.names, None, now));
        if verdict == Some(Verdict::Fits)
            && let Ok(pair) = &before
        {
            return Ok(public_certificate(&lineage, pair, CertificateChange::Reused));
        }
        if let Err(failure) = self.run_certbot(&lineage).await {
            return match before {
                Ok(pair) if verdict == Some(Verdict::Expiring) && pair.is_valid(None, now) => {
                    self.warnings().push(failure);
                    Ok(public_certificate(&lineage, &pair, CertificateChange::Reused))
                }
                _ => Err(failure),
            };
        }
        let after = read_lineage(&lineage)
            .await?
            .map_err(|flaw| unusable(Provider::Certbot, &flaw.unwrap_or(Flaw::NoCertificate)))?;
        if let Verdict::Unfit(flaw) = after.judge(&lineage.names, None, self.clock.now()) {
            return Err(unusable(Provider::Certbot, &flaw));
        }
        let change = match (&before, verdict) {
            (Ok(before), _) if before.is(&after) => CertificateChange::Reused,
            (_, Some(Verdict::Expiring)) => CertificateChange::Renewed,
            _ => CertificateChange::Issued,
        };
        Ok(public_certificate(&lineage, &after, change))
    }

    async fn run_certbot(&self, lineage: &Lineage) -> Result<(), Failure> {
        let program = process::require("certbot", self.settings.certbot.as_deref())?;
        lineage.get(&self.settings, &program).await
    }

    async fn current_public(
        &self,
        names: &CertificateNames,
    ) -> Result<Option<Certificate>, Failure> {
        let lineage = Lineage::new(&self.settings, names)?;
        let now = self.clock.now();
        Ok(read_lineage(&lineage).await?.ok().and_then(|pair| {
            let fits = !matches!(pair.judge(&lineage.names, None, now), Verdict::Unfit(_));
            fits.then(|| public_certificate(&lineage, &pair, CertificateChange::Reused))
        }))
    }
}

#[async_trait]
impl CertificateProvider for Tls {
    fn name(&self) -> &'static str {
        self.settings.provider.as_str()
    }

    async fn ensure(&self, names: &CertificateNames) -> Result<Certificate, Failure> {
        self.warnings().clear();
        names::check(names)?;
        let first = match self.settings.provider {
            Provider::Certbot => return self.ensure_public(names).await,
            Provider::Auto => self.first_choice(names),
            tool => return self.ensure_own(tool, true, names).await,
        };
        let failure = match first {
            Provider::Certbot => self.ensure_public(names).await,
            tool => self.ensure_own(tool, false, names).await,
        };
        match failure {
            Err(failure) if first != Provider::Embedded => {
                self.warnings().push(failure);
                self.ensure_own(Provider::Embedded, false, names).await
            }
            result => result,
        }
    }

    async fn current(&self, names: &CertificateNames) -> Result<Option<Certificate>, Failure> {
        match self.settings.provider {
            Provider::Certbot => self.current_public(names).await,
            Provider::Auto if self.first_choice(names) == Provider::Certbot => {
                // What `ensure` would have stepped over, this steps over too.
                match self.current_public(names).await {
                    Ok(Some(certificate)) => Ok(Some(certificate)),
                    Ok(None) | Err(_) => self.current_own(names).await,
                }
            }
            _ => self.current_own(names).await,
        }
    }
}

fn public_certificate(lineage: &Lineage, pair: &Pair, change: CertificateChange) -> Certificate {
    Certificate {
        provider: Provider::Certbot.as_str(),
        chain: lineage.chain.clone(),
        key: lineage.key.clone(),
        root: None,
        not_after: pair.end(None),
        trust: Trust::Public,
        change,
    }
}

async fn read_lineage(lineage: &Lineage) -> Result<Result<Pair, Option<Flaw>>, Failure> {
    let (chain, key) = (lineage.chain.clone(), lineage.key.clone());
    blocking(move || read_pair(&chain, &key)).await
}

/// The pair in two files; no flaw means that there is none.
pub(crate) fn read_pair(
    chain: &std::path::Path,
    key: &std::path::Path,
) -> Result<Result<Pair, Option<Flaw>>, Failure> {
    let (Some(chain), Some(key)) = (files::read(chain)?, files::read(key)?) else {
        return Ok(Err(None));
    };
    Ok(Pair::parse(&chain, &key).map_err(Some))
}

fn unusable(tool: Provider, flaw: &Flaw) -> Failure {
    Failure::new(
        FailureKind::Other,
        format!("making a certificate with {tool}"),
        format!("what it made {flaw}"),
        "set nginx.ssl_provider to embedded, or report it with this line",
    )
}
