//! The certificate as it is, with what is wrong with it.
//!
//! For: what the doctor asks; a provider itself only asks whether the present one may be served on.
//! Not for: making or renewing one.

use std::path::PathBuf;

use thon_core::adapter::Failure;
use thon_core::certificate::{CertificateNames, Trust};
use thon_core::doctor::CertificateFacts;

use crate::authority::Authority;
use crate::certbot::Lineage;
use crate::files::{self, blocking};
use crate::material::{Flaw, Pair, Root, Verdict};
use crate::provider::{Tls, read_pair};
use crate::settings::Provider;

impl Tls {
    /// The certificate that is there, good or bad; nothing where there is none.
    pub async fn facts(
        &self,
        names: &CertificateNames,
    ) -> Result<Option<CertificateFacts>, Failure> {
        match self.settings().provider {
            Provider::Certbot => self.public_facts(names).await,
            Provider::Auto if self.first_choice(names) == Provider::Certbot => {
                match self.public_facts(names).await {
                    Ok(Some(facts)) => Ok(Some(facts)),
                    Ok(None) | Err(_) => self.own_facts(names).await,
                }
            }
            _ => self.own_facts(names).await,
        }
    }

    async fn own_facts(
        &self,
        names: &CertificateNames,
    ) -> Result<Option<CertificateFacts>, Failure> {
        let (settings, names) = (self.settings().clone(), names.clone());
        let (chain, key) = self.paths();
        let now = self.clock().now();
        blocking(move || {
            if !chain.is_file() && !key.is_file() {
                return Ok(None);
            }
            // A root that is broken or has expired is a flaw like others here, in its own words.
            let root = Authority::present(&settings).map(|authority| authority.root(now));
            let root = match root.transpose() {
                Ok(root) => root.flatten(),
                Err(failure) => {
                    let flaw = format!("has no usable root: {}", failure.cause);
                    return Ok(read_pair(&chain, &key)?.ok().map(|pair| CertificateFacts {
                        flaw: Some(flaw),
                        ..facts(&pair, None, chain, Trust::ImportedRoot)
                    }));
                }
            };
            let pair = match read_pair(&chain, &key)? {
                Ok(pair) => pair,
                Err(flaw) => {
                    let flaw = flaw.unwrap_or(Flaw::NoKey).to_string();
                    return Ok(Some(broken(chain, flaw)));
                }
            };
            let mut facts = facts(&pair, root.as_ref(), chain, Trust::ImportedRoot);
            judge(&mut facts, pair.judge(&names, root.as_ref(), now));
            if root.is_none() {
                facts.flaw = Some(Flaw::NoRoot.to_string());
            }
            if files::is_exposed(&key) {
                facts.flaw = Some(Flaw::Exposed.to_string());
            }
            Ok(Some(facts))
        })
        .await
    }

    async fn public_facts(
        &self,
        names: &CertificateNames,
    ) -> Result<Option<CertificateFacts>, Failure> {
        let lineage = Lineage::new(self.settings(), names)?;
        let now = self.clock().now();
        blocking(move || {
            Ok(match read_pair(&lineage.chain, &lineage.key)? {
                Err(None) => None,
                Err(Some(flaw)) => Some(broken(lineage.chain, flaw.to_string())),
                Ok(pair) => {
                    let mut facts = facts(&pair, None, lineage.chain, Trust::Public);
                    judge(&mut facts, pair.judge(&lineage.names, None, now));
                    Some(facts)
                }
            })
        })
        .await
    }
}

fn facts(pair: &Pair, root: Option<&Root>, chain: PathBuf, trust: Trust) -> CertificateFacts {
    CertificateFacts {
        chain,
        valid: Some((pair.not_before(), pair.end(root))),
        trust,
        lacks: None,
        flaw: None,
    }
}

/// Files that hold no pair: nothing is known of them but that.
fn broken(chain: PathBuf, flaw: String) -> CertificateFacts {
    let (valid, trust, lacks) = (None, Trust::SelfSigned, None);
    CertificateFacts { chain, valid, trust, lacks, flaw: Some(flaw) }
}

fn judge(facts: &mut CertificateFacts, verdict: Verdict) {
    match verdict {
        Verdict::Fits | Verdict::Expiring => {}
        Verdict::Unfit(Flaw::Lacks(name)) => facts.lacks = Some(name),
        Verdict::Unfit(flaw) => facts.flaw = Some(flaw.to_string()),
    }
}
