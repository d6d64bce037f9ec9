//! Bytes as text, and texts compared without telling where they differ.
//!
//! For: tokens, ids of sessions and hashes.
//! Not for: decoding; nothing that is shown to us is taken apart.

use std::hint::black_box;

/// Bytes as hexadecimal digits.
#[must_use]
pub fn hexadecimal(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(value.into(), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Bytes in base64url without padding (RFC 4648, section 5).
#[must_use]
pub fn base64url(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |index: usize| u32::from(group.get(index).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..=group.len() {
            let index = (bits >> (18 - 6 * digit)) & 63;
            text.push(char::from(DIGITS[index as usize]));
        }
    }
    text
}

/// True if both are the same. How long it takes says nothing about where they differ, only whether
/// they are of one length.
#[must_use]
pub fn same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let pairs = one.iter().zip(other);
    // Every pair is looked at: the compiler doesn't know that a difference is for good.
    let differing = pairs.fold(0, |seen: u8, (one, other)| black_box(seen | (one ^ other)));
    differing == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_become_the_texts_of_the_standard() {
        // RFC 4648, section 10, without the padding.
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg"),
            ("fo", "Zm8"),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg"),
            ("fooba", "Zm9vYmE"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64url(bytes.as_bytes()), text);
        }
        assert_eq!(base64url(&[0xfb, 0xff, 0xfe]), "-__-");
        assert_eq!(hexadecimal(&[0x0f, 0xa0]), "0fa0");
    }

    #[test]
    fn only_what_is_the_same_is_the_same() {
        assert!(same(b"", b"") && same(b"abc", b"abc"));
        for other in ["", "ab", "abd", "bbc", "abcd", "ABC"] {
            assert!(!same(b"abc", other.as_bytes()), "{other}");
        }
    }
}
