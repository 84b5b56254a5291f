//! Why a token was refused, told so that a person can mend it without seeing the token.

use std::fmt;

use jiff::Timestamp;

use crate::reason::Reason;

/// The longest piece of foreign text that a description quotes, in bytes.
const MAX_QUOTED: usize = 200;

/// A token that is not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRejection {
    /// The stable code.
    pub reason: Reason,
    /// One line for a person: visible ASCII and spaces, without `"` and `\`, so that it can stand in
    /// a header parameter (RFC 6750 section 3) and in an `error_description` (RFC 6749 section 5.2).
    /// It never holds any part of the token but its issuer, its audience and its times.
    pub description: String,
    /// The registered issuer whose keys may be out of date: the token asks for one that is not held.
    pub refetch: Option<String>,
}

// === impl TokenRejection ===

impl TokenRejection {
    pub(crate) fn new(reason: Reason, description: impl AsRef<str>) -> Self {
        Self { reason, description: printable(description.as_ref()), refetch: None }
    }

    pub(crate) fn malformed(what: impl AsRef<str>) -> Self {
        Self::new(Reason::MalformedToken, format!("malformed token: {}", what.as_ref()))
    }

    pub(crate) fn with_refetch(self, iss: &str) -> Self {
        Self { refetch: Some(iss.to_owned()), ..self }
    }
}

impl fmt::Display for TokenRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.description)
    }
}

impl std::error::Error for TokenRejection {}

/// `text` with every character outside of the set of `error_description` (RFC 6749 section 5.2:
/// `%x20-21 / %x23-5B / %x5D-7E`) replaced by `?`.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if is_printable(c) { c } else { '?' }).collect()
}

/// `text` if it is short and needs no replacement, otherwise `instead`.
pub(crate) fn quotable<'a>(text: &'a str, instead: &'a str) -> &'a str {
    if text.len() <= MAX_QUOTED && !text.is_empty() && text.chars().all(is_printable) {
        text
    } else {
        instead
    }
}

/// A time in seconds since 1970, as RFC 3339 writes it where it can.
pub(crate) fn rfc3339(seconds: f64) -> String {
    // A NumericDate is below 2^53, so the conversion is exact but for the fraction.
    Timestamp::from_second(seconds as i64).map_or_else(|_| format!("{seconds}"), |time| time.to_string())
}

fn is_printable(c: char) -> bool {
    matches!(c, ' '..='~') && c != '"' && c != '\\'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_is_one_printable_line() {
        let rejection = TokenRejection::malformed("a\"b\\c\r\nd\u{e9}");
        assert_eq!(rejection.description, "malformed token: a?b?c??d?");
        assert_eq!(quotable("https://idp", "it"), "https://idp");
        for text in ["", "a\nb", "\u{e9}", &"x".repeat(201)] {
            assert_eq!(quotable(text, "it"), "it");
        }
        assert_eq!(rfc3339(1_700_000_000.9), "2023-11-14T22:13:20Z");
        assert_eq!(rfc3339(1e15), "1000000000000000");
    }
}
