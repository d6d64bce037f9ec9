//! ID tokens, true ones and others.
//!
//! For: signing with a key of one's own (ES256), or as a liar would.
//! Not for: checking anything.

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use ring::{digest, hmac};
use serde_json::{Value, json};
use thon_core::access::base64url;

use super::{CLIENT_ID, CLIENT_SECRET, Lie};

/// A key that signs ID tokens.
pub struct Key {
    id: String,
    pair: EcdsaKeyPair,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Key {
    /// A new key under this name.
    #[must_use]
    pub fn new(id: &str) -> Self {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).unwrap();
        Self { id: id.to_owned(), pair }
    }

    /// What everyone may know of it.
    pub(super) fn public(&self) -> Value {
        let point = self.pair.public_key().as_ref();
        let (x, y) = point[1..].split_at(32);
        json!({
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.id,
            "x": base64url(x), "y": base64url(y),
        })
    }

    /// `claims` as a token.
    pub(super) fn sign(&self, claims: &Value) -> String {
        let text = head(&json!({"alg": "ES256", "typ": "JWT", "kid": self.id}), claims);
        let signature = self.pair.sign(&SystemRandom::new(), text.as_bytes()).unwrap();
        format!("{text}.{}", base64url(signature.as_ref()))
    }
}

fn head(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| base64url(value.to_string().as_bytes());
    format!("{}.{}", part(header), part(claims))
}

/// The half of the hash of an access token that an ID token holds.
fn half_hash(token: &str) -> String {
    base64url(&digest::digest(&digest::SHA256, token.as_bytes()).as_ref()[..16])
}

/// The ID token that belongs to `claims`, as somebody with this lie would make it. `now` is in seconds.
pub(super) fn id_token(
    key: &Key,
    foreign: &Key,
    lie: Option<Lie>,
    mut claims: Value,
    access_token: &str,
    now: u64,
) -> String {
    claims["aud"] = json!(CLIENT_ID);
    claims["iat"] = json!(now);
    claims["exp"] = json!(now + 300);
    claims["at_hash"] = json!(half_hash(access_token));
    match lie {
        Some(Lie::Expired) => {
            claims["iat"] = json!(now - 400);
            claims["exp"] = json!(now - 60);
        }
        Some(Lie::Old) => claims["iat"] = json!(now - 3600),
        Some(Lie::Early) => claims["iat"] = json!(now + 3600),
        Some(Lie::Issuer) => claims["iss"] = json!("https://login.evil.example"),
        Some(Lie::Audience) => claims["aud"] = json!("somebody-else"),
        Some(Lie::FurtherAudience) => claims["aud"] = json!([CLIENT_ID, "somebody-else"]),
        Some(Lie::Nonce) => claims["nonce"] = json!("the-nonce-of-another-sign-in-00000000000000"),
        Some(Lie::NoNonce) => {
            claims.as_object_mut().unwrap().remove("nonce");
        }
        Some(Lie::AccessToken) => claims["at_hash"] = json!(half_hash("another")),
        Some(Lie::ForeignKey) => return foreign.sign(&claims),
        Some(Lie::Unsigned) => return head(&json!({"alg": "none"}), &claims) + ".",
        Some(Lie::Shared) => {
            let text = head(&json!({"alg": "HS256", "typ": "JWT"}), &claims);
            let key = hmac::Key::new(hmac::HMAC_SHA256, CLIENT_SECRET.as_bytes());
            return format!("{text}.{}", base64url(hmac::sign(&key, text.as_bytes()).as_ref()));
        }
        Some(Lie::Altered) => {
            let true_one = key.sign(&claims);
            let signature = true_one.rsplit_once('.').unwrap().1;
            claims["sub"] = json!("0");
            let header = json!({"alg": "ES256", "typ": "JWT", "kid": key.id});
            return format!("{}.{signature}", head(&header, &claims));
        }
        _ => {}
    }
    key.sign(&claims)
}
