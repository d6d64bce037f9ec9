//! The contract of [`CertificateProvider`].

use crate::adapter::CertificateProvider;
use crate::certificate::{Certificate, CertificateChange, CertificateNames};

async fn ensure(provider: &dyn CertificateProvider, names: &CertificateNames) -> Certificate {
    match provider.ensure(names).await {
        Ok(certificate) => certificate,
        Err(failure) => panic!("{}: {failure}", provider.name()),
    }
}

/// Nothing is there at first; the first call issues, the second reuses the same files, and looking
/// never issues.
pub async fn certificate(provider: &dyn CertificateProvider, names: &CertificateNames) {
    assert_eq!(provider.current(names).await, Ok(None), "nothing was issued yet");
    let first = ensure(provider, names).await;
    assert_eq!(first.change, CertificateChange::Issued);
    let second = ensure(provider, names).await;
    assert_eq!(second.change, CertificateChange::Reused);
    assert_eq!((&first.chain, &first.key), (&second.chain, &second.key));
    assert_eq!(first.not_after, second.not_after);
    let current = provider.current(names).await.ok().flatten();
    assert_eq!(current.map(|certificate| certificate.chain), Some(first.chain));
}

/// Names that the present certificate doesn't cover lead to a new one, names that it covers don't.
pub async fn certificate_names_changed(
    provider: &dyn CertificateProvider,
    names: &CertificateNames,
    more: &CertificateNames,
) {
    ensure(provider, names).await;
    assert_eq!(ensure(provider, more).await.change, CertificateChange::Issued);
    assert_eq!(ensure(provider, more).await.change, CertificateChange::Reused);
}
