//! The authority that needs no program: rcgen makes the root and the leaves.
//!
//! For: roots and leaves that every browser accepts once the root is imported.
//! Not for: files; what is made here is returned as text.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};
use thon_core::adapter::{Failure, FailureKind};
use thon_core::certificate::CertificateNames;
use time::OffsetDateTime;

use crate::material::Root;
use crate::names::common_name;
use crate::settings::Provider;

const DAY: Duration = Duration::from_hours(24);
/// How long a root lives: ten years, as mkcert's.
const ROOT_LIFE: Duration = DAY.saturating_mul(3652);
/// How long a leaf lives: one day less than the 398 that Apple's systems accept.
const LEAF_LIFE: Duration = DAY.saturating_mul(397);
/// How far back a certificate begins, for participants whose clocks are behind.
const BACKDATED: Duration = Duration::from_hours(1);

/// A certificate and its key in PEM.
pub(crate) struct Made {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// Begin and end of a root that is made at `now`.
pub(crate) fn root_validity(now: SystemTime) -> (SystemTime, SystemTime) {
    let begin = now - BACKDATED;
    (begin, begin + ROOT_LIFE)
}

/// Begin and end of a leaf that is made at `now`; it never outlives its root.
pub(crate) fn leaf_validity(now: SystemTime, root_end: SystemTime) -> (SystemTime, SystemTime) {
    let begin = now - BACKDATED;
    (begin, (begin + LEAF_LIFE).min(root_end))
}

/// Makes a root named after the node.
pub(crate) fn make_root(node: &str, now: SystemTime) -> Result<Made, Failure> {
    let (begin, end) = root_validity(now);
    let mut params = params((begin, end), subject(&root_name(node), None));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = generate()?;
    let certificate = params.self_signed(&key).map_err(|error| failed("root", &error))?;
    Ok(Made { certificate: certificate.pem(), key: key.serialize_pem() })
}

/// The name that participants see in their list of authorities.
pub(crate) fn root_name(node: &str) -> String {
    // Shortened before the rest is added, so that a long name does not push it out.
    let node: String = node.chars().take(50).collect();
    common_name(&format!("THON {node} root"))
}

/// Makes a leaf for `names`, signed by `root` with its `root_key`.
pub(crate) fn make_leaf(
    names: &CertificateNames,
    root: &Root,
    root_key: KeyPair,
    now: SystemTime,
) -> Result<Made, Failure> {
    let (begin, end) = leaf_validity(now, root.not_after);
    let subject = subject(&common_name(&names.primary), Some(Provider::Embedded));
    let mut params = params((begin, end), subject);
    for name in &names.dns {
        let name = name.as_str().try_into().map_err(|error| failed("leaf", &error))?;
        params.subject_alt_names.push(SanType::DnsName(name));
    }
    params.subject_alt_names.extend(names.ips.iter().copied().map(SanType::IpAddress));
    // Says outright that it is no authority, and brings its key identifier along.
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let issuer =
        Issuer::from_ca_cert_pem(&root.pem, root_key).map_err(|error| failed("leaf", &error))?;
    let key = generate()?;
    let certificate = params.signed_by(&key, &issuer).map_err(|error| failed("leaf", &error))?;
    Ok(Made { certificate: certificate.pem(), key: key.serialize_pem() })
}

fn params((begin, end): (SystemTime, SystemTime), subject: DistinguishedName) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.not_before = OffsetDateTime::from(begin);
    params.not_after = OffsetDateTime::from(end);
    params.distinguished_name = subject;
    params
}

fn subject(common_name: &str, maker: Option<Provider>) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::OrganizationName, "THON");
    if let Some(maker) = maker {
        subject.push(DnType::OrganizationalUnitName, maker.as_str());
    }
    subject.push(DnType::CommonName, common_name);
    subject
}

fn generate() -> Result<KeyPair, Failure> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|error| failed("key", &error))
}

fn failed(what: &str, error: &rcgen::Error) -> Failure {
    Failure::new(
        FailureKind::Other,
        format!("making a {what} with the embedded authority"),
        error.to_string(),
        "set nginx.ssl_provider to openssl or mkcert",
    )
}
