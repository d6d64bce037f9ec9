//! What a browser keeps for us and is not to read or change.
//!
//! For: sealing a text with a secret of this node, and opening it again.
//! Not for: what is sealed, and for how long it is of use.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};
use thon_core::adapter::Entropy;
use thon_core::secret::Secret;

use crate::error::Error;
use crate::system::OsEntropy;

/// What the key is for, so that the same secret can serve for other things.
const PURPOSE: &[u8] = b"thon sign-in 1";

/// The key that a secret makes (RFC 5869).
fn key(secret: &Secret) -> Option<LessSafeKey> {
    let extracted = Salt::new(HKDF_SHA256, PURPOSE).extract(secret.reveal().as_bytes());
    let expanded = extracted.expand(&[PURPOSE], &CHACHA20_POLY1305).ok()?;
    Some(LessSafeKey::new(UnboundKey::from(expanded)))
}

/// Seals a text for `place`, where alone it can be opened again.
pub(super) fn seal(secret: &Secret, place: &str, text: &str) -> Result<Secret, Error> {
    let mut nonce = [0; NONCE_LEN];
    OsEntropy.fill(&mut nonce)?;
    let mut bytes = text.as_bytes().to_vec();
    let sealed = key(secret).and_then(|key| {
        let once = Nonce::assume_unique_for_key(nonce);
        key.seal_in_place_append_tag(once, Aad::from(place.as_bytes()), &mut bytes).ok()
    });
    // Neither can fail: the key has the length of its algorithm, and the text is short.
    sealed.ok_or_else(|| Error::input("what a browser keeps can't be sealed"))?;
    Ok(Secret::new(URL_SAFE_NO_PAD.encode([nonce.as_slice(), &bytes].concat())))
}

/// Opens what [`seal`] made for this place; nothing if it is anything else.
pub(super) fn open(secret: &Secret, place: &str, sealed: &str) -> Option<String> {
    let bytes = URL_SAFE_NO_PAD.decode(sealed).ok()?;
    let (nonce, bytes) = bytes.split_at_checked(NONCE_LEN)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let mut bytes = bytes.to_vec();
    let opened = key(secret)?.open_in_place(nonce, Aad::from(place.as_bytes()), &mut bytes).ok()?;
    String::from_utf8(opened.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_with_the_same_secret_at_the_same_place_and_unchanged() {
        let (one, two) = (Secret::new("1".repeat(32)), Secret::new("2".repeat(32)));
        let sealed = seal(&one, "github", "verifier").unwrap();
        assert!(!sealed.reveal().contains("verifier"));
        assert_eq!(open(&one, "github", sealed.reveal()).as_deref(), Some("verifier"));
        assert_eq!(open(&two, "github", sealed.reveal()), None);
        assert_eq!(open(&one, "gitlab", sealed.reveal()), None);
        assert_ne!(seal(&one, "github", "verifier").unwrap().reveal(), sealed.reveal());
        for at in [0, 5, sealed.reveal().len() - 1] {
            let mut changed = sealed.reveal().to_owned().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(open(&one, "github", &String::from_utf8(changed).unwrap()), None, "{at}");
        }
        for odd in ["", "AAAA", "!", &"A".repeat(100)] {
            assert_eq!(open(&one, "github", odd), None, "{odd}");
        }
    }
}
